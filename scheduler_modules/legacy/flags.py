"""The old command line: one table translates each old flag to the code that owns it."""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from scheduler_modules.legacy.old_flag import OldFlag

if TYPE_CHECKING:
    import argparse

    from scheduler_modules.legacy.call import OldCall, OldCli


# The first that is given wins, in this order.
FLAGS = (
    OldFlag("--daemon", (), "daemon.daemon", "run the queue, or what --mode names"),
    OldFlag(
        "--add",
        ("SESSION", "ROLE", "WINDOW", "INTERVAL", "NOTE"),
        "tasks.add",
        "add a check-in every INTERVAL minutes",
    ),
    OldFlag("--list", (), "tasks.list_tasks", "list check-ins"),
    OldFlag("--remove", ("ID",), "tasks.remove", "remove a check-in"),
    OldFlag("--queue-daemon", (), "daemon.queue_daemon", "run the queue"),
    OldFlag(
        "--queue-add",
        ("SPEC", "PROJECT"),
        "queue.queue_add",
        "queue a spec; PROJECT or auto",
    ),
    OldFlag("--queue-list", (), "queue.queue_list", "list projects, every column"),
    OldFlag("--queue-status", ("ID",), "queue.queue_status", "show a project"),
    OldFlag("--status", (), "queue.status", "say in three lines how things stand"),
    OldFlag("--mark-recovered", ("ID",), "queue.mark_recovered", "a failure was none"),
    OldFlag(
        "--reset-project",
        ("ID", "[--force]"),
        "reset.reset_project",
        "fail it if it is stuck; --force: queue it again",
        is_first=True,
    ),
    OldFlag(
        "--check-project",
        ("ID",),
        "reset.check_project",
        "fail it if it is stuck",
        is_first=True,
    ),
    OldFlag(
        "--delegated-reset",
        ("ID",),
        "reset.delegated_reset",
        "leave the daemon a request to queue it again",
        is_first=True,
    ),
    OldFlag(
        "--reset-session",
        ("SESSION:WINDOW", "[--force]"),
        "reset.reset_session",
        "queue the project of a dead session again",
        is_first=True,
    ),
    OldFlag(
        "--remove-project",
        ("ID",),
        "queue.remove_project",
        "remove a project that is not running",
        is_first=True,
    ),
    OldFlag(
        "--recovery-list-stuck",
        (),
        "recovery.list_stuck",
        "list what may be stuck, and why",
        is_first=True,
    ),
    OldFlag(
        "--recovery-reset-project",
        ("ID", "[--force]"),
        "recovery.reset_project",
        "fail a stuck project",
        is_first=True,
    ),
    OldFlag(
        "--recovery-kill-zombie",
        ("ID",),
        "recovery.kill_zombie",
        "end what is left of a project that is over",
        is_first=True,
    ),
    OldFlag(
        "--recovery-diagnostics",
        (),
        "recovery.diagnostics",
        "runs, stuck projects, sessions",
        is_first=True,
    ),
)
LEGACY_FLAGS = frozenset(flag.name for flag in FLAGS) | {"--mode"}
MODES = ("checkin", "queue")

_INTEGERS = frozenset({"--remove", "--queue-status", "--mark-recovered"})
# The old program took an id of 0 for "no id given".
_ZERO_IS_NOTHING = frozenset({"--remove", "--queue-status"})


def is_legacy(argv: Sequence[str]) -> bool:
    """Return whether these arguments begin with an old flag."""
    return bool(argv) and argv[0].partition("=")[0] in LEGACY_FLAGS


def run_legacy(argv: Sequence[str], *, cwd_is_home: bool, cli: "OldCli | None" = None) -> int:
    """Carry out one old command line and return its exit code.

    `cwd_is_home`: state is kept in the working folder unless TMUX_ORCHESTRATOR_HOME is set.
    """
    from scheduler_modules.cli.edge import guarded
    from scheduler_modules.legacy.call import process_cli

    call_cli = process_cli(cwd_is_home=cwd_is_home) if cli is None else cli
    return guarded(call_cli, lambda: _run(list(argv), call_cli))


def _run(argv: list[str], cli: "OldCli") -> int:
    from scheduler_modules.errors import EXIT_DONE

    call = _by_hand(argv, cli) or _by_argparse(argv, cli)
    if call is None:
        cli.terminal.write(help_text())
        return EXIT_DONE
    module, _, function = call.flag.owner.partition(".")
    owner = getattr(importlib.import_module(f"scheduler_modules.legacy.{module}"), function)
    code: int = owner(call)
    return code


def _by_hand(argv: list[str], cli: "OldCli") -> "OldCall | None":
    """Return the call if its first argument is a flag of the hand-read kind with its operand."""
    from scheduler_modules.legacy.call import OldCall

    flag = next((flag for flag in FLAGS if flag.is_first and argv and argv[0] == flag.name), None)
    needed = 1 if flag is not None and flag.operands else 0
    if flag is None or len(argv) < 1 + needed:
        return None
    operands, rest = argv[1 : 1 + needed], argv[1 + needed :]
    has_force = "[--force]" in flag.operands and "--force" in rest
    ignored = [word for word in rest if not (has_force and word == "--force")]
    if ignored:
        cli.terminal.warn(f"ignored: {' '.join(ignored)}")
    return OldCall(cli, flag, operands, has_force=has_force)


def _by_argparse(argv: list[str], cli: "OldCli") -> "OldCall | None":
    """Return the call; None if help is what was asked for.

    Raises:
        InvalidInput: the arguments are no use of the old command line.
    """
    from scheduler_modules.legacy.call import OldCall

    given = _parser().parse_args(argv)
    if given.help:
        return None
    for flag in FLAGS:
        value = None if flag.is_first else getattr(given, _attribute(flag))
        if value is None or value is False or (value == 0 and flag.name in _ZERO_IS_NOTHING):
            continue
        operands = value if isinstance(value, list) else [value] if flag.operands else []
        return OldCall(cli, flag, operands, mode=given.mode)
    return None


def _parser() -> "argparse.ArgumentParser":
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            from scheduler_modules.errors import InvalidInput

            raise InvalidInput(f"{message}; see scheduler.py --help")

    parser = Parser(prog="scheduler.py", add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--mode", choices=MODES)
    for flag in FLAGS:
        if flag.is_first:
            continue
        options: dict[str, Any] = {"dest": _attribute(flag)}
        if not flag.operands:
            options |= {"action": "store_true"}
        elif len(flag.operands) == 1:
            options |= {"metavar": flag.operands[0]}
        else:
            options |= {"nargs": len(flag.operands), "metavar": flag.operands}
        if flag.name in _INTEGERS:
            options |= {"type": int}
        parser.add_argument(flag.name, **options)
    return parser


def _attribute(flag: OldFlag) -> str:
    return "flag_" + flag.name.strip("-").replace("-", "_")


def help_text() -> str:
    """Return what `-h` prints, and what a call without a flag gets."""
    rows = [(" ".join((flag.name, *flag.operands)), flag.does) for flag in FLAGS]
    rows.insert(1, ("--mode checkin|queue", "what --daemon does: only check-ins, only the queue"))
    rows.append(("-h, --help", "show this"))
    lines = [f"  {usage}\n      {does}" for usage, does in rows]
    return "\n".join(
        (
            "usage: scheduler.py FLAG [ARGUMENT ...]",
            "",
            "The flags of the old scheduler. State is kept in the working folder.",
            "",
            *lines,
            "",
            "Newer, with tables, --json and exit codes: tmux-orchestrator --help",
            "",
        )
    )
