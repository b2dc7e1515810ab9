"""Stops, continues and ends everything a run started, until a sweep finds nothing left to do."""

import logging
import signal
from collections.abc import Collection, Mapping

from scheduler_modules.model import ProcessIdentity
from scheduler_modules.ports import Clock, Processes

logger = logging.getLogger(__name__)


class ProcessManager:
    """Ends process trees step by step, so that a stubborn one never holds up the others.

    What it remembers lasts as long as this object: after a restart an ending begins anew with
    TERM, which is harmless.
    """

    def __init__(self, processes: Processes, clock: Clock, *, kill_grace_sec: float) -> None:
        self._processes = processes
        self._clock = clock
        self._kill_grace_sec = kill_grace_sec
        self._endings: dict[str, _Ending] = {}
        self._stopped: dict[str, set[ProcessIdentity]] = {}

    def end_step(self, pane_pids: Mapping[str, Collection[int]]) -> set[str]:
        """Do what is due now to end the processes of runs; return the tokens of which none is left.

        `pane_pids`: by token, the first processes of the run's living panes. Each process gets
        TERM once; after the grace whatever is left gets KILL at every step.
        """
        now = self._clock.since_boot_sec()
        found = self._processes.of_runs(pane_pids)
        return {token for token, alive in found.items() if self._end(token, alive, now)}

    def _end(self, run_token: str, alive: Collection[ProcessIdentity], now: float) -> bool:
        if not alive:
            self._endings.pop(run_token, None)
            self._stopped.pop(run_token, None)
            return True
        ending = self._endings.setdefault(run_token, _Ending(now))
        if now - ending.began_at >= self._kill_grace_sec:
            self._send(run_token, alive, signal.SIGKILL)
        else:
            asked = ending.unasked(alive)
            self._send(run_token, asked, signal.SIGTERM)
            for process in asked:
                # One that is stopped hears nothing but KILL until it goes on.
                self._processes.send(process, signal.SIGCONT)
        return False

    def stop(self, run_token: str, pane_pids: Collection[int] = ()) -> bool:
        """Stop the run's processes where they stand; True once none is left that was not told.

        The first processes of panes are spared: tmux lets those go on at once, and they only wait
        for the others.
        """
        told = self._stopped.setdefault(run_token, set())
        alive = self._processes.of_run(run_token, pane_pids)
        fresh = [one for one in alive if one.pid not in pane_pids and one not in told]
        told.update(fresh)
        self._send(run_token, fresh, signal.SIGSTOP)
        return not fresh

    def go_on(self, run_token: str, pane_pids: Collection[int] = ()) -> None:
        """Let processes that were stopped go on."""
        self._stopped.pop(run_token, None)
        self._send(run_token, self._processes.of_run(run_token, pane_pids), signal.SIGCONT)

    def _send(
        self, run_token: str, processes: Collection[ProcessIdentity], number: signal.Signals
    ) -> None:
        if not processes:
            return
        for process in processes:
            self._processes.send(process, number)
        logger.info(
            "processes_signalled",
            extra={
                "run": run_token[:8],
                "signal": number.name,
                "pids": [process.pid for process in processes],
            },
        )


class _Ending:
    """When the ending of a run began, and who has been asked to end."""

    def __init__(self, began_at: float) -> None:
        self.began_at = began_at
        self._asked: set[ProcessIdentity] = set()

    def unasked(self, alive: Collection[ProcessIdentity]) -> list[ProcessIdentity]:
        fresh = [process for process in alive if process not in self._asked]
        self._asked.update(fresh)
        return fresh
