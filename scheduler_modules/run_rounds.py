"""One round over all runs of a host: follow them, fill the slots, clear up after the ended."""

import logging
from functools import partial

from scheduler_modules.errors import StaleToken, TmuxUnavailable
from scheduler_modules.model import Outcome, Project, ProjectState, Run, RunPhase
from scheduler_modules.ports import Clock, Tmux
from scheduler_modules.project_launcher import ProjectLauncher
from scheduler_modules.queue_manager import QueueManager
from scheduler_modules.run_cleaner import RunCleaner
from scheduler_modules.run_ledger import RunLedger
from scheduler_modules.run_pauser import RunPauser
from scheduler_modules.run_settler import RunSettler
from scheduler_modules.step_guard import StepGuard
from scheduler_modules.tmux_values import ServerIdentity, TmuxSnapshot

logger = logging.getLogger(__name__)

CLEAN_SEC = 0.1
"""Runs that end in quick succession are cleared up together: one look at all processes serves."""
NO_LOOK = TmuxSnapshot(server=None)


class RunRounds:
    """What a daemon with the duty to launch does. Each run may fail on its own."""

    def __init__(
        self,
        queue: QueueManager,
        ledger: RunLedger,
        launcher: ProjectLauncher,
        settler: RunSettler,
        cleaner: RunCleaner,
        pauser: RunPauser,
        tmux: Tmux,
        clock: Clock,
        guard: StepGuard,
        *,
        host: str,
        daemon_id: str,
    ) -> None:
        self._queue = queue
        self._store = queue.store
        self._ledger = ledger
        self._launcher = launcher
        self._settler = settler
        self._cleaner = cleaner
        self._pauser = pauser
        self._tmux = tmux
        self._clock = clock
        self._guard = guard
        self._host = host
        self._daemon_id = daemon_id
        self._snapshot: TmuxSnapshot | None = None
        self._silence: TmuxUnavailable | None = None
        self._next_timeout: float | None = None
        self._has_followed = False
        self._cleaned_at = float("-inf")
        self.is_restless = False
        """Whether something is under way that no event will tell of."""

    def begin(self) -> None:
        """Begin a new round: what was seen in the last one is not looked at again."""
        self.is_restless = False
        self._snapshot = self._silence = None

    def follow(self) -> None:
        """Move every run of this host as far as one look at tmux allows."""
        runs = self._store.open_runs(self._host)
        self._next_timeout = None
        self._guard.forget_but("run", {run.token for run in runs})
        if not runs:
            self._settler.look((), NO_LOOK)
            return
        if not self._has_followed:
            self._has_followed = True
            self._expect_servers(runs)
        snapshot = self._look()
        self._settler.look(runs, snapshot)
        for run in runs:
            self._guard.run(f"run {run.token}", partial(self._follow, run, snapshot))
        self.is_restless |= self._settler.is_doubting()

    def fill_slots(self) -> None:
        """Launch projects while there are slots; nothing is claimed while tmux is silent."""
        now, due = self._clock.now(), self._store.next_due()
        if due is not None and due <= now:
            self._store.promote_due(now)
        if self._queue.peek() is None:
            return
        self._look()
        while (claim := self._queue.claim_next(self._daemon_id)) is not None:
            # That look is older than the session that is made now.
            self._snapshot = None
            try:
                self._launcher.launch(claim.project, claim.run)
            except StaleToken:
                logger.info("run_already_over", extra={"project_id": claim.project.id})

    def clear_up(self) -> None:
        """End what is left of runs that are over, several of them with one look."""
        ended = self._store.uncleaned_runs(self._host)
        self._guard.forget_but("end", {run.token for run in ended})
        if not ended:
            self._guard.forget_but("ends", set())
            return
        self.is_restless = True
        now = self._clock.since_boot_sec()
        if now - self._cleaned_at < CLEAN_SEC:
            return
        self._cleaned_at = now
        snapshot = self._look()
        if not self._guard.run("ends together", partial(self._cleaner.clean, ended, snapshot)):
            # One that cannot be cleared up must not hold up the others.
            for run in ended:
                self._guard.run(f"end {run.token}", partial(self._cleaner.clean, [run], snapshot))

    def sweep_kept(self) -> None:
        """Remove sessions that are not to be kept any longer."""
        self._cleaner.sweep_kept(self._look())

    def due_in_sec(self) -> float:
        """Return how far away the next time limit, start time or retry is; infinity: none is."""
        due_sec = float("inf")
        if self._next_timeout is not None:
            due_sec = self._next_timeout - self._clock.since_boot_sec()
        starts_at = self._store.next_due()
        if starts_at is not None:
            due_sec = min(due_sec, starts_at - self._clock.now())
        return due_sec

    def _expect_servers(self, runs: list[Run]) -> None:
        for run in runs:
            if run.server_pid is not None and run.server_started_at is not None:
                self._tmux.expect(ServerIdentity(run.server_pid, run.server_started_at))

    def _follow(self, run: Run, snapshot: TmuxSnapshot) -> None:
        project = self._store.project(run.project_id)
        try:
            if project is None or project.state is not ProjectState.PROCESSING:
                self._let_go(run, project)
                return
            if run.daemon_id != self._daemon_id:
                self._ledger.record_follower(run, self._daemon_id)
            if run.phase is RunPhase.STARTING:
                self.is_restless = True
                self._launcher.resume(project, run, snapshot)
            else:
                run, is_settled = self._pauser.keep(run, snapshot)
                self.is_restless |= not is_settled
                self._settler.settle(project, run, snapshot)
                self._note_timeout(run)
        except StaleToken:
            # Somebody ended the run between our reading and our writing: that stands.
            logger.info("run_already_over", extra={"project_id": run.project_id})

    def _note_timeout(self, run: Run) -> None:
        left_sec = self._settler.time_left_sec(run)
        if left_sec is not None:
            at = self._clock.since_boot_sec() + left_sec
            self._next_timeout = at if self._next_timeout is None else min(at, self._next_timeout)

    def _let_go(self, run: Run, project: Project | None) -> None:
        became = "removed" if project is None else project.status
        self._ledger.end_run(run, Outcome.RESET, f"another program set the project to {became}")

    def _look(self) -> TmuxSnapshot:
        """Return what tmux shows in this round; it is asked once, also where it does not answer.

        Raises:
            TmuxUnavailable: it could not be asked in this round.
        """
        if self._silence is not None:
            raise self._silence
        if self._snapshot is None:
            try:
                self._snapshot = self._tmux.snapshot()
            except TmuxUnavailable as error:
                self._silence = error
                raise
        return self._snapshot
