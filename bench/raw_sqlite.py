"""The least that a durable queue on SQLite must do: one table, one partial index, one commit each.

Source: the documentation of SQLite: pragma synchronous, write-ahead logging, partial indexes,
UPDATE ... RETURNING.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

_SCHEMA = """
create table job (id integer primary key, status text not null, priority integer not null,
                  enqueued_at real not null, worker text, claimed_at real, payload text);
create index job_claim on job (priority desc, enqueued_at) where status = 'queued';
"""
_INSERT = "insert into job (status, priority, enqueued_at, payload) values ('queued', ?, ?, ?)"
_CLAIM = """
update job set status = 'running', worker = ?, claimed_at = ?
 where id = (select id from job where status = 'queued' order by priority desc, enqueued_at limit 1)
returning id
"""
_PAYLOAD = "x" * 200


class RawQueue:
    """As durable as ours (`synchronous` FULL), and nothing else."""

    def __init__(self, path: Path, depth: int = 0) -> None:
        self._path = path
        connection = connect(path)
        if not connection.execute("select 1 from sqlite_master").fetchone():
            connection.executescript(_SCHEMA)
            rows = ((n * 7919 % 10, float(n), _PAYLOAD) for n in range(depth))
            connection.execute("begin")
            connection.executemany(_INSERT, rows)
            connection.execute("commit")
            connection.execute("pragma wal_checkpoint(truncate)")
        self._connection = connection

    def enqueue(self, count: int) -> None:
        for n in range(count):
            self._connection.execute("begin immediate")
            self._connection.execute(_INSERT, (n % 10, time.time(), _PAYLOAD))
            self._connection.execute("commit")

    def claim(self) -> int:
        return _claim(self._connection)

    def opener(self) -> Callable[[], Callable[[], int]]:
        """Return what opens it in another process and claims from it."""

        def open_it() -> Callable[[], int]:
            connection = connect(self._path)
            return lambda: _claim(connection)

        return open_it

    def close(self) -> None:
        self._connection.close()


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    return connection


def _claim(connection: sqlite3.Connection) -> int:
    connection.execute("begin immediate")
    (job_id,) = connection.execute(_CLAIM, ("bench", time.time())).fetchone()
    connection.execute("commit")
    return int(job_id)
