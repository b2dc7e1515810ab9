"""What a run is made of: windows, environment, limits, folder."""

from pathlib import Path

import msgspec
import pytest

from scheduler_modules.agents import AGENT_PROFILES
from scheduler_modules.config import SchedulerConfig
from scheduler_modules.errors import NotPossible, SpecError
from scheduler_modules.launch_plan import Launch, detect_project_path, make_plan, session_file
from scheduler_modules.model import LaunchPlan, WindowPlan
from scheduler_modules.spec import Spec, SpecWindow

HOME = Path("/home/someone/.scheduler")


def config(**settings) -> SchedulerConfig:
    defaults = {"home": HOME, "scheduler_db_url": f"sqlite:///{HOME}/task_queue.db"}
    return SchedulerConfig(**{**defaults, **settings})


def plan(spec: Spec | None = None, *, settings=None, programs=(), base_env=None, **context):
    arguments = {
        "spec_path": "/specs/web.md",
        "project_path": "/code/web",
        "project_id": 7,
        "batch_id": "night",
        "session_name": "web-impl-0a1b2c3d",
        "attempt": 1,
        "token": "0a1b2c3d" * 4,
    }
    return make_plan(
        spec or Spec(name="web", command=("make",)),
        Launch(**{**arguments, **context}),
        config=config(**(settings or {})),
        which=lambda program: f"/usr/bin/{program}" if program in programs else None,
        base_env=base_env or {},
    )


# -- windows ---------------------------------------------------------------------------------


def test_the_command_of_the_spec_runs_in_the_main_window():
    made = plan(
        Spec(name="web", command=("make", "{spec}"), windows=(SpecWindow("log", ("tail",)),)),
        settings={"project_command": "never"},
    )

    assert made.windows == (
        WindowPlan(role="main", argv=("make", "/specs/web.md")),
        WindowPlan(role="log", argv=("tail",)),
    )


def test_without_a_command_the_first_window_is_the_main_one():
    windows = (SpecWindow("developer", ("dev", "{project}")), SpecWindow("tester", ("test",)))

    made = plan(Spec(name="web", windows=windows), settings={"project_command": "never"})

    assert made.windows == (
        WindowPlan(role="developer", argv=("dev", "/code/web")),
        WindowPlan(role="tester", argv=("test",)),
    )


def test_project_command_runs_where_the_spec_names_none():
    made = plan(Spec(name="web"), settings={"project_command": "run '{spec}' {project_id}"})

    assert made.windows == (WindowPlan(role="main", argv=("run", "/specs/web.md", "7")),)


def test_an_agent_named_by_the_spec_goes_before_project_command():
    spec = Spec(name="web", agent="claude")

    made = plan(spec, settings={"project_command": "run"}, programs={"claude"})

    assert made.agent == "claude"
    assert made.windows[0].argv[0] == "claude"


def test_the_first_window_keeps_its_role_when_project_command_runs_in_it():
    windows = (SpecWindow("developer"), SpecWindow("tester", ("test",)))

    made = plan(Spec(name="web", windows=windows), settings={"project_command": "run"})

    assert [(window.role, window.argv[0]) for window in made.windows] == [
        ("developer", "run"),
        ("tester", "test"),
    ]


def test_the_agent_runs_where_nothing_else_is_named():
    made = plan(Spec(name="web"), programs={"claude"})

    assert made.agent == "claude"
    assert made.windows[0].role == "main"
    assert made.windows[0].argv[0] == "claude"
    assert "/specs/web.md" in made.windows[0].argv[1]
    assert "/code/web" in made.windows[0].argv[1]


def test_an_agent_that_is_not_installed_is_said_with_the_three_ways_out():
    with pytest.raises(NotPossible) as refused:
        plan(Spec(name="web"))

    message = str(refused.value)
    assert "the agent 'claude' is not on PATH" in message
    assert all(way in message for way in ("command:", "PROJECT_COMMAND", "install 'claude'"))


def test_the_agent_of_the_spec_comes_before_the_configured_one():
    made = plan(
        Spec(name="web", agent="claude"), settings={"project_agent": "none"}, programs={"claude"}
    )

    assert made.agent == "claude"


def test_a_configured_agent_nobody_knows_is_refused():
    with pytest.raises(NotPossible, match="PROJECT_AGENT='codey' is no agent profile; known: clau"):
        plan(Spec(name="web"), settings={"project_agent": "codey"})


def test_a_spec_with_a_command_needs_no_agent():
    assert plan().agent is None


