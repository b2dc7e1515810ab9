"""Opens the person's editor on a file and waits for its end."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from scheduler_modules.errors import InvalidInput, NotPossible

VARIABLES = ("VISUAL", "EDITOR")
FALLBACKS = ("nano", "vi")
# As a shell tells it, and as the kernel does.
_INTERRUPTED = {128 + signal.SIGINT, -signal.SIGINT}


def editor_argv(environ: Mapping[str, str]) -> list[str]:
    """Return the command that VISUAL or EDITOR names, else that of an editor that is there.

    Raises:
        InvalidInput: what they name is no command line.
        NotPossible: they name nothing, and no editor is on PATH.
    """
    for variable in VARIABLES:
        try:
            argv = shlex.split(environ.get(variable, ""))
        except ValueError as error:
            raise InvalidInput(f"{variable}: {error}: close every quote") from error
        if argv:
            return argv
    for name in FALLBACKS:
        if shutil.which(name, path=environ.get("PATH")):
            return [name]
    raise NotPossible(f"no editor: set EDITOR, or install {' or '.join(FALLBACKS)}")


def run_editor(path: Path, environ: Mapping[str, str]) -> None:
    """Let the person edit a file; return once the editor has ended well.

    Raises:
        InvalidInput, NotPossible: see `editor_argv`; or it did not start, or not end well.
        KeyboardInterrupt: we are to end, or Ctrl-C has ended the editor.
    """
    argv = editor_argv(environ)
    with _left_alone():
        try:
            code = subprocess.call([*argv, os.fspath(path)], env=dict(environ))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise NotPossible(f"the editor {argv[0]} cannot be started: {why}") from error
    if code in _INTERRUPTED:
        raise KeyboardInterrupt
    if code != 0:
        how = f"exit {code}" if code > 0 else f"signal {-code}"
        raise NotPossible(f"the editor {argv[0]} did not end well ({how})")


@contextmanager
def _left_alone() -> Iterator[None]:
    """Let Ctrl-C go to the editor alone; let nothing end us without what is to be done after."""

    def ignore(_number: int, _frame: FrameType | None) -> None:
        # A handler, not SIG_IGN: the editor would inherit that.
        return None

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    wanted = {signal.SIGINT: ignore, signal.SIGTERM: stop, signal.SIGHUP: stop}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
