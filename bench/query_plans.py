"""Which indexes the statements of enqueue and claim use, as SQLite itself plans them.

The statements are overheard on the connection, so they are those that really run.

Source: the documentation of SQLite: EXPLAIN QUERY PLAN, sqlite3_trace_v2.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from unittest import mock

from bench import claims
from bench.house import House
from bench.lib import BenchError, Figure, Goal
from scheduler_modules.compose import open_queue

LARGE = frozenset(
    {"project_queue", "project_plan", "project_run", "project_dependency", "event_log"}
)
_INDEX = re.compile(r"USING (?:COVERING |PARTIAL )?INDEX (\w+)")
_READ_WHOLE = re.compile(r"SCAN (\w+)$")
_READS = re.compile(r"\s*(select|insert|update|delete|with)\b", re.IGNORECASE)


def figure(goal: Goal, house: House) -> Figure:
    """Return how many statements of one enqueue and one claim read a large table whole."""
    whole, indexes = set(), set()
    with closing(sqlite3.connect(house.home / "task_queue.db")) as connection:
        for statement in _statements(house):
            for *_, detail in connection.execute(f"explain query plan {statement}"):
                indexes |= set(_INDEX.findall(detail))
                scanned = _READ_WHOLE.match(detail)
                if scanned and _table(statement, scanned[1]) in LARGE:
                    whole.add(statement)
    told: dict[str, float | str] = {"indexes": " ".join(sorted(indexes))}
    return Figure(goal, float(len(whole)), told, " | ".join(sorted(whole))[:300])


def _statements(house: House) -> list[str]:
    """Return the different statements that one enqueue and one claim run, values filled in."""
    heard: list[str] = []
    with _overheard(heard):
        queue = open_queue(house.config)
        queue.enqueue(house.new_project("overheard"))
        claim = queue.claim_next("bench")
        if claim is None:
            raise BenchError("the queue gave nothing although projects wait")
        claims.end(queue, claim)
        queue.store.close()
    return [statement for statement in dict.fromkeys(heard) if _READS.match(statement)]


@contextmanager
def _overheard(heard: list[str]) -> Iterator[None]:
    connect = sqlite3.connect

    def listening(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(heard.append)
        return connection

    with mock.patch.object(sqlite3, "connect", listening):
        yield


def _table(statement: str, name: str) -> str:
    """Return the table that a name of the plan stands for: itself, or what it is an alias of."""
    if name in LARGE:
        return name
    found = re.search(rf"\b(\w+)\s+(?:as\s+)?{re.escape(name)}\b", statement, re.IGNORECASE)
    return found[1] if found else name
