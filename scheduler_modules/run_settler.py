"""Follows running projects to their end: result, verification, time-out, loss."""

import logging
from collections.abc import Callable, Collection

import msgspec

from scheduler_modules.errors import SessionGone, TmuxRefused
from scheduler_modules.loss_judge import LossJudge
from scheduler_modules.model import (
    LaunchPlan,
    Outcome,
    Project,
    Run,
    RunPhase,
)
from scheduler_modules.ports import Clock, RunFiles, Tmux
from scheduler_modules.run_ledger import RunLedger
from scheduler_modules.run_verdict import (
    Alive,
    Ended,
    Lost,
    Verdict,
    describe_end,
    is_same_server,
    judge_session,
    judge_window,
)
from scheduler_modules.tmux_values import (
    PaneCommand,
    TmuxSnapshot,
)
from scheduler_modules.utils import short_duration

logger = logging.getLogger(__name__)

VERIFY_ROLE = "verify"
UNKNOWN_END_SEC = 10
"""How long a dead pane may keep its status to itself before that is called a failure."""

TakeOver = Callable[[Run, LaunchPlan, TmuxSnapshot], Run | None]
"""Find and mark the session that an external launcher made; None if there is none yet."""
AskDisk = Callable[[Project, Run], tuple[Outcome, str] | None]
"""What the project says of itself in marker files, with where it says so."""


