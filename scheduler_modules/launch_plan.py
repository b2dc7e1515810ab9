"""Decides how one run of a project is carried out: a spec and its context -> `LaunchPlan`. Pure.

What the main window runs, the first that is there: an external launcher (LAUNCHER_COMMAND), the
spec's `command`, the command of its first window, the `agent` it names, PROJECT_COMMAND,
PROJECT_AGENT.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from scheduler_modules.agents import AGENT_PROFILES
from scheduler_modules.argv_template import fill, split_command
from scheduler_modules.config import SchedulerConfig
from scheduler_modules.config_values import without_password
from scheduler_modules.errors import InvalidInput, NotPossible, SpecError
from scheduler_modules.model import LaunchPlan, WindowPlan
from scheduler_modules.spec import LAUNCHER_ROLE, MAIN_ROLE, Spec, shown_path

_LAUNCHER_ENV = {
    "BATCH_MODE": "1",
    "DAEMON_MODE": "1",
    "CLAUDE_SKIP_ANALYSIS": "1",
    "AUTO_CONFIRM": "1",
    "UV_NO_WORKSPACE": "1",
}


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempt at which project is to be planned. `attempt` is 1 for the first."""

    spec_path: str | Path
    project_path: str | Path
    project_id: int
    batch_id: str | None
    session_name: str
    attempt: int
    token: str
    fresh_start: bool = False

    def values(self) -> dict[str, str]:
        """Return what stands for each placeholder."""
        return {
            "spec": str(self.spec_path),
            "project": str(self.project_path),
            "project_id": str(self.project_id),
            "batch_id": self.batch_id or "",
            "session": self.session_name,
            "attempt": str(self.attempt),
        }


def make_plan(
    spec: Spec,
    launch: Launch,
    *,
    config: SchedulerConfig,
    which: Callable[[str], str | None],
    base_env: Mapping[str, str],
) -> LaunchPlan:
    """Return how this attempt is to be run.

    `which` finds a program on PATH. `base_env` is what the windows get of the surroundings; the
    spec's `env` stands above it, and ours above both.

    Raises:
        SpecError: a command of the spec cannot be used with these paths.
        NotPossible: nothing says what to run, or a configured command is wrong.
    """
    context = _Context(spec=spec, launch=launch, config=config, values=launch.values())
    env = {**base_env, **spec.env, **_our_env(context)}
    if config.launcher_command:
        agent, windows = spec.agent, _launcher_windows(context)
        env |= {**_LAUNCHER_ENV, "SCHEDULER_SESSION_FILE": str(session_file(config, launch.token))}
    else:
        agent, windows = _windows(context, which, env)
    return LaunchPlan(
        cwd=str(launch.project_path),
        windows=windows,
        env=env,
        verify=None if spec.verify is None else _filled(context, "verify", spec.verify),
        timeout_sec=_first(spec.timeout_sec, config.max_process_runtime_sec),
        retries=int(_first(spec.retries, config.default_retries)),
        agent=agent,
        is_external=bool(config.launcher_command),
    )


def session_file(config: SchedulerConfig, token: str) -> Path:
    """Return where an external launcher may write the name of the session it made."""
    return config.runs_dir / f"{token}.session"


def detect_project_path(spec_path: Path) -> Path:
    """Return the nearest folder above the spec that holds `.git`, else the spec's own folder.

    Absolute; symbolic links stay as they are.
    """
    folder = spec_path.absolute().parent
    for candidate in (folder, *folder.parents):
        if _exists(candidate / ".git"):
            return candidate
    return folder


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


class _Context(msgspec.Struct, frozen=True, kw_only=True):
    """What every part of one plan is made from. `values` are the placeholders'."""

    spec: Spec
    launch: Launch
    config: SchedulerConfig
    values: Mapping[str, str]


