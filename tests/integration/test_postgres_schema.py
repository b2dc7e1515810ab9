"""Our tables are made, migrated and recognised in a PostgreSQL database, all or nothing."""

import subprocess
import sys
import threading

import psycopg
import pytest

from scheduler_modules.adapters.database_check import SCHEMA_VERSION, VERSION_TABLE
from scheduler_modules.adapters.store_postgres import open_postgres_store
from scheduler_modules.errors import DatabaseUnavailable


def execute(url, statement):
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def tables(url):
    return {
        name
        for (name,) in execute(
            url, "select table_name from information_schema.tables where table_schema = 'public'"
        )
    }


def test_an_empty_database_gets_our_tables(empty_postgres_url):
    store = open_postgres_store(empty_postgres_url)

    assert store.projects() == []
    assert execute(empty_postgres_url, f"select version_num from {VERSION_TABLE}") == [
        (f"{SCHEMA_VERSION:04d}",)
    ]
    store.close()


def test_tables_of_other_programs_may_stand_beside_ours(empty_postgres_url):
    execute(empty_postgres_url, "create table invoices (id int)")

    open_postgres_store(empty_postgres_url).close()

    assert {"invoices", "project_queue"} <= tables(empty_postgres_url)


def test_tables_of_other_programs_in_the_place_of_ours_are_left_alone(empty_postgres_url):
    execute(empty_postgres_url, "create table tasks (id int)")

    with pytest.raises(DatabaseUnavailable, match=r"another program's database \(it has tasks\)"):
        open_postgres_store(empty_postgres_url)

    assert tables(empty_postgres_url) == {"tasks"}


def test_a_newer_schema_is_refused(postgres_url):
    execute(postgres_url, f"update {VERSION_TABLE} set version_num = '0099'")

    with pytest.raises(
        DatabaseUnavailable, match=r"has schema version 99, .* install the newer version"
    ):
        open_postgres_store(postgres_url)


def test_an_unknown_schema_is_refused(postgres_url):
    execute(postgres_url, f"update {VERSION_TABLE} set version_num = 'abc'")

    with pytest.raises(DatabaseUnavailable, match=r"unknown schema version \(abc\)"):
        open_postgres_store(postgres_url)


def test_a_database_without_unicode_is_refused(postgres):
    url = postgres.url(postgres.new_database(encoding="LATIN1"))

    with pytest.raises(DatabaseUnavailable, match="keeps text as LATIN1"):
        open_postgres_store(url)


def test_a_migration_that_fails_leaves_nothing(empty_postgres_url):
    # Our last table finds its place taken by something that is none of our tables.
    execute(empty_postgres_url, "create view project_ready as select 1 as a")

    with pytest.raises(DatabaseUnavailable, match="cannot be used"):
        open_postgres_store(empty_postgres_url)

    assert tables(empty_postgres_url) == {"project_ready"}


def test_several_that_come_first_make_the_tables_once(empty_postgres_url):
    failures = []

    def open_it():
        try:
            open_postgres_store(empty_postgres_url).close()
        except DatabaseUnavailable as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    assert execute(empty_postgres_url, f"select count(*) from {VERSION_TABLE}") == [(1,)]


def test_rights_that_are_missing_are_told(postgres, postgres_url):
    postgres.execute("create role guest login")
    try:
        with pytest.raises(DatabaseUnavailable, match="give it the rights"):
            open_postgres_store(postgres_url.replace("sched@", "guest@"))
    finally:
        postgres.execute("drop role guest")


def test_a_database_that_is_not_there_is_told(postgres):
    with pytest.raises(DatabaseUnavailable, match="make it: createdb"):
        open_postgres_store(postgres.url("nowhere")).projects()


_IMPORTED = """
import sys
from scheduler_modules.adapters.store_postgres import open_postgres_store
open_postgres_store(sys.argv[1]).projects()
print(*{"sqlalchemy", "alembic"} & set(sys.modules))
"""


def test_a_database_that_is_up_to_date_loads_no_alembic(postgres_url):
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED, postgres_url], capture_output=True, text=True, check=True
    )

    assert done.stdout == "\n"


_WITHOUT_DRIVER = """
import sys
sys.modules["psycopg"] = None
from scheduler_modules.errors import DatabaseUnavailable
try:
    from scheduler_modules.adapters.store_postgres import open_postgres_store
except DatabaseUnavailable as error:
    print(error)
"""


def test_a_driver_that_is_not_installed_is_told_with_what_to_type():
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_DRIVER], capture_output=True, text=True, check=True
    )

    assert done.stdout.endswith("pip install 'tmux-orchestrator[postgres]'\n")
