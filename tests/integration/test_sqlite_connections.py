"""How the store treats its connections: threads, forks, replaced files, a log that grows."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from scheduler_modules.adapters.database_log import log_has_frames
from scheduler_modules.adapters.store_sqlite import open_sqlite_store
from scheduler_modules.errors import DatabaseUnavailable
from scheduler_modules.model import Run, RunPhase
from tests.integration.store_worker import new_project
from tests.legacy.old_databases import BASE_COLUMNS, build, queue_table

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 1024 * 1024


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "task_queue.db"


@pytest.fixture
def store(path):
    store = open_sqlite_store(path)
    yield store
    store.close()


def open_files(path: Path) -> int:
    """Return how many descriptors this process has on the database file itself."""
    links = (Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd"))
    return sum(os.readlink(link) == str(path) for link in links if link.is_symlink())


# -- threads ------------------------------------------------------------------------------------


def test_nothing_is_opened_before_it_is_needed(path):
    open_sqlite_store(path)

    assert open_files(path) == 0


def test_close_closes_the_callers_connection_and_leaves_no_log(path, store):
    store.add_project(new_project("a.md"))

    store.close()

    assert open_files(path) == 0
    assert not path.with_name("task_queue.db-wal").exists()


def test_close_leaves_the_connections_of_living_threads_alone(path, store):
    ready, go_on, answers = threading.Event(), threading.Event(), []

    def stay() -> None:
        with store.transaction():
            store.add_project(new_project("a.md"))
            ready.set()
            go_on.wait(10)
        answers.append(store.counts())

    staying = threading.Thread(target=stay)
    staying.start()
    ready.wait(10)
    store.close()
    go_on.set()
    staying.join(10)

    assert answers == [{"queued": 1}]


def test_close_closes_the_connections_of_threads_that_have_ended(path, store):
    threads = [threading.Thread(target=store.counts) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    store.close()

    assert open_files(path) == 0


def test_connections_of_ended_threads_do_not_pile_up(path, store):
    for _ in range(5):
        thread = threading.Thread(target=store.counts)
        thread.start()
        thread.join(10)

    assert open_files(path) == 1


# -- forks --------------------------------------------------------------------------------------


def test_no_connection_is_used_across_a_fork(path):
    command = [sys.executable, "-m", "tests.integration.store_worker", str(path), "forks"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.stdout.splitlines() == [
        "idle: 2",
        "idle thread: 3",
        "own transaction: was in use while this process was forked: start a new process",
        "leaving a transaction: has a transaction open that only the forked process can end",
        "busy thread: was in use while this process was forked: start a new process",
        "counts: {'queued': 6}",
    ]
    assert (result.returncode, result.stderr) == (0, "")


def test_what_a_child_commits_after_its_parent_closed_is_not_lost(path, store):
    """With an inherited connection the parent's close deleted the log the child wrote to."""
    store.add_project(new_project("parent.md"))
    opened, closed = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        store.add_project(new_project("child.md"))
        os.write(opened[1], b"x")
        os.read(closed[0], 1)
        store.add_project(new_project("child.md"))
        os._exit(0)
    os.read(opened[0], 1)

    store.close()
    os.write(closed[1], b"x")
    os.waitpid(child, 0)

    assert store.counts() == {"queued": 3}
    for descriptor in (*opened, *closed):
        os.close(descriptor)


# -- files that go away -------------------------------------------------------------------------


def test_a_database_that_was_removed_is_missed_at_once(path, store):
    store.add_project(new_project("a.md"))
    path.rename(path.with_name("away.db"))

    with pytest.raises(DatabaseUnavailable, match="was removed or replaced while in use"):
        store.add_project(new_project("b.md"))


def test_a_database_that_comes_back_is_used_again(path, store):
    store.add_project(new_project("a.md"))
    path.rename(path.with_name("away.db"))
    with pytest.raises(DatabaseUnavailable):
        store.counts()
    path.with_name("away.db").rename(path)

    assert store.counts() == {"queued": 1}


