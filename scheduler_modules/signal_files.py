"""The folder where a request to reset a project is left as a file, and how far it is trusted."""

import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from scheduler_modules.errors import DiskFull, InvalidInput, UnusableHome

MAX_SIGNAL_BYTES = 4096
MAX_PROJECT_ID = 2**63 - 1

_NAME = re.compile(r"reset_project_([1-9][0-9]{0,18})\.signal")
_FULL = {errno.ENOSPC, errno.EDQUOT}


class ResetSignal(msgspec.Struct, frozen=True):
    """A request that can be trusted. `at`: when its file was written."""

    name: str
    project_id: int
    at: float


class BadSignal(msgspec.Struct, frozen=True):
    """A file by the name of a request that is none, and why."""

    name: str
    problem: str


class SignalFolder:
    """Requests as `reset_project_<id>.signal`. Only our own plain files count.

    Raises (any method):
        UnusableHome: the folder cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self, project_id: int, at: float) -> Path:
        """Leave a request, made at that time, to reset a project; it appears whole or not at all.

        Raises:
            InvalidInput: no project can have that id.
            DiskFull: no space is left for it.
        """
        if not 0 < project_id <= MAX_PROJECT_ID:
            raise InvalidInput(f"no project can have the id {project_id}")
        name = f"reset_project_{project_id}.signal"
        timestamp = datetime.fromtimestamp(at, UTC).isoformat()
        text = json.dumps({"project_id": project_id, "timestamp": timestamp, "force": True})
        with self._our_errors():
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._opened() as folder:
                _write_whole(folder, name, text.encode())
        return self._path / name

    def pending(self) -> list[ResetSignal | BadSignal]:
        """Return all requests by name; none where there is no folder."""
        with self._our_errors():
            if not self._path.exists():
                return []
            with self._opened() as folder:
                names = sorted(os.listdir(folder))  # noqa: PTH208 - Path cannot list a descriptor
                return [_read(folder, name) for name in names if _id_of(name) is not None]

    def remove(self, name: str) -> None:
        """Take a request away; gone already is fine."""
        with self._our_errors(), self._opened() as folder:
            try:
                os.unlink(name, dir_fd=folder)
            except FileNotFoundError:
                return

    def set_aside(self, name: str) -> None:
        """Rename a file to `<name>.bad`, where nobody looks at it again."""
        with self._our_errors(), self._opened() as folder:
            try:
                os.rename(name, f"{name}.bad", src_dir_fd=folder, dst_dir_fd=folder)
            except FileNotFoundError:
                return

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the folder itself, so that nobody can put another in its place meanwhile."""
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(folder)
            if found.st_uid != os.geteuid():
                raise UnusableHome(self._path, f"belongs to uid {found.st_uid}")
            if found.st_mode & stat.S_IWOTH:
                raise UnusableHome(self._path, "anybody may write in it: chmod o-w helps")
            yield folder
        finally:
            os.close(folder)

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise DiskFull(f"no space left in {self._path}") from error
            raise UnusableHome(self._path, error.strerror or str(error)) from error


def _id_of(name: str) -> int | None:
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def _write_whole(folder: int, name: str, text: bytes) -> None:
    temporary = f".{name}.{secrets.token_hex(4)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(temporary, dir_fd=folder)
        raise
    os.fsync(folder)


def _read(folder: int, name: str) -> ResetSignal | BadSignal:
    try:
        # O_NONBLOCK: opening a pipe must not wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        return BadSignal(name, f"cannot be opened: {error.strerror}")
    try:
        found = os.fstat(fd)
        problem = _distrust(found)
        if problem is not None:
            return BadSignal(name, problem)
        text = os.read(fd, MAX_SIGNAL_BYTES + 1)
    finally:
        os.close(fd)
    return _parsed(name, text, found.st_mtime)


def _distrust(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "is no plain file"
    if found.st_uid != os.geteuid():
        return f"belongs to uid {found.st_uid}"
    if found.st_size > MAX_SIGNAL_BYTES:
        return f"is larger than {MAX_SIGNAL_BYTES} bytes"
    return None


def _parsed(name: str, text: bytes, at: float) -> ResetSignal | BadSignal:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return BadSignal(name, "is not JSON")
    project_id = value.get("project_id") if isinstance(value, dict) else None
    # True == 1 in Python, but it is no id.
    if isinstance(project_id, bool) or not isinstance(project_id, int):
        return BadSignal(name, "names no project_id")
    if project_id != _id_of(name) or project_id > MAX_PROJECT_ID:
        return BadSignal(name, f"names project {project_id}")
    return ResetSignal(name, project_id, at)
