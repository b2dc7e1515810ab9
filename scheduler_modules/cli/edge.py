"""The one place where errors become words: one line on stderr and an exit code, never a trace."""

import errno
from collections.abc import Callable

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.output import drop_stdout, output_error
from scheduler_modules.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    DiskFull,
    ReaderGone,
    SchedulerError,
)

DEBUG_VARIABLE = "TMUX_ORCHESTRATOR_DEBUG"

_FULL = {errno.ENOSPC, errno.EDQUOT}
_OF_STREAMS = {errno.EPIPE, errno.EIO, errno.EBADF, errno.EFBIG, *_FULL}


def guarded(cli: Cli, act: Callable[[], int]) -> int:
    """Do it and return its exit code; what goes wrong is said on one line of stderr."""
    try:
        code = act()
        cli.terminal.flush()
        cli.close()
    except Exception as error:  # noqa: BLE001 - the edge: nothing below may show a traceback
        code = _explain(error, cli)
    except KeyboardInterrupt:
        cli.terminal.talk("interrupted")
        code = EXIT_INTERRUPTED
    if cli.terminal.is_lost:
        drop_stdout()
    return code


def _explain(error: Exception, cli: Cli) -> int:
    """Say what went wrong; return the exit code."""
    if cli.environ.get(DEBUG_VARIABLE):
        import traceback

        cli.terminal.talk("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, OSError):
        error = _from_os(error, cli)
    if isinstance(error, ReaderGone):
        return error.exit_code
    if isinstance(error, SchedulerError):
        cli.terminal.error(str(error))
        return error.exit_code
    cli.terminal.error(
        f"this should not happen ({type(error).__name__}: {error}); "
        f"{DEBUG_VARIABLE}=1 shows where, for a bug report"
    )
    return EXIT_FAILED


def _from_os(error: OSError, cli: Cli) -> SchedulerError:
    """Return what no adapter has put into words: a file named in the error, or our stdout."""
    if error.filename is None and error.errno in _OF_STREAMS:
        cli.terminal.is_lost = True
        return output_error(error)
    text = f"{error.filename or 'the system says'}: {error.strerror}"
    return DiskFull(text) if error.errno in _FULL else SchedulerError(text)
