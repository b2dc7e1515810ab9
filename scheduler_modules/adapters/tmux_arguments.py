"""Builds tmux command lines in which no byte of anybody's text is taken for anything but text.

Pure. One line makes a whole session: what comes on a second line comes too late for a command
that ends at once, and a server of somebody else's may have any configuration.

Source: tmux(1), COMMANDS, FORMATS, new-session, new-window, pipe-pane.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from scheduler_modules.errors import TmuxRefused
from scheduler_modules.tmux_values import (
    PaneCommand,
    ServerIdentity,
    SessionPlan,
)
from scheduler_modules.utils import ROLE_PATTERN, SESSION_PATTERN

COMMAND_LIMIT_BYTES = 16_000
"""tmux sends a command line as one message of 16,384 bytes, its own header included."""
GUARD_PATH = "/tmux-option-exit-unattached-is-on"
"""A file that never exists: see `unattached_guard`."""
KEEPER_PREFIX = "_orchestrator-"
"""How the sessions begin that our control-mode clients sit in. Nobody is shown them."""
PROJECT_OPTION = "@scheduler_project_id"
RUN_OPTION = "@scheduler_run"

_MADE_FORMAT = "made:#{session_id} #{window_id} #{pane_id} #{pid} #{start_time}"
_NEW_SESSION = ("new-session", "-d", "-P", "-F", _MADE_FORMAT, "-x", "200", "-y", "50")
_WINDOW_LOG = Path(__file__).with_name("window_log.sh")
_HASHES = re.compile(r"#+\[?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PANE_ID = re.compile(r"%[0-9]+")
_SESSION_ID = re.compile(r"\$[0-9]+")


class LogWriter:
    """How the output of a pane is kept: the shell text that `pipe-pane` runs."""

    def __init__(self, cap_bytes: int) -> None:
        self._cap_bytes = cap_bytes

    def pipe(self, target: str, log_path: str) -> list[str]:
        argv = ["/bin/sh", str(_WINDOW_LOG), str(self._cap_bytes), log_path]
        # tmux runs it through strftime first, then expands formats, then gives it to a shell.
        text = literal_format("exec " + shlex.join(argv)).replace("%", "%%")
        return ["pipe-pane", "-t", target, text]


def creation_line(
    plan: SessionPlan, env: Mapping[str, str], log: LogWriter, *, is_own_server: bool
) -> list[str]:
    """Return the arguments that make a whole session with all its settings.

    Each window prints one line that `tmux_answers.parse_made` reads. `env` is what every window
    of the session gets.

    Raises:
        TmuxRefused: a name, command or variable that tmux could not take as it is.
    """
    check_plan(plan)
    session, first = f"={plan.name}:", plan.windows[0]
    commands = [] if is_own_server else [unattached_guard()]
    commands += [
        [*_NEW_SESSION, "-s", plan.name, *_start_flags(first, plan.cwd, env)],
        *_ownership(session, plan.project_id, plan.run_token),
        *_session_protection(session),
        ["set-option", "-t", session, "base-index", "0"],
        ["move-window", "-r", "-t", session],
        *_window_protection(f"{session}{{start}}", first, log),
    ]
    for window in plan.windows[1:]:
        commands += _window(session, window, plan.cwd, {}, log)
    return joined(commands)


def window_line(
    session_name: str, window: PaneCommand, cwd: str, env: Mapping[str, str], log: LogWriter
) -> list[str]:
    """Return the arguments that add a window behind the last one of a session.

    Raises:
        TmuxRefused: as `creation_line`.
    """
    check_window(window)
    check_text("folder", cwd)
    check_environment(env)
    return joined(_window(f"={session_name}:", window, cwd, env, log))


def adoption_line(
    session_name: str, project_id: int, run_token: str, panes: Sequence[tuple[str, str]]
) -> list[str]:
    """Return the arguments that mark a session as ours and protect what it has now.

    `panes` are (window id, pane id). Indexes and names stay: whoever made them relies on them.
    """
    session = f"={session_name}:"
    commands = [
        *_ownership(session, project_id, run_token),
        *_session_protection(session),
    ]
    commands += [_no_rename(window_id) for window_id in sorted({pair[0] for pair in panes})]
    commands += [_stay_when_dead(pane_id) for _, pane_id in panes]
    return joined(commands)


def kill_line(session_name: str, run_token: str, server: ServerIdentity) -> list[str]:
    """Return the arguments that end a session if it is that run's, and print `killed` then.

    tmux itself looks and kills in one step, so nothing can change in between.
    """
    is_ours = f"#{{==:#{{{RUN_OPTION}}},{run_token}}}"
    condition = f"#{{&&:{is_ours},{_is_server(server)}}}"
    action = f"kill-session -t '={session_name}' ; display-message -p killed"
    return ["if-shell", "-F", "-t", f"={session_name}:", condition, action]


def undo_line(kind: str, target_id: str, server: ServerIdentity) -> list[str]:
    """Return the arguments that end a half-made `session` or `window` by its id."""
    action = f"kill-{kind} -t '{target_id}'"
    return ["if-shell", "-F", _is_server(server), action]


def keeper_line(name: str) -> list[str]:
    """Return the arguments that attach a control-mode client to a new session of its own.

    The session goes with its client, however that ends, so nobody ever has to look for keepers
    of the dead: one that is there is in use. The client in turn goes with the session, or tmux
    would put it into a project's.
    """
    session = f"={name}:"
    flags = ("-f", "no-output,ignore-size", "-c", "/")
    # Not `destroy-unattached on`: it ends the session under a client that is just leaving if
    # another one leaves at that moment, and then tmux 3.3a crashes (19 of 100 on a busy server).
    gone = f"if-shell -F -t {session} '#{{session_attached}}' '' 'kill-session -t ={name}'"
    return joined(
        [
            unattached_guard(),
            ["new-session", *flags, "-s", name, "--", "/bin/sh", "-c", "exec sleep 2147483647"],
            ["set-option", "-t", session, "destroy-unattached", "off"],
            ["set-option", "-t", session, "detach-on-destroy", "on"],
            ["set-hook", "-t", session, "client-detached", gone],
        ]
    )


def unattached_guard() -> list[str]:
    """Return a command that fails, and so stops its line, while `exit-unattached` is on.

    With that option the server takes all its sessions along when its last client leaves. No
    other command can be made to fail by a condition.
    """
    return ["source-file", "-F", f"#{{?exit-unattached,{GUARD_PATH},/dev/null}}"]


def joined(commands: Sequence[Sequence[str]]) -> list[str]:
    """Return commands as one argument list, with `;` between them and nowhere else.

    Raises:
        TmuxRefused: the line is longer than tmux takes.
    """
    line: list[str] = []
    for command in commands:
        line += [";"] if line else []
        line += [_literal_argument(argument) for argument in command]
    size_bytes = sum(len(argument.encode(errors="surrogateescape")) + 1 for argument in line)
    if size_bytes > COMMAND_LIMIT_BYTES:
        raise TmuxRefused(
            f"commands and environment take {size_bytes} bytes, tmux allows {COMMAND_LIMIT_BYTES}:"
            " put long values into a file"
        )
    return line


def literal_format(text: str) -> str:
    """Return text so that tmux's format expansion gives it back unchanged.

    `##` stands for `#`, except before `[`, where tmux leaves any number of them alone.
    """
    return _HASHES.sub(lambda run: run[0] if run[0].endswith("[") else run[0] * 2, text)


def check_plan(plan: SessionPlan) -> None:
    """Refuse what tmux could not make exactly as it is written.

    Raises:
        TmuxRefused: see its text.
    """
    check_session_name(plan.name)
    check_token(plan.run_token)
    check_text("folder", plan.cwd)
    check_environment(plan.env)
    if not plan.windows:
        raise TmuxRefused(f"session {plan.name}: it has no window")
    for window in plan.windows:
        check_window(window)
    roles = [window.role for window in plan.windows]
    if len(set(roles)) < len(roles):
        raise TmuxRefused(f"session {plan.name}: two windows have the same role")


def check_window(window: PaneCommand) -> None:
    if not ROLE_PATTERN.fullmatch(window.role):
        raise TmuxRefused(f"window role {window.role!r}: allowed are letters, digits, '_', '-'")
    if len(window.argv) < 2:
        # tmux hands a single argument to a shell.
        raise TmuxRefused(f"window {window.role}: its command needs at least two arguments")
    for argument in window.argv:
        check_text(f"an argument of window {window.role}", argument)
    check_text(f"the log of window {window.role}", window.log_path)


def check_environment(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not _ENV_NAME.fullmatch(name):
            raise TmuxRefused(f"environment variable {name!r}: that is no name of a variable")
        check_text(f"environment variable {name}", value)


def check_text(what: str, text: str) -> None:
    """Refuse what no program's arguments can hold."""
    if "\0" in text:
        raise TmuxRefused(f"{what} holds a NUL character")
    try:
        text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise TmuxRefused(f"{what} is not valid text") from None


