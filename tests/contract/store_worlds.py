"""A queue store to try things on, in memory and for real, and short ways to fill it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from scheduler_modules.model import NewProject, Project, Run, RunPhase
from scheduler_modules.store_port import QueueStore

HUGE = 10**30
UNDECODABLE = "caf\udce9.md"


class World:
    """A store, short ways to fill it, and a way to insert rows as old programs do."""

    def __init__(self, store: QueueStore, database: Path | str | None) -> None:
        """`database`: the file or the URL that the store is on; None for a fake."""
        self.store = store
        self._database = database

    def add(self, spec: str = "a.md", **fields: Any) -> int:
        new = {"name": Path(spec).stem, "enqueued_at": 100.0, "spec_key": f"/specs/{spec}"}
        return self.store.add_project(NewProject(**new | {"spec_path": spec} | fields))

    def get(self, project_id: int) -> Project:
        project = self.store.project(project_id)
        assert project is not None
        return project

    def change(self, project_id: int, **fields: Any) -> bool:
        before = self.get(project_id)
        return self.store.save_project(before, msgspec.structs.replace(before, **fields))

    def add_run(self, project_id: int, token: str = "t1", **fields: Any) -> Run:
        return self.store.add_run(make_run(project_id, token, **fields))

    def next_id(
        self, now: float = 1.0, host: str = "alpha", max_running: int = 1_000
    ) -> int | None:
        """Return the id of the project to run next."""
        claimable = self.store.next_claimable(now, host, max_running)
        return None if claimable is None else claimable.project.id

    def in_turn(self, **asked: Any) -> list[int]:
        """Return the ids of all that may run, in the order in which they would be claimed."""
        found = []
        while (project_id := self.next_id(**asked)) is not None:
            found.append(project_id)
            self.change(project_id, status="processing")
        return found

    def old_row(self, **columns: Any) -> int:
        if self._database is None:
            return self.store.insert_row(**columns)
        names = ", ".join(columns)
        if isinstance(self._database, str):
            return _insert_on_postgres(self._database, names, tuple(columns.values()))
        marks = ", ".join("?" * len(columns))
        statement = f"insert into project_queue ({names}) values ({marks})"
        with closing(sqlite3.connect(self._database)) as connection, connection:
            return connection.execute(statement, tuple(columns.values())).lastrowid


def _insert_on_postgres(url: str, names: str, values: tuple[Any, ...]) -> int:
    import psycopg

    marks = ", ".join(["%s"] * len(values))
    statement = f"insert into project_queue ({names}) values ({marks}) returning id"
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement, values).fetchone()[0]


def make_run(project_id: int, token: str, **fields: Any) -> Run:
    values = {
        "id": 0,
        "project_id": project_id,
        "attempt": 1,
        "token": token,
        "host": "alpha",
        "daemon_id": "d1",
        "session_name": "a-impl-1",
        "phase": RunPhase.STARTING,
        "claimed_at": 5.0,
    }
    return Run(**values | fields)
