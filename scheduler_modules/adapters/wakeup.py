"""What the daemon waits on: signals, pokes from its own threads, and whatever is added.

One wait in the main thread. The files only say *that* something came; what it means is asked of
every source after each sleep, so that what came together is told together.
"""

import contextlib
import logging
import os
import select
import signal
import threading
from types import FrameType
from typing import Any

from scheduler_modules.errors import SchedulerError, StopNow
from scheduler_modules.ports import Clock, WakeupSource

logger = logging.getLogger(__name__)

STOP, RELOAD, POKE = "stop", "reload", "poke"
RETRY_SEC = 1.0
"""How long a source that failed is left alone."""

_REASONS = {signal.SIGTERM: STOP, signal.SIGINT: STOP, signal.SIGHUP: RELOAD}
# poll(2) cannot count further than some days; a longer wait is made of several.
_MAX_WAIT_SEC = 3600.0
_AGAIN_SEC = 0.25


class SelectorWakeup:
    """The port `Wakeup` on Linux.

    SIGTERM and SIGINT mean `stop`, SIGHUP `reload`. Between `install` and `close` a stop signal
    also starts a timer: if `close` was not called `stop_deadline_sec` later, the main loop hangs
    in something slow and `StopNow` is raised there, then again each 0.25 s (once may fall into
    code that ignores exceptions). So the daemon ends in 2 s; state is safe at any moment by
    design. It cannot interrupt a C function that never returns to the interpreter meanwhile, such
    as SQLite waiting for a lock: those waits must be short ones, repeated.

    A source that raises a SchedulerError wakes once, as somebody should look, is left alone for
    `RETRY_SEC`, and wakes again when it can be asked: nobody knows what it missed. Closing does
    not close the sources.

    Source: signal.set_wakeup_fd, eventfd(2), setitimer(2), poll(2).
    """

    def __init__(self, clock: Clock, *, stop_deadline_sec: float | None = 1.5) -> None:
        self._clock = clock
        self._stop_deadline_sec = stop_deadline_sec
        self._sources: list[_Watched] = []
        self._poke_guard = threading.Lock()
        self._poke_file = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_open = True
        self._signal_reader, self._signal_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[int, Any] = {}
        self._wakeup_fd_before = -1
        self._timer_before: tuple[float, float] | None = None

    def install(self) -> None:
        """Take over the signals.

        Raises:
            SchedulerError: this is not the main thread, the only one that may.
        """
        if threading.current_thread() is not threading.main_thread():
            raise SchedulerError("signals can only be waited for in the main thread")
        if self._before:
            return
        self._wakeup_fd_before = signal.set_wakeup_fd(
            self._signal_writer, warn_on_full_buffer=False
        )
        for number in _REASONS:
            self._before[number] = signal.signal(number, self._on_signal)
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_alarm)

    def close(self) -> None:
        """Give the signals back as they were and end all waiting; a late `poke` does nothing."""
        self._give_back_signals()
        with self._poke_guard:
            if not self._is_open:
                return
            self._is_open = False
            os.close(self._poke_file)
        os.close(self._signal_reader)
        os.close(self._signal_writer)

    def add(self, source: WakeupSource) -> None:
        if all(watched.source is not source for watched in self._sources):
            self._sources.append(_Watched(source))

    def remove(self, source: WakeupSource) -> None:
        self._sources = [watched for watched in self._sources if watched.source is not source]

    def wait(self, timeout_sec: float) -> frozenset[str]:
        """Wait until something happens or the time is up; return why.

        Raises:
            SchedulerError: this was closed.
        """
        if not self._is_open:
            raise SchedulerError("what was closed cannot be waited on")
        now = self._clock.since_boot_sec()
        deadline = now + max(0.0, timeout_sec)
        is_last_look = timeout_sec <= 0
        while True:
            reasons = self._ask_all(now)
            if reasons or is_last_look:
                return reasons
            self._sleep(deadline - now, now)
            now = self._clock.since_boot_sec()
            is_last_look = now >= deadline

    def poke(self) -> None:
        with self._poke_guard:
            if self._is_open:
                # Full means: a poke nobody has seen yet is there already.
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_write(self._poke_file, 1)

    def _ask_all(self, now: float) -> frozenset[str]:
        # All of them: what woke us need not be the only thing that happened. Signals last: one
        # that comes while the others are asked still counts.
        reasons = {watched.source.reason for watched in self._sources if watched.ask(now)}
        return frozenset(reasons | self._pokes() | self._signals())

    def _sleep(self, left_sec: float, now: float) -> None:
        """Wait until any file has something, a source is to be asked, or the time is up."""
        # Made anew each time: a source may have closed its file, and another file may have got
        # the number since. epoll forgets the first without a word and never looks at the second.
        poller = select.poll()
        pauses = [left_sec, _MAX_WAIT_SEC]
        for file in (self._poke_file, self._signal_reader):
            poller.register(file, select.POLLIN)
        for watched in self._sources:
            pauses.append(watched.pause_sec(now))
            if watched.file >= 0:
                poller.register(watched.file, select.POLLIN)
        poller.poll(max(0.0, min(pauses)) * 1000)

    def _pokes(self) -> frozenset[str]:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._poke_file)
            return frozenset({POKE})
        return frozenset()

    def _signals(self) -> frozenset[str]:
        """Return what the signals since the last look mean. Other signals mean nothing to us."""
        with contextlib.suppress(BlockingIOError):
            numbers = set(os.read(self._signal_reader, 65_536))
            return frozenset(reason for number, reason in _REASONS.items() if number in numbers)
        return frozenset()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # The wake-up file tells `wait`; here only the time is limited.
        is_stop = _REASONS[signal.Signals(number)] == STOP
        if is_stop and self._stop_deadline_sec is not None and self._timer_before is None:
            self._timer_before = signal.setitimer(
                signal.ITIMER_REAL, self._stop_deadline_sec, _AGAIN_SEC
            )

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        raise StopNow

    def _give_back_signals(self) -> None:
        if not self._before:
            return
        if self._timer_before is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            # None: it was not set from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._wakeup_fd_before)
        self._before.clear()
        if self._timer_before is not None:
            signal.setitimer(signal.ITIMER_REAL, *self._timer_before)
            self._timer_before = None


