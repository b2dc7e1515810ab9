"""The files that runners and windows leave: starts and exit codes in `runs/`, logs beside them."""

import errno
import os
import re
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from scheduler_modules.adapters.run_log import RunLog
from scheduler_modules.errors import DiskFull, InvalidInput, SchedulerError
from scheduler_modules.model import RunStart
from scheduler_modules.utils import ROLE_PATTERN, SESSION_PATTERN, one_line, plain_text

_RUNNER = Path(__file__).with_name("runner.sh")
_START = re.compile(r"(\d{1,10}) (\d{1,20})\n", re.ASCII)
_EXIT = re.compile(r"(\d{1,3})\n", re.ASCII)
_LONGEST_RECORD_BYTES = 100
_LAST_LINE_LOOK_BYTES = 16_384
_LAST_LINE_CHARACTERS = 500


class DiskRunFiles:
    """`RunFiles` in two folders: `<runs>/<token>.<role>.start|.exit`, `<logs>/runs/<token>/`.

    Raises (any method):
        InvalidInput: a token or role that could not be part of a file's name.
        DiskFull: no space for a folder.
        SchedulerError: the disk could not be asked. That is not "there is no such file".
    """

    def __init__(self, runs_dir: Path, logs_dir: Path) -> None:
        self._runs_dir = Path(os.path.abspath(runs_dir))  # noqa: PTH100 - keeps symbolic links
        self._logs_dir = Path(os.path.abspath(logs_dir))  # noqa: PTH100

    def runner_argv(self, token: str, role: str, argv: Sequence[str]) -> tuple[str, ...]:
        """Wrap a command in the runner, which may run it from now on, until `remove`."""
        base = self._base(token, role)
        _make_folder(base.parent)
        _make_file(base.with_name(f"{token}.go"))
        return ("/bin/sh", str(_RUNNER), str(base), *argv)

    def start(self, token: str, role: str) -> RunStart | None:
        """Return what the runner wrote before its command; None where it wrote nothing whole."""
        match = _START.fullmatch(_record(self._base(token, role), ".start"))
        return RunStart(int(match[1]), int(match[2])) if match else None

    def exit_code(self, token: str, role: str) -> int | None:
        """Return the recorded exit code; None where no whole record of a runner is there."""
        match = _EXIT.fullmatch(_record(self._base(token, role), ".exit"))
        return int(match[1]) if match and int(match[1]) <= 255 else None

    def exited_at(self, token: str, role: str) -> float | None:
        try:
            return self._base(token, role).with_name(f"{token}.{role}.exit").stat().st_mtime
        except OSError:
            return None

    def log_path(self, token: str, role: str) -> Path:
        path = self._log(token, role)
        _make_folder(path.parent)
        return path

    def last_line(self, token: str, role: str) -> str | None:
        path = self._log(token, role)
        try:
            content = RunLog(path).tail_bytes(_LAST_LINE_LOOK_BYTES)
        except OSError as error:
            raise _ours(path, error) from error
        lines = plain_text(content.decode(errors="replace")).split("\n")
        with_text = (line for line in reversed(lines) if line.strip())
        last = next(with_text, None)
        return None if last is None else one_line(last, _LAST_LINE_CHARACTERS)

    def session_name(self, token: str) -> str | None:
        _check(token, "any")
        words = _record(self._runs_dir / token, ".session").split()
        return words[0] if len(words) == 1 else None

    def remove(self, token: str) -> None:
        _check(token, "any")
        # Tokens hold no dot, so no other token's files begin like this.
        for path in self._runs_dir.glob(f"{token}.*"):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise _ours(path, error) from error

    def remove_logs(self, token: str) -> None:
        _check(token, "any")
        folder = self._logs_dir / "runs" / token
        try:
            # A link in its place is somebody else's: what it leads to stays.
            if folder.is_symlink():
                folder.unlink()
            else:
                shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _ours(folder, error) from error

    def _base(self, token: str, role: str) -> Path:
        _check(token, role)
        return self._runs_dir / f"{token}.{role}"

    def _log(self, token: str, role: str) -> Path:
        _check(token, role)
        return self._logs_dir / "runs" / token / f"{role}.log"


def _check(token: str, role: str) -> None:
    if not SESSION_PATTERN.fullmatch(token):
        raise InvalidInput(f"run token {one_line(token)!r}: letters, digits, '_' and '-' only")
    if not ROLE_PATTERN.fullmatch(role):
        raise InvalidInput(f"role {one_line(role)!r}: letters, digits, '_' and '-' only")


def _record(base: Path, suffix: str) -> str:
    """Return what a small file holds; empty where it is missing or no plain file."""
    path = base.with_name(base.name + suffix)
    try:
        # Whatever stands there under that name: never wait for a FIFO, never follow a link.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}:
            return ""
        raise _ours(path, error) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return os.read(descriptor, _LONGEST_RECORD_BYTES + 1).decode(errors="replace")
    except OSError as error:
        raise _ours(path, error) from error
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _ours(folder, error) from error


def _make_file(path: Path) -> None:
    """Make a small file; one with a byte in it, so that a full disk is noticed here."""
    try:
        path.write_bytes(b"\n")
    except OSError as error:
        raise _ours(path, error) from error


def _ours(path: Path, error: OSError) -> SchedulerError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(f"{path}: no space left")
    return SchedulerError(f"{path}: {error.strerror}")
