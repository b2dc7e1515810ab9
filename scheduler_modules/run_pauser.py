"""Keeps paused runs standing still: stops their processes, and lets them go on."""

import logging
from collections.abc import Callable, Collection
from functools import partial

from scheduler_modules.model import Run, RunPhase
from scheduler_modules.run_ledger import RunLedger
from scheduler_modules.tmux_values import TmuxSnapshot

logger = logging.getLogger(__name__)

StopAll = Callable[[str, Collection[int]], bool]
"""Stop a run's processes, given its living panes' pids; True: none was left to be stopped."""
GoOn = Callable[[str, Collection[int]], None]


class RunPauser:
    """Makes what is so the same as what a person wants, one run at a time."""

    def __init__(self, ledger: RunLedger, *, stop: StopAll, go_on: GoOn) -> None:
        self._ledger = ledger
        self._stop = stop
        self._go_on = go_on

    def keep(self, run: Run, snapshot: TmuxSnapshot) -> tuple[Run, bool]:
        """Stop or continue a run's processes where that is wanted; return the run as it is then.

        With it comes whether all is as wanted: what was started while the others were stopped
        needs another look soon. What is started in a paused run later (a person may type into
        its windows) is stopped at the next look there is.

        Raises:
            StaleToken: the run ended meanwhile.
        """
        if run.phase is RunPhase.STARTING or not self._is_concerned(run):
            return run, True
        pane_pids = [pane.pid for pane in snapshot.of_run(run.token) if not pane.is_dead]
        if run.is_pause_wanted:
            return self._ledger.record_paused(run, partial(self._stop, run.token, pane_pids))
        self._go_on(run.token, pane_pids)
        return self._ledger.record_resumed(run), True

    def _is_concerned(self, run: Run) -> bool:
        return run.is_pause_wanted or run.paused_boot_sec is not None
