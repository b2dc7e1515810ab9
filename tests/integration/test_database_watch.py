"""Commits of programs that do not ring, seen by asking a real SQLite file."""

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing

import pytest

from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.database_watch import DataVersionWatch
from scheduler_modules.adapters.store_sqlite import open_sqlite_store
from scheduler_modules.adapters.wakeup import SelectorWakeup
from tests.fakes.clock import FakeClock
from tests.integration.store_worker import new_project
from tests.legacy.old_databases import BASE_COLUMNS, build, queue_table

COMMITS = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=30)
for _ in sys.stdin:
    connection.execute("update project_queue set priority = priority + 1")
    connection.commit()
    print(time.monotonic(), flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "task_queue.db"


@pytest.fixture
def store(path):
    store = open_sqlite_store(path)
    store.add_project(new_project("a.md"))
    yield store
    store.close()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def watch(path, clock):
    watch = DataVersionWatch(path, clock)
    yield watch
    watch.close()


@pytest.fixture
def ask(watch, clock):
    """Ask the watch, a second after the last time."""

    def ask():
        clock.advance(1)
        return watch.drain()

    return ask


def commit(path, statement="update project_queue set priority = priority + 1"):
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.execute(statement)


def side_files(path):
    return sorted(entry.name for entry in path.parent.iterdir())


# -- what it notices ----------------------------------------------------------------------------


def test_the_first_look_counts_as_news(store, ask):
    assert [ask(), ask()] == [True, False]


def test_a_commit_of_another_program_is_noticed_once(store, path, ask):
    ask()
    commit(path)

    assert [ask(), ask()] == [True, False]


def test_a_commit_of_our_own_store_is_noticed_too(store, ask):
    ask()
    store.add_project(new_project("b.md"))

    assert [ask(), ask()] == [True, False]


def test_reading_is_no_news(store, path, ask):
    ask()
    store.project(1)
    commit(path, "select 1")

    assert ask() is False


def test_what_is_rolled_back_is_no_news(store, path, ask):
    ask()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("update project_queue set priority = 7")
        connection.rollback()

    assert ask() is False


def test_it_asks_no_oftener_than_once_a_second(store, path, watch, clock, ask):
    ask()
    commit(path)
    clock.advance(0.9)
    early = watch.drain()
    clock.advance(0.1)

    assert (early, watch.drain()) == (False, True)


def test_commits_are_noticed_after_the_log_was_emptied(store, path, ask):
    ask()
    commit(path)
    ask()
    with closing(sqlite3.connect(path)) as connection:
        emptied = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
    ask()
    commit(path)

    assert (emptied[0], ask(), ask()) == (0, True, False)


# -- what it leaves alone -----------------------------------------------------------------------


def test_between_two_questions_it_reads_nothing(store, path, ask):
    ask()
    commit(path)

    # Whoever still reads an older state keeps the log from being emptied.
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        busy, _, _ = connection.execute("pragma wal_checkpoint(truncate)").fetchone()

    assert busy == 0


def test_a_writer_that_takes_its_time_is_not_waited_for(store, path, ask):
    ask()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        began = time.monotonic()

        assert ask() is False

        assert time.monotonic() - began < 5
        connection.execute("rollback")


def test_a_missing_database_is_neither_made_nor_an_error(path, ask):
    assert [ask(), ask()] == [False, False]
    assert side_files(path) == []


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
def test_what_is_no_database_is_left_as_it_is(path, ask, content):
    path.write_bytes(content)

    assert [ask(), ask()] == [False, False]
    assert (path.read_bytes(), side_files(path)) == (content, [path.name])


def test_a_database_that_is_not_up_to_date_is_left_as_it_is(path, ask):
    build(path, queue_table(*BASE_COLUMNS))
    before = path.read_bytes()

    assert ask() is False
    assert (path.read_bytes(), side_files(path)) == (before, [path.name])


def test_a_link_to_the_database_will_do(store, path, tmp_path, clock):
    (tmp_path / "link.db").symlink_to(path)
    watch = DataVersionWatch(tmp_path / "link.db", clock)
    watch.drain()
    commit(path)
    clock.advance(1)

    assert watch.drain() is True
    assert not (tmp_path / "link.db-wal").exists()
    watch.close()


# -- databases that come and go -----------------------------------------------------------------


def test_a_database_that_appears_is_news(path, ask):
    ask()
    open_sqlite_store(path).close()

    assert [ask(), ask()] == [True, False]


def test_a_database_that_went_away_and_came_back_is_news(store, path, tmp_path, ask):
    store.close()
    ask()
    path.rename(tmp_path / "away")
    gone = [ask(), ask()]
    (tmp_path / "away").rename(path)

    assert (gone, ask(), ask()) == ([False, False], True, False)


def test_commits_to_a_database_put_in_its_place_are_noticed(store, path, tmp_path, ask):
    store.close()
    ask()
    shutil.copy(path, tmp_path / "copy")
    os.replace(tmp_path / "copy", path)
    ask()
    replaced = ask()
    commit(path)

    assert (replaced, ask(), ask()) == (True, True, False)


def test_the_log_of_a_database_put_in_its_place_is_left_alone(store, path, tmp_path, ask, watch):
    store.close()
    shutil.copy(path, tmp_path / "copy")
    ask()
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    os.replace(tmp_path / "copy", path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("update project_queue set priority = 42")
        other.commit()

        ask()
        watch.close()

        assert path.with_name(f"{path.name}-wal").stat().st_size > 0
        with closing(sqlite3.connect(path)) as reader:
            assert reader.execute("select priority from project_queue").fetchone() == (42,)


def test_closing_leaves_no_open_file(store, path, watch, ask):
    store.close()
    before = len(os.listdir("/proc/self/fd"))
    ask()

    watch.close()
    watch.close()

    assert len(os.listdir("/proc/self/fd")) == before


# -- with everything else -----------------------------------------------------------------------


def test_a_program_that_does_not_ring_wakes_us_within_a_second(store, path, capsys):
    clock = SystemClock()
    wakeup = SelectorWakeup(clock)
    watch = DataVersionWatch(path, clock)
    wakeup.add(watch)
    wakeup.wait(0)
    process = subprocess.Popen(
        [sys.executable, "-c", COMMITS, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    took_sec = []
    for _ in range(3):
        process.stdin.write("\n")
        committed_at = float(process.stdout.readline())
        assert wakeup.wait(20) == {"database"}
        took_sec.append(time.monotonic() - committed_at)
    process.communicate()
    watch.close()
    wakeup.close()

    with capsys.disabled():
        print(f"\ndata_version: {statistics.median(took_sec):.2f} / {max(took_sec):.2f} s")
    assert max(took_sec) < 5


def test_our_own_writing_wakes_us_once_a_second_at_most(store, path):
    clock = SystemClock()
    wakeup = SelectorWakeup(clock)
    watch = DataVersionWatch(path, clock)
    wakeup.add(watch)
    wakeup.wait(0)
    woken = 0
    end = clock.since_boot_sec() + 2.5
    while (left_sec := end - clock.since_boot_sec()) > 0:
        commit(path)
        woken += wakeup.wait(left_sec) == {"database"}
    watch.close()
    wakeup.close()

    assert woken <= 3
