"""What systemd, `scheduler.py` and the console script `tmux-orchestrator` start.

Stands above the packages and picks by the first argument: an old flag goes the old way, anything
else to the command line. What is not called is not imported.
"""

import gc
import importlib
import os
import sys
from collections.abc import Sequence

from scheduler_modules.errors import EXIT_FAILED, EXIT_INTERRUPTED

# What imports make is no garbage. Looking for some as often as Python does by itself takes a tenth
# of what a short verb costs; a daemon does not notice the difference.
_GARBAGE_LOOK = 50_000
DAEMON_FLAGS = frozenset({"--daemon", "--queue-daemon"})


def main(argv: Sequence[str] | None = None, *, cwd_is_home: bool = False) -> int:
    """Carry out one call and return its exit code.

    `argv` is without the program's name; None means that of the process. `cwd_is_home`: database,
    locks and signals are in the working folder, as with the old program.
    """
    gc.set_threshold(_GARBAGE_LOOK)
    _keep_streams_apart()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        _import_msgspec_alone()
        return _dispatch(arguments, cwd_is_home, argv is None)
    except KeyboardInterrupt:
        # Before anybody was there to say it better.
        return EXIT_INTERRUPTED
    except ImportError as error:
        sys.stderr.write(f"error: {error}; its virtual environment has it, `make run` makes one\n")
        return EXIT_FAILED


def _dispatch(arguments: Sequence[str], cwd_is_home: bool, is_process: bool) -> int:
    if _goes_the_old_way(arguments, cwd_is_home):
        if is_process and not cwd_is_home and DAEMON_FLAGS.intersection(arguments):
            _start_over_as_scheduler(arguments)
        from scheduler_modules.legacy.flags import run_legacy

        return run_legacy(arguments, cwd_is_home=cwd_is_home)
    from scheduler_modules.cli.context import process_cli
    from scheduler_modules.cli_handler import run_cli

    return run_cli(arguments, process_cli(cwd_is_home=cwd_is_home))


def _start_over_as_scheduler(arguments: Sequence[str]) -> None:
    """Become `python scheduler.py ...`: scripts and old locks look for that in the process list.

    Returns where the settings are no use: whoever runs the flag says so.
    """
    from importlib.util import find_spec

    from scheduler_modules.config import load_config
    from scheduler_modules.errors import SchedulerError

    found = find_spec("scheduler")
    try:
        home = load_config(os.environ).config.home
    except SchedulerError:
        return
    if found is not None and found.origin is not None:
        os.environ["TMUX_ORCHESTRATOR_HOME"] = str(home)
        os.execv(sys.executable, [sys.executable, found.origin, *arguments])  # noqa: S606 - no shell


def _goes_the_old_way(arguments: Sequence[str], cwd_is_home: bool) -> bool:
    if not arguments:
        return cwd_is_home
    first = arguments[0]
    if cwd_is_home and first in {"-h", "--help"}:
        return True
    if not first.startswith("--"):
        return False
    from scheduler_modules.legacy.flags import LEGACY_FLAGS

    return first.partition("=")[0] in LEGACY_FLAGS


def _import_msgspec_alone() -> None:
    """Import msgspec without typing_extensions, which it asks for what Python has itself by now.

    It does without where that is not installed; SQLAlchemy brings it along, and its import takes
    a tenth of what a short verb costs.
    """
    name = "typing_extensions"
    if name in sys.modules:
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules[name]


def _keep_streams_apart() -> None:
    """Open /dev/null where a standard stream is closed.

    Else the next file that is opened, the database perhaps, would be taken for it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    sys.exit(main())
