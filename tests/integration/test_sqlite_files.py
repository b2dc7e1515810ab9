"""Files that cannot be the queue's database are refused in plain words and left as they are."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from scheduler_modules.adapters.database_check import SCHEMA_VERSION
from scheduler_modules.adapters.store_sqlite import open_sqlite_store
from scheduler_modules.errors import DatabaseUnavailable
from tests.lab.promises import rounds
from tests.legacy.old_databases import VARIANTS, build, with_18_columns


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "task_queue.db"


def fill(path: Path) -> None:
    """Make a database of ours with something in every table."""
    from scheduler_modules.model import NewProject, Run, RunPhase, Task

    store = open_sqlite_store(path)
    with store.transaction():
        for n in range(60):
            project_id = store.add_project(
                NewProject(
                    spec_path=f"/specs/{n}.md",
                    name=f"p{n}",
                    enqueued_at=float(n),
                    spec_key=f"/specs/{n}.md",
                    after_keys=(f"/specs/{n - 1}.md",),
                )
            )
            store.add_run(
                Run(
                    id=0,
                    project_id=project_id,
                    attempt=1,
                    token=f"{n:032x}",
                    host="alpha",
                    daemon_id="d",
                    session_name=f"p{n}-impl",
                    phase=RunPhase.RUNNING,
                    claimed_at=1.0,
                )
            )
            store.add_fact("project_queued", float(n), project_id, detail={"text": "x" * 300})
        store.add_task(
            Task(
                id=0,
                session_name="s",
                agent_role="r",
                window_index=0,
                next_run=1.0,
                interval_minutes=5,
            )
        )
        store.set_cursor("mail", 3)
    store.close()


def use(path: Path) -> None:
    """Read everything there is."""
    store = open_sqlite_store(path)
    try:
        projects = store.projects()
        store.projects(["queued"], newest_first=True)
        store.counts(), store.tasks(), store.facts(), store.open_runs(), store.cursor("mail")
        store.next_claimable(1e12, "alpha", 9), store.groups(), store.projects_named("a", 5)
        store.raw_projects(), store.uncleaned_runs("alpha")
        for project in projects[:5]:
            store.dependencies(project.id), store.runs_of(project.id), store.spec_key_of(project.id)
    finally:
        store.close()


def refusal(path: Path) -> str:
    """Return the words of the refusal; nothing in the folder may change by it."""
    before = snapshot(path.parent)
    with pytest.raises(DatabaseUnavailable) as refused:
        open_sqlite_store(path)
    assert snapshot(path.parent) == before
    text = str(refused.value)
    assert "\n" not in text
    return text


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {file.name: file.read_bytes() if file.is_file() else None for file in folder.iterdir()}


# -- not a database of ours ---------------------------------------------------------------------


def test_an_empty_file_is_refused(path):
    path.touch()

    assert refusal(path) == (
        f"{path} is empty (0 bytes): restore a backup, or delete it to start afresh"
    )


def test_the_folder_of_backups_is_named_where_there_is_one(path):
    path.touch()
    (path.parent / "backups").mkdir()

    assert f"restore a backup from {path.parent}/backups" in refusal(path)


@pytest.mark.parametrize(
    "garbage", [b"x", b"\0" * 5000, b"#!/bin/sh\necho hello\n" * 300, bytes(range(256)) * 40]
)
def test_garbage_is_refused(path, garbage):
    path.write_bytes(garbage)

    assert refusal(path).startswith(f"{path} is not an SQLite database: restore")


def test_a_garbled_header_is_refused(path):
    fill(path)
    path.write_bytes(b"SQLite format 4\0" + path.read_bytes()[16:])

    assert "is not an SQLite database" in refusal(path)


@pytest.mark.parametrize("kept", [1, 50, 100, 512, 4095, 4096, 8192, -4096, -1])
def test_a_truncated_file_is_refused(path, kept):
    fill(path)
    path.write_bytes(path.read_bytes()[:kept])
    before = path.read_bytes()

    with pytest.raises(DatabaseUnavailable):
        use(path)

    assert path.read_bytes() == before


FOREIGN = {
    "notes": "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",
    "another tasks": "CREATE TABLE tasks (id INTEGER, title TEXT, done INTEGER);",
    "another queue": "CREATE TABLE project_queue (id INTEGER, name TEXT, status TEXT);",
    "ours beside": "CREATE TABLE project_queue (id INTEGER); CREATE TABLE sequence_generator"
    " (name TEXT, current_value INTEGER);",
    "a view": "CREATE TABLE t (id, session_name, next_run); CREATE VIEW tasks AS SELECT * FROM t;",
    "generic names": "CREATE TABLE agents (id INTEGER); CREATE TABLE migrations (id INTEGER);",
    "full text": "CREATE VIRTUAL TABLE documents USING fts5(body);",
}


@pytest.mark.parametrize("script", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_the_database_of_another_program_is_refused(path, script, mode):
    build(path, f"PRAGMA journal_mode = {mode};", script)

    words = refusal(path)

    assert words.startswith(f"{path} is another program's database (it has ")
    assert words.endswith("set SCHEDULER_DB_URL or QUEUE_DB_PATH to another file")


def test_at_most_three_tables_of_another_program_are_named(path):
    build(path, *(f"CREATE TABLE {name} (x);" for name in "dcba"))

    assert "(it has a, b, c, ...)" in refusal(path)


def test_a_foreign_database_with_an_unfinished_log_keeps_it(path, tmp_path):
    origin = tmp_path / "origin.db"
    build(origin, "PRAGMA journal_mode = wal;", "CREATE TABLE notes (text TEXT);")
    with closing(sqlite3.connect(origin)) as writer:
        writer.execute("INSERT INTO notes VALUES ('not yet checkpointed')")
        writer.commit()
        folder = tmp_path / "copy"
        folder.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{origin}{suffix}", f"{folder / path.name}{suffix}")

    assert "another program's database" in refusal(folder / path.name)


@pytest.mark.parametrize("version", ["0003", "9999"])
def test_a_newer_schema_is_refused(path, version):
    fill(path)
    build(path, f"UPDATE scheduler_alembic_version SET version_num = '{version}';")

    words = refusal(path)

    assert words == (
        f"{path} has schema version {int(version)}, this program knows {SCHEMA_VERSION}: "
        "install the newer version of this program"
    )


@pytest.mark.parametrize("version", ["0000", "1", "abc", "", "-001"])
def test_an_unknown_schema_version_is_refused(path, version):
    fill(path)
    build(path, f"UPDATE scheduler_alembic_version SET version_num = '{version}';")

    assert f"{path} has an unknown schema version ({version})" in refusal(path)


def test_two_schema_versions_are_refused(path):
    fill(path)
    build(path, "INSERT INTO scheduler_alembic_version VALUES ('0000');")

    assert f"unknown schema version ({SCHEMA_VERSION:04d}, 0000)" in refusal(path)


# -- not a file that can be opened --------------------------------------------------------------


def test_a_folder_is_refused(path):
    path.mkdir()

    assert refusal(path) == f"{path} is a folder: name a file in it"


def test_a_pipe_is_refused_and_not_waited_for(path):
    os.mkfifo(path)

    assert refusal(path) == f"{path} is not a regular file: name another one"


def test_a_missing_folder_is_named(path):
    with pytest.raises(DatabaseUnavailable, match=r"the folder .*/no does not exist: make it"):
        open_sqlite_store(path.parent / "no" / "task_queue.db")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "file/task_queue.db"])
def test_an_impossible_path_is_refused(tmp_path, name):
    (tmp_path / "file").touch()

    with pytest.raises(DatabaseUnavailable, match="cannot be"):
        open_sqlite_store(tmp_path / name)


def test_a_link_is_followed_to_the_file_itself(path, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    path.symlink_to(tmp_path / "elsewhere" / "real.db")

    fill(path)

    assert path.is_symlink()
    assert sorted(os.listdir(tmp_path / "elsewhere")) == ["real.db", "real.db.migrate.lock"]


@pytest.mark.parametrize("name", ["with space.db", "100%.db", "a?b#c.db", "ü.db", "\udce9.db"])
def test_any_name_of_a_file_will_do(tmp_path, name):
    fill(tmp_path / name)

    assert (tmp_path / name).stat().st_size > 10_000


@pytest.mark.parametrize("side", ["-wal", "-journal"])
def test_a_log_without_its_database_is_not_thrown_away(path, side):
    path.with_name(path.name + side).write_bytes(b"the last writes")

    words = refusal(path)

    assert f"{path} is missing but {path.name}{side} is there" in words


def as_nobody(act) -> str:
    """Return what the call says to a user who owns nothing here."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            answer = str(act())
        except DatabaseUnavailable as error:
            answer = f"refused: {error}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


