"""What the daemon waits on: signals, and pokes from its own threads.

One selector in the main thread. Each thing waited for is a registered file with a function that
empties it and says why it woke us; further sources (inotify, doorbell, tmux) are further entries.
"""

import contextlib
import os
import selectors
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from scheduler_modules.errors import SchedulerError, StopNow
from scheduler_modules.ports import Clock

STOP, RELOAD, POKE = "stop", "reload", "poke"

_REASONS = {signal.SIGTERM: STOP, signal.SIGINT: STOP, signal.SIGHUP: RELOAD}
# The selector cannot count further; a longer wait is made of several.
_MAX_WAIT_SEC = 3600.0
_AGAIN_SEC = 0.25

Drain = Callable[[], frozenset[str]]


class SignalWakeup:
    """The port `Wakeup` on Linux.

    SIGTERM and SIGINT mean `stop`, SIGHUP `reload`. Between `install` and `close` a stop signal
    also starts a timer: if `close` was not called `stop_deadline_sec` later, the main loop hangs
    in something slow and `StopNow` is raised there, then again each 0.25 s (once may fall into
    code that ignores exceptions). So the daemon ends in 2 s; state is safe at any moment by
    design. It cannot interrupt a C function that never returns to the interpreter meanwhile, such
    as SQLite waiting for a lock: those waits must be short ones, repeated.

    Source: signal.set_wakeup_fd, eventfd(2), setitimer(2).
    """

    def __init__(self, clock: Clock, *, stop_deadline_sec: float | None = 1.5) -> None:
        self._clock = clock
        self._stop_deadline_sec = stop_deadline_sec
        self._selector = selectors.DefaultSelector()
        self._poke_guard = threading.Lock()
        self._poke_file = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_open = True
        self._signal_reader, self._signal_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[int, Any] = {}
        self._wakeup_fd_before = -1
        self._timer_before: tuple[float, float] | None = None
        self._register(self._poke_file, self._drain_pokes)
        self._register(self._signal_reader, self._drain_signals)

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
        self._selector.close()
        os.close(self._signal_reader)
        os.close(self._signal_writer)

    def wait(self, timeout_sec: float) -> frozenset[str]:
        deadline = self._clock.since_boot_sec() + max(0.0, timeout_sec)
        left_sec = max(0.0, timeout_sec)
        while True:
            reasons: frozenset[str] = frozenset()
            for key, _ in self._selector.select(min(left_sec, _MAX_WAIT_SEC)):
                drain: Drain = key.data
                reasons |= drain()
            left_sec = deadline - self._clock.since_boot_sec()
            if reasons or left_sec <= 0:
                return reasons

    def poke(self) -> None:
        with self._poke_guard:
            if self._is_open:
                # Full means: a poke nobody has seen yet is there already.
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_write(self._poke_file, 1)

    def _register(self, file: int, drain: Drain) -> None:
        self._selector.register(file, selectors.EVENT_READ, drain)

    def _drain_pokes(self) -> frozenset[str]:
        os.eventfd_read(self._poke_file)
        return frozenset({POKE})

    def _drain_signals(self) -> frozenset[str]:
        """Return what the signals since the last look mean. Other signals mean nothing to us."""
        numbers = set(os.read(self._signal_reader, 65_536))
        return frozenset(reason for number, reason in _REASONS.items() if number in numbers)

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