def check_session_name(name: str) -> None:
    if not SESSION_PATTERN.fullmatch(name):
        raise TmuxRefused(
            f"session name {name!r}: allowed are up to 64 letters, digits, '_' and '-'"
        )
    if name.startswith(KEEPER_PREFIX):
        raise TmuxRefused(f"session name {name!r}: {KEEPER_PREFIX}... is kept for the scheduler")


def check_token(token: str) -> None:
    if not SESSION_PATTERN.fullmatch(token):
        raise TmuxRefused(f"run token {token!r}: allowed are letters, digits, '_' and '-'")


def is_pane_id(text: str) -> bool:
    return _PANE_ID.fullmatch(text) is not None


def is_session_id(text: str) -> bool:
    return _SESSION_ID.fullmatch(text) is not None


def _window(
    session: str, window: PaneCommand, cwd: str, env: Mapping[str, str], log: LogWriter
) -> list[list[str]]:
    # Behind the last window, so that the last window is the new one whatever the names and
    # numbers are; detached, so that nobody who looks at another one is moved.
    last = f"{session}{{end}}"
    start = ["new-window", "-d", "-a", "-P", "-F", _MADE_FORMAT, "-t", last]
    return [start + _start_flags(window, cwd, env), *_window_protection(last, window, log)]


