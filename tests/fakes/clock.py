"""A clock that stands still until a test moves it."""


class FakeClock:
    """The port `Clock`, moved by hand."""

    def __init__(self, now: float = 1_700_000_000.0, since_boot_sec: float = 5_000.0) -> None:
        self._now = now
        self._since_boot_sec = since_boot_sec
        self._boots = 1

    def now(self) -> float:
        return self._now

    def since_boot_sec(self) -> float:
        return self._since_boot_sec

    def boot_id(self) -> str:
        return f"boot-{self._boots}"

    def advance(self, sec: float) -> None:
        """Let time pass; both readings move."""
        if sec < 0:
            raise ValueError("time does not run backwards; somebody sets the clock: set_wall()")
        self._now += sec
        self._since_boot_sec += sec

    def set_wall(self, now: float) -> None:
        """Set the clock on the wall, as an administrator does; time since boot goes on."""
        self._now = now

    def reboot(self, down_sec: float = 60.0) -> None:
        """Start the machine again after it was down for a while."""
        self._now += down_sec
        self._since_boot_sec = 0.0
        self._boots += 1
