"""Locks between processes of one machine, by flock(2) on files that are never deleted.

Only flock decides. The text inside is for people and for old programs, and may lie.
"""

import contextlib
import errno
import fcntl
import logging
import os
import re
import stat
import zlib
from collections.abc import Callable
from pathlib import Path

from scheduler_modules.adapters.lock_text import HolderText
from scheduler_modules.errors import DiskFull, SchedulerError
from scheduler_modules.ports import Clock, DutyLock

logger = logging.getLogger(__name__)

_TRIES = 100
# A prober may be put to sleep by the system while it probes, for some milliseconds.
_PROBE_TRIES = 20_000
_KERNEL_LOCKS = Path("/proc/locks")
_NOT_IN_A_NAME = r"[^A-Za-z0-9_.-]"
_MAX_NAME = 64
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK
_PROBLEMS = {
    errno.ELOOP: "is a symbolic link",
    errno.EISDIR: "is a folder",
    errno.ENXIO: "is not a regular file",
}


class FileLocks:
    """The port `Locks`: one file a lock, in a folder that only we may write.

    `open_launcher` opens the lock that is shared with other homes, when it is first asked for;
    None: there are no others.
    """

    def __init__(
        self,
        locks_dir: Path,
        clock: Clock,
        *,
        host: str = "",
        open_launcher: Callable[[], DutyLock] | None = None,
    ) -> None:
        self._locks_dir = locks_dir
        self._clock = clock
        self._host = host
        self._open_launcher = open_launcher
        self._launcher: DutyLock | None = None
        self._locks: dict[str, FileLock] = {}

    @property
    def host(self) -> str:
        return self._host

    def duty(self, name: str) -> "FileLock":
        """Return the lock of a duty, the same object for the same name."""
        return self._lock(f"duty-{name}.lock", name)

    def mode(self, name: str) -> "FileLock":
        """Return the lock of a mode, under the name and with the text old daemons know."""
        return self._lock(f"scheduler-{name}.lock", name)

    def launcher(self) -> DutyLock:
        """Return what `open_launcher` opened."""
        if self._launcher is None:
            opened = self._open_launcher and self._open_launcher()
            self._launcher = opened or self._lock("launcher.lock", "launch")
        return self._launcher

    def _lock(self, file_name: str, mode: str) -> "FileLock":
        if file_name not in self._locks:
            path = self._locks_dir / file_name
            self._locks[file_name] = FileLock(path, HolderText(mode, self._clock))
        return self._locks[file_name]


