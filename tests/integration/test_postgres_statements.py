"""Every statement on a real PostgreSQL server, and how those that must be quick find their rows."""

import psycopg
import pytest

from scheduler_modules.adapters.named_sql import load_statements
from scheduler_modules.adapters.postgres_sql import for_postgres

STATEMENTS = for_postgres(load_statements("postgres")).all()


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


@pytest.mark.parametrize(
    "name",
    [
        *("project", "active_twin", "session_twin", "spec_key", "dependencies", "dependents"),
        *("run", "runs_of", "open_runs", "uncleaned_runs", "facts_of_project", "same_spec"),
        *("save_project", "save_standing", "save_run", "start_run", "next_claimable"),
        *("next_claimable_numbered", "promote_due", "next_due", "projects_of_batch"),
        *("projects_in", "projects_named", "projects_nameless"),
    ],
)
def test_rows_are_looked_up_not_read_through(server, name):
    plan = plan_of(server, name)

    for table in ("project_queue", "project_plan", "project_run", "project_ready", "event_log"):
        assert f"Seq Scan on {table}" not in plan


@pytest.mark.parametrize("name", ["projects", "projects_in"])
def test_a_page_is_taken_from_the_index_that_is_in_its_order(server, name):
    assert "idx_project_queue_list" in plan_of(server, name)