def _start_flags(window: PaneCommand, cwd: str, env: Mapping[str, str]) -> list[str]:
    variables = [part for name, value in env.items() for part in ("-e", f"{name}={value}")]
    return ["-n", window.role, "-c", literal_format(cwd), *variables, "--", *window.argv]


def _ownership(session: str, project_id: int, run_token: str) -> list[list[str]]:
    return [
        ["set-option", "-t", session, PROJECT_OPTION, str(project_id)],
        ["set-option", "-t", session, RUN_OPTION, run_token],
    ]


def _session_protection(session: str) -> list[list[str]]:
    return [
        ["set-option", "-t", session, "destroy-unattached", "off"],
        ["set-option", "-t", session, "detach-on-destroy", "on"],
        ["set-option", "-t", session, "renumber-windows", "off"],
    ]


def _window_protection(target: str, window: PaneCommand, log: LogWriter) -> list[list[str]]:
    return [
        ["set-option", "-w", "-t", target, "pane-base-index", "0"],
        _no_rename(target),
        _stay_when_dead(target),
        log.pipe(target, window.log_path),
    ]


def _no_rename(target: str) -> list[str]:
    return ["set-option", "-w", "-t", target, "allow-rename", "off"]


def _stay_when_dead(target: str) -> list[str]:
    return ["set-option", "-p", "-t", target, "remain-on-exit", "on"]


def _is_server(server: ServerIdentity) -> str:
    same_pid = f"#{{==:#{{pid}},{server.pid}}}"
    return f"#{{&&:{same_pid},#{{==:#{{start_time}},{server.started_at}}}}}"


def _literal_argument(argument: str) -> str:
    # A `;` at the end of an argument ends the command; with a backslash it is a character.
    return f"{argument[:-1]}\\;" if argument.endswith(";") else argument
