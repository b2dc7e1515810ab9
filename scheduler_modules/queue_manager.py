"""The queue and its state machine: the only writer of a project's status and of its facts."""

import os
from collections.abc import Callable

import msgspec

from scheduler_modules import queue_rules
from scheduler_modules.errors import (
    IllegalTransition,
    NotPossible,
    StaleToken,
)
from scheduler_modules.model import (
    Claimable,
    FactName,
    NewProject,
    Outcome,
    Project,
    ProjectState,
    Run,
    RunPhase,
)
from scheduler_modules.queue_moves import QueueMoves
from scheduler_modules.store_port import QueueStore

RECOVERABLE = frozenset({ProjectState.FAILED, ProjectState.ZOMBIE, ProjectState.TIMING_OUT})
"""States a person may declare to be really fine."""


class Enqueued(msgspec.Struct, frozen=True, kw_only=True):
    """What `enqueue` found or did."""

    project_id: int
    is_new: bool
    duplicate_of: Project | None = None
    """The project that stands for this spec already; None if a row was added."""


class Claim(msgspec.Struct, frozen=True):
    """A project taken off the queue, and the run that now holds it."""

    project: Project
    run: Run


class QueueManager:
    """Enqueue, claim, and every legal move of a project.

    Each method is one transaction; the fact that tells of a change commits with it. Methods that
    take a `run` are fenced: once the run has ended they raise StaleToken and change nothing.
    """

    def __init__(
        self,
        moves: QueueMoves,
        *,
        host: str,
        max_concurrent: int,
        new_token: Callable[[], str] = lambda: os.urandom(16).hex(),
    ) -> None:
        self._moves = moves
        self._store = moves.store
        self._clock = moves.clock
        self._host = host
        self._max_concurrent = max_concurrent
        self._new_token = new_token

    @property
    def store(self) -> QueueStore:
        """The store, for reading."""
        return self._store

    @property
    def moves(self) -> QueueMoves:
        """What everything over one store is built from."""
        return self._moves

    # -- looking ----------------------------------------------------------------------------

    def get(self, project_id: int) -> Project:
        """Return the project.

        Raises:
            ProjectNotFound: no row has that id.
        """
        return self._moves.get(project_id)

    def open_run_of(self, project_id: int) -> Run | None:
        """Return the run that holds the project now; None if none does."""
        return self._moves.open_run_of(project_id)

    def peek(self) -> Project | None:
        """Return the project that `claim_next` would take now; None if it would take none."""
        claimable = self._next_claimable()
        return None if claimable is None else claimable.project

    def free_slots(self) -> int:
        """Return how many more projects may run now, over the whole database."""
        return max(0, self._max_concurrent - len(self._store.projects([ProjectState.PROCESSING])))

    # -- in and out of the queue ------------------------------------------------------------

    def enqueue(self, new: NewProject, *, again: bool = False) -> Enqueued:
        """Queue a spec unless it stands there already.

        A spec is the same if spec and project folder are. One that is queued or running is never
        added twice; one that ended less than 300 s ago only with `again` or a `retry_count`.

        Raises:
            InvalidInput: its `after` entries would make it wait for itself.
        """
        with self._moves.transaction():
            duplicate = self._duplicate(new, again=again)
            if duplicate is not None:
                return Enqueued(project_id=duplicate.id, is_new=False, duplicate_of=duplicate)
            self._moves.refuse_circle(new.spec_key, new.after_keys)
            project_id = self._store.add_project(new)
            self._moves.tell(
                FactName.PROJECT_QUEUED,
                project_id,
                spec_path=new.spec_path,
                priority=new.priority,
                batch_id=new.batch_id,
            )
            return Enqueued(project_id=project_id, is_new=True)

    def claim_next(self, daemon_id: str) -> Claim | None:
        """Take the next project off the queue; None if no slot is free or nothing may run.

        A row that cannot be taken, whatever an old program made of it, is set aside with the
        reason: it must not keep all others from running.
        """
        refused: set[int] = set()
        while True:
            with self._moves.transaction():
                claimable = self._next_claimable()
                if claimable is None or claimable.project.id in refused:
                    return None
                try:
                    return self._claim(claimable, daemon_id)
                except NotPossible as error:
                    refused.add(claimable.project.id)
                    self._store.hold_project(claimable.project.id, self._clock.now())
                    self._moves.tell(FactName.PROJECT_HELD, claimable.project.id, reason=str(error))

    def remove(self, project_id: int, *, only: Project | None = None) -> list[str]:
        """Take a project that is not running out of the database; its facts stay.

        `only`: as it was shown to a person. Returns the tokens of its runs.

        Raises:
            ProjectNotFound
            NotPossible: it runs, is not as it was shown, or has met what another still needs.
        """
        with self._moves.transaction():
            project = self._moves.get(project_id)
            if only is not None:
                self._moves.refuse_changed(project, only)
            self._moves.refuse_needed(project)
            if project.state is ProjectState.PROCESSING:
                raise NotPossible(f"project {project_id} is running: fail it first, then remove it")
            runs = self._store.runs_of(project_id)
            if any(run.cleaned_at is None for run in runs):
                raise NotPossible(
                    f"project {project_id}: what is left of its run has not been ended yet; "
                    "a daemon does that"
                )
            if not self._store.remove_project(project):
                raise NotPossible(f"project {project_id} changed meanwhile; nothing was removed")
            self._moves.tell(
                FactName.PROJECT_REMOVED,
                project_id,
                spec_path=project.spec_path,
                status=project.status,
            )
        return [run.token for run in runs]

    # -- operator's moves -------------------------------------------------------------------

    def reset(self, project_id: int, reason: str = "reset by an operator") -> Project:
        """Put a project back in the queue as if it were new, ending its run if it has one.

        Legal from every state but queued and completed; also from words of old programs that are
        no state at all, so that nothing is stuck for ever. Its retries start afresh.

        Raises:
            ProjectNotFound
            IllegalTransition: it is queued already, or completed.
        """
        with self._moves.transaction():
            before = self._moves.get(project_id)
            if before.state is not None:
                queue_rules.check_move(before, ProjectState.QUEUED)
            run = self._moves.open_run_of(project_id)
            if run is not None:
                self._moves.end(run, Outcome.RESET, reason, None)
            after = queue_rules.fresh(before)
            self._moves.save(before, after)
            self._moves.tell(
                FactName.PROJECT_RESET, project_id, run, reason=reason, was=before.status
            )
        return after

    def retry(self, project_id: int) -> Project:
        """Queue an ended project again.

        Raises:
            ProjectNotFound
            NotPossible: it is running.
            IllegalTransition: it is queued already, or completed.
        """
        project = self._moves.get(project_id)
        if project.state is ProjectState.PROCESSING:
            raise NotPossible(f"project {project_id} is running; reset ends its run and queues it")
        return self.reset(project_id, "retried by an operator")

    def mark_recovered(self, project_id: int) -> Project:
        """Record that a failed, zombie or timing-out project is really fine.

        Raises:
            ProjectNotFound
            IllegalTransition: it is in any other state.
        """
        with self._moves.transaction():
            before = self._moves.get(project_id)
            if before.state not in RECOVERABLE:
                raise IllegalTransition(project_id, before.status, ProjectState.RECOVERED)
            after = msgspec.structs.replace(
                before,
                status=ProjectState.RECOVERED,
                started_at=self._clock.now(),
                error_message="Manually recovered",
            )
            self._moves.move(before, after)
            self._moves.tell(FactName.PROJECT_RECOVERED, project_id, was=before.status)
        return after

    def finish(self, project_id: int, *, success: bool, reason: str | None = None) -> Project:
        """End a project as completed or failed for good, whatever runs for it.

        Its run, if any, is over from then on; the daemon ends what is left of it. Asking again for
        the state it is in already changes nothing.

        Raises:
            ProjectNotFound, IllegalTransition
        """
        new = ProjectState.COMPLETED if success else ProjectState.FAILED
        with self._moves.transaction():
            before = self._moves.get(project_id)
            if before.state is new:
                return before
            after = msgspec.structs.replace(
                before, status=new, completed_at=self._clock.now(), error_message=reason
            )
            self._moves.move(before, after)
            run = self._moves.open_run_of(project_id)
            if run is not None:
                outcome = Outcome.COMPLETED if success else Outcome.FAILED
                self._moves.end(run, outcome, reason, None)
            name = FactName.PROJECT_COMPLETED if success else FactName.PROJECT_FAILED
            self._moves.tell(name, project_id, run, reason=reason)
        return after

    def report(
        self,
        project_id: int,
        outcome: Outcome,
        note: str | None = None,
        *,
        token: str | None = None,
    ) -> None:
        """Record what a running project says of itself; the daemon acts on it.

        "Done" is a claim until the spec's `verify` has passed. `token` fences: given, it must be
        the token of the run that holds the project now.

        Raises:
            ProjectNotFound
            StaleToken: another run holds the project.
            NotPossible: nothing runs for it.
        """
        with self._moves.transaction():
            project = self._moves.get(project_id)
            run = self._moves.open_run_of(project_id)
            if run is None:
                if token is not None:
                    raise StaleToken(project_id)
                if project.state is ProjectState.PROCESSING:
                    raise NotPossible(f"project {project_id} is run by another program")
                raise NotPossible(f"project {project_id} is {_word(project)}, not running")
            if token is not None and token != run.token:
                raise StaleToken(project_id)
            self._moves.write(msgspec.structs.replace(run, reported=outcome, reported_note=note))
            self._moves.tell(
                FactName.PROJECT_REPORTED, project_id, run, outcome=outcome.value, note=note
            )

    # -- what other programs do -------------------------------------------------------------

    def record_move(self, project_id: int, state: ProjectState, reason: str | None) -> None:
        """Record a legal move that another program made itself, without a run of ours.

        Raises:
            ProjectNotFound, IllegalTransition
            NotPossible: a run of ours holds the project.
        """
        with self._moves.transaction():
            before = self._moves.get(project_id)
            if self._moves.open_run_of(project_id) is not None:
                raise NotPossible(f"project {project_id} is run by a daemon, which judges it")
            is_start = state is ProjectState.PROCESSING
            after = msgspec.structs.replace(
                before,
                status=state,
                started_at=self._clock.now() if is_start else before.started_at,
                error_message=reason or before.error_message,
            )
            self._moves.move(before, after)
            name = FactName.PROJECT_STARTED if is_start else FactName.PROJECT_CHANGED
            self._moves.tell(name, project_id, status=state.value, reason=reason)

    def set_session_name(self, project_id: int, name: str) -> None:
        """Record the session that another program made for a project."""
        with self._moves.transaction():
            before = self._moves.get(project_id)
            self._moves.save(before, msgspec.structs.replace(before, session_name=name))
            self._moves.tell(FactName.PROJECT_CHANGED, project_id, session=name)

    # -- below: each runs inside the caller's transaction -----------------------------------

    def _claim(self, claimable: Claimable, daemon_id: str) -> Claim:
        now = self._clock.now()
        before = claimable.project
        wanted = self._new_run(before, claimable.attempts + 1, daemon_id, now)
        after = msgspec.structs.replace(
            before,
            status=ProjectState.PROCESSING,
            started_at=now,
            completed_at=None,
            session_name=wanted.session_name,
            not_before=None,
        )
        queue_rules.check_move(before, ProjectState.PROCESSING)
        run = self._store.start_run(before, after, wanted)
        if run is None:
            raise NotPossible(f"the row of project {before.id} holds a status nobody can change")
        self._moves.tell(
            FactName.PROJECT_STARTED, before.id, run, attempt=run.attempt, host=self._host
        )
        return Claim(after, run)

    def _duplicate(self, new: NewProject, *, again: bool) -> Project | None:
        def same(statuses: tuple[ProjectState, ...]) -> list[Project]:
            return self._store.same_spec(
                spec_path=new.spec_path,
                spec_key=new.spec_key,
                project_path=new.project_path,
                project_key=new.project_key,
                statuses=statuses,
            )

        active = same(queue_rules.ACTIVE)
        if active:
            return active[0]
        if again or new.retry_count > 0:
            return None
        horizon = self._clock.now() - queue_rules.RECENT_SEC
        return next((p for p in same(queue_rules.ENDED) if (p.completed_at or 0) > horizon), None)

    def _next_claimable(self) -> Claimable | None:
        return self._store.next_claimable(self._clock.now(), self._host, self._max_concurrent)

    def _new_run(self, project: Project, attempt: int, daemon_id: str, now: float) -> Run:
        token = self._new_token()
        return Run(
            id=0,
            project_id=project.id,
            attempt=attempt,
            token=token,
            host=self._host,
            daemon_id=daemon_id,
            session_name=queue_rules.session_name(project.spec_path, token),
            phase=RunPhase.STARTING,
            claimed_at=now,
        )


def _word(project: Project) -> str:
    """Return a project's state as people call it."""
    if project.state is ProjectState.PROCESSING:
        return "running"
    return project.status or "in no state"
