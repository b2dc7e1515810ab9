"""What the queue needs from its database, as a Protocol. `adapters/` fulfil it.

One contract suite runs on its fake, on SQLite and on PostgreSQL: `test_store_contract.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from scheduler_modules.model import (
    Claimable,
    Dependency,
    Fact,
    Group,
    NewProject,
    Project,
    ProjectState,
    Run,
    Task,
)


class QueueStore(Protocol):
    """The tables of the queue. Values in, values out; legality is `queue_manager`'s business.

    Every call outside `transaction()` is a transaction of its own. One object may be used by
    several threads.

    Raises (any method):
        DatabaseUnavailable: the database went away or stayed locked for 30 s.
        DiskFull: no space left; the transaction was rolled back.
    """

    def transaction(self) -> AbstractContextManager[None]:
        """Reserve the right to write at once; commit at the end, roll back on an exception.

        Calls inside belong to it; a nested `transaction()` joins the outer one. A commit is
        durable when this returns.
        """
        ...

    def ring(self) -> None:
        """Wake every daemon that waits on this database, as soon as the change can be seen.

        Inside a transaction: once it has committed, and only then. Carries nothing; one that is
        missed costs a daemon a second at most.
        """
        ...

    def close(self) -> None:
        """Close the connections of every thread that has ended, and the caller's own."""
        ...

    # -- projects ---------------------------------------------------------------------------

    def add_project(self, new: NewProject) -> int:
        """Insert a queued row with its plan and dependencies; return the id."""
        ...

    def project(self, project_id: int) -> Project | None: ...

    def projects(
        self,
        statuses: Collection[str] | None = None,
        *,
        batch_id: str | None = None,
        group: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Project]:
        """Return projects by canonical status (None: all): priority descending, then age, then id.

        `group`: of that group only; `""` is the default one. `newest_first`: id descending
        instead.
        """
        ...

    def projects_named(self, beginning: str, limit: int) -> list[Project]:
        """Return projects whose name begins so, newest first; an exact name before all others.

        Upper and lower case are the same.
        """
        ...

    def same_spec(
        self,
        *,
        spec_path: str,
        spec_key: str,
        project_path: str | None,
        project_key: str | None,
        statuses: Collection[str],
        limit: int = 20,
    ) -> list[Project]:
        """Return projects of the same spec and the same folder, newest first.

        Same spec: the row's `spec_path` is `spec_path`, or its plan's key is `spec_key`. Folder
        likewise; None equals None.
        """
        ...

    def save_project(self, before: Project, after: Project) -> bool:
        """Write `after` if the row still holds `before.stored_status`. False: somebody was first.

        Writes status, times, error_message, retry_count, batch_id, priority, fresh_start, the
        session's name (all its columns alike), group, host, held_at, not_before and retries_used;
        nothing else. What `after` leaves as it was before may stay as somebody else wrote it
        meanwhile. A group nobody made yet is made, without limits.
        """
        ...

    def remove_project(self, project: Project) -> bool:
        """Delete the row, its plan and runs, if it still holds `project.stored_status`.

        Facts stay: they are history.
        """
        ...

    def counts(self, *, batch_id: str | None = None, group: str | None = None) -> dict[str, int]:
        """Return the number of projects by canonical status; of a batch, of a group, or of all."""
        ...

    def held_count(self) -> int:
        """Return how many queued projects are set aside."""
        ...

    def waiting_in_vain(self, limit: int) -> list[Project]:
        """Return queued projects that wait for what will not come unless a person does something.

        That is a spec that was never queued, or whose newest project has ended otherwise than
        well. What waits for those in turn is none of them. Order as `projects`.
        """
        ...

    def next_claimable(self, now: float, host: str, max_running: int) -> Claimable | None:
        """Return the queued project to run next on this host; None if none may start now.

        May start: the queue is not paused; fewer than `max_running` projects are processing, on
        all hosts together; its group is neither paused nor full; it is not held; it is not
        pinned to another host; its not-before time has come; every dependency is met; no earlier
        run of it still has processes (`cleaned_at`). Priority descending, then age, then id.
        """
        ...

    def promote_due(self, now: float) -> int:
        """Clear the not-before times that have come; return how many.

        `next_claimable` sees them without it; with it, it finds them as fast as all others.
        """
        ...

    def next_due(self) -> float | None:
        """Return the earliest not-before time at which nothing else holds a project up.

        None if there is none.
        """
        ...

    def start_run(self, before: Project, after: Project, run: Run) -> Run | None:
        """Save `after` and insert the run, as `save_project` and `add_run` do; None: neither.

        None: somebody else has changed the project since it was read.
        """
        ...

    def hold_project(self, project_id: int, at: float) -> None:
        """Set a project aside, whatever word its row holds: nothing else of it is written."""
        ...

    def set_dependencies(self, project_id: int, spec_keys: Sequence[str]) -> None:
        """Replace what the project waits for."""
        ...

    def dependencies(self, project_id: int) -> list[Dependency]:
        """Return what the project waits for, as it stands now."""
        ...

    def dependents(
        self, spec_key: str, statuses: Collection[str] = (ProjectState.QUEUED,)
    ) -> dict[str, list[int]]:
        """Return the ids of projects that name this spec in `after`, by their own specs' keys.

        Only of projects with these canonical statuses.
        """
        ...

    def spec_key_of(self, project_id: int) -> str | None:
        """Return the key of the project's spec; None for rows of old programs."""
        ...

    def raw_projects(self) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return every physical column of `project_queue`: names, and rows in listing order."""
        ...

    # -- runs -------------------------------------------------------------------------------

    def add_run(self, run: Run) -> Run:
        """Insert it (its `id` is ignored); return it with the id it got."""
        ...

    def run(self, token: str) -> Run | None: ...

    def runs_of(self, project_id: int) -> list[Run]:
        """Return the project's runs, oldest first."""
        ...

    def open_runs(self, host: str | None = None) -> list[Run]:
        """Return runs that have not ended, oldest first; of one host, or of all."""
        ...

    def uncleaned_runs(self, host: str) -> list[Run]:
        """Return ended runs of the host whose processes have not been seen gone, oldest first."""
        ...

    def save_run(self, run: Run) -> bool:
        """Write the run by its token. False: it has ended already, nothing was written."""
        ...

    def mark_cleaned(self, token: str, at: float) -> bool:
        """Record that an ended run has no processes left."""
        ...

    # -- facts ------------------------------------------------------------------------------

    def add_fact(
        self,
        name: str,
        at: float,
        project_id: int | None = None,
        run_id: int | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> int: ...

    def facts(
        self, after_id: int = 0, *, project_id: int | None = None, limit: int = 1000
    ) -> list[Fact]:
        """Return facts with a greater id, oldest first."""
        ...

    def cursor(self, listener: str) -> int:
        """Return the id of the last fact the listener has dealt with; 0 at first."""
        ...

    def set_cursor(self, listener: str, fact_id: int) -> None: ...

    # -- groups -----------------------------------------------------------------------------

    def groups(self, *, is_counted: bool = True) -> list[Group]:
        """Return all groups by name, the default one (`""`) first; counts as they stand now.

        Counting looks at every queued project. `is_counted` False: all counts are 0.
        """
        ...

    def save_group(self, name: str, max_running: int | None, paused_at: float | None) -> None:
        """Make or change a group; None: no limit of its own, not paused."""
        ...

    def remove_group(self, name: str) -> bool:
        """Delete a group. False: it has projects that have not ended, or there is none."""
        ...

    # -- check-ins and odds -----------------------------------------------------------------

    def add_task(self, task: Task) -> int:
        """Insert it (its `id` is ignored); return the id."""
        ...

    def tasks(self) -> list[Task]:
        """Return all check-ins by due time, then id."""
        ...

    def remove_task(self, task_id: int) -> bool: ...

    def get_state(self, key: str) -> str | None:
        """Return a value of `scheduler_state`."""
        ...

    def set_state(self, key: str, value: str) -> None: ...
