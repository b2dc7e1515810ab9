"""Processes that exist only in a test."""

import signal
from collections.abc import Collection, Mapping

import msgspec

from scheduler_modules.model import ProcessIdentity

_DEADLY = {signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP}


class FakeProcess(msgspec.Struct, frozen=True, kw_only=True):
    """What the fake knows of a living process."""

    token: str | None
    session: int
    ignores_term: bool
    heirs: int


class FakeProcesses:
    """The port `Processes`. Signals act at once."""

    def __init__(self) -> None:
        self.living: dict[ProcessIdentity, FakeProcess] = {}
        self._next_pid = 1000
        self._next_ticks = 1

    def start(
        self,
        token: str | None = None,
        *,
        session: int | None = None,
        pid: int | None = None,
        ignores_term: bool = False,
        heirs: int = 0,
    ) -> ProcessIdentity:
        """Start a process; its session is its own unless told.

        `heirs`: when a signal ends it, a child it had forked just before lives on in a session of
        its own, with the same marker and one heir fewer.
        """
        if pid is None:
            pid = self._next_pid
            self._next_pid += 1
        if self.identity(pid) is not None:
            raise ValueError(f"process {pid} lives already")
        process = ProcessIdentity(pid, self._next_ticks)
        self._next_ticks += 1
        self.living[process] = FakeProcess(
            token=token,
            session=pid if session is None else session,
            ignores_term=ignores_term,
            heirs=heirs,
        )
        return process

    def end(self, process: ProcessIdentity) -> None:
        """Let a process end by itself."""
        del self.living[process]

    def identity(self, pid: int) -> ProcessIdentity | None:
        return next((process for process in self.living if process.pid == pid), None)

    def is_alive(self, process: ProcessIdentity) -> bool:
        return process in self.living

    def of_run(self, run_token: str, pane_pids: Collection[int] = ()) -> list[ProcessIdentity]:
        return sorted(
            process
            for process, what in self.living.items()
            if what.session in pane_pids or (run_token and what.token == run_token)
        )

    def of_runs(self, pane_pids: Mapping[str, Collection[int]]) -> dict[str, list[ProcessIdentity]]:
        return {token: self.of_run(token, pids) for token, pids in pane_pids.items()}

    def send(self, process: ProcessIdentity, signal_number: int) -> bool:
        what = self.living.get(process)
        if what is None:
            return False
        if signal_number == signal.SIGTERM and what.ignores_term:
            return True
        if signal_number in _DEADLY:
            self.end(process)
            if what.heirs:
                self.start(what.token, ignores_term=what.ignores_term, heirs=what.heirs - 1)
        return True
