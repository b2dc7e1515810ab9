"""Locks of a machine that exists only in a test."""


class FakeLockTable:
    """Who holds what; shared by the "processes" of a test."""

    def __init__(self) -> None:
        self.holders: dict[str, str] = {}
        self.troubles: dict[str, str | None] = {}
        self.pids: dict[str, int] = {}
        """Numbers of processes by name, where a test gives them one."""

    def end(self, process: str) -> None:
        """Let a process die: what it held is free at once."""
        self.holders = {name: who for name, who in self.holders.items() if who != process}

    def seize(self, name: str, process: str) -> None:
        """Give a lock to a process, whoever holds it: its file was deleted and made again.

        Names are those of the files: `duty-launch`, `scheduler-default`.
        """
        self.holders[name] = process


class FakeLocks:
    """The port `Locks` as one process sees it."""

    def __init__(
        self,
        table: FakeLockTable | None = None,
        process: str = "daemon",
        *,
        home: str = "",
        host: str = "here",
    ) -> None:
        """`home`: what stands before the names of its own locks; the launcher's has none."""
        self.table = table or FakeLockTable()
        self.process = process
        self.host = host
        self._home = home

    def duty(self, name: str) -> "FakeLock":
        return FakeLock(self.table, f"{self._home}duty-{name}", self.process)

    def mode(self, name: str) -> "FakeLock":
        return FakeLock(self.table, f"{self._home}scheduler-{name}", self.process)

    def launcher(self) -> "FakeLock":
        return FakeLock(self.table, f"launch-{self.host}", self.process)


class FakeLock:
    """The port `Lock`."""

    def __init__(self, table: FakeLockTable, name: str, process: str) -> None:
        self._table = table
        self._name = name
        self._process = process

    @property
    def is_held(self) -> bool:
        return self._table.holders.get(self._name) == self._process

    def try_acquire(self) -> bool:
        if self._name not in self._table.holders:
            self._table.troubles.pop(self._name, None)
        return self._table.holders.setdefault(self._name, self._process) == self._process

    def release(self) -> None:
        if self.is_held:
            del self._table.holders[self._name]

    def heartbeat(self) -> bool:
        return self.is_held

    def tell(self, trouble: str | None) -> None:
        if self.is_held:
            self._table.troubles[self._name] = trouble

    def trouble(self) -> str | None:
        return None if self.is_free() else self._table.troubles.get(self._name)

    def is_free(self) -> bool:
        return self._name not in self._table.holders

    def holder_pid(self) -> int | None:
        return self._table.pids.get(self._table.holders.get(self._name, ""))

    def holder(self) -> str:
        if self.is_held:
            return "this process"
        return self._table.holders.get(self._name, "nobody")
