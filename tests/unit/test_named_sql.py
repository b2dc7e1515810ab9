"""The loader of named statements, and the statements themselves."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scheduler_modules.adapters.named_sql import load_statements, parse_statements
from scheduler_modules.adapters.store_sqlite import open_sqlite_store

TEXT = """
Whatever stands before the first name is for readers.

-- part: columns
id, name

-- name: everything
-- Says why; it isn't sent.
select {columns}
  from t where id = :id;

-- name: forget!
delete from t

-- name: add<!
insert into t (name) values (:name) returning id
"""


def test_statements_are_sorted_by_what_they_give_back():
    found = parse_statements(TEXT)

    assert (list(found.rows), list(found.changes), list(found.inserts)) == (
        ["everything"],
        ["forget"],
        ["add"],
    )


def test_parts_are_put_in_and_words_for_readers_left_out():
    statement = parse_statements(TEXT).rows["everything"]

    assert statement == "select id, name\n  from t where id = :id"


def test_a_name_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match="named twice: a"):
        parse_statements("-- name: a\nselect 1\n-- name: a!\ndelete from t\n")


def test_a_part_that_is_not_there_is_refused():
    with pytest.raises(KeyError):
        parse_statements("-- name: a\nselect {nothing}\n")


def test_statements_are_read_once():
    assert load_statements("sqlite") is load_statements("sqlite")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("statements") / "task_queue.db"
    open_sqlite_store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def plan_of(database: sqlite3.Connection, name: str) -> str:
    """Return how SQLite would carry the statement out; it must be able to."""

    class AnyValue(dict):
        def __missing__(self, key):
            return "[]" if key == "statuses" else None

    statement = load_statements("sqlite").all()[name]
    rows = database.execute(f"explain query plan {statement}", AnyValue())
    return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize("name", load_statements("sqlite").all())
def test_sqlite_understands_every_statement(database, name):
    plan_of(database, name)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("project", "q"),
        ("projects_in", "q"),
        ("projects_of_batch", "q"),
        ("same_spec", "q"),
        ("same_spec", "project_queue"),
        ("same_spec", "project_plan"),
        ("active_twin", "project_queue"),
        ("session_twin", "project_queue"),
        ("dependencies", "d"),
        ("dependents", "d"),
        ("run", "project_run"),
        ("runs_of", "project_run"),
        ("facts", "event_log"),
        ("facts_of_project", "event_log"),
        ("save_project", "project_queue"),
        ("save_run", "project_run"),
    ],
)
def test_rows_are_looked_up_not_read_through(database, name, table):
    plan = plan_of(database, name)

    assert f"SEARCH {table} USING" in plan
    assert f"SCAN {table}" not in plan


def test_the_next_project_is_found_by_walking_its_index(database):
    plan = plan_of(database, "next_claimable")

    assert "SCAN q USING INDEX idx_project_queue_claim" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("name", ["open_runs", "uncleaned_runs"])
def test_runs_that_are_over_are_not_read_to_find_those_that_are_not(database, name):
    plan = plan_of(database, name)

    assert "SCAN project_run USING INDEX idx_project_run_unfinished" in plan
