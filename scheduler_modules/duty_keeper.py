"""Which duties this daemon holds: one lock each, and the old programs' locks beside them."""

import logging
from collections.abc import Collection

from scheduler_modules.ports import DutyLock, Locks

logger = logging.getLogger(__name__)

LAUNCH, CHECKIN, NOTIFY = "launch", "checkin", "notify"
DUTIES = (LAUNCH, CHECKIN, NOTIFY)
DEFAULT_MODE, QUEUE_MODE, CHECKIN_MODE = "default", "queue", "checkin"
DUTIES_OF_MODE = {
    DEFAULT_MODE: frozenset(DUTIES),
    QUEUE_MODE: frozenset({LAUNCH, NOTIFY}),
    CHECKIN_MODE: frozenset({CHECKIN}),
}
_OLD_MODE_OF_DUTY = {LAUNCH: QUEUE_MODE, CHECKIN: CHECKIN_MODE}
_PLAIN = "plain"
"""No duty: held by our plain daemon, so that nobody takes it for an old one."""


def enter_mode(locks: Locks, mode: str) -> bool:
    """Take the lock of a mode; False: another daemon of that mode runs."""
    if not locks.mode(mode).try_acquire():
        return False
    if mode == DEFAULT_MODE:
        locks.duty(_PLAIN).try_acquire()
    return True


def leave_mode(locks: Locks, mode: str) -> None:
    """Let another daemon of that mode start."""
    locks.duty(_PLAIN).release()
    locks.mode(mode).release()


class DutyKeeper:
    """Takes each wanted duty when it is free and says once where it is not.

    An old daemon doing the same work holds the mode lock of that work, or the plain one. So a
    duty also needs the first for ourselves and the second unheld by an old daemon. What is of no
    use without the rest is given back, or two daemons could each keep the other from a duty.
    Launching needs a lock that other homes know, too: one launches for a host of a database.
    """

    def __init__(self, locks: Locks, mode: str, duties: Collection[str]) -> None:
        self._locks = locks
        self._mode = mode
        self._wanted = [duty for duty in DUTIES if duty in duties]
        self._refused: set[str] = set()
        self._twin: str | None = None
        """Who launches for our host from another home, in words; None: nobody."""

    @property
    def duties(self) -> tuple[str, ...]:
        """The duties this daemon is here for, held or not."""
        return tuple(self._wanted)

    def refresh(self) -> frozenset[str]:
        """Return the duties held now, having taken over what has become free."""
        return frozenset(duty for duty in self._wanted if self._hold(duty))

    def heartbeat(self) -> bool:
        """Say that we live; False: our mode's lock was taken from us, so we must go.

        A duty whose lock was taken (somebody deleted its file) is given up; the next `refresh` sees
        who has it.
        """
        for duty in self._wanted:
            for lock in self._needed(duty):
                if lock.is_held and not lock.heartbeat():
                    logger.error("duty_lost", extra={"duty": duty, "holder": lock.holder()})
                    lock.release()
        plain = self._locks.duty(_PLAIN)
        if plain.is_held and not plain.heartbeat():
            plain.release()
        return self._locks.mode(self._mode).heartbeat()

    def tell(self, trouble: str | None) -> None:
        """Let `status` know what keeps this daemon from its work; None: nothing does."""
        said = "; ".join(words for words in (self._twin, trouble) if words)
        self._locks.mode(self._mode).tell(said or None)

    def release(self) -> None:
        """Give every duty up."""
        for duty in self._wanted:
            self._give_back(duty)

    def _hold(self, duty: str) -> bool:
        culprit = self._first_refusing(duty)
        if culprit is None:
            if duty in self._refused:
                self._refused.discard(duty)
                logger.info("duty_taken_over", extra={"duty": duty})
            return True
        self._give_back(duty)
        if duty not in self._refused:
            self._refused.add(duty)
            logger.warning("duty_held_elsewhere", extra={"duty": duty, "holder": culprit})
        return False

    def _first_refusing(self, duty: str) -> str | None:
        if duty == LAUNCH:
            self._twin = None
        if self._mode != DEFAULT_MODE and duty in _OLD_MODE_OF_DUTY:
            plain = self._locks.mode(DEFAULT_MODE)
            if not plain.is_free() and self._locks.duty(_PLAIN).is_free():
                return plain.holder()
        for lock in self._needed_at_home(duty):
            if not lock.try_acquire():
                return lock.holder()
        return self._refusing_twin() if duty == LAUNCH else None

    def _refusing_twin(self) -> str | None:
        launcher = self._locks.launcher()
        if not launcher.try_acquire():
            self._twin = (
                f"another daemon launches for host {self._locks.host} on this database: "
                f"give one of them another HOST_NAME (held by {launcher.holder()})"
            )
        return self._twin

    def _give_back(self, duty: str) -> None:
        # The last first: whoever gets the first is then not refused the others.
        for lock in reversed(self._needed(duty)):
            lock.release()

    def _needed(self, duty: str) -> list[DutyLock]:
        launcher = [self._locks.launcher()] if duty == LAUNCH else []
        return [*self._needed_at_home(duty), *launcher]

    def _needed_at_home(self, duty: str) -> list[DutyLock]:
        own = self._locks.duty(duty)
        old_mode = _OLD_MODE_OF_DUTY.get(duty)
        if old_mode is None or old_mode == self._mode:
            return [own]
        return [self._locks.mode(old_mode), own]
