"""Waiting that takes no time."""

from tests.fakes.clock import FakeClock


class FakeWakeup:
    """The port `Wakeup`: a wait for nothing moves the fake clock to its end."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._pending: set[str] = set()
        self._coming: list[tuple[float, str]] = []

    def wait(self, timeout_sec: float) -> frozenset[str]:
        end = self._clock.since_boot_sec() + max(0.0, timeout_sec)
        while not self._pending and self._coming and self._coming[0][0] <= end:
            at, reason = self._coming.pop(0)
            self._clock.advance(max(0.0, at - self._clock.since_boot_sec()))
            self._pending.add(reason)
        if not self._pending:
            self._clock.advance(max(0.0, end - self._clock.since_boot_sec()))
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
        self._coming.append((self._clock.since_boot_sec() + sec, reason))
        self._coming.sort()
