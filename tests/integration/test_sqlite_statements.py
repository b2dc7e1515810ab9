"""How SQLite carries the statements out: by index, whatever the number of rows."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scheduler_modules.adapters.named_sql import load_statements
from scheduler_modules.adapters.store_rows import spellings
from scheduler_modules.adapters.store_sqlite import open_sqlite_store


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("statements") / "task_queue.db"
    open_sqlite_store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def plan_of(database: sqlite3.Connection, name: str) -> list[str]:
    """Return how SQLite would carry the statement out, and print it; it must be able to."""

    class AnyValue(dict):
        def __missing__(self, key):
            return "[]" if key == "statuses" else None

    statement = load_statements("sqlite").all()[name]
    rows = database.execute(f"explain query plan {statement}", AnyValue())
    plan = [row[3] for row in rows]
    print(name, *plan, sep="\n    ")
    return plan


@pytest.mark.parametrize("name", load_statements("sqlite").all())
def test_sqlite_understands_every_statement(database, name):
    plan_of(database, name)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("project", "q USING INTEGER PRIMARY KEY"),
        ("projects", "q USING COVERING INDEX idx_project_queue_priority (status=?)"),
        ("projects_in", "q USING COVERING INDEX idx_project_queue_priority (status=?)"),
        ("projects_in_newest", "q USING COVERING INDEX idx_project_queue_status (status=?)"),
        ("projects_of_batch", "q USING INDEX idx_project_queue_batch (batch_id=?)"),
        ("projects_of_group", "project_plan USING COVERING INDEX idx_project_plan_group"),
        ("projects_named", "project_plan USING COVERING INDEX idx_project_plan_name"),
        ("same_spec", "project_queue USING COVERING INDEX idx_project_queue_spec"),
        ("same_spec", "project_plan USING COVERING INDEX idx_project_plan_spec_key"),
        ("active_twin", "project_queue USING INDEX idx_unique_active_project"),
        ("session_twin", "project_queue USING INDEX idx_unique_processing_session"),
        ("next_claimable", "h USING INDEX idx_project_ready_next (group_name=? AND host=?)"),
        ("next_claimable", "r USING INDEX idx_project_ready_due (not_before<?)"),
        ("next_claimable", "project_queue USING COVERING INDEX idx_project_queue_priority"),
        ("next_claimable", "r USING INDEX idx_project_run_finished (project_id=?)"),
        ("promote_due", "project_ready USING COVERING INDEX idx_project_ready_due"),
        ("next_due", "project_ready USING COVERING INDEX idx_project_ready_due"),
        ("next_claimable", "busy USING COVERING INDEX idx_project_running_group (group"),
        ("counts", "q USING COVERING INDEX idx_project_queue_priority (status=?)"),
        ("group_counts", "project_queue USING COVERING INDEX idx_project_queue_priority"),
        ("remove_group", "p USING COVERING INDEX idx_project_plan_group"),
        ("dependencies", "d USING INDEX sqlite_autoindex_project_dependency_1"),
        ("dependents", "d USING INDEX idx_project_dependency_spec_key"),
        ("run", "project_run USING INDEX sqlite_autoindex_project_run_1 (token=?)"),
        ("runs_of", "project_run USING INDEX idx_project_run_finished (project_id=?)"),
        ("runs_of", "project_run USING INDEX idx_project_run_unfinished (project_id=?)"),
        ("remove_runs", "project_run USING INTEGER PRIMARY KEY (rowid=?)"),
        ("facts", "event_log USING INTEGER PRIMARY KEY (rowid>?)"),
        ("facts_of_project", "event_log USING INDEX idx_event_log_project"),
        ("save_project", "project_queue USING INTEGER PRIMARY KEY (rowid=?)"),
        ("save_standing", "project_queue USING INTEGER PRIMARY KEY (rowid=?)"),
        ("save_run", "project_run USING INDEX sqlite_autoindex_project_run_1 (token=?)"),
    ],
)
def test_rows_are_looked_up_by_their_index(database, name, step):
    plan = plan_of(database, name)

    assert any(line.startswith(f"SEARCH {step}") for line in plan)


# What may be read from end to end: groups and what runs in them, the few candidates, given lists.
_SMALL = ("SCAN g", "SCAN candidate", "SCAN word", "SCAN i ", "SCAN json_each", "SCAN one")
_SMALL += ("SCAN CONSTANT ROW", "SCAN busy")


_HOT = ("next_claimable", "promote_due", "next_due", "projects", "projects_in", "same_spec")
_HOT += ("projects_in_newest", "projects_named", "save_standing", "save_project", "runs_of")


@pytest.mark.parametrize("name", _HOT)
def test_no_table_is_read_through(database, name):
    plan = plan_of(database, name)

    scans = [line for line in plan if line.startswith("SCAN")]
    assert [line for line in scans if not line.startswith(_SMALL)] == []


def test_only_the_heads_of_groups_are_sorted_to_find_the_next_project(database):
    plan = plan_of(database, "next_claimable")

    sorts = [line for line in plan if "TEMP B-TREE" in line]
    assert sorts == ["USE TEMP B-TREE FOR ORDER BY"]
    assert plan[plan.index(sorts[0]) - 1] == "SCAN candidate"


@pytest.mark.parametrize("name", ["counts", "projects_newest", "groups"])
def test_what_reads_everything_reads_an_index_or_in_order(database, name):
    plan = plan_of(database, name)

    assert not any("TEMP B-TREE" in line for line in plan)


@pytest.mark.parametrize("name", ["open_runs", "uncleaned_runs"])
def test_runs_that_are_over_are_not_read_to_find_those_that_are_not(database, name):
    plan = plan_of(database, name)

    assert "SCAN project_run USING INDEX idx_project_run_unfinished" in plan


@pytest.mark.parametrize("status", ["queued", "processing"])
def test_statements_know_every_spelling_of_a_status(status):
    statements = load_statements("sqlite").rows["group_counts"]

    assert all(f"'{word}'" in statements for word in spellings([status]))
