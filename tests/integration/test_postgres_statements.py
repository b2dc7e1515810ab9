"""Every statement on a real PostgreSQL server, and how those that must be quick find their rows."""

import psycopg
import pytest

from scheduler_modules.adapters.named_sql import load_statements
from scheduler_modules.adapters.postgres_link import plain_connection
from scheduler_modules.adapters.postgres_sql import for_postgres

STATEMENTS = for_postgres(load_statements("postgres")).all()
TABLES = ("project_queue", "project_plan", "project_run", "project_ready", "event_log")
# What claims, queues and ends a project, and what people wait for.
QUICK = (
    *("project", "active_twin", "session_twin", "spec_key", "dependencies", "dependents"),
    *("run", "runs_of", "open_runs", "uncleaned_runs", "facts_of_project", "same_spec"),
    *("save_project", "save_standing", "save_run", "start_run", "next_claimable"),
    *("next_claimable_numbered", "promote_due", "next_due", "projects_of_batch"),
    *("projects_in", "projects_named", "projects_nameless"),
)


@pytest.fixture(scope="module")
def server(postgres, postgres_template):
    """A connection to a database with many projects, almost all of them over."""
    name = postgres.new_database(postgres_template)
    with psycopg.connect(postgres.url(name), autocommit=True) as connection:
        connection.execute(
            "insert into project_queue (spec_path, project_path, status, priority, enqueued_at)"
            " select '/s/' || n, '/p', case when n % 10 = 0 then 'queued' else 'completed' end,"
            "        n % 7, n from generate_series(1, 20000) n"
        )
        connection.execute(
            "insert into project_run (project_id, attempt, token, host, daemon_id, session_name,"
            " phase, claimed_at, ended_at, cleaned_at)"
            " select n, 1, n::text, 'h', 'd', 's', 'ended', 1, 2, 3"
            " from generate_series(1, 20000) n"
        )
        connection.execute("update project_plan set name = 'n' || project_id")
        connection.execute(
            "insert into event_log (at, name, project_id)"
            " select n, 'said', n from generate_series(1, 20000) n"
        )
        connection.execute("vacuum analyze")
        connection.execute("set plan_cache_mode = force_generic_plan")
        yield connection


@pytest.fixture(scope="module")
def empty(postgres, postgres_template):
    """A connection as the product's own, to a database that was never filled or looked at."""
    with plain_connection(postgres.url(postgres.new_database(postgres_template))) as connection:
        yield connection


@pytest.fixture(scope="module")
def filled(postgres, postgres_template):
    """The same, just filled: the server has not counted anything yet."""
    name = postgres.new_database(postgres_template)
    with plain_connection(postgres.url(name)) as connection:
        for table in ("queue", "plan", "ready", "run", "dependency"):
            connection.execute(f"alter table project_{table} set (autovacuum_enabled = off)")
        connection.execute(
            "insert into project_queue (spec_path, project_path, enqueued_at)"
            " select '/s/' || n, '/p', n from generate_series(1, 3000) n"
        )
        yield connection


def plan_of(server, name):
    """Return how the server would carry the statement out, whatever its parameters are."""
    statement = STATEMENTS[name]
    server.execute(b"prepare asked as " + statement.text)
    try:
        values = ", ".join(["null"] * len(statement.names))
        call = f"asked({values})" if values else "asked"
        rows = server.execute(f"explain execute {call}").fetchall()
    finally:
        server.execute("deallocate asked")
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("name", STATEMENTS)
def test_postgres_understands_every_statement(server, name):
    plan_of(server, name)


def test_both_databases_have_the_same_statements_but_for_what_only_one_needs():
    ours, theirs = set(STATEMENTS), set(load_statements("sqlite").all())

    assert theirs - ours == set()
    assert ours - theirs == {"next_claimable_numbered", "put_fact", "schema_versions", "start_run"}


@pytest.mark.parametrize("name", QUICK)
def test_rows_are_looked_up_not_read_through(server, name):
    plan = plan_of(server, name)

    for table in TABLES:
        assert f"Seq Scan on {table}" not in plan


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("state", ["empty", "filled"])
def test_rows_are_looked_up_before_the_server_has_counted_them(request, state, name):
    plan = plan_of(request.getfixturevalue(state), name)

    for table in TABLES:
        assert f"Seq Scan on {table}" not in plan


def test_no_plan_is_compiled_to_machine_code_however_dear_it_seems(filled):
    with filled.transaction(force_rollback=True):
        filled.execute("set local jit_above_cost = 0")
        plan = filled.execute("explain analyze select count(*) from project_ready").fetchall()

    assert "JIT" not in str(plan)


def test_triggers_look_rows_up_although_they_were_planned_while_the_tables_were_empty(empty):
    add = (
        "insert into project_queue (id, spec_path, project_path)"
        " select n, '/s/' || n, '/p' from generate_series(%s::int, %s::int) n"
    )
    wait = "insert into project_dependency values (%s, 0, '/s/2')"
    with empty.transaction(force_rollback=True):
        empty.execute(add, (1, 2))
        empty.execute("update project_plan set spec_key = '/s/' || project_id")
        empty.execute(wait, (1,))
        empty.execute(add, (3, 1000))
        before = rows_read_through(empty)
        empty.execute(wait, (1000,))

        assert rows_read_through(empty) - before < 100


def rows_read_through(connection):
    """Return how many rows the transaction has read that it did not look up by an index."""
    read = "select sum(seq_tup_read) from pg_stat_xact_user_tables"
    return connection.execute(read).fetchone()[0]


@pytest.mark.parametrize("name", ["projects", "projects_in"])
def test_a_page_is_taken_from_the_index_that_is_in_its_order(server, name):
    assert "idx_project_queue_list" in plan_of(server, name)
