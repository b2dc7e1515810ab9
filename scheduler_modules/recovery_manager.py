"""Says which projects are stuck and why, and puts single ones right for an operator."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from scheduler_modules.errors import TmuxUnavailable
from scheduler_modules.model import (
    LaunchPlan,
    Project,
    ProjectState,
    Run,
    RunPhase,
)
from scheduler_modules.ports import (
    Clock,
    Tmux,
)
from scheduler_modules.queue_manager import QueueManager
from scheduler_modules.session_names import has_session
from scheduler_modules.store_port import QueueStore
from scheduler_modules.tmux_values import (
    PaneState,
    TmuxSnapshot,
)
from scheduler_modules.utils import short_duration

WATCHED = (
    ProjectState.PROCESSING,
    ProjectState.TIMING_OUT,
    ProjectState.ZOMBIE,
    ProjectState.FAILED,
)


class StuckLimits(msgspec.Struct, frozen=True, kw_only=True):
    """From when on a running project is suspicious."""

    run_sec: float = 10_800
    """Longest life of a project without a run of ours; runs have a time-out of their own."""
    manual_sec: float = 7_200
    """The same when an operator asks about one project."""
    start_grace_sec: float = 60
    """How long a claimed run may take to show its session."""
    old_grace_sec: float = 1_800
    """The same for rows that an old program started."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a project is stuck. `is_stuck` None: that cannot be known now."""

    project: Project
    is_stuck: bool | None
    reason: str
    """Why, or why not."""


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking for a reset."""

    is_done: bool
    reason: str


class RecoveryManager:
    """Judges from one look at tmux and the rows. Ends no session and no process.

    `tmux` and `old_tmux` are the servers a project's session may live on. Where one of them
    cannot be asked, nothing is called stuck that needs its answer.
    """

    def __init__(
        self,
        queue: QueueManager,
        store: QueueStore,
        tmux: Tmux,
        clock: Clock,
        limits: StuckLimits | None = None,
        old_tmux: Tmux | None = None,
    ) -> None:
        self._queue = queue
        self._store = store
        self._servers = (tmux,) if old_tmux is None else (tmux, old_tmux)
        self._clock = clock
        self._limits = StuckLimits() if limits is None else limits

    # -- looking ----------------------------------------------------------------------------

    def stuck_report(self) -> list[Verdict]:
        """Return a verdict on every processing, timing-out, zombie and failed project, by id."""
        look = self._look()
        projects = sorted(self._store.projects(WATCHED), key=lambda project: project.id)
        return [self._judge(project, look, is_manual=False) for project in projects]

    def is_stuck_or_zombie(self, project_id: int) -> Verdict:
        """Return the verdict on one project.

        Raises:
            ProjectNotFound
        """
        return self._judge(self._queue.get(project_id), self._look(), is_manual=False)

    def check_by_hand(self, project_id: int) -> Verdict:
        """Return the verdict on one project as an operator wants it: no grace, a shorter limit.

        Raises:
            ProjectNotFound
        """
        return self._judge(self._queue.get(project_id), self._look(), is_manual=True)

    def get_recovery_diagnostics(self) -> dict[str, Any]:
        """Return what is needed to see why the queue does not move, ready for JSON."""
        look = self._look()
        return {
            "timestamp": datetime.fromtimestamp(self._clock.now(), UTC).isoformat(),
            "process_manager": self._runs_by_phase(),
            "stuck_projects": [
                {"project_id": verdict.project.id, "reason": verdict.reason}
                for verdict in self.stuck_report()
                if verdict.is_stuck
            ],
            "tmux_sessions": look.described(),
            "active_orchestrations": [
                {
                    "project_id": run.project_id,
                    "session": run.session_name,
                    "phase": run.phase.value,
                    "attempt": run.attempt,
                }
                for run in self._store.open_runs()
            ],
        }

    def _runs_by_phase(self) -> dict[str, int]:
        phases = [run.phase for run in self._store.open_runs()]
        return {phase.value: phases.count(phase) for phase in RunPhase if phase in phases}

    # -- acting -----------------------------------------------------------------------------

    def check_and_reset_specific_project(self, project_id: int, *, force: bool = False) -> Reset:
        """Fail a running project that is too old or has no session; `force`: queue it again.

        A run of ours is too old when its own time-out is over; anything else after two hours.

        Raises:
            ProjectNotFound
            IllegalTransition: `force`, and it is queued already or completed.
        """
        if force:
            self._queue.reset(project_id)
            return Reset(is_done=True, reason="reset by an operator")
        project = self._queue.get(project_id)
        if project.state is not ProjectState.PROCESSING:
            return Reset(is_done=False, reason=f"it is {project.status}, not processing")
        verdict = self.check_by_hand(project_id)
        if not verdict.is_stuck:
            return Reset(is_done=False, reason=verdict.reason)
        self._queue.finish(
            project_id, success=False, reason=f"reset by an operator: {verdict.reason}"
        )
        return Reset(is_done=True, reason=verdict.reason)

    def fail_stuck(self, project_id: int, reason: str) -> Project:
        """Record that a stuck project failed, with why it was stuck.

        Raises:
            ProjectNotFound
            IllegalTransition: it is queued, completed, or in a state that is none.
        """
        return self._queue.finish(
            project_id, success=False, reason=f"reset by an operator: {reason}"
        )

    # -- judging ----------------------------------------------------------------------------

    def _look(self) -> "_Look":
        try:
            return _Look(tuple(server.snapshot() for server in self._servers), None)
        except TmuxUnavailable as error:
            return _Look((), str(error))

    def _judge(self, project: Project, look: "_Look", *, is_manual: bool) -> Verdict:
        state = project.state
        if state in {ProjectState.ZOMBIE, ProjectState.TIMING_OUT}:
            return Verdict(project=project, is_stuck=True, reason=f"state is {project.status}")
        if state not in WATCHED:
            return Verdict(project=project, is_stuck=False, reason=f"state is {project.status}")
        if look.trouble is not None:
            reason = f"unknown: {look.trouble}"
            return Verdict(project=project, is_stuck=None, reason=reason)
        if state is ProjectState.FAILED:
            problem = _problem_of_failed(project, look)
            calm = "it failed and nothing of it runs"
        else:
            problem = self._problem_of_processing(project, look, is_manual=is_manual)
            calm = "its session is alive and its time is not over"
        return Verdict(project=project, is_stuck=problem is not None, reason=problem or calm)

    def _problem_of_processing(
        self, project: Project, look: "_Look", *, is_manual: bool
    ) -> str | None:
        run = self._queue.open_run_of(project.id)
        started_at = project.started_at
        age_sec = None if started_at is None else self._clock.now() - started_at
        if run is not None:
            return self._problem_of_run(run, age_sec, look)
        limit_sec = self._limits.manual_sec if is_manual else self._limits.run_sec
        if age_sec is not None and age_sec > limit_sec:
            return _too_old(age_sec, limit_sec)
        is_spared = not is_manual and age_sec is not None and age_sec <= self._limits.old_grace_sec
        if is_spared or has_session(project, look.session_names()):
            return None
        return _without_session(project)

    def _problem_of_run(self, run: Run, age_sec: float | None, look: "_Look") -> str | None:
        waited_sec = self._clock.now() - run.claimed_at
        is_starting = run.phase is RunPhase.STARTING and waited_sec <= self._limits.start_grace_sec
        if not is_starting and not look.panes_of(run):
            return f"session {run.session_name} is gone"
        limit_sec = _limit_sec(run)
        if limit_sec > 0 and age_sec is not None and age_sec > limit_sec:
            return _too_old(age_sec, limit_sec)
        return None


def _limit_sec(run: Run) -> float:
    """Return the run's own time-out; 0 where it has none or was not planned yet."""
    return 0 if run.plan is None else msgspec.json.decode(run.plan, type=LaunchPlan).timeout_sec


