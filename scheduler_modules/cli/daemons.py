"""Which daemons run, as their locks tell. Nothing here starts or stops one."""

import os

import msgspec

from scheduler_modules.duty_keeper import DUTIES, DUTIES_OF_MODE, LAUNCH
from scheduler_modules.errors import SchedulerError
from scheduler_modules.model import ProcessIdentity, Run
from scheduler_modules.ports import Clock, Lock, Locks, Processes
from scheduler_modules.utils import one_line

MODES = tuple(DUTIES_OF_MODE)
_LAUNCHING_MODES = [mode for mode, duties in DUTIES_OF_MODE.items() if LAUNCH in duties]


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """A running daemon."""

    mode: str
    pid: int | None
    """None where it cannot be known, as in another container."""
    identity: ProcessIdentity | None
    since: float | None
    """When its process started."""
    duties: tuple[str, ...]
    holder: str
    """The holder in the words of the lock."""
    trouble: str | None = None
    """What keeps it from its work, as it says itself; None: nothing."""


def is_launching(locks: Locks) -> bool:
    """Whether some daemon takes projects off the queue, an old one included."""
    kept = [locks.duty(LAUNCH), *(locks.mode(mode) for mode in _LAUNCHING_MODES)]
    return not all(lock.is_free() for lock in kept)


def why_nothing_launches(locks: Locks) -> str | None:
    """Return in words why queued projects stay queued; None while a daemon runs.

    Never fails: what stands at a lock's place is said instead.
    """
    try:
        if is_launching(locks):
            return None
        if all(locks.mode(mode).is_free() for mode in MODES):
            return "no daemon runs, so nothing is started"
        return "no daemon runs that starts projects"
    except SchedulerError as error:
        return f"whether a daemon runs cannot be told: {error}"


def who_else_acts(run: Run | None, host: str, locks: Locks) -> str | None:
    """Return in words who has to see to a run; None if a daemon that runs on this host does."""
    if run is not None and run.host != host:
        return f"the daemon of {one_line(run.host, 60)} sees to that"
    return None if why_nothing_launches(locks) is None else "a daemon has to see to that"


def running_daemons(locks: Locks, processes: Processes, clock: Clock) -> list[Daemon]:
    """Return each daemon once, by the mode it was started with."""
    found: dict[int | str, Daemon] = {}
    for mode in MODES:
        lock = locks.mode(mode)
        if lock.is_free():
            continue
        daemon = _daemon(mode, lock, locks, processes, clock)
        # A plain daemon holds the locks of the other modes as well; it comes first.
        found.setdefault(daemon.pid or mode, daemon)
    return list(found.values())


def _daemon(mode: str, lock: Lock, locks: Locks, processes: Processes, clock: Clock) -> Daemon:
    pid = lock.holder_pid()
    identity = processes.identity(pid) if pid is not None else None
    duties = [duty for duty in DUTIES if pid is not None and locks.duty(duty).holder_pid() == pid]
    return Daemon(
        mode=mode,
        pid=pid,
        identity=identity,
        since=None if identity is None else _started_at(identity, clock),
        duties=tuple(duties),
        holder=lock.holder(),
        trouble=lock.trouble(),
    )


def _started_at(process: ProcessIdentity, clock: Clock) -> float:
    age_sec = clock.since_boot_sec() - process.started_ticks / os.sysconf("SC_CLK_TCK")
    return clock.now() - age_sec