class _Watched:
    """An added source, and how it fared."""

    def __init__(self, source: WakeupSource) -> None:
        self.source = source
        self.file = -1
        """What to wait for until it is asked again."""
        self._trouble: str | None = None
        self._retry_at = 0.0

    def ask(self, now: float) -> bool:
        """Say whether the source has something; never raises for it."""
        if self._trouble is not None and now < self._retry_at:
            return False
        try:
            has_come = self.source.drain()
            self.file = _open_file(self.source)
        except SchedulerError as error:
            return self._fail(str(error), now)
        return self._heal() or has_come

    def pause_sec(self, now: float) -> float:
        """Return how long it may go unasked while its file is silent."""
        if self._trouble is not None:
            return self._retry_at - now
        poll_sec = self.source.poll_sec
        return _MAX_WAIT_SEC if poll_sec is None else poll_sec

    def _fail(self, trouble: str, now: float) -> bool:
        """Note it; True: it worked until now."""
        is_first, is_told = self._trouble is None, self._trouble == trouble
        self._trouble, self._retry_at, self.file = trouble, now + RETRY_SEC, -1
        if not is_told:
            extra = {"source": self.source.reason, "error": trouble}
            logger.warning("wakeup_source_failed", extra=extra)
        return is_first

    def _heal(self) -> bool:
        """Note that it works; True: it did not until now."""
        if self._trouble is None:
            return False
        self._trouble = None
        logger.info("wakeup_source_healed", extra={"source": self.source.reason})
        return True


def _open_file(source: WakeupSource) -> int:
    """Return the source's file; -1 for none.

    Raises:
        SchedulerError: it is closed. Waiting for it would return at once, for ever.
    """
    file = source.fileno()
    if file >= 0:
        try:
            os.fstat(file)
        except OSError as error:
            raise SchedulerError(f"its file {file} is closed") from error
    return file
