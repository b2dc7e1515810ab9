"""Processes of this machine, read from /proc and signalled through pidfds."""

import enum
import errno
import logging
import os
import signal
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from scheduler_modules.errors import SchedulerError
from scheduler_modules.model import ProcessIdentity

logger = logging.getLogger(__name__)

_MARKER = b"SCHEDULER_RUN_ID="
_HOME = b"TMUX_ORCHESTRATOR_HOME="
_TMUX_SERVER = b"tmux: server"
_CHUNK_BYTES = 65_536
_MAX_LOOKS = 50
_DEAD = {b"Z", b"X", b"x"}
# Gone meanwhile, or not for us to see. Anything else (no file handles left) tells nothing of the
# process, which must not be taken for gone.
_UNSEEN = {errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM, errno.EIO}
# Some builds of Python lack it.
_HAS_PIDFD = hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")


class LinuxProcesses:
    """The port `Processes` on Linux.

    Raises (any method but `send`):
        SchedulerError: /proc could not be read. That says nothing about any process.

    Source: proc(5), pidfd_open(2).
    """

    def __init__(self, home: Path | None = None) -> None:
        """`home`: processes that name another TMUX_ORCHESTRATOR_HOME are not a run's of ours.

        Tokens alone do not tell: a copied database holds the same ones.
        """
        self._home = None if home is None else os.path.realpath(os.fsencode(home))

    def identity(self, pid: int) -> ProcessIdentity | None:
        seen = _look(pid)
        return None if seen is None else seen.identity

    def is_alive(self, process: ProcessIdentity) -> bool:
        return self.identity(process.pid) == process

    def of_run(self, run_token: str, pane_pids: Collection[int] = ()) -> list[ProcessIdentity]:
        """Return them by number; never ourselves, process 1 or a tmux server.

        A tmux server is spared even with the marker: a run may have been the first to need ours,
        which carries everybody's sessions.
        """
        return self.of_runs({run_token: pane_pids})[run_token]

    def of_runs(self, pane_pids: Mapping[str, Collection[int]]) -> dict[str, list[ProcessIdentity]]:
        wanted = _Wanted(
            tokens={os.fsencode(token): token for token in pane_pids if token},
            sessions={pid: token for token, pids in pane_pids.items() for pid in pids if pid > 1},
        )
        looked = {1, os.getpid()}
        found: dict[str, list[ProcessIdentity]] = {token: [] for token in pane_pids}
        for _ in range(_MAX_LOOKS):
            fresh = set(_numbers("/proc")) - looked
            looked |= fresh
            is_whole = True
            for pid in fresh:
                verdict = self._judge(pid, wanted)
                if isinstance(verdict, _Found):
                    found[verdict.token].append(verdict.process)
                elif verdict is _Verdict.ENDED:
                    is_whole = False
            # Whoever ended between being listed and being read may have left a child that was
            # not listed: only a look that missed nobody tells who is there.
            if is_whole:
                return {token: sorted(processes) for token, processes in found.items()}
        if not all(found.values()):
            raise SchedulerError("processes come and go too fast to tell whether some are a run's")
        return {token: sorted(processes) for token, processes in found.items()}

    def _judge(self, pid: int, wanted: "_Wanted") -> "_Found | _Verdict":
        seen = _look(pid)
        if seen is None:
            return _Verdict.ENDED
        environs: list[list[bytes]] = []
        token = wanted.sessions.get(seen.session)
        if token is not None:
            # What runs as another user there (sudo) is as much out of reach as its environment.
            token = token if _may_signal(pid) else None
        else:
            # Nothing to read: it ended, has none, or is just being replaced by another program,
            # which is quick.
            environs = _environs(seen) or _environs(seen)
            token = next(filter(None, (self._mark(one, wanted) for one in environs)), None)
        if token is not None or not environs:
            # Was that still the same process?
            again = _look(pid)
            if again is None or again.identity != seen.identity:
                return _Verdict.ENDED
        if token is None or _is_tmux_server(seen):
            return _Verdict.ANOTHER
        return _Found(token, seen.identity)

    def _mark(self, environ: list[bytes], wanted: "_Wanted") -> str | None:
        """Return the token of the wanted run that an environment belongs to, if any."""
        for entry in environ:
            if entry.startswith(_MARKER):
                token = wanted.tokens.get(entry[len(_MARKER) :])
                if token is not None:
                    return token if self._is_of_our_home(environ) else None
        return None

    def _is_of_our_home(self, environ: list[bytes]) -> bool:
        homes = [value[len(_HOME) :] for value in environ if value.startswith(_HOME)]
        return self._home is None or not homes or os.path.realpath(homes[0]) == self._home

    def send(self, process: ProcessIdentity, signal_number: int) -> bool:
        """Send a signal to exactly that process; False: it is gone, or not ours to signal."""
        if process.pid <= 0:
            return False
        try:
            return self._send(process, signal_number)
        except ProcessLookupError:
            return False
        except PermissionError:
            logger.warning("process_not_ours", extra={"pid": process.pid})
            return False

    def _send(self, process: ProcessIdentity, signal_number: int) -> bool:
        handle = _pidfd(process.pid)
        try:
            # A handle cannot move to another process any more; is it the one that is meant?
            if not self.is_alive(process):
                return False
            if handle is None:
                os.kill(process.pid, signal_number)
            else:
                signal.pidfd_send_signal(handle, signal_number)
        finally:
            if handle is not None:
                os.close(handle)
        return True


