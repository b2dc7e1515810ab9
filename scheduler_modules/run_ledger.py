"""The life of a run: planned, up, verifying, ended, cleaned. Fenced by the run's token."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from scheduler_modules import queue_rules
from scheduler_modules.errors import StaleToken
from scheduler_modules.model import (
    FactName,
    LaunchPlan,
    Outcome,
    Project,
    ProjectState,
    Run,
    RunPhase,
)
from scheduler_modules.queue_moves import QueueMoves
from scheduler_modules.tmux_values import (
    CreatedSession,
)


class RunLedger:
    """Each method is one transaction. Once a run has ended, all but the last raise StaleToken."""

    def __init__(self, moves: QueueMoves, *, retry_delay_sec: float) -> None:
        self._moves = moves
        self._store = moves.store
        self._clock = moves.clock
        self._retry_delay_sec = retry_delay_sec

    def record_plan(self, run: Run, plan: LaunchPlan) -> Run:
        """Fix how the run is to be carried out and count the attempt to make its session."""
        with self._moves.transaction():
            current = self._current(run)
            after = msgspec.structs.replace(
                current, plan=msgspec.json.encode(plan).decode(), launches=current.launches + 1
            )
            self._moves.write(after)
            if after.launches > 1:
                self._moves.tell(
                    FactName.RUN_RELAUNCHED, run.project_id, run, launches=after.launches
                )
        return after

    def record_session(self, run: Run, created: CreatedSession, *, adopted: bool) -> Run:
        """Record that the run's session is up: made just now, or found again after a crash."""
        with self._moves.transaction():
            current = self._current(run)
            after = msgspec.structs.replace(
                current,
                phase=RunPhase.RUNNING,
                session_id=created.session_id,
                main_pane_id=created.panes[0].pane_id,
                server_pid=created.server.pid,
                server_started_at=created.server.started_at,
                started_at=current.started_at or self._clock.now(),
                boot_id=self._clock.boot_id(),
                started_boot_sec=self._clock.since_boot_sec(),
            )
            self._moves.write(after)
            name = FactName.RUN_ADOPTED if adopted else FactName.PROJECT_RUNNING
            self._moves.tell(name, run.project_id, run, session=run.session_name)
        return after

    def record_follower(self, run: Run, daemon_id: str) -> None:
        """Record that another daemon than before follows the run from now on."""
        with self._moves.transaction():
            self._moves.write(msgspec.structs.replace(self._current(run), daemon_id=daemon_id))
            if run.phase is not RunPhase.STARTING:
                # Of one without a session yet, adopting it will tell.
                self._moves.tell(
                    FactName.RUN_ADOPTED, run.project_id, run, session=run.session_name
                )

    def record_takeover(self, run: Run, session_name: str, created: CreatedSession) -> Run:
        """Record that an external launcher has made the project's session under its own name."""
        with self._moves.transaction():
            before = self._moves.get(run.project_id)
            after = msgspec.structs.replace(
                self._current(run),
                session_name=session_name,
                session_id=created.session_id,
                main_pane_id=None,
                server_pid=created.server.pid,
                server_started_at=created.server.started_at,
            )
            self._moves.write(after)
            self._moves.save(before, msgspec.structs.replace(before, session_name=session_name))
            self._moves.tell(
                FactName.RUN_ADOPTED, run.project_id, run, session=session_name, by="launcher"
            )
        return after

    def record_verifying(self, run: Run, pane_id: str, exit_code: int | None) -> Run:
        """Record that the command claims success and verification has begun."""
        with self._moves.transaction():
            after = msgspec.structs.replace(
                self._current(run),
                phase=RunPhase.VERIFYING,
                verify_pane_id=pane_id,
                exit_code=exit_code,
            )
            self._moves.write(after)
            self._moves.tell(FactName.PROJECT_VERIFYING, run.project_id, run)
        return after

    def record_paused(self, run: Run, stop: Callable[[], bool]) -> tuple[Run, bool]:
        """Stop the processes of the run and record that; return the run and what `stop` said.

        They are stopped while we hold the right to write: one that was stopped in the middle of
        a change of its own, an agent that says `done`, would keep everybody from writing until
        it goes on.
        """
        with self._moves.transaction():
            current = self._current(run)
            are_all_stopped = stop()
            if current.paused_boot_sec is not None:
                return current, are_all_stopped
            after = msgspec.structs.replace(current, paused_boot_sec=self._clock.since_boot_sec())
            self._moves.write(after)
            self._moves.tell(FactName.RUN_PAUSED, run.project_id, run)
        return after, are_all_stopped

    def record_resumed(self, run: Run) -> Run:
        """Record that the processes of the run go on."""
        with self._moves.transaction():
            current = self._current(run)
            after = msgspec.structs.replace(
                current,
                paused_boot_sec=None,
                paused_sec=current.stood_still_sec(self._clock.since_boot_sec()),
            )
            self._moves.write(after)
            self._moves.tell(FactName.RUN_RESUMED, run.project_id, run)
        return after

    def end_run(
        self,
        run: Run,
        outcome: Outcome,
        reason: str | None = None,
        *,
        exit_code: int | None = None,
        retries: int = 0,
        at: float | None = None,
    ) -> Project | None:
        """Record how a run ended: the project is completed, queued for a retry, or failed.

        `retries`: how many automatic retries its spec allows in all. `at`: when it ended, where
        that is known; nobody may have been there to see it. Where another program has
        moved or removed the row meanwhile, only the run is ended and None returned.

        Raises:
            StaleToken: the run had ended already.
        """
        with self._moves.transaction():
            now = self._clock.now()
            ended_at = now if at is None else min(max(at, run.claimed_at), now)
            self._moves.end(self._current(run), outcome, reason, exit_code, ended_at)
            before = self._store.project(run.project_id)
            if before is None or before.state is not ProjectState.PROCESSING:
                return None
            after = queue_rules.after_run(
                before,
                outcome,
                reason,
                now=now,
                ended_at=ended_at,
                retries=retries,
                first_delay_sec=self._retry_delay_sec,
            )
            self._moves.move(before, after)
            self._tell_end(run, after, outcome, reason, exit_code, retries)
        return after

    def defer(self, run: Run, reason: str, after_keys: Sequence[str]) -> Project:
        """Put a claimed project back because its spec waits for others; no retry is spent."""
        with self._moves.transaction():
            key = self._store.spec_key_of(run.project_id)
            if key is not None:
                self._moves.refuse_circle(key, after_keys)
            self._moves.end(self._current(run), Outcome.RESET, reason, None)
            self._store.mark_cleaned(run.token, self._clock.now())
            self._store.set_dependencies(run.project_id, after_keys)
            before = self._moves.get(run.project_id)
            after = msgspec.structs.replace(
                before, status=ProjectState.QUEUED, started_at=None, session_name=None
            )
            self._moves.move(before, after)
            self._moves.tell(FactName.PROJECT_DEFERRED, run.project_id, run, reason=reason)
        return after

    def record_cleaned(self, runs: Sequence[Run]) -> None:
        """Record that nothing of ended runs is alive any more: their projects may run again."""
        if not runs:
            return
        with self._moves.transaction():
            for run in runs:
                if self._store.mark_cleaned(run.token, self._clock.now()):
                    self._moves.tell(FactName.RUN_CLEANED, run.project_id, run)

    def _current(self, run: Run) -> Run:
        """Return the run as it is stored: what it has reported meanwhile is not written over."""
        stored = self._store.run(run.token)
        if stored is None or stored.ended_at is not None:
            raise StaleToken(run.project_id)
        return stored

    def _tell_end(
        self,
        run: Run,
        after: Project,
        outcome: Outcome,
        reason: str | None,
        exit_code: int | None,
        retries: int,
    ) -> None:
        name = {
            ProjectState.COMPLETED: FactName.PROJECT_COMPLETED,
            ProjectState.QUEUED: FactName.PROJECT_REQUEUED,
            ProjectState.FAILED: FactName.PROJECT_FAILED,
        }[ProjectState(after.status)]
        detail: dict[str, Any] = {"outcome": outcome.value, "reason": reason}
        if exit_code is not None:
            detail["exit_code"] = exit_code
        if name is FactName.PROJECT_REQUEUED:
            detail |= {
                "retry": after.retries_used,
                "retries": retries,
                "not_before": after.not_before,
            }
        self._moves.tell(name, run.project_id, run, **detail)