def test_a_spec_with_both_runs_the_command_and_keeps_the_profile():
    made = plan(Spec(name="web", command=("make",), agent="claude"))

    assert (made.windows[0].argv, made.agent) == (("make",), "claude")


@pytest.mark.parametrize(
    ("base_env", "spec_env", "shell"),
    [
        ({"SHELL": "/bin/zsh"}, {}, "/bin/zsh"),
        ({"SHELL": "/bin/zsh"}, {"SHELL": "/bin/dash"}, "/bin/dash"),
        ({"SHELL": "zsh"}, {}, "/bin/sh"),
        ({}, {}, "/bin/sh"),
    ],
)
def test_a_further_window_without_a_command_runs_a_shell(base_env, spec_env, shell):
    spec = Spec(name="web", command=("make",), windows=(SpecWindow("spare"),), env=spec_env)

    made = plan(spec, base_env=base_env)

    assert made.windows[1] == WindowPlan(role="spare", argv=(shell,))


def test_every_placeholder_has_its_value():
    template = "{spec} {project} {project_id} {batch_id} {session} {attempt} {other}"

    made = plan(Spec(name="web", command=("run", template)), attempt=3)

    assert made.windows[0].argv[1] == (
        "/specs/web.md /code/web 7 night web-impl-0a1b2c3d 3 {other}"
    )


def test_a_project_of_no_batch_has_an_empty_batch_id():
    made = plan(Spec(name="web", command=("run", "{batch_id}")), batch_id=None)

    assert made.windows[0].argv == ("run", "")


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (Spec(name="web", command=("sh", "-c", "cat {spec}")), "window main"),
        (Spec(name="web", windows=(SpecWindow("dev", ("sh", "-c", "{spec}")),)), "window dev"),
        (
            Spec(
                name="web",
                command=("make",),
                windows=(SpecWindow("log", ("sh", "-c", "{spec}")),),
            ),
            "window log",
        ),
        (Spec(name="web", command=("make",), verify=("sh", "-c", "{spec}")), "verify"),
    ],
)
def test_a_path_that_would_become_code_fails_the_launch(spec, what):
    with pytest.raises(SpecError) as refused:
        plan(spec, spec_path="/specs/$(touch canary)\n.md")

    assert refused.value.problem.startswith(f"{what}: {{spec}} stands inside a script")
    assert str(refused.value).isprintable()


def test_a_wrong_project_command_is_refused_by_its_name():
    with pytest.raises(NotPossible, match=r'^PROJECT_COMMAND: "&&" is for a shell'):
        plan(Spec(name="web"), settings={"project_command": "a && b"})


# -- the external launcher -------------------------------------------------------------------


def launcher(template: str, **context) -> LaunchPlan:
    return plan(settings={"launcher_command": template}, **context)


def test_an_external_launcher_is_the_only_window():
    made = launcher("cli.py run --spec {spec} --project {project} --project-id {project_id}")

    assert made.is_external
    assert made.windows == (
        WindowPlan(
            role="launcher",
            argv=(
                *("cli.py", "run", "--spec", "/specs/web.md"),
                *("--project", "/code/web", "--project-id", "7"),
            ),
        ),
    )


def test_an_external_launcher_gets_the_environment_it_knows():
    made = launcher("cli.py")

    assert (
        made.env.items()
        >= {
            "SCHEDULER_PROJECT_ID": "7",
            "BATCH_MODE": "1",
            "DAEMON_MODE": "1",
            "CLAUDE_SKIP_ANALYSIS": "1",
            "AUTO_CONFIRM": "1",
            "UV_NO_WORKSPACE": "1",
            "SCHEDULER_SESSION_FILE": str(HOME / "runs" / ("0a1b2c3d" * 4 + ".session")),
        }.items()
    )


def test_the_session_file_is_named_for_the_run():
    assert session_file(config(), "ab") == HOME / "runs" / "ab.session"


@pytest.mark.parametrize(
    ("attempt", "fresh_start", "options"),
    [
        (1, False, ("-r0", "-f0")),
        (2, False, ("--resume", "-r1", "-f0")),
        (1, True, ("--fresh-start", "-r0", "-f1")),
        (2, True, ("--fresh-start", "-r0", "-f1")),
    ],
)
def test_resume_and_fresh_start_become_options_or_vanish(attempt, fresh_start, options):
    made = launcher(
        "cli.py {resume} {fresh_start} -r{resume} -f{fresh_start}",
        attempt=attempt,
        fresh_start=fresh_start,
    )

    assert made.windows[0].argv == ("cli.py", *options)