class _Wanted(msgspec.Struct, frozen=True):
    """Whose processes are looked for."""

    tokens: dict[bytes, str]
    """By what stands in the environment."""
    sessions: dict[int, str]
    """By process session: those of the runs' panes."""


class _Found(msgspec.Struct, frozen=True):
    token: str
    process: ProcessIdentity


class _Verdict(enum.Enum):
    """What is said of a process that is not the run's."""

    ANOTHER = enum.auto()
    ENDED = enum.auto()
    """It was gone, or a zombie, before enough of it was read."""


class _Seen(msgspec.Struct, frozen=True):
    """What /proc/PID/stat says of a living process."""

    identity: ProcessIdentity
    name: bytes
    parent: int
    session: int
    is_headless: bool
    """Its first thread has ended and looks like a zombie; others run on."""


def _numbers(folder: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(folder) if name.isdecimal()]  # noqa: PTH208
    except OSError as error:
        if error.errno in _UNSEEN and folder != "/proc":
            return []
        raise _unreadable(folder, error) from error


def _look(pid: int) -> _Seen | None:
    """Return the process of that number; None if it is gone or a zombie."""
    content = _read(f"/proc/{pid}/stat")
    # The name may hold spaces and brackets itself.
    start, end = content.find(b"("), content.rfind(b")")
    if end < 0:
        return None
    fields = content[end + 2 :].split()
    is_headless = fields[0] in _DEAD and int(fields[17]) > 1
    if fields[0] in _DEAD and not is_headless:
        return None
    return _Seen(
        identity=ProcessIdentity(pid, int(fields[19])),
        name=content[start + 1 : end],
        parent=int(fields[1]),
        session=int(fields[3]),
        is_headless=is_headless,
    )


def _environs(seen: _Seen) -> list[list[bytes]]:
    """Return what is in its environment, once for each thread where these are looked at."""
    pid = seen.identity.pid
    paths = [f"/proc/{pid}/environ"]
    if seen.is_headless:
        paths += [f"/proc/{pid}/task/{thread}/environ" for thread in _numbers(f"/proc/{pid}/task")]
    return [environ.split(b"\0") for path in paths if (environ := _read(path))]


def _may_signal(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _is_tmux_server(seen: _Seen) -> bool:
    if seen.name != _TMUX_SERVER:
        return False
    parent = _look(seen.parent)
    if parent is not None and parent.name == _TMUX_SERVER:
        # A pane just born, on its way to its program.
        return False
    try:
        program = Path(f"/proc/{seen.identity.pid}/exe").readlink()
    except OSError:
        # Not to be seen means not to be ruled out.
        return True
    return program.name.startswith("tmux")


def _pidfd(pid: int) -> int | None:
    """Return a handle of the process; None where the system has none to give.

    Raises:
        ProcessLookupError: there is no such process.
    """
    if not _HAS_PIDFD:
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        # An old kernel, a sandbox, no handles left: then by number, right after a look.
        return None


def _read(path: str) -> bytes:
    """Return a file of a process; nothing if it is gone or the file is not for us."""
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            chunks = []
            while chunk := os.read(file, _CHUNK_BYTES):
                chunks.append(chunk)
        finally:
            os.close(file)
    except OSError as error:
        if error.errno in _UNSEEN:
            return b""
        raise _unreadable(path, error) from error
    return b"".join(chunks)


def _unreadable(path: str, error: OSError) -> SchedulerError:
    return SchedulerError(f"{path} cannot be read: {error.strerror}")
