"""The queue's tables in memory, with the promises of the port: isolation, roll-back, uniqueness."""

import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from scheduler_modules.errors import NotPossible
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
    canonical_status,
)
from scheduler_modules.store_port import QueueStore
from tests.fakes.store_tables import (
    RAW_COLUMNS,
    Plan,
    Tables,
    is_open,
    is_unfinished,
    listing_order,
    name_of,
    raw_row,
    refuse_unstorable,
    run_to_keep,
    writable,
)

_ACTIVE = ("queued", "processing")
_ENDED_BADLY = {"failed", "permanently_failed", "retried", "cancelled", "superseded", "archived"}
_SAVED = (
    "status",
    "enqueued_at",
    "started_at",
    "completed_at",
    "error_message",
    "retry_count",
    "batch_id",
    "priority",
    "fresh_start",
    "session_name",
    "group",
    "host",
    "held_at",
    "not_before",
    "retries_used",
)
_UNENDED = ("queued", "processing", "timing_out", "zombie", "credit_paused")


class FakeStore(QueueStore):
    """Other threads see only what was committed; one transaction runs at a time."""

    def __init__(self) -> None:
        self._committed = Tables()
        self._working: Tables | None = None
        self._writer: int | None = None
        self._lock = threading.Lock()
        self._is_ring_wanted = False
        self.rings = 0
        """How often those who wait for a commit were woken."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._writer == threading.get_ident():
            yield
            return
        with self._lock:
            self._working, self._writer = self._committed.copy(), threading.get_ident()
            self._is_ring_wanted = False
            try:
                yield
                self._committed = self._working
                self.rings += self._is_ring_wanted
            finally:
                self._working, self._writer = None, None

    def ring(self) -> None:
        if self._writer == threading.get_ident():
            self._is_ring_wanted = True
        else:
            self.rings += 1

    def close(self) -> None:
        """There is nothing to close."""

    @property
    def _tables(self) -> Tables:
        if self._writer == threading.get_ident():
            assert self._working is not None
            return self._working
        return self._committed

    # -- projects ---------------------------------------------------------------------------

    def insert_row(self, **columns: Any) -> int:
        """Insert a row as an old program would: any status, no plan. Return its id."""
        status = columns.pop("status", "queued")
        row: dict[str, Any] = {"enqueued_at": 1_000.0, "name": name_of(columns["spec_path"])}
        row |= columns
        with self.transaction():
            project_id = self._tables.new_id("projects")
            self._tables.projects[project_id] = Project(
                id=project_id, status=canonical_status(status), stored_status=status, **row
            )
        return project_id

    def add_project(self, new: NewProject) -> int:
        row = msgspec.structs.asdict(new)
        refuse_unstorable(row)
        after_keys, spec_key = row.pop("after_keys"), row.pop("spec_key")
        plan = Plan(spec_key, row.pop("project_key"))
        with self.transaction():
            project_id = self._tables.last_ids["projects"] + 1
            project = Project(id=project_id, status="queued", stored_status="queued", **row)
            if twin := self._active_twin(project):
                raise NotPossible(f"the same spec is already queued or running as project {twin}")
            self._tables.new_id("projects")
            self._tables.projects[project_id] = project
            self._tables.plans[project_id] = plan
            self._make_group(project.group)
            self._tables.waits[project_id] = tuple(after_keys)
        return project_id

    def project(self, project_id: int) -> Project | None:
        return self._tables.projects.get(project_id)

    def projects(
        self,
        statuses: Collection[str] | None = None,
        *,
        batch_id: str | None = None,
        group: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Project]:
        found = [
            project
            for project in self._tables.projects.values()
            if (statuses is None or project.status in statuses)
            and batch_id in (None, project.batch_id)
            and group in (None, project.group)
        ]
        if newest_first:
            found.sort(key=lambda project: -project.id)
        else:
            found.sort(key=listing_order)
        return found[: None if limit is None else max(0, limit)]

    def projects_named(self, beginning: str, limit: int) -> list[Project]:
        wanted = beginning.lower()
        found = [p for p in self._tables.projects.values() if p.name.lower().startswith(wanted)]
        found.sort(key=lambda project: (project.name.lower() != wanted, -project.id))
        return found[: max(0, limit)]

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
        def is_same(project: Project) -> bool:
            plan = self._tables.plans.get(project.id)
            is_spec = project.spec_path == spec_path or (plan and plan.spec_key == spec_key)
            is_folder = project.project_path == project_path or (
                plan and plan.project_key == project_key
            )
            return bool(is_spec and is_folder)

        found = self.projects(statuses, newest_first=True)
        return [project for project in found if is_same(project)][: max(0, limit)]

    def save_project(self, before: Project, after: Project) -> bool:
        values = {name: getattr(after, name) for name in _SAVED}
        values["error_message"] = writable(after.error_message)
        refuse_unstorable(values)
        with self.transaction():
            row = self._tables.projects.get(before.id)
            if row is None or row.stored_status != before.stored_status:
                return False
            saved = msgspec.structs.replace(
                row,
                **values
                | {"status": canonical_status(after.status), "stored_status": str(after.status)},
            )
            self._refuse_twins(saved)
            self._tables.projects[before.id] = saved
            if saved.group != before.group or saved.status == "queued":
                self._make_group(saved.group)
        return True

    def _refuse_twins(self, project: Project) -> None:
        if twin := self._active_twin(project):
            raise NotPossible(
                f"project {project.id}: the same spec is already queued or running as "
                f"project {twin}"
            )
        for other in self._tables.projects.values():
            if (
                other.id != project.id
                and project.session_name is not None
                and other.session_name == project.session_name
                and other.stored_status == project.stored_status == "processing"
            ):
                raise NotPossible(
                    f"project {project.id}: session {project.session_name} belongs to "
                    f"project {other.id}"
                )

    def _active_twin(self, project: Project) -> int | None:
        if project.stored_status not in _ACTIVE or project.project_path is None:
            return None
        twins = (
            other.id
            for other in self._tables.projects.values()
            if other.id != project.id
            and other.stored_status in _ACTIVE
            and (other.spec_path, other.project_path) == (project.spec_path, project.project_path)
        )
        return next(twins, None)

    def remove_project(self, project: Project) -> bool:
        with self.transaction():
            row = self._tables.projects.get(project.id)
            if row is None or row.stored_status != project.stored_status:
                return False
            del self._tables.projects[project.id]
            self._tables.plans.pop(project.id, None)
            self._tables.waits.pop(project.id, None)
            for run in self.runs_of(project.id):
                del self._tables.runs[run.token]
        return True

    def counts(self, *, batch_id: str | None = None, group: str | None = None) -> dict[str, int]:
        found = self.projects(batch_id=batch_id, group=group)
        return dict(Counter(project.status for project in found))

    def held_count(self) -> int:
        return sum(project.held_at is not None for project in self.projects(["queued"]))

    def waiting_in_vain(self, limit: int) -> list[Project]:
        found = [
            project
            for project in self.projects(["queued"])
            if any(known.status in {None, *_ENDED_BADLY} for known in self.dependencies(project.id))
        ]
        return found[:limit]

    def next_claimable(self, now: float, host: str, max_running: int) -> Claimable | None:
        running = sum(project.status == "processing" for project in self._tables.projects.values())
        if self.get_state("paused_at") or running >= max_running:
            return None
        open_groups = {group.name for group in self.groups() if is_open(group)}
        found = next(
            (
                project
                for project in sorted(self._tables.projects.values(), key=listing_order)
                if self._may_start(project, now)
                and project.host in (None, host)
                and project.group in open_groups
            ),
            None,
        )
        if found is None:
            return None
        return Claimable(found, sum(run.launches > 0 for run in self.runs_of(found.id)))

    def _may_start(self, project: Project, now: float) -> bool:
        return (
            project.status == "queued"
            and project.held_at is None
            and (project.not_before is None or project.not_before <= now)
            and not any(is_unfinished(run) for run in self.runs_of(project.id))
            and all(known.is_met for known in self.dependencies(project.id))
        )

    def promote_due(self, now: float) -> int:
        with self.transaction():
            due = [
                project
                for project in self._tables.projects.values()
                if project.not_before is not None and self._may_start(project, now)
            ]
            for project in due:
                self._tables.projects[project.id] = msgspec.structs.replace(
                    project, not_before=None
                )
        return len(due)

    def next_due(self) -> float | None:
        times = (
            project.not_before
            for project in self._tables.projects.values()
            if project.not_before is not None and self._may_start(project, project.not_before)
        )
        return min(times, default=None)

    def start_run(self, before: Project, after: Project, run: Run) -> Run | None:
        with self.transaction():
            return self.add_run(run) if self.save_project(before, after) else None

    def hold_project(self, project_id: int, at: float) -> None:
        with self.transaction():
            project = self._tables.projects[project_id]
            self._tables.projects[project_id] = msgspec.structs.replace(project, held_at=at)

    def set_dependencies(self, project_id: int, spec_keys: Sequence[str]) -> None:
        refuse_unstorable({"project_id": project_id, "spec_keys": list(spec_keys)})
        with self.transaction():
            self._tables.waits[project_id] = tuple(spec_keys)

    def dependencies(self, project_id: int) -> list[Dependency]:
        return [self._dependency(key) for key in self._tables.waits.get(project_id, ())]

    def _dependency(self, spec_key: str) -> Dependency:
        tables = self._tables
        ids = [id for id, plan in tables.plans.items() if plan.spec_key == spec_key]
        newest = tables.projects[max(ids)] if ids else None
        if newest is None:
            return Dependency(spec_key=spec_key, project_id=None, status=None)
        return Dependency(spec_key=spec_key, project_id=newest.id, status=newest.status)

    def dependents(
        self, spec_key: str, statuses: Collection[str] = (ProjectState.QUEUED,)
    ) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for project_id, keys in sorted(self._tables.waits.items()):
            plan = self._tables.plans.get(project_id)
            if (
                spec_key in keys
                and plan is not None
                and self._tables.projects[project_id].status in statuses
            ):
                found.setdefault(plan.spec_key, []).append(project_id)
        return dict(sorted(found.items()))

    def spec_key_of(self, project_id: int) -> str | None:
        plan = self._tables.plans.get(project_id)
        return None if plan is None else plan.spec_key

    def raw_projects(self) -> tuple[list[str], list[tuple[Any, ...]]]:
        return list(RAW_COLUMNS), [raw_row(project) for project in self.projects()]

    # -- runs -------------------------------------------------------------------------------

    def add_run(self, run: Run) -> Run:
        run = run_to_keep(run)
        with self.transaction():
            if run.token in self._tables.runs:
                raise NotPossible("a row with the same project_run.token exists already")
            added = msgspec.structs.replace(run, id=self._tables.new_id("runs"))
            self._tables.runs[added.token] = added
        return added

    def run(self, token: str) -> Run | None:
        return self._tables.runs.get(token)

    def runs_of(self, project_id: int) -> list[Run]:
        return [run for run in self._tables.runs.values() if run.project_id == project_id]

    def open_runs(self, host: str | None = None) -> list[Run]:
        return [
            run
            for run in self._tables.runs.values()
            if run.ended_at is None and host in (None, run.host)
        ]

    def uncleaned_runs(self, host: str) -> list[Run]:
        return [
            run
            for run in self._tables.runs.values()
            if run.ended_at is not None and run.cleaned_at is None and run.host == host
        ]

    def save_run(self, run: Run) -> bool:
        run = run_to_keep(run)
        with self.transaction():
            kept = self._tables.runs.get(run.token)
            if kept is None or kept.ended_at is not None:
                return False
            self._tables.runs[run.token] = msgspec.structs.replace(
                run, id=kept.id, project_id=kept.project_id
            )
        return True

    def mark_cleaned(self, token: str, at: float) -> bool:
        with self.transaction():
            kept = self._tables.runs.get(token)
            if kept is None or kept.ended_at is None or kept.cleaned_at is not None:
                return False
            self._tables.runs[token] = msgspec.structs.replace(kept, cleaned_at=at)
        return True

    # -- facts ------------------------------------------------------------------------------

    def add_fact(
        self,
        name: str,
        at: float,
        project_id: int | None = None,
        run_id: int | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        refuse_unstorable({"name": name, "project_id": project_id, "run_id": run_id})
        kept = msgspec.json.decode(msgspec.json.encode(writable(dict(detail or {}))))
        with self.transaction():
            fact_id = self._tables.new_id("facts")
            self._tables.facts[fact_id] = Fact(
                id=fact_id, at=at, name=name, project_id=project_id, run_id=run_id, detail=kept
            )
        return fact_id

    def facts(
        self, after_id: int = 0, *, project_id: int | None = None, limit: int = 1000
    ) -> list[Fact]:
        found = [
            fact
            for fact in self._tables.facts.values()
            if fact.id > after_id and project_id in (None, fact.project_id)
        ]
        return found[: max(0, limit)]

    def cursor(self, listener: str) -> int:
        return self._tables.cursors.get(listener, 0)

    def set_cursor(self, listener: str, fact_id: int) -> None:
        refuse_unstorable({"listener": listener, "fact_id": fact_id})
        with self.transaction():
            self._tables.cursors[listener] = fact_id

    # -- groups -----------------------------------------------------------------------------

    def groups(self, *, is_counted: bool = True) -> list[Group]:
        projects = self._tables.projects.values() if is_counted else ()
        counts = Counter((p.group, p.status) for p in projects)
        return [
            msgspec.structs.replace(
                group,
                queued=counts[group.name, "queued"],
                running=counts[group.name, "processing"],
            )
            for _, group in sorted(self._tables.groups.items())
        ]

    def save_group(self, name: str, max_running: int | None, paused_at: float | None) -> None:
        refuse_unstorable({"name": name, "max_running": max_running})
        with self.transaction():
            self._tables.groups[name] = Group(
                name=name, max_running=max_running, paused_at=paused_at
            )

    def _make_group(self, name: str) -> None:
        self._tables.groups.setdefault(name, Group(name=name))

    def remove_group(self, name: str) -> bool:
        with self.transaction():
            is_needed = any(
                project.group == name and project.status in _UNENDED
                for project in self._tables.projects.values()
            )
            if name == "" or is_needed:
                return False
            return self._tables.groups.pop(name, None) is not None

    # -- check-ins and odds -----------------------------------------------------------------

    def add_task(self, task: Task) -> int:
        row = msgspec.structs.asdict(task) | {"note": writable(task.note)}
        refuse_unstorable(row)
        with self.transaction():
            task_id = self._tables.new_id("tasks")
            self._tables.tasks[task_id] = Task(**row | {"id": task_id})
        return task_id

    def tasks(self) -> list[Task]:
        return sorted(self._tables.tasks.values(), key=lambda task: (task.next_run, task.id))

    def remove_task(self, task_id: int) -> bool:
        with self.transaction():
            return self._tables.tasks.pop(task_id, None) is not None

    def get_state(self, key: str) -> str | None:
        return self._tables.state.get(key)

    def set_state(self, key: str, value: str) -> None:
        refuse_unstorable({"key": key, "value": value})
        with self.transaction():
            self._tables.state[key] = value