@pytest.fixture
def shared(path):
    """A database in a folder that anybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        for entry in (Path(folder).parent, Path(folder)):
            entry.chmod(0o755)
        yield Path(folder) / "task_queue.db"
        Path(folder).chmod(0o755)


def test_a_file_that_may_not_be_read_is_refused(shared):
    fill(shared)
    shared.chmod(0)

    words = as_nobody(lambda: open_sqlite_store(shared))

    assert words == f"refused: {shared} may not be read: check its owner and permissions"


def test_a_folder_that_may_not_be_entered_is_refused(shared):
    fill(shared)
    shared.parent.chmod(0)

    words = as_nobody(lambda: open_sqlite_store(shared))

    assert words == f"refused: {shared} cannot be looked at: Permission denied"


def test_an_old_file_in_a_folder_that_may_not_be_written_is_refused(shared):
    with_18_columns(shared)
    shared.chmod(0o444)
    shared.parent.chmod(0o555)

    words = as_nobody(lambda: open_sqlite_store(shared))

    assert words.startswith(f"refused: {shared} cannot be made or migrated: Permission denied")


# -- damage -------------------------------------------------------------------------------------


def flips(random, content: bytes, number: int):
    """Give copies with one byte changed: most in the header or on the first page."""
    for n in range(number):
        place = random.randrange((100, 4096, len(content))[n % 3])
        value = content[place] ^ random.randrange(1, 256)
        # A valid file of the other journal mode is no damage: it is set right.
        if place not in (18, 19) or value != 1:
            yield place, content[:place] + bytes([value]) + content[place + 1 :]


def test_promise_20_a_flipped_byte_is_no_traceback_and_is_not_written_over(path, promise):
    fill(path)
    content = path.read_bytes()
    refused = tried = 0

    for place, damaged in flips(promise.random, content, rounds(60, 500)):
        path.write_bytes(damaged)
        try:
            use(path)
        except DatabaseUnavailable as error:
            refused += 1
            assert str(path) in str(error) or "the database says" in str(error), place
        tried += 1
        assert path.read_bytes() == damaged, place
        assert not list(path.parent.glob("backups/*")), place

    promise.tell(f"{tried} flipped bytes: {refused} refused, the rest read; 0 files changed")
    assert refused > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_promise_20_a_flipped_byte_in_an_old_file_is_no_traceback(variant, path, promise):
    content = VARIANTS[variant](path).read_bytes()
    refused = tried = 0

    for place, damaged in flips(promise.random, content, rounds(6, 100)):
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        path.write_bytes(damaged)
        tried += 1
        try:
            open_sqlite_store(path)
        except DatabaseUnavailable:
            refused += 1
            assert path.read_bytes() == damaged, place
            assert not list(path.parent.glob("backups/*")), place

    promise.tell(f"{tried} flipped bytes: {refused} refused and left as they were")
