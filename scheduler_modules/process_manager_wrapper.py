"""Ends everything a run started: TERM, a grace, KILL, until a sweep finds nothing."""

import logging
import signal
from collections.abc import Collection

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

    def end_step(self, run_token: str, pane_pids: Collection[int] = ()) -> bool:
        """Do what is due now to end the run's processes; True once none is left.

        `pane_pids`: first processes of the run's living panes. Each process gets TERM once; after
        the grace whatever is left gets KILL at every step.
        """
        now = self._clock.since_boot_sec()
        alive = self._processes.of_run(run_token, pane_pids)
        if not alive:
            self._endings.pop(run_token, None)
            return True
        ending = self._endings.setdefault(run_token, _Ending(now))
        if now - ending.began_at >= self._kill_grace_sec:
            self._send(run_token, alive, signal.SIGKILL)
        else:
            self._send(run_token, ending.unasked(alive), signal.SIGTERM)
        return False

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
