"""Waiting that takes no time."""

import math
from collections.abc import Callable
from functools import partial

from scheduler_modules.errors import SchedulerError
from scheduler_modules.ports import WakeupSource
from tests.fakes.clock import FakeClock

RETRY_SEC = 1.0


class FakeWakeup:
    """The port `Wakeup`: a wait for nothing moves the fake clock to its end."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._pending: set[str] = set()
        self._coming: list[tuple[float, Callable[[], None]]] = []
        self._sources: list[WakeupSource] = []
        self._failing: dict[int, float] = {}
        """When to ask sources again that failed."""

    def add(self, source: WakeupSource) -> None:
        if not any(known is source for known in self._sources):
            self._sources.append(source)

    def remove(self, source: WakeupSource) -> None:
        self._sources = [known for known in self._sources if known is not source]
        self._failing.pop(id(source), None)

    def wait(self, timeout_sec: float) -> frozenset[str]:
        end = self._clock.since_boot_sec() + max(0.0, timeout_sec)
        self._ask(self._sources)
        while not self._pending and self._clock.since_boot_sec() < end:
            polls = self._next_polls()
            at = min([end, *polls.values(), *(at for at, _ in self._coming[:1])])
            self._clock.advance(max(0.0, at - self._clock.since_boot_sec()))
            self._let_come()
            # A file is heard at once; without one a source is only asked when its time has come.
            heard = [source for source in self._sources if self._is_heard(source)]
            due = [source for source in self._sources if polls.get(id(source), math.inf) <= at]
            self._ask([*heard, *due])
            if self._pending or at >= end:
                self._ask(self._sources)
        reasons = frozenset(self._pending)
        self._pending.clear()
        return reasons

    def poke(self) -> None:
        self._pending.add("poke")

    def send(self, reason: str) -> None:
        """Let a signal arrive now: `stop` or `reload`."""
        self._pending.add(reason)

    def send_after(self, sec: float, reason: str) -> None:
        """Let something arrive while the daemon waits: `stop`, `reload` or `poke`."""
        self.do_after(sec, partial(self._pending.add, reason))

    def do_after(self, sec: float, act: Callable[[], None]) -> None:
        """Let somebody do something while the daemon waits."""
        self._coming.append((self._clock.since_boot_sec() + sec, act))
        self._coming.sort(key=lambda coming: coming[0])

    def _let_come(self) -> None:
        while self._coming and self._coming[0][0] <= self._clock.since_boot_sec():
            self._coming.pop(0)[1]()

    def _next_polls(self) -> dict[int, float]:
        """Return when each source is to be asked next, by its id."""
        now = self._clock.since_boot_sec()
        polls = {id(s): now + s.poll_sec for s in self._sources if s.poll_sec is not None}
        return polls | self._failing

    def _is_heard(self, source: WakeupSource) -> bool:
        return id(source) not in self._failing and source.fileno() >= 0

    def _ask(self, sources: list[WakeupSource]) -> None:
        now = self._clock.since_boot_sec()
        for source in sources:
            was_failing = id(source) in self._failing
            if self._failing.get(id(source), now) > now:
                continue
            try:
                has_come = source.drain()
            except SchedulerError:
                self._failing[id(source)] = now + RETRY_SEC
                has_come = not was_failing
            else:
                has_come = has_come or was_failing
                self._failing.pop(id(source), None)
            if has_come:
                self._pending.add(source.reason)