def test_an_external_launcher_keeps_limits_agent_and_verification_of_the_spec():
    made = plan(
        Spec(name="web", agent="claude", verify=("make", "{project}"), timeout_sec=60, retries=1),
        settings={"launcher_command": "cli.py"},
    )

    assert (made.agent, made.verify) == ("claude", ("make", "/code/web"))
    assert (made.timeout_sec, made.retries) == (60, 1)


def test_a_wrong_launcher_command_is_refused_by_its_name():
    with pytest.raises(NotPossible, match=r"^LAUNCHER_COMMAND: a quote"):
        launcher("cli.py 'run")


# -- environment, limits, folder -------------------------------------------------------------


def test_the_environment_is_the_surroundings_then_the_spec_then_ours():
    spec = Spec(name="web", command=("make",), env={"PATH": "/opt/bin", "MODE": "fast"})

    made = plan(
        spec,
        base_env={"PATH": "/bin", "LANG": "C", "SCHEDULER_RUN_ID": "stale"},
        attempt=2,
    )

    assert made.env == {
        "PATH": "/opt/bin",
        "LANG": "C",
        "MODE": "fast",
        "SCHEDULER_RUN_ID": "0a1b2c3d" * 4,
        "SCHEDULER_PROJECT_ID": "7",
        "SCHEDULER_SESSION": "web-impl-0a1b2c3d",
        "SCHEDULER_ATTEMPT": "2",
        "SCHEDULER_SPEC": "/specs/web.md",
        "TMUX_ORCHESTRATOR_HOME": str(HOME),
    }


def test_a_database_elsewhere_is_told():
    made = plan(settings={"scheduler_db_url": "sqlite:////data/q.db"})

    assert made.env["SCHEDULER_DB_URL"] == "sqlite:////data/q.db"


def test_no_window_and_no_stored_plan_knows_the_password_of_the_database():
    made = plan(settings={"scheduler_db_url": "postgresql://me:secret@host/queue"})

    assert made.env["SCHEDULER_DB_URL"] == "postgresql://me@host/queue"


@pytest.mark.parametrize(("given", "expected"), [(None, 10_800), (0, 0), (90.5, 90.5)])
def test_the_time_out_of_the_spec_comes_before_the_default(given, expected):
    spec = Spec(name="web", command=("make",), timeout_sec=given)

    assert plan(spec).timeout_sec == expected


@pytest.mark.parametrize(("given", "expected"), [(None, 4), (0, 0), (2, 2)])
def test_the_retries_of_the_spec_come_before_the_default(given, expected):
    spec = Spec(name="web", command=("make",), retries=given)

    assert plan(spec, settings={"default_retries": 4}).retries == expected


def test_a_run_works_in_the_project_folder():
    assert plan().cwd == "/code/web"


def test_paths_may_be_given_as_paths():
    assert plan(spec_path=Path("/specs/web.md"), project_path=Path("/code/web")) == plan()


def test_a_plan_survives_being_stored_as_json():
    made = plan(
        Spec(
            name="web",
            command=("make",),
            verify=("test",),
            env={"A": "ü"},
            windows=(SpecWindow("s"),),
        )
    )

    assert msgspec.json.decode(msgspec.json.encode(made), type=LaunchPlan) == made


@pytest.mark.parametrize("profile", AGENT_PROFILES.values())
def test_a_profile_starts_its_own_program_with_the_spec(profile):
    assert profile.start_argv[0] == profile.resume_argv[0] == profile.program
    assert any("{spec}" in argument for argument in profile.start_argv)


@pytest.mark.parametrize("git_is", ["folder", "file"])
def test_a_project_is_the_nearest_folder_with_a_repository(tmp_path, git_is):
    inner = tmp_path / "outer" / "inner"
    (inner / "docs" / "specs").mkdir(parents=True)
    (tmp_path / "outer" / ".git").mkdir()
    (inner / ".git").mkdir() if git_is == "folder" else (inner / ".git").write_text("gitdir: x")

    assert detect_project_path(inner / "docs" / "specs" / "a.md") == inner


def test_without_a_repository_a_project_is_the_folder_of_its_spec(tmp_path):
    assert detect_project_path(tmp_path / "specs" / "a.md") == tmp_path / "specs"


def test_a_relative_spec_has_an_absolute_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert detect_project_path(Path("a.md")) == tmp_path


@pytest.mark.parametrize("folder", ["/x\0y", "/" + "x" * 300])
def test_a_folder_that_cannot_be_looked_into_is_the_project_itself(folder):
    assert detect_project_path(Path(folder) / "a.md") == Path(folder)
