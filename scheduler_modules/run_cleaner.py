"""Clears up after runs: ends what is left of them and removes sessions nobody needs to see."""

import logging
from collections.abc import Callable, Collection, Mapping

from scheduler_modules.model import (
    Outcome,
    Run,
)
from scheduler_modules.ports import (
    Clock,
    RunFiles,
    Tmux,
)
from scheduler_modules.run_ledger import RunLedger
from scheduler_modules.store_port import QueueStore
from scheduler_modules.tmux_values import (
    TmuxSnapshot,
)

logger = logging.getLogger(__name__)

KEEP_NONE, KEEP_FAILED, KEEP_ALL = "none", "failed", "all"
KEPT_OUTCOMES = {
    KEEP_NONE: frozenset[Outcome](),
    KEEP_FAILED: frozenset({Outcome.FAILED, Outcome.TIMED_OUT}),
    KEEP_ALL: frozenset(Outcome),
}

EndStep = Callable[[Mapping[str, Collection[int]]], set[str]]
"""Do what is due to end runs' processes, given the pids of their living panes by token; return the
tokens of which none is left."""


class RunCleaner:
    """Touches only sessions that carry the token of a run of ours."""

    def __init__(
        self,
        ledger: RunLedger,
        store: QueueStore,
        tmux: Tmux,
        files: RunFiles,
        end_step: EndStep,
        clock: Clock,
        *,
        keep: str,
        keep_hours: float,
        is_own_server: bool,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._tmux = tmux
        self._files = files
        self._end_step = end_step
        self._clock = clock
        self._kept_outcomes = KEPT_OUTCOMES[keep]
        self._keep_sec = keep_hours * 3600
        self._is_own_server = is_own_server

    def clean(self, runs: Collection[Run], snapshot: TmuxSnapshot) -> int:
        """Do the next step of clearing up after ended runs; return how many are cleared up now."""
        pane_pids: dict[str, list[int]] = {}
        for run in runs:
            # First of all: from here on nothing of this run can begin that the sweep would miss.
            self._files.remove(run.token)
            panes = snapshot.of_run(run.token)
            pane_pids[run.token] = [pane.pid for pane in panes if not pane.is_dead]
        gone = self._end_step(pane_pids)
        over = [run for run in runs if run.token in gone]
        for run in over:
            if run.outcome not in self._kept_outcomes:
                self._kill_sessions(run.token, snapshot)
            self._files.remove(run.token)
        self._ledger.record_cleaned(over)
        return len(over)

    def sweep_kept(self, snapshot: TmuxSnapshot) -> int:
        """Remove sessions that are not to be kept any longer; return how many."""
        tokens = {pane.run_token for pane in snapshot.panes if pane.run_token}
        over = [token for token in sorted(tokens) if self._is_over(token, snapshot)]
        for token in over:
            self._kill_sessions(token, snapshot)
        return len(over)

    def _is_over(self, token: str, snapshot: TmuxSnapshot) -> bool:
        run = self._store.run(token)
        if run is None:
            # Its project was removed. On a server that is not ours it may belong to somebody
            # else's queue; and a program that runs is nothing that was kept to be seen.
            return self._is_own_server and all(pane.is_dead for pane in snapshot.of_run(token))
        if run.cleaned_at is None:
            return False
        if run.outcome not in self._kept_outcomes:
            # The look that it was cleared up after had missed it, or less is to be kept now.
            return True
        runs = self._store.runs_of(run.project_id)
        has_newer = bool(runs) and runs[-1].token != token
        return has_newer or self._clock.now() - run.cleaned_at >= self._keep_sec

    def _kill_sessions(self, token: str, snapshot: TmuxSnapshot) -> None:
        if snapshot.server is None:
            return
        for name in sorted({pane.session_name for pane in snapshot.of_run(token)}):
            if self._tmux.kill_session(name, token, snapshot.server):
                logger.info("session_removed", extra={"run": token[:8], "session": name})