def test_a_database_put_in_its_place_keeps_its_own_log(path, store, tmp_path):
    store.add_project(new_project("a.md"))
    other = tmp_path / "other" / path.name
    other.parent.mkdir()
    open_sqlite_store(other).close()
    for suffix in ("", "-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").rename(tmp_path / f"away{suffix}")
    shutil.copy(other, path)

    with closing(sqlite3.connect(path)) as writer:
        writer.execute("insert into scheduler_state values ('key', 'kept')")
        writer.commit()
        store.close()
        assert path.with_name("task_queue.db-wal").stat().st_size > 0
    again = open_sqlite_store(path)
    assert again.get_state("key") == "kept"
    again.close()


def test_a_column_of_another_program_that_must_not_be_empty_is_told(path):
    build(path, queue_table(*BASE_COLUMNS, "log_file TEXT NOT NULL"))
    store = open_sqlite_store(path)

    with pytest.raises(DatabaseUnavailable, match=r"NOT NULL .*: project_queue\.log_file"):
        store.add_project(new_project("a.md"))
    store.close()


def test_a_table_that_was_dropped_is_told_in_one_line(path, store):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("drop table project_queue")

    with pytest.raises(DatabaseUnavailable, match=f"{path} cannot be used: no such table"):
        store.projects()


# -- locks --------------------------------------------------------------------------------------