class FileLock:
    """The port `Lock`. The file stays when the lock is released: deleting it would let two hold it.

    flock belongs to the open file, and a forked child shares that: a child that does not exec
    keeps the lock for as long as it lives, whatever happens to us. Start children by `subprocess`
    (the file is closed on exec), never by a bare fork while a lock is held.

    Raises (any method but `holder`):
        SchedulerError: what stands at the path is no lock file of ours.
        DiskFull: no space is left to create it.

    Source: flock(2), fork(2).
    """

    def __init__(self, path: Path, text: HolderText, *, makes_folder: bool = True) -> None:
        self._path = path
        self._text = text
        self._makes_folder = makes_folder
        self._file: int | None = None

    @property
    def is_held(self) -> bool:
        return self._file is not None

    def try_acquire(self) -> bool:
        if self._file is None:
            self._file = self._locked_file()
            if self._file is not None:
                self._text.write(self._file, is_new=True)
        return self._file is not None

    def release(self) -> None:
        if self._file is None:
            return
        # Not only closed: a forked child may hold the same open file.
        fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)
        self._file = None

    def heartbeat(self) -> bool:
        """Check that the path still names our file, and refresh the text when that is due.

        Old programs truncate the file of a lock they cannot get, and delete files whose text they
        cannot read. A deleted file is made and taken again at once.
        """
        if self._file is None:
            return False
        if not self._is_at_path(self._file):
            replacement = self._locked_file()
            self.release()
            if replacement is None:
                logger.error("lock_lost", extra={"path": str(self._path)})
                return False
            self._file = replacement
            logger.warning("lock_file_replaced", extra={"path": str(self._path)})
        self._text.refresh(self._file)
        return True

    def is_free(self) -> bool:
        if self._file is not None:
            return False
        file = self._open(os.O_RDONLY)
        if file is None:
            return True
        try:
            return _try_flock(file, fcntl.LOCK_SH)
        finally:
            os.close(file)

    def holder(self) -> str:
        try:
            if self._file is not None:
                return f"this process (pid {os.getpid()})"
            if self.is_free():
                return "nobody"
            file = self._open(os.O_RDONLY)
        except SchedulerError:
            file = None
        if file is None:
            return "another process"
        try:
            return self._text.describe(file)
        finally:
            os.close(file)

    def tell(self, trouble: str | None) -> None:
        if self._file is not None:
            self._text.tell(self._file, trouble)

    def trouble(self) -> str | None:
        file = self._file
        if file is not None:
            return self._text.trouble(file)
        if self.is_free() or (file := self._open(os.O_RDONLY)) is None:
            return None
        try:
            return self._text.trouble(file)
        finally:
            os.close(file)

    def holder_pid(self) -> int | None:
        """Return who took it as the kernel has it; the text inside is not asked.

        Source: proc(5), /proc/locks.
        """
        if self.is_free():
            return None
        try:
            file = self._path.stat()
            lines = _KERNEL_LOCKS.read_text().splitlines()
        except OSError:
            return None
        holders = [_flock_of(line, file) for line in lines]
        return next((pid for pid in holders if pid is not None), None)

    def _locked_file(self) -> int | None:
        """Return a handle that holds the lock and is what the path names; None if it is taken."""
        for _ in range(_TRIES):
            file = self._open(os.O_RDWR | os.O_CREAT)
            if file is None:
                continue
            is_ours = False
            try:
                if not _try_exclusive(file):
                    return None
                # Deleted between open and flock: others would lock another file of that name.
                is_ours = self._is_at_path(file)
                if is_ours:
                    return file
            finally:
                if not is_ours:
                    os.close(file)
        return None

    def _is_at_path(self, file: int) -> bool:
        held = os.fstat(file)
        try:
            named = self._path.lstat()
        except OSError:
            return False
        return (held.st_ino, held.st_dev) == (named.st_ino, named.st_dev)

    def _open(self, flags: int) -> int | None:
        """Return a handle of the file, checked to be ours; None if it is not there."""
        try:
            # No truncation, ever: the file may be somebody's held lock.
            file = os.open(self._path, flags | _FLAGS, 0o600)
        except FileNotFoundError as error:
            if flags & os.O_CREAT:
                if not self._makes_folder:
                    raise self._refusal(error) from error
                self._make_folder()
            return None
        except OSError as error:
            raise self._refusal(error) from error
        problem = _problem(os.fstat(file))
        if problem is not None:
            os.close(file)
            raise SchedulerError(f"lock file {self._path} {problem}")
        return file

    def _make_folder(self) -> None:
        """Make the folder again, which somebody cleared away with the locks in it."""
        try:
            with contextlib.suppress(FileExistsError):
                self._path.parent.mkdir(0o700)
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> SchedulerError:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return DiskFull(f"no space left to make the lock file {self._path}")
        default = f"cannot be opened: {error.strerror}"
        return SchedulerError(f"lock file {self._path} {_PROBLEMS.get(error.errno or 0, default)}")


def open_launcher_file(database: Path, host: str, clock: Clock) -> FileLock:
    """Return the lock of those who launch for a host from an SQLite file: beside the file itself.

    The folder is not made: where the database's is gone, a new one would hide that.
    """
    name = re.sub(_NOT_IN_A_NAME, "_", host)[:_MAX_NAME]
    if name != host:
        name += f"-{zlib.crc32(host.encode(errors='surrogateescape')):08x}"
    path = Path(f"{os.path.realpath(database)}.launch-{name}.lock")
    return FileLock(path, HolderText("launch", clock), makes_folder=False)


def _flock_of(line: str, file: os.stat_result) -> int | None:
    """Return the process of a line of /proc/locks if it tells of an exclusive flock on the file."""
    match line.split():
        case [_, "FLOCK", _, "WRITE", pid, place, *_]:
            major, minor, inode = place.split(":")
            device = os.makedev(int(major, 16), int(minor, 16))
            return int(pid) if (device, int(inode)) == (file.st_dev, file.st_ino) else None
        case _:
            return None


def _problem(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    if found.st_uid != os.geteuid():
        return f"belongs to uid {found.st_uid}, not to you (uid {os.geteuid()})"
    if found.st_nlink > 1:
        return "is a hard link to another file"
    return None


def _try_exclusive(file: int) -> bool:
    """Take the exclusive lock unless somebody holds it exclusively.

    A probe (`is_free`) holds a shared lock for microseconds; it must not pass for a holder.
    """
    for _ in range(_PROBE_TRIES):
        if _try_flock(file, fcntl.LOCK_EX):
            return True
        if not _try_flock(file, fcntl.LOCK_SH):
            return False
        fcntl.flock(file, fcntl.LOCK_UN)
        os.sched_yield()
    return False


def _try_flock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise SchedulerError(f"this file system cannot lock: {error.strerror}") from error
    return True
