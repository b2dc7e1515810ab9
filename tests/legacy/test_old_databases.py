"""Every database an old program left is taken over, with nothing of it lost or moved."""

import logging
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from scheduler_modules.adapters import migrate
from scheduler_modules.adapters.database_check import SCHEMA_VERSION, Standing, check
from scheduler_modules.adapters.store_sqlite import open_sqlite_store
from scheduler_modules.errors import DatabaseUnavailable
from scheduler_modules.model import NewProject
from tests.legacy.old_databases import (
    BASE_COLUMNS,
    INDEXES,
    START_UP_COLUMNS,
    TASKS,
    VARIANTS,
    build,
    queue_table,
    with_14_columns,
    with_18_columns,
    with_22_columns,
    with_broken_rules,
    with_few_columns,
    with_other_positions,
    with_swallowing_constraint,
    with_tasks_only,
)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "task_queue.db"


@pytest.fixture(params=VARIANTS)
def old(request, path) -> Path:
    return VARIANTS[request.param](path)


def take_over(path: Path) -> None:
    store = open_sqlite_store(path)
    store.counts()
    store.close()


def ask(path: Path, statement: str, *values) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def content(path: Path) -> dict[str, list[dict]]:
    """Return every row of every table as a dictionary of its columns."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = connection.execute(
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
        ).fetchall()
        return {
            name: [dict(row) for row in connection.execute(f"select * from {name} order by 1")]
            for (name,) in names
        }


def columns(path: Path, table: str = "project_queue") -> list[str]:
    return [row[0] for row in ask(path, f"select name from pragma_table_info('{table}')")]


def indexes(path: Path) -> set[str]:
    return {row[0] for row in ask(path, "select name from sqlite_master where type = 'index'")}


# -- nothing is lost ----------------------------------------------------------------------------


def test_every_row_of_every_table_stays_as_it_was(old):
    before = content(old)

    take_over(old)

    after = content(old)
    for table, rows in before.items():
        pairs = zip(rows, after[table], strict=True)
        assert [{name: row[name] for name in old_row} for old_row, row in pairs] == rows


def test_old_columns_keep_their_places_and_new_ones_follow(old):
    before = columns(old)

    take_over(old)

    assert columns(old)[: len(before)] == before


def test_every_column_the_old_program_reads_is_there(old):
    take_over(old)

    wanted = [column.split()[0] for column in (*BASE_COLUMNS, *START_UP_COLUMNS)]
    assert {*wanted, "session_name", "fresh_start"} <= set(columns(old))


def test_a_new_database_has_the_old_order_of_columns(path):
    take_over(path)

    wanted = [column.split()[0] for column in (*BASE_COLUMNS, *START_UP_COLUMNS)]
    assert columns(path) == [*wanted, "session_name", "fresh_start"]


def test_a_new_database_has_the_old_tables_as_the_old_program_makes_them(tmp_path):
    old, new = with_18_columns(tmp_path / "old.db"), tmp_path / "new.db"
    take_over(new)

    about = "select name, type, \"notnull\", pk from pragma_table_info('{}')"
    for table, number in (("tasks", 11), ("project_queue", 18), ("scheduler_state", 2)):
        assert ask(new, about.format(table))[:number] == ask(old, about.format(table))


def test_every_file_passes_the_integrity_check_afterwards(old):
    take_over(old)

    assert ask(old, "pragma integrity_check") == [("ok",)]
    assert ask(old, "pragma journal_mode") == [("wal",)]


def test_every_file_takes_new_projects_afterwards(old):
    store = open_sqlite_store(old)
    new = NewProject(spec_path="new.md", name="new", enqueued_at=5.0, spec_key="/new.md")

    project_id = store.add_project(new)

    assert store.project(project_id).status == "queued"
    store.close()


def test_no_id_is_given_twice(path):
    with_swallowing_constraint(path)
    store = open_sqlite_store(path)
    new = NewProject(spec_path="new.md", name="new", enqueued_at=5.0, spec_key="/new.md")

    assert store.add_project(new) == 21
    store.close()


# -- the old program goes on reading ------------------------------------------------------------


def test_the_old_program_can_start_on_it(path):
    with_14_columns(path)
    take_over(path)

    for column in START_UP_COLUMNS:
        with pytest.raises(sqlite3.OperationalError, match="duplicate column"):
            ask(path, f"ALTER TABLE project_queue ADD COLUMN {column}")
    for statement in INDEXES.replace("INDEX idx", "INDEX IF NOT EXISTS idx").split(";")[:-1]:
        ask(path, statement)


def test_the_old_program_can_queue_claim_and_finish(old):
    take_over(old)

    ask(old, "INSERT INTO project_queue (spec_path, project_path) VALUES ('x.md', '/x')")
    ask(
        old,
        "UPDATE project_queue SET status = 'processing', started_at = 1.0 WHERE id = (SELECT id"
        " FROM project_queue WHERE status = 'queued' ORDER BY priority DESC, enqueued_at ASC"
        " LIMIT 1)",
    )
    ask(old, "UPDATE project_queue SET status = 'completed' WHERE status = 'processing'")

    assert ask(old, "SELECT count(*) FROM project_queue WHERE status = 'completed'")[0][0] >= 1


def test_a_row_the_old_program_adds_to_a_new_file_has_its_defaults(path):
    take_over(path)

    ask(path, "INSERT INTO project_queue (spec_path) VALUES ('x.md')")

    (row,) = content(path)["project_queue"]
    assert (row["status"], row["priority"], row["retry_count"]) == ("queued", 0, 0)
    assert row["enqueued_at"] > 1_600_000_000


def test_a_task_the_old_program_adds_to_a_new_file_has_its_defaults(path):
    take_over(path)

    ask(
        path,
        "INSERT INTO tasks (session_name, agent_role, window_index, next_run, interval_minutes)"
        " VALUES ('s', 'r', 0, 1.0, 5)",
    )

    (row,) = content(path)["tasks"]
    assert (row["retry_count"], row["max_retries"]) == (0, 3)
    assert row["created_at"] > 1_600_000_000


def test_the_unique_rules_hold_afterwards(path):
    with_14_columns(path)
    take_over(path)

    with pytest.raises(sqlite3.IntegrityError):
        ask(
            path,
            "INSERT INTO project_queue (spec_path, project_path) VALUES ('/specs/b.md','/web')",
        )


# -- reading what old programs wrote ------------------------------------------------------------


def stored(path: Path, **values):
    """Return how a row with these columns reads."""
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    ask(path, f"INSERT INTO project_queue ({names}) VALUES ({marks})", *values.values())
    store = open_sqlite_store(path)
    project = store.projects(newest_first=True)[0]
    store.close()
    return project


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (1700000000.25, 1700000000.25),
        (1700000000, 1700000000.0),
        ("2023-11-14 22:13:20", 1700000000.0),
        ("2023-11-14 22:13:20.5", 1700000000.5),
        ("2023-11-14T22:13:20+00:00", 1700000000.0),
        ("2023-11-15T00:13:20+02:00", 1700000000.0),
        ("2023-11-14 22:13:20Z", 1700000000.0),
        ("1700000000.25", 1700000000.25),
        (" 1700000000 ", 1700000000.0),
        (b"1700000000", 1700000000.0),
        (b"\xff\xfe", None),
        ("2023-11-14", 1699920000.0),
        (None, None),
        ("", None),
        ("yesterday", None),
        ("nan", None),
        ("inf", None),
        (float("inf"), None),
        ("2023-99-99 00:00:00", None),
    ],
)
def test_times_in_every_form_are_read(path, written, read):
    with_18_columns(path)

    assert stored(path, spec_path="x.md", started_at=written).started_at == read


def test_iso_text_without_an_offset_is_local_time(path, monkeypatch):
    with_18_columns(path)
    script = (
        "import sys; from pathlib import Path\n"
        "from scheduler_modules.adapters.store_sqlite import open_sqlite_store\n"
        "print(open_sqlite_store(Path(sys.argv[1])).projects(['completed'])[0].completed_at)"
    )
    ask(
        path,
        "INSERT INTO project_queue (spec_path, status, completed_at)"
        " VALUES ('x.md', 'completed', '2023-11-14T23:13:20.500000')",
    )
    monkeypatch.setenv("TZ", "Europe/Berlin")

    result = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )

    assert result.stdout == "1700000000.5\n"


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"session_name": "s", "main_session": "m", "orchestrator_session": "o"}, "s"),
        ({"main_session": "m", "orchestrator_session": "o"}, "m"),
        ({"session_name": "", "main_session": "", "orchestrator_session": "o"}, "o"),
        ({"session_name": ""}, None),
        ({}, None),
    ],
)
def test_the_first_session_column_that_says_something_counts(path, columns, name):
    with_22_columns(path)

    assert stored(path, spec_path="x.md", status="failed", **columns).session_name == name


def test_saving_writes_all_session_columns_alike(path):
    with_22_columns(path)
    store = open_sqlite_store(path)
    before = store.project(4)

    store.save_project(before, msgspec.structs.replace(before, session_name="new"))

    store.close()
    names = "session_name, main_session, orchestrator_session"
    assert ask(path, f"select {names} from project_queue where id = 4") == [("new",) * 3]


@pytest.mark.parametrize(
    ("column", "written", "read"),
    [
        ("priority", None, 0),
        ("priority", "high", 0),
        ("priority", 3.0, 3),
        ("retry_count", "2", 2),
        ("fresh_start", "true", True),
        ("fresh_start", 1, True),
        ("fresh_start", None, False),
        ("fresh_start", "maybe", False),
        ("error_message", b"raw \xff", "raw \\xff"),
        ("error_message", 17, "17"),
        ("batch_id", "b", "b"),
        ("enhanced_spec_path", "e.md", "e.md"),
    ],
)
def test_values_of_the_wrong_type_are_read_as_far_as_they_go(path, column, written, read):
    with_22_columns(path)

    assert getattr(stored(path, spec_path="x.md", **{column: written}), column) == read


def test_text_that_is_no_utf_8_is_shown_with_its_bytes_written_out(path):
    with_18_columns(path)
    ask(path, "INSERT INTO project_queue (spec_path) VALUES (CAST(X'ff2e6d64' AS TEXT))")
    store = open_sqlite_store(path)

    assert store.projects(newest_first=True)[0].spec_path == "\\xff.md"
    assert any("\\xff.md" in row for row in store.raw_projects()[1])
    store.close()


def test_columns_are_read_by_name_wherever_they_stand(path):
    with_other_positions(path)
    ask(path, "UPDATE project_queue SET session_name = 's', batch_id = 'b' WHERE id = 4")
    store = open_sqlite_store(path)

    project = store.project(4)

    assert (project.spec_path, project.project_path) == ("/specs/b.md", "/web")
    assert (project.status, project.priority) == ("processing", 5)
    assert (project.session_name, project.batch_id) == ("s", "b")
    assert store.raw_projects()[0] == columns(path)
    store.close()


def test_tasks_of_an_old_file_are_read(path):
    with_tasks_only(path)
    ask(
        path,
        "INSERT INTO tasks (session_name, agent_role, window_index, next_run, interval_minutes)"
        " VALUES ('late', 'r', 0, '2033-11-14 22:13:20', 5), ('never', 'r', '1', 'soon', 'x')",
    )
    store = open_sqlite_store(path)

    tasks = store.tasks()

    assert [task.session_name for task in tasks] == ["never", "web-impl-1234abcd", "late"]
    assert (tasks[0].next_run, tasks[0].interval_minutes) == (0.0, 0)
    assert store.get_state("last_boot_time") == "1699990000.0"
    store.close()


def test_a_deleted_row_leaves_no_plan_behind_that_counts(path):
    take_over(path)
    store = open_sqlite_store(path)
    new = NewProject(spec_path="a.md", name="a", enqueued_at=5.0, spec_key="/a.md")
    first = store.add_project(new)
    ask(path, "UPDATE project_queue SET status = 'completed' WHERE id = ?", first)
    second = store.add_project(new)
    third = store.add_project(
        NewProject(
            spec_path="b.md", name="b", enqueued_at=9.0, spec_key="/b.md", after_keys=("/a.md",)
        )
    )

    ask(path, "DELETE FROM project_queue WHERE id = ?", second)

    assert store.next_claimable(10.0, "alpha", 9).project.id == third
    assert store.dependencies(third)[0].project_id == first
    store.close()


def test_an_id_that_an_old_table_gives_again_starts_with_a_plan_of_its_own(path):
    with_few_columns(path)
    store = open_sqlite_store(path)
    first = store.add_project(
        NewProject(spec_path="a.md", name="a", enqueued_at=5.0, spec_key="/a", after_keys=("/x",))
    )
    before = store.project(first)
    store.save_project(before, msgspec.structs.replace(before, retries_used=3, not_before=99.0))
    ask(path, "DELETE FROM project_queue WHERE id = ?", first)

    again = store.add_project(
        NewProject(spec_path="b.md", name="b", enqueued_at=5.0, spec_key="/b")
    )

    project = store.project(again)
    assert again == first
    assert (project.name, project.retries_used, project.not_before) == ("b", 0, None)
    assert (store.spec_key_of(again), store.dependencies(again)) == ("/b", [])
    store.close()


# -- the rules of a rival table -----------------------------------------------------------------


def test_the_constraint_that_swallows_rows_is_gone(path):
    with_swallowing_constraint(path)
    ask(path, "INSERT INTO project_queue (spec_path, status) VALUES ('/specs/c.md', 'failed')")
    swallowed = ask(path, "select count(*) from project_queue where spec_path = '/specs/c.md'")

    take_over(path)
    ask(path, "INSERT INTO project_queue (spec_path, status) VALUES ('/specs/c.md', 'failed')")

    assert swallowed == [(1,)]
    kept = ask(path, "select count(*) from project_queue where spec_path = '/specs/c.md'")
    assert kept == [(2,)]


def test_a_rebuilt_table_keeps_its_indexes_and_views(path):
    with_swallowing_constraint(path)

    take_over(path)

    assert "idx_by_log" in indexes(path)
    assert ask(path, "select id from failed_projects") == [(7,)]


@pytest.mark.parametrize(
    "constraint",
    [
        'unique ( "spec_path" , [status] )',
        "CONSTRAINT only_one UNIQUE (spec_path, status) ON CONFLICT REPLACE",
        "UNIQUE\n(`spec_path`,\n status)",
    ],
)
def test_the_constraint_is_known_in_every_spelling(path, constraint):
    columns_before = [*BASE_COLUMNS, constraint]
    build(path, queue_table(*columns_before))

    take_over(path)

    ask(path, "INSERT INTO project_queue (spec_path, status) VALUES ('a', 'failed')")
    ask(path, "INSERT INTO project_queue (spec_path, status) VALUES ('a', 'failed')")
    assert ask(path, "select count(*) from project_queue") == [(2,)]


@pytest.mark.parametrize(
    "columns_before",
    [
        (*BASE_COLUMNS, "UNIQUE(status, spec_path)"),
        (*BASE_COLUMNS, "twice AS (priority * 2)", "UNIQUE(spec_path, status)"),
        (*BASE_COLUMNS, "UNIQUE(spec_path, status)", "UNIQUE(status, spec_path)"),
    ],
)
def test_what_cannot_be_rebuilt_safely_is_refused_and_left_alone(path, columns_before):
    build(path, queue_table(*columns_before))
    before = path.read_bytes()

    with pytest.raises(DatabaseUnavailable, match=r"task_queue\.db: its table project_queue"):
        take_over(path)

    assert path.read_bytes() == before
    assert not list(path.parent.glob("backups/*"))


def test_other_unique_rules_are_left_alone(path):
    build(path, queue_table(*BASE_COLUMNS, "UNIQUE(batch_id, spec_path)"))

    take_over(path)

    assert (
        "UNIQUE(batch_id, spec_path)"
        in ask(path, "select sql from sqlite_master where name = 'project_queue'")[0][0]
    )


def test_an_index_that_old_rows_break_is_left_out_with_a_warning(path, caplog):
    with_broken_rules(path)

    take_over(path)

    skipped = [record.index for record in caplog.records if record.levelname == "WARNING"]
    assert skipped == ["idx_unique_active_project", "idx_unique_processing_session"]
    assert not {*skipped} & indexes(path)


# -- how it is done -----------------------------------------------------------------------------


def test_one_line_says_that_a_file_was_migrated_and_where_the_backup_is(path, caplog):
    with_18_columns(path)
    caplog.set_level(logging.INFO)

    take_over(path)

    (record,) = [record for record in caplog.records if record.levelname == "INFO"]
    (backup,) = (path.parent / "backups").iterdir()
    assert record.getMessage() == "database_migrated"
    assert (record.version, record.backup) == (SCHEMA_VERSION, str(backup))


def test_one_line_says_that_a_new_file_was_made(path, caplog):
    caplog.set_level(logging.INFO)

    take_over(path)

    assert [record.getMessage() for record in caplog.records] == ["database_created"]
    assert not (path.parent / "backups").exists()


def test_the_backup_is_the_old_database(old):
    before = content(old)

    take_over(old)

    (backup,) = (old.parent / "backups").iterdir()
    assert content(backup) == before
    assert ask(backup, "pragma integrity_check") == [("ok",)]


def test_the_backup_holds_what_lay_in_the_write_ahead_log(path):
    with_18_columns(path)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("pragma journal_mode = wal")
        writer.execute("INSERT INTO project_queue (spec_path) VALUES ('last.md')")
        writer.commit()

        take_over(path)

    (backup,) = (path.parent / "backups").iterdir()
    assert ask(backup, "select spec_path from project_queue order by id desc")[0] == ("last.md",)


def test_nothing_but_database_backup_and_lock_is_left_behind(old):
    take_over(old)

    names = {file.name for file in old.parent.iterdir()}
    assert names == {"task_queue.db", "task_queue.db.migrate.lock", "backups"}


def test_a_second_opening_loads_no_alembic_and_makes_no_backup(path):
    with_18_columns(path)
    take_over(path)
    script = (
        "import sys; from pathlib import Path\n"
        "from scheduler_modules.adapters.store_sqlite import open_sqlite_store\n"
        "store = open_sqlite_store(Path(sys.argv[1])); store.projects(); store.close()\n"
        "print(sorted({'alembic', 'sqlalchemy', 'mako'} & set(sys.modules)))"
    )

    result = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )

    assert result.stdout == "[]\n"
    assert len(list((path.parent / "backups").iterdir())) == 1


def test_processes_that_open_an_old_file_at_once_make_one_migration(path):
    with_22_columns(path)
    script = (
        "import sys; from pathlib import Path\n"
        "from scheduler_modules.adapters.store_sqlite import open_sqlite_store\n"
        "from scheduler_modules.model import NewProject\n"
        "store = open_sqlite_store(Path(sys.argv[1]))\n"
        "new = NewProject(spec_path=sys.argv[2], name='n', enqueued_at=1.0, spec_key='/n')\n"
        "store.add_project(new); store.close()"
    )
    command = [sys.executable, "-c", script, str(path)]

    running = [
        subprocess.Popen([*command, f"{n}.md"], stderr=subprocess.PIPE, text=True) for n in range(4)
    ]

    assert [(process.communicate()[1], process.returncode) for process in running] == [("", 0)] * 4
    assert len(list((path.parent / "backups").iterdir())) == 1
    assert ask(path, "select count(*) from project_queue") == [(7,)]


def test_processes_that_make_a_new_file_at_once_agree_on_one(path):
    script = (
        "import sys; from pathlib import Path\n"
        "from scheduler_modules.adapters.store_sqlite import open_sqlite_store\n"
        "from scheduler_modules.model import NewProject\n"
        "store = open_sqlite_store(Path(sys.argv[1]))\n"
        "new = NewProject(spec_path='a.md', name='n', enqueued_at=1.0, spec_key='/n')\n"
        "print(store.add_project(new)); store.close()"
    )
    command = [sys.executable, "-c", script, str(path)]

    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    assert sorted(int(process.communicate()[0]) for process in running) == [1, 2, 3, 4]


def test_a_file_an_old_program_makes_meanwhile_is_taken_over_not_replaced(path, monkeypatch):
    """The old program wins the race for the name; its rows must not be lost."""
    put_in_place = migrate.os.link

    def lose_the_race(fresh, name):
        with_14_columns(path)
        put_in_place(fresh, name)

    monkeypatch.setattr(migrate.os, "link", lose_the_race)

    take_over(path)

    assert check(path) is Standing.CURRENT
    assert len(content(path)["project_queue"]) == 3


def test_what_a_killed_process_left_is_cleared_away(path):
    for name in (".task_queue.db.new", ".task_queue.db.new-journal"):
        (path.parent / name).write_bytes(b"half a database")

    take_over(path)

    assert check(path) is Standing.CURRENT
    assert not list(path.parent.glob(".task_queue.db.new*"))


def test_an_empty_version_table_means_that_nothing_was_done_yet(path):
    with_18_columns(path)
    ask(path, "CREATE TABLE scheduler_alembic_version (version_num VARCHAR(32) NOT NULL)")

    assert check(path) is Standing.BEHIND
    take_over(path)
    assert check(path) is Standing.CURRENT


def test_a_damaged_old_file_is_not_migrated(path):
    with_18_columns(path)
    for n in range(50):
        ask(path, "INSERT INTO project_queue (spec_path) VALUES (?)", f"{n}" * 500)
    damaged = bytearray(path.read_bytes())
    damaged[-8192:] = b"\x5a" * 8192
    path.write_bytes(damaged)

    with pytest.raises(DatabaseUnavailable, match="damaged"):
        take_over(path)

    assert path.read_bytes() == damaged
    assert not list(path.parent.glob("backups/*"))


def test_a_table_of_tasks_alone_is_known_by_its_columns(path):
    build(path, TASKS.partition(";")[0])

    assert check(path) is Standing.BEHIND


def test_the_newest_revision_is_the_version_the_program_knows():
    from alembic.script import ScriptDirectory

    folder = Path(migrate.__file__).parent / "migrations"

    assert ScriptDirectory(str(folder)).get_heads() == [f"{SCHEMA_VERSION:04d}"]
