"""The queue's tables over any SQL database."""

import functools
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from scheduler_modules.adapters import store_rows as convert
from scheduler_modules.adapters.sql_database import Database, NotUnique
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

_ANY_STATUS = {"statuses": None, "with_null": 0}


class SqlStore(QueueStore):
    """The port `QueueStore`; what its methods promise is written there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def transaction(self) -> AbstractContextManager[None]:
        return self._database.transaction()

    def ring(self) -> None:
        self._database.ring()

    def close(self) -> None:
        self._database.close()

    # -- projects ---------------------------------------------------------------------------

    def add_project(self, new: NewProject) -> int:
        row, plan = convert.new_project_to_rows(new)
        with self.transaction():
            try:
                project_id = self._database.insert("add_project", **row)
            except NotUnique as error:
                twin = self._twin("active_twin", 0, new.spec_path, new.project_path)
                raise NotPossible(
                    f"the same spec is already queued or running as project {twin}"
                ) from error
            self._database.change("put_plan", project_id=project_id, **plan)
            if new.group:
                self._database.change("make_group", name=new.group)
            self._add_dependencies(project_id, new.after_keys)
        return project_id

    def project(self, project_id: int) -> Project | None:
        rows = self._database.rows("project", id=project_id)
        return convert.project_from_row(rows[0]) if rows else None

    def projects(
        self,
        statuses: Collection[str] | None = None,
        *,
        batch_id: str | None = None,
        group: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Project]:
        parameters: dict[str, Any] = {"group_name": group, "limit": convert.row_limit(limit)}
        if statuses is not None:
            parameters |= _spelled(statuses)
        if batch_id is not None:
            name = "projects_of_batch"
            parameters = {**_ANY_STATUS, **parameters, "batch_id": batch_id}
        elif group:
            name = "projects_of_group"
            parameters = {**_ANY_STATUS, **parameters}
        else:
            name = "projects" if statuses is None else "projects_in"
        rows = self._database.rows(f"{name}_newest" if newest_first else name, **parameters)
        return [convert.project_from_row(row) for row in rows]

    def projects_named(self, beginning: str, limit: int) -> list[Project]:
        if not beginning:
            return self.projects(limit=limit, newest_first=True)
        rows = self._database.rows(
            "projects_named",
            beginning=beginning,
            beyond=f"{beginning}\U0010ffff",
            limit=convert.row_limit(limit),
        )
        rows += self._database.rows("projects_nameless")
        wanted = beginning.lower()
        found = [
            project
            for project in map(convert.project_from_row, rows)
            if project.name.lower().startswith(wanted)
        ]
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
        rows = self._database.rows(
            "same_spec",
            spec_path=spec_path,
            spec_key=spec_key,
            project_path=project_path,
            project_key=project_key,
            limit=convert.row_limit(limit),
            **_spelled(statuses),
        )
        return [convert.project_from_row(row) for row in rows]

    def save_project(self, before: Project, after: Project) -> bool:
        if not convert.is_storable_id(before.id):
            return False
        with self.transaction():
            return self._save_project(before, after)

    def _save_project(self, before: Project, after: Project) -> bool:
        name = "save_standing" if _has_same_place(before, after) else "save_project"
        row = convert.project_to_row(after)
        row["id"], row["stored_status"] = before.id, before.stored_status
        try:
            changed = self._database.change(name, **row)
        except NotUnique as error:
            raise self._not_unique(before.id, after, error) from error
        if changed and not _has_same_plan(before, after):
            self._database.change("save_plan", project_id=before.id, **convert.plan_to_row(after))
        if changed and after.group:
            self._make_group_of(before, after)
        return changed == 1

    def _make_group_of(self, before: Project, after: Project) -> None:
        if after.group != before.group or after.status == ProjectState.QUEUED:
            self._database.change("make_group", name=after.group)

    def remove_project(self, project: Project) -> bool:
        if not convert.is_storable_id(project.id):
            return False
        with self.transaction():
            removed = self._database.change(
                "remove_project", id=project.id, stored_status=project.stored_status
            )
            if removed:
                for name in ("remove_plan", "remove_dependencies", "remove_runs"):
                    self._database.change(name, project_id=project.id)
        return removed == 1

    def held_count(self) -> int:
        ((count,),) = self._database.rows("held_count")
        return int(count)

    def waiting_in_vain(self, limit: int) -> list[Project]:
        rows = self._database.rows("waiting_in_vain", limit=convert.row_limit(limit))
        return [convert.project_from_row(row) for row in rows]

    def counts(self, *, batch_id: str | None = None, group: str | None = None) -> dict[str, int]:
        if batch_id is None and group is None:
            rows = self._database.rows("counts")
        else:
            rows = self._database.rows("counts_of", batch_id=batch_id, group_name=group)
        found: dict[str, int] = {}
        for status, number in rows:
            word = canonical_status(convert.text_or_none(status))
            found[word] = found.get(word, 0) + number
        return {word: number for word, number in found.items() if number}

    def next_claimable(self, now: float, host: str, max_running: int) -> Claimable | None:
        rows = self._database.rows("next_claimable", now=now, host=host, max_running=max_running)
        if not rows:
            return None
        *columns, attempts = rows[0]
        return Claimable(convert.project_from_row(columns), attempts)

    def promote_due(self, now: float) -> int:
        return self._database.change("promote_due", now=now)

    def next_due(self) -> float | None:
        ((due,),) = self._database.rows("next_due")
        return convert.parse_time(due)

    def start_run(self, before: Project, after: Project, run: Run) -> Run | None:
        with self.transaction():
            return self.add_run(run) if self._save_project(before, after) else None

    def hold_project(self, project_id: int, at: float) -> None:
        self._database.change("hold_project", project_id=project_id, held_at=at)

    def set_dependencies(self, project_id: int, spec_keys: Sequence[str]) -> None:
        with self.transaction():
            self._database.change("remove_dependencies", project_id=project_id)
            self._add_dependencies(project_id, spec_keys)

    def _add_dependencies(self, project_id: int, spec_keys: Sequence[str]) -> None:
        for position, spec_key in enumerate(spec_keys):
            self._database.change(
                "add_dependency", project_id=project_id, position=position, spec_key=spec_key
            )

    def dependencies(self, project_id: int) -> list[Dependency]:
        rows = self._database.rows("dependencies", project_id=project_id)
        return [convert.dependency_from_row(row) for row in rows]

    def dependents(
        self, spec_key: str, statuses: Collection[str] = (ProjectState.QUEUED,)
    ) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        rows = self._database.rows("dependents", spec_key=spec_key, **_spelled(statuses))
        for key, project_id in rows:
            found.setdefault(key, []).append(project_id)
        return found

    def spec_key_of(self, project_id: int) -> str | None:
        rows = self._database.rows("spec_key", project_id=project_id)
        return rows[0][0] if rows else None

    def raw_projects(self) -> tuple[list[str], list[tuple[Any, ...]]]:
        return self._database.raw_rows("raw_projects")

    # -- runs -------------------------------------------------------------------------------

    def add_run(self, run: Run) -> Run:
        run_id = self._database.insert("add_run", **convert.run_to_row(run))
        return msgspec.structs.replace(run, id=run_id)

    def run(self, token: str) -> Run | None:
        rows = self._database.rows("run", token=token)
        return convert.run_from_row(rows[0]) if rows else None

    def runs_of(self, project_id: int) -> list[Run]:
        return self._runs("runs_of", project_id=project_id)

    def open_runs(self, host: str | None = None) -> list[Run]:
        return self._runs("open_runs", host=host)

    def uncleaned_runs(self, host: str) -> list[Run]:
        return self._runs("uncleaned_runs", host=host)

    def save_run(self, run: Run) -> bool:
        return self._database.change("save_run", **convert.run_to_row(run)) == 1

    def mark_cleaned(self, token: str, at: float) -> bool:
        return self._database.change("mark_cleaned", token=token, at=at) == 1

    # -- facts ------------------------------------------------------------------------------

    def add_fact(
        self,
        name: str,
        at: float,
        project_id: int | None = None,
        run_id: int | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        return self._database.insert(
            "add_fact",
            name=name,
            at=at,
            project_id=project_id,
            run_id=run_id,
            detail=convert.detail_to_text(detail or {}),
        )

    def facts(
        self, after_id: int = 0, *, project_id: int | None = None, limit: int = 1000
    ) -> list[Fact]:
        parameters = {"after_id": max(0, after_id), "limit": convert.row_limit(limit)}
        if project_id is None:
            rows = self._database.rows("facts", **parameters)
        else:
            rows = self._database.rows("facts_of_project", project_id=project_id, **parameters)
        return [convert.fact_from_row(row) for row in rows]

    def cursor(self, listener: str) -> int:
        rows = self._database.rows("cursor", listener=listener)
        return rows[0][0] if rows else 0

    def set_cursor(self, listener: str, fact_id: int) -> None:
        self._database.change("set_cursor", listener=listener, fact_id=fact_id)

    # -- groups -----------------------------------------------------------------------------

    def groups(self, *, is_counted: bool = True) -> list[Group]:
        if not is_counted:
            rows = self._database.rows("groups")
            return [convert.group_from_row(row, {}) for row in rows]
        counts = {row[:2]: row[2] for row in self._database.rows("group_counts")}
        rows = self._database.rows("groups")
        return [convert.group_from_row(row, counts) for row in rows]

    def save_group(self, name: str, max_running: int | None, paused_at: float | None) -> None:
        self._database.change("save_group", name=name, max_running=max_running, paused_at=paused_at)

    def remove_group(self, name: str) -> bool:
        return self._database.change("remove_group", name=name) == 1

    # -- check-ins and odds -----------------------------------------------------------------

    def add_task(self, task: Task) -> int:
        return self._database.insert("add_task", **convert.task_to_row(task))

    def tasks(self) -> list[Task]:
        found = [convert.task_from_row(row) for row in self._database.rows("tasks")]
        return sorted(found, key=lambda task: (task.next_run, task.id))

    def remove_task(self, task_id: int) -> bool:
        if not convert.is_storable_id(task_id):
            return False
        return self._database.change("remove_task", id=task_id) == 1

    def get_state(self, key: str) -> str | None:
        rows = self._database.rows("get_state", key=key)
        return convert.text_or_none(rows[0][0]) if rows else None

    def set_state(self, key: str, value: str) -> None:
        self._database.change("set_state", key=key, value=value)

    # -- below ------------------------------------------------------------------------------

    def _runs(self, name: str, /, **parameters: Any) -> list[Run]:
        return [convert.run_from_row(row) for row in self._database.rows(name, **parameters)]

    def _twin(self, name: str, project_id: int, *of: str | None) -> int | None:
        keys = ("spec_path", "project_path") if name == "active_twin" else ("session_name",)
        rows = self._database.rows(name, id=project_id, **dict(zip(keys, of, strict=True)))
        return rows[0][0] if rows else None

    def _not_unique(self, project_id: int, after: Project, error: NotUnique) -> NotPossible:
        if "main_session" in error.columns:
            twin = self._twin("session_twin", project_id, after.session_name)
            return NotPossible(
                f"project {project_id}: session {after.session_name} belongs to project {twin}"
            )
        twin = self._twin("active_twin", project_id, after.spec_path, after.project_path)
        return NotPossible(
            f"project {project_id}: the same spec is already queued or running as project {twin}"
        )


def is_standing_only(before: Project, after: Project) -> bool:
    """Say whether nothing but what `save_standing` writes differs."""
    return _has_same_place(before, after) and _has_same_plan(before, after)


def _has_same_place(before: Project, after: Project) -> bool:
    """Say whether nothing changed that only few changes are about."""
    return (
        before.priority == after.priority
        and before.enqueued_at == after.enqueued_at
        and before.retry_count == after.retry_count
        and before.batch_id == after.batch_id
    )


def _has_same_plan(before: Project, after: Project) -> bool:
    return (
        before.not_before == after.not_before
        and before.retries_used == after.retries_used
        and before.group == after.group
        and before.host == after.host
        and before.held_at == after.held_at
    )


def _spelled(statuses: Collection[str]) -> dict[str, Any]:
    """Return the parameters that stand for canonical statuses in all their spellings."""
    return {"statuses": _spelled_words(frozenset(statuses)), "with_null": int("" in statuses)}


@functools.lru_cache(maxsize=64)
def _spelled_words(statuses: frozenset[str]) -> str:
    return msgspec.json.encode(convert.spellings(sorted(statuses))).decode()