class _Look(msgspec.Struct, frozen=True):
    """All servers at one moment; `trouble` says why one of them could not be asked."""

    snapshots: tuple[TmuxSnapshot, ...]
    trouble: str | None

    def session_names(self) -> frozenset[str]:
        return frozenset().union(*(look.session_names() for look in self.snapshots))

    def panes_named(self, session_name: str | None) -> list[PaneState]:
        if session_name is None:
            return []
        return [pane for look in self.snapshots for pane in look.of_session(session_name)]

    def panes_of(self, run: Run) -> list[PaneState]:
        ours = [pane for look in self.snapshots for pane in look.of_run(run.token)]
        return ours or self.panes_named(run.session_name)

    def described(self) -> dict[str, Any]:
        panes = [pane for look in self.snapshots for pane in look.panes]
        names = sorted({pane.session_name for pane in panes})
        return {
            "is_available": self.trouble is None,
            "trouble": self.trouble,
            "sessions": [
                {
                    "name": name,
                    "windows": len({p.window_id for p in panes if p.session_name == name}),
                }
                for name in names
            ],
        }


def _problem_of_failed(project: Project, look: _Look) -> str | None:
    if any(not pane.is_dead for pane in look.panes_named(project.session_name)):
        return f"session {project.session_name} still runs"
    return None


def _without_session(project: Project) -> str:
    if project.session_name is None:
        return "it has no session"
    return f"session {project.session_name} is gone"


def _too_old(age_sec: float, limit_sec: float) -> str:
    return f"running for {short_duration(age_sec)}, limit {short_duration(limit_sec)}"