def _our_env(context: _Context) -> dict[str, str]:
    config, values = context.config, context.values
    env = {
        "SCHEDULER_RUN_ID": context.launch.token,
        "SCHEDULER_PROJECT_ID": values["project_id"],
        "SCHEDULER_SESSION": values["session"],
        "SCHEDULER_ATTEMPT": values["attempt"],
        "SCHEDULER_SPEC": context.values["spec"],
        "TMUX_ORCHESTRATOR_HOME": str(config.home),
    }
    if config.scheduler_db_url != f"sqlite:///{config.home}/task_queue.db":
        # Plans are stored and environments can be looked at: neither may hold a password.
        env["SCHEDULER_DB_URL"] = without_password(config.scheduler_db_url)
    return env


def _windows(
    context: _Context, which: Callable[[str], str | None], env: Mapping[str, str]
) -> tuple[str | None, tuple[WindowPlan, ...]]:
    """Return the agent profile that applies and the windows, the main one first."""
    spec, agent = context.spec, context.spec.agent
    first = spec.windows[0] if spec.windows and spec.command is None else None
    role = first.role if first else MAIN_ROLE
    command = first.command if first else spec.command
    if command is not None:
        argv = _filled(context, f"window {role}", command)
    elif context.config.project_command and agent is None:
        with _refusals_about("PROJECT_COMMAND"):
            argv = fill(split_command(context.config.project_command), context.values)
    else:
        agent, argv = _agent(context, which)
    main = WindowPlan(role=role, argv=argv)
    # A window without a command is a place to work in, for a person or an agent.
    shell = (_shell(env),)
    rest = (
        WindowPlan(
            role=window.role,
            argv=shell
            if window.command is None
            else _filled(context, f"window {window.role}", window.command),
        )
        for window in (spec.windows[1:] if first else spec.windows)
    )
    return agent, (main, *rest)


def _shell(env: Mapping[str, str]) -> str:
    shell = env.get("SHELL", "")
    return shell if shell.startswith("/") else "/bin/sh"


def _agent(context: _Context, which: Callable[[str], str | None]) -> tuple[str, tuple[str, ...]]:
    name = context.spec.agent or context.config.project_agent
    profile = AGENT_PROFILES.get(name)
    if profile is None:
        raise NotPossible(
            f"PROJECT_AGENT={name!a} is no agent profile; known: {', '.join(AGENT_PROFILES)}"
        )
    if which(profile.program) is None:
        raise NotPossible(
            f"nothing says what to run: the spec has no command, PROJECT_COMMAND is not set, and "
            f"the agent {profile.program!r} is not on PATH. Put command: into the spec's front "
            f"matter, set PROJECT_COMMAND, or install {profile.program!r}"
        )
    return name, _filled(context, f"agent {name}", profile.start_argv)


def _launcher_windows(context: _Context) -> tuple[WindowPlan, ...]:
    """Return the launcher's window, the only one.

    `{resume}` and `{fresh_start}` as whole arguments become an option or vanish; inside a longer
    argument they become 1 or 0. Later attempts resume unless a fresh start was asked for.
    """
    is_fresh = context.launch.fresh_start
    is_set = {
        "{resume}": context.launch.attempt > 1 and not is_fresh,
        "{fresh_start}": is_fresh,
    }
    bits = {name.strip("{}"): str(int(value)) for name, value in is_set.items()}
    with _refusals_about("LAUNCHER_COMMAND"):
        argv = (
            "--" + part.strip("{}").replace("_", "-") if part in is_set else part
            for part in split_command(context.config.launcher_command)
            if is_set.get(part, True)
        )
        filled = fill(tuple(argv), {**context.values, **bits})
    return (WindowPlan(role=LAUNCHER_ROLE, argv=filled),)


@contextmanager
def _refusals_about(setting: str) -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        raise NotPossible(f"{setting}: {error}") from error


def _filled(context: _Context, what: str, argv: Sequence[str]) -> tuple[str, ...]:
    try:
        return fill(argv, context.values)
    except InvalidInput as error:
        raise SpecError(shown_path(context.values["spec"]), f"{what}: {error}") from error


def _first(given: float | None, default: float) -> float:
    return default if given is None else given
