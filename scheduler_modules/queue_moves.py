"""Guarded changes of one project or run, each inside its caller's transaction."""

import itertools
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from scheduler_modules import queue_rules
from scheduler_modules.errors import InvalidInput, NotPossible, ProjectNotFound, StaleToken
from scheduler_modules.model import (
    FactName,
    Outcome,
    Project,
    ProjectState,
    Run,
    RunPhase,
)
from scheduler_modules.utils import one_line

if TYPE_CHECKING:
    from scheduler_modules.ports import Clock
    from scheduler_modules.store_port import QueueStore

logger = logging.getLogger(__name__)

_OWN_BUSINESS = frozenset(
    {
        FactName.PROJECT_STARTED,
        FactName.PROJECT_RUNNING,
        FactName.PROJECT_VERIFYING,
        FactName.RUN_RELAUNCHED,
        FactName.RUN_ADOPTED,
        FactName.RUN_PAUSED,
        FactName.RUN_RESUMED,
    }
)
"""What a daemon does with a run it holds: no other has to act on it."""

_MAY_STILL_RUN = tuple(state for state in ProjectState if state is not ProjectState.COMPLETED)


class QueueMoves:
    """The steps that `QueueManager` and `RunLedger` build their transactions from."""

    def __init__(self, store: "QueueStore", clock: "Clock") -> None:
        self.store = store
        self.clock = clock
        self._local = threading.local()

    @property
    def is_in_transaction(self) -> bool:
        """Whether the calling thread holds the right to write now."""
        return getattr(self._local, "told", None) is not None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """As the store's. What is told inside is said on the log too, once it is committed."""
        if self.is_in_transaction:
            yield
            return
        told: list[tuple[str, dict[str, Any]]] = []
        self._local.told = told
        try:
            with self.store.transaction():
                yield
        finally:
            self._local.told = None
        for name, extra in told:
            logger.info(name, extra=extra)

    def get(self, project_id: int) -> Project:
        """Return the project.

        Raises:
            ProjectNotFound: no row has that id.
        """
        project = self.store.project(project_id)
        if project is None:
            raise ProjectNotFound(project_id)
        return project

    def open_run_of(self, project_id: int) -> Run | None:
        """Return the run that holds the project now; None if none does."""
        runs = self.store.runs_of(project_id)
        return runs[-1] if runs and runs[-1].ended_at is None else None

    def move(self, before: Project, after: Project) -> None:
        queue_rules.check_move(before, ProjectState(after.status))
        self.save(before, after)

    def save(self, before: Project, after: Project) -> None:
        if not self.store.save_project(before, after):
            raise NotPossible(f"project {before.id} changed meanwhile; nothing was done")

    def write(self, run: Run) -> None:
        if not self.store.save_run(run):
            raise StaleToken(run.project_id)

    def end(
        self,
        run: Run,
        outcome: Outcome,
        reason: str | None,
        exit_code: int | None,
        at: float | None = None,
    ) -> None:
        """End a run; `at` is when, if that was not just now."""
        self.write(
            msgspec.structs.replace(
                run,
                phase=RunPhase.ENDED,
                outcome=outcome,
                reason=reason,
                exit_code=run.exit_code if exit_code is None else exit_code,
                ended_at=self.clock.now() if at is None else at,
            )
        )

    def tell(
        self, name: FactName, project_id: int | None = None, run: Run | None = None, **detail: Any
    ) -> None:
        """Record a fact with the change it tells of, inside `transaction`.

        Daemons that wait are woken by it, unless it is of no use to any but the one that tells.
        """
        detail = {key: value for key, value in detail.items() if value is not None}
        if name not in _OWN_BUSINESS:
            self.store.ring()
        self.store.add_fact(
            name, self.clock.now(), project_id, None if run is None else run.id, detail
        )
        self._local.told.append((name.value, {"project_id": project_id, **detail}))

    def refuse_circle(self, spec_key: str, after_keys: Sequence[str]) -> None:
        if not after_keys:
            return
        waiting: set[str] = set()
        ahead = [spec_key]
        while ahead:
            fresh = set(self.store.dependents(ahead.pop())) - waiting
            waiting |= fresh
            ahead.extend(fresh)
        culprit = queue_rules.find_cycle(spec_key, after_keys, waiting)
        if culprit is not None:
            raise InvalidInput(f"after: {culprit} waits for {spec_key}, so neither would ever run")

    def refuse_changed(self, project: Project, shown: Project) -> None:
        """Let pass what has come to no other end, and to none anew, since it was shown."""
        if (project.stored_status, project.completed_at) != (
            shown.stored_status,
            shown.completed_at,
        ):
            raise NotPossible(f"project {project.id} changed meanwhile; it was left")

    def refuse_needed(self, project: Project) -> None:
        """Let pass what no other project needs. What has not come to a good end helps none."""
        if project.state not in {ProjectState.COMPLETED, ProjectState.RECOVERED}:
            return
        for project_id in self.needed_by(project):
            raise NotPossible(
                f"{_about(project)} is needed by {_about(self.get(project_id))}, which may still "
                "run: remove that first"
            )

    def needed_by(self, project: Project) -> list[int]:
        """Return the projects that may still run, and only while this one stands there.

        None do if a newer project of its spec stands for it.
        """
        key = self.store.spec_key_of(project.id)
        if key is None:
            return []
        found = self.store.dependents(key, _MAY_STILL_RUN)
        waiting = sorted(itertools.chain.from_iterable(found.values()))
        if not waiting:
            return []
        known = {entry.spec_key: entry for entry in self.store.dependencies(waiting[0])}
        return waiting if known[key].project_id == project.id else []


def _about(project: Project) -> str:
    return f"project {project.id} ({one_line(project.name, 60)})"