class RunSettler:
    """Decides about one run at a time, from one look at tmux and the files beside it."""

    def __init__(
        self,
        ledger: RunLedger,
        tmux: Tmux,
        files: RunFiles,
        clock: Clock,
        *,
        take_over: TakeOver,
        ask_disk: AskDisk,
        launcher_wait_sec: float,
    ) -> None:
        self._losses = LossJudge(clock)
        self._plans: dict[str, LaunchPlan] = {}
        self._ledger = ledger
        self._tmux = tmux
        self._files = files
        self._clock = clock
        self._take_over = take_over
        self._ask_disk = ask_disk
        self._launcher_wait_sec = launcher_wait_sec
        self._unsure_since: dict[str, float] = {}

    def look(self, runs: Collection[Run], snapshot: TmuxSnapshot) -> None:
        """Take note of a look at all runs of this host before each is settled by it."""
        up = [run for run in runs if run.phase is not RunPhase.STARTING]
        self._losses.look(up, snapshot)
        known = {run.token for run in runs}
        self._losses.forget_but(known)
        # What somebody else has ended is neither looked up nor doubted any more.
        for noted in (self._plans, self._unsure_since):
            for token in noted.keys() - known:
                noted.pop(token)

    def is_doubting(self) -> bool:
        """Return whether a run looked lost or ended without a status: another look tells soon."""
        return self._losses.is_doubting() or bool(self._unsure_since)

    def time_left_sec(self, run: Run) -> float | None:
        """Return how long a run that is up may go on; None: as long as it likes, or it stands."""
        plan = self._plan_of(run)
        if plan.timeout_sec <= 0 or run.paused_boot_sec is not None:
            return None
        return plan.timeout_sec - run.ran_sec(self._clock.since_boot_sec())

    def settle(self, project: Project, run: Run, snapshot: TmuxSnapshot) -> None:
        """Move a run that is up as far as the evidence allows.

        Raises:
            StaleToken: the run ended meanwhile by somebody else's hand.
            TmuxUnavailable: tmux could not be asked; nothing was decided.
        """
        plan = self._plan_of(run)
        said = (run.reported, run.reported_note) if run.reported else self._ask_disk(project, run)
        if said is not None and said[0] is not Outcome.COMPLETED:
            reason = f"reported failed: {said[1] or 'no reason given'}"
            self._end(run, plan, Outcome.FAILED, reason)
        elif run.phase is RunPhase.VERIFYING:
            self._settle_verification(run, plan, snapshot)
        elif said is not None:
            self._succeed(run, plan, snapshot, None)
        else:
            self._settle_command(run, plan, snapshot)

    def _settle_command(self, run: Run, plan: LaunchPlan, snapshot: TmuxSnapshot) -> None:
        role = plan.windows[0].role
        if plan.is_external and run.main_pane_id is None:
            verdict = judge_session(run, snapshot, self._clock.boot_id())
        else:
            verdict = self._judge(run, run.main_pane_id, role, snapshot)
        if isinstance(verdict, Ended) and verdict.is_success and plan.is_external:
            self._hand_over(run, plan, snapshot)
        elif isinstance(verdict, Ended) and verdict.is_success:
            self._succeed(run, plan, snapshot, verdict.exit_code)
        else:
            self._settle_bad_end(run, plan, verdict, role, prefix="")

    def _settle_verification(self, run: Run, plan: LaunchPlan, snapshot: TmuxSnapshot) -> None:
        verdict = self._judge(run, run.verify_pane_id, VERIFY_ROLE, snapshot)
        if isinstance(verdict, Ended) and verdict.is_success:
            self._end(run, plan, Outcome.COMPLETED, None, role=VERIFY_ROLE)
        else:
            self._settle_bad_end(run, plan, verdict, VERIFY_ROLE, prefix="verify failed: ")

    def _settle_bad_end(
        self, run: Run, plan: LaunchPlan, verdict: Verdict, role: str, *, prefix: str
    ) -> None:
        if isinstance(verdict, Ended):
            reason = prefix + describe_end(verdict, self._files.last_line(run.token, role))
            self._end(run, plan, Outcome.FAILED, reason, verdict.exit_code, role=role)
        elif isinstance(verdict, Lost):
            self._believe_loss(run, plan, verdict.reason)
        elif self._is_overdue(run, plan):
            reason = f"timed out after {short_duration(plan.timeout_sec)}"
            self._end(run, plan, Outcome.TIMED_OUT, reason)
        elif isinstance(verdict, Alive):
            self._forget_doubts(run)
        else:
            self._doubt(run, plan)

    def _judge(self, run: Run, pane_id: str | None, role: str, snapshot: TmuxSnapshot) -> Verdict:
        exit_code = self._files.exit_code(run.token, role)
        return judge_window(run, pane_id, exit_code, snapshot, self._clock.boot_id())

    def _succeed(
        self, run: Run, plan: LaunchPlan, snapshot: TmuxSnapshot, exit_code: int | None
    ) -> None:
        """Take a claim of success: complete the run, or verify it first."""
        if plan.verify is None:
            role = None if exit_code is None else plan.windows[0].role
            self._end(run, plan, Outcome.COMPLETED, None, exit_code, role=role)
            return
        is_begun = self._files.start(run.token, VERIFY_ROLE) is not None
        panes = snapshot.of_run(run.token)
        # A daemon that died right after opening the window has left it for us to find.
        pane_id = next((pane.pane_id for pane in panes if pane.window_name == VERIFY_ROLE), None)
        if pane_id is None and not is_begun:
            if run.session_id is None or not is_same_server(run, snapshot):
                self._believe_loss(run, plan, "its session went away before verification")
                return
            try:
                pane_id = self._open_verification(run, plan)
            except TmuxRefused as error:
                self._end(run, plan, Outcome.FAILED, f"verify could not be started: {error}")
                return
            if pane_id is None:
                self._believe_loss(run, plan, "its session went away before verification")
                return
        self._ledger.record_verifying(run, pane_id or "", exit_code)

    def _open_verification(self, run: Run, plan: LaunchPlan) -> str | None:
        """Start `verify` in a window of its own; None if the session is gone."""
        command = PaneCommand(
            role=VERIFY_ROLE,
            argv=self._files.runner_argv(run.token, VERIFY_ROLE, plan.verify or ()),
            log_path=str(self._files.log_path(run.token, VERIFY_ROLE)),
        )
        try:
            window = self._tmux.add_window(run.session_id or "", command, plan.cwd, plan.env)
        except SessionGone:
            return None
        return window.pane_id

    def _hand_over(self, run: Run, plan: LaunchPlan, snapshot: TmuxSnapshot) -> None:
        """Follow the session that the external launcher made instead of the launcher's own."""
        if self._take_over(run, plan, snapshot) is not None:
            self._forget_doubts(run)
        elif self._has_doubted(run, self._launcher_wait_sec):
            self._end(
                run, plan, Outcome.FAILED, "the launcher ended with 0 but no session was created"
            )

    def _believe_loss(self, run: Run, plan: LaunchPlan, reason: str) -> None:
        """End a run that looks lost, once that can be believed."""
        if self._losses.is_believed(run.token):
            self._end(run, plan, Outcome.LOST, reason)

    def _forget_doubts(self, run: Run) -> None:
        self._losses.forget(run.token)
        self._unsure_since.pop(run.token, None)

    def _doubt(self, run: Run, plan: LaunchPlan) -> None:
        if self._has_doubted(run, UNKNOWN_END_SEC):
            self._end(run, plan, Outcome.LOST, "its program ended and tmux cannot say how")

    def _has_doubted(self, run: Run, limit_sec: float) -> bool:
        now = self._clock.since_boot_sec()
        return now - self._unsure_since.setdefault(run.token, now) >= limit_sec

    def _plan_of(self, run: Run) -> LaunchPlan:
        """Return the run's plan, which never changes once its session is up."""
        plan = self._plans.get(run.token)
        if plan is None:
            plan = msgspec.json.decode(run.plan or "", type=LaunchPlan)
            self._plans[run.token] = plan
        return plan

    def _is_overdue(self, run: Run, plan: LaunchPlan) -> bool:
        if plan.timeout_sec <= 0:
            return False
        return run.ran_sec(self._clock.since_boot_sec()) >= plan.timeout_sec

    def _end(
        self,
        run: Run,
        plan: LaunchPlan,
        outcome: Outcome,
        reason: str | None,
        exit_code: int | None = None,
        *,
        role: str | None = None,
    ) -> None:
        """End the run; `role` is the window whose end that is."""
        self._forget_doubts(run)
        at = None if role is None else self._files.exited_at(run.token, role)
        self._ledger.end_run(run, outcome, reason, exit_code=exit_code, retries=plan.retries, at=at)
