"""Wakes other processes of the same database: one named pipe for each that listens.

A ring carries nothing; all that counts is in the tables. Every verb that changes something rings,
so this imports nothing that costs time.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path

from scheduler_modules.errors import DiskFull, SchedulerError

_SUFFIX = ".bell"
_OPEN = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
# All that a pipe holds.
_ALL_RINGS_BYTES = 65_536


def bells_folder(database: Path) -> Path:
    """Return where those that wait on a database file have their bells: beside the file itself."""
    return Path(f"{os.path.realpath(database)}.bells")


class Bells:
    """All who listen in a folder. May be used by several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: Doorbell | None = None

    def listen(self) -> "Doorbell":
        """Return a new bell of our own; `ring` leaves that out: we know what we did ourselves.

        Raises:
            SchedulerError: as `Doorbell` does.
        """
        self._own = Doorbell(self._folder)
        return self._own

    def ring(self) -> None:
        """Wake everybody else. Never waits, never fails: a ring that is missed costs a second.

        Rings those of our own user only. What is left of a process that died is removed.
        """
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - names are all we need
        except OSError:
            return
        own = None if self._own is None else self._own.name
        for name in names:
            if name.endswith(_SUFFIX) and name != own:
                _ring(f"{self._folder}/{name}")


class Doorbell:
    """The port `WakeupSource`: hears the rings of other processes in a folder.

    The folder is made for nobody but us. The pipe gets its name only once we listen: so one that
    nobody listens to is a dead process's, at any moment.

    Raises:
        SchedulerError: the folder is not ours, or cannot hold named pipes.
        DiskFull: no space is left in it.

    Source: fifo(7).
    """

    reason = "database"
    poll_sec = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1
        self._is_closed = False
        self.name = ""
        """What others find it by in the folder; empty while it hears nothing."""
        self._open()

    def fileno(self) -> int:
        return self._file

    def drain(self) -> bool:
        """Take in all rings; True: there were some, or there may have been.

        Raises:
            SchedulerError: its name was taken away and it cannot get another.
        """
        if self._is_closed:
            return False
        if self._file < 0 or os.fstat(self._file).st_nlink == 0:
            self._take_down()
            self._open()
            return True
        try:
            return bool(os.read(self._file, _ALL_RINGS_BYTES))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Listen no longer, and leave nothing in the folder."""
        self._is_closed = True
        self._take_down()

    def _take_down(self) -> None:
        if self._file < 0:
            return
        # The name first, so that nobody rings in vain. Gone already, or out of reach: then the
        # first to ring in vain removes it.
        with contextlib.suppress(OSError):
            (self._folder / self.name).unlink()
        os.close(self._file)
        self._file, self.name = -1, ""

    def _open(self) -> None:
        try:
            folder = _own_folder(self._folder)
            try:
                self.name, self._file = _hang_up(folder)
            finally:
                os.close(folder)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DiskFull(f"no space left in {self._folder}") from error
            raise SchedulerError(f"{self._folder}: {error.strerror}") from error


def _own_folder(path: Path) -> int:
    """Return the folder, opened, made where it is missing; for nobody but us."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if (owner := os.fstat(folder).st_uid) != os.geteuid():
            raise SchedulerError(f"{path} belongs to uid {owner}")
        os.fchmod(folder, 0o700)
    except BaseException:
        os.close(folder)
        raise
    return folder


def _hang_up(folder: int) -> tuple[str, int]:
    """Make a pipe, listen to it, then give it the name that others ring; return name and file."""
    # While it has this name, whoever rings passes it by.
    early_name = f".{os.urandom(8).hex()}"
    name = early_name[1:] + _SUFFIX
    os.mkfifo(early_name, 0o600, dir_fd=folder)
    file = -1
    try:
        # For writing too: a pipe that had a writer and has none is "ready" for ever.
        file = os.open(early_name, os.O_RDWR | _OPEN, dir_fd=folder)
        os.rename(early_name, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        if file >= 0:
            os.close(file)
        with contextlib.suppress(OSError):
            os.unlink(early_name, dir_fd=folder)
        raise
    return name, file


def _ring(path: str) -> None:
    try:
        # Nothing but our own pipes is even opened; after opening, it may be another one.
        if not _is_own_pipe(os.lstat(path)):
            return
        file = os.open(path, os.O_WRONLY | _OPEN)
    except OSError as error:
        if error.errno == errno.ENXIO:
            # Somebody else may be first; and where it stays, it harms nobody.
            with contextlib.suppress(OSError):
                Path(path).unlink()
        return
    try:
        if _is_own_pipe(os.fstat(file)):
            os.write(file, b"\n")
    except OSError:
        # Full: it has rings that nobody has heard yet. Broken: the listener has just gone.
        pass
    finally:
        os.close(file)


def _is_own_pipe(found: os.stat_result) -> bool:
    return stat.S_ISFIFO(found.st_mode) and found.st_uid == os.geteuid()