def test_a_database_that_stays_locked_is_told_after_the_wait(path):
    store = open_sqlite_store(path, lock_wait_sec=0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")

        with pytest.raises(DatabaseUnavailable, match="stayed locked by another program"):
            store.add_project(new_project("a.md"))
        assert store.counts() == {}

        other.execute("rollback")
    assert store.add_project(new_project("a.md")) == 1
    store.close()


def test_a_signal_is_handled_while_another_program_holds_the_lock(path):
    store = open_sqlite_store(path, lock_wait_sec=20)
    before = signal.signal(signal.SIGALRM, _interrupt)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        began = time.monotonic()

        try:
            with pytest.raises(InterruptedError):
                store.add_project(new_project("a.md"))
        finally:
            signal.signal(signal.SIGALRM, before)

    assert time.monotonic() - began < 5
    store.close()


def _interrupt(_number, _frame):
    raise InterruptedError


def test_after_a_failure_the_rest_of_a_transaction_is_refused_and_nothing_commits(path, store):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("drop table tasks")

    with pytest.raises(DatabaseUnavailable, match="no such table: tasks"), store.transaction():
        store.add_project(new_project("a.md"))
        with pytest.raises(DatabaseUnavailable, match="no such table: tasks"):
            store.tasks()
        with pytest.raises(DatabaseUnavailable, match="no such table: tasks"):
            store.counts()

    assert store.counts() == {}


def test_a_transaction_that_was_left_open_by_an_interruption_is_rolled_back(store):
    with pytest.raises(KeyboardInterrupt), store.transaction():
        store.add_project(new_project("a.md"))
        raise KeyboardInterrupt

    assert store.add_project(new_project("b.md")) == 1


def test_a_word_of_a_newer_program_in_a_run_is_told(path, store):
    store.add_run(
        Run(
            id=0,
            project_id=1,
            attempt=1,
            token="t1",
            host="h",
            daemon_id="d",
            session_name="s",
            phase=RunPhase.RUNNING,
            claimed_at=1.0,
        )
    )
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update project_run set phase = 'dreaming'")

    with pytest.raises(DatabaseUnavailable, match="'dreaming' where only starting, running"):
        store.run("t1")


def test_the_detail_of_a_fact_that_is_no_json_reads_as_none(path, store):
    store.add_fact("said", 1.0, detail={"a": 1})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update event_log set detail = '[not json'")

    assert store.facts()[0].detail == {}


# -- who waits for a commit ---------------------------------------------------------------------


class Listener:
    """Hears the store's rings, and looks at once what can be seen then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seen: list[int] = []

    def __call__(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection:
            self.seen += connection.execute("select count(*) from project_queue").fetchone()


@pytest.fixture
def listener(path) -> Listener:
    return Listener(path)


@pytest.fixture
def ringing(path, listener):
    store = open_sqlite_store(path, ring=listener)
    yield store
    store.close()


def test_a_ring_inside_a_transaction_is_heard_once_the_commit_can_be_seen(ringing, listener):
    with ringing.transaction():
        ringing.ring()
        with ringing.transaction():
            ringing.add_project(new_project("a.md"))
            ringing.ring()
        assert listener.seen == []

    assert listener.seen == [1]


def test_a_ring_outside_a_transaction_is_heard_at_once(ringing, listener):
    ringing.ring()

    assert listener.seen == [0]


def test_what_is_not_rung_for_is_not_heard(ringing, listener):
    ringing.add_project(new_project("a.md"))

    assert listener.seen == []


def test_a_ring_of_a_transaction_that_failed_is_not_heard_even_later(ringing, listener):
    with pytest.raises(KeyboardInterrupt), ringing.transaction():
        ringing.ring()
        raise KeyboardInterrupt
    ringing.add_project(new_project("a.md"))

    assert listener.seen == []


# -- the write-ahead log ------------------------------------------------------------------------


def grow(store, mebibytes: int) -> None:
    for _ in range(mebibytes * 4):
        store.add_fact("said", 1.0, detail={"text": "x" * (MEBIBYTE // 4)})


def log_mebibytes(path: Path) -> float:
    return path.with_name("task_queue.db-wal").stat().st_size / MEBIBYTE


def test_the_write_ahead_log_stays_small(path, store):
    longest = 0.0
    for _ in range(12):
        grow(store, 1)
        longest = max(longest, log_mebibytes(path))

    assert 1 < longest < 6


def test_the_write_ahead_log_is_written_from_its_beginning_again(path, store):
    grow(store, 5)
    before = path.with_name("task_queue.db-wal").stat()

    grow(store, 5)

    after = path.with_name("task_queue.db-wal").stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)


@pytest.mark.parametrize(("frames", "is_there"), [(1, True), (3, True), (4, False), (99, False)])
def test_the_frames_of_a_log_can_be_told_from_outside(tmp_path, frames, is_there):
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode=wal")
        for number in (1, 2, 3):
            connection.execute(f"pragma user_version={number}")

        assert log_has_frames(f"{path}-wal", frames) is is_there


def test_frames_of_an_earlier_round_are_not_of_this_one(tmp_path):
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode=wal")
        for number in (1, 2, 3):
            connection.execute(f"pragma user_version={number}")
        connection.execute("pragma wal_checkpoint(restart)")
        connection.execute("pragma user_version=4")

        assert log_has_frames(f"{path}-wal", 1) is True
        assert log_has_frames(f"{path}-wal", 2) is False


def test_a_log_that_is_not_there_has_no_frames(tmp_path):
    (tmp_path / "empty").touch()

    assert log_has_frames(str(tmp_path / "missing"), 1) is False
    assert log_has_frames(str(tmp_path / "empty"), 1) is False


def test_a_long_reader_stops_no_writer_and_the_log_shrinks_after_it(path, store):
    store.add_fact("said", 1.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select * from event_log").fetchone()
        grow(store, 10)
        while_read = log_mebibytes(path)

    grow(store, 5)

    assert while_read > 9
    assert log_mebibytes(path) < 6


def test_an_everyday_call_imports_nothing_heavy(path):
    open_sqlite_store(path)
    script = (
        "import sys; from pathlib import Path\n"
        "from scheduler_modules.adapters.store_sqlite import open_sqlite_store\n"
        "store = open_sqlite_store(Path(sys.argv[1])); store.projects(); store.close()\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )

    result = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )

    heavy = re.findall(r"\b(alembic|sqlalchemy|mako|pydantic|rich|yaml)\b", result.stdout)
    assert heavy == []
