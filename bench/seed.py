"""Fills a queue with a great many rows in seconds: copies of one that was added as usual.

A row is copied in every table that knows projects, whatever columns that has: what makes it wait
is copied with it.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

_OF_PROJECT = "project_id"


def copies(database: Path, template_id: int, count: int, *, priorities: int = 10) -> None:
    """Copy a project so often; spec and key differ, `priorities` different ones are mixed."""
    with closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        connection.execute("pragma synchronous=off")
        connection.execute("begin immediate")
        (first,) = connection.execute("select max(id) + 1 from project_queue").fetchone()
        for table in _tables(connection):
            _copy(connection, table, template_id, first, count, priorities)
        connection.execute("commit")
        connection.execute("pragma wal_checkpoint(truncate)")


def _tables(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
    others = [
        name
        for (name,) in rows
        if name != "event_log" and _OF_PROJECT in _columns(connection, name)
    ]
    return ["project_queue", *others]


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"pragma table_info({table})")]


def _copy(
    connection: sqlite3.Connection,
    table: str,
    template_id: int,
    first: int,
    count: int,
    priorities: int,
) -> None:
    key = "id" if table == "project_queue" else _OF_PROJECT
    columns = _columns(connection, table)
    if key == _OF_PROJECT and "id" in columns:
        columns.remove("id")
    made = {
        key: "n",
        "spec_path": "spec_path || '-' || n",
        "spec_key": "spec_key || '-' || n" if table == "project_plan" else "spec_key",
        "token": "token || '-' || n",
        "session_name": "session_name || '-' || n",
        "main_session": "main_session || '-' || n",
        "orchestrator_session": "orchestrator_session || '-' || n",
        "enqueued_at": "enqueued_at + n * 0.001",
        "priority": f"priority + (n * 7919) % {priorities}",
    }
    values = ", ".join(made.get(column, column) for column in columns)
    connection.execute(
        "with recursive numbers(n) as"
        f" (select {first} union all select n + 1 from numbers where n < {first + count - 1})"
        f" insert or ignore into {table} ({', '.join(columns)})"
        f" select {values} from {table}, numbers where {table}.{key} = {template_id} and {count}",
    )
