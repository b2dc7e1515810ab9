"""One PostgreSQL database under threads, forks, lost connections and refusals."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import msgspec
import psycopg
import pytest

from scheduler_modules.adapters import postgres_database, postgres_session
from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.named_sql import load_statements, parse_statements
from scheduler_modules.adapters.postgres_database import PostgresDatabase
from scheduler_modules.adapters.postgres_link import APPLICATION, PostgresLink
from scheduler_modules.adapters.postgres_sql import for_postgres
from scheduler_modules.adapters.sql_database import NotUnique
from scheduler_modules.adapters.store_postgres import open_postgres_store
from scheduler_modules.errors import DatabaseUnavailable, InvalidInput, NotPossible
from scheduler_modules.model import NewProject
from scheduler_modules.queue_manager import QueueManager
from scheduler_modules.queue_moves import QueueMoves
from tests.postgres_cluster import cluster
from tests.waiting import wait_until

EXTRA = """
-- name: backend
select pg_backend_pid()

-- name: divide
select 1 / cast(:by as bigint)

-- name: sleep
select pg_sleep(:sec)

-- name: set_lock_timeout
select set_config('lock_timeout', :ms, false)

-- name: put_and_tell
insert into scheduler_state (key, value) values (:key, :value) returning value

-- name: too_wide!
insert into project_queue (spec_path, priority) values ('a', 9223372036854775807::numeric + :more)
"""


@pytest.fixture
def database(postgres_url):
    both = parse_statements(EXTRA)
    ours = load_statements("postgres")
    statements = for_postgres(
        type(ours)(
            rows={**ours.rows, **both.rows},
            changes={**ours.changes, **both.changes},
            inserts=ours.inserts,
        )
    )
    database = PostgresDatabase(PostgresLink(postgres_url), statements)
    yield database
    database.close()


@pytest.fixture
def other(postgres_url):
    """A connection of another program."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


def put(database, value, key="key"):
    database.change("set_state", key=key, value=value)


def get(database, key="key"):
    return [value for (value,) in database.rows("get_state", key=key)]


def end_connection(database, other):
    """End the thread's connection as an administrator would."""
    ((backend,),) = database.rows("backend")
    other.execute("select pg_terminate_backend(%s, 5000)", (backend,))


def in_thread(act):
    found = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    thread.join(20)
    return found[0]


# -- lost connections ---------------------------------------------------------------------------


def test_a_read_on_a_dead_connection_is_asked_again(database, other):
    put(database, "a")
    end_connection(database, other)

    assert get(database) == ["a"]


def test_a_write_on_a_dead_connection_is_made_on_a_new_one(database, other):
    put(database, "a")
    end_connection(database, other)

    put(database, "b")

    assert get(database) == ["b"]


def test_a_transaction_whose_connection_dies_is_over_and_says_so(database, other):
    with pytest.raises(DatabaseUnavailable, match="ended the connection"), database.transaction():
        put(database, "a")
        end_connection(database, other)
        put(database, "b")

    assert get(database) == []


def test_a_transaction_that_has_failed_is_not_gone_on_with(database, other):
    with pytest.raises(DatabaseUnavailable), database.transaction():
        put(database, "a")
        end_connection(database, other)
        with contextlib.suppress(DatabaseUnavailable):
            put(database, "b")
        put(database, "c")

    assert get(database) == []


def test_a_commit_whose_connection_dies_says_that_it_is_not_known(database, other):
    with (
        pytest.raises(DatabaseUnavailable, match="whether it was is not known"),
        database.transaction(),
    ):
        put(database, "a")
        end_connection(database, other)

    assert get(database) == []


def test_a_server_that_answers_nothing_is_given_up(monkeypatch, database):
    monkeypatch.setattr(postgres_session, "_ANSWER_SEC", 0.2)

    with pytest.raises(DatabaseUnavailable, match="no answer"):
        database.rows("sleep", sec=5)

    assert get(database) == []


def test_a_server_that_is_stopped_and_started_is_found_again():
    with cluster() as server:
        store = open_postgres_store(server.url(server.new_database()))
        server.kill()
        threading.Timer(1, server.start).start()

        assert store.projects() == []
        store.close()


def test_a_server_that_stays_away_is_told_and_waited_for_no_longer():
    with cluster() as server:
        store = open_postgres_store(server.url(server.new_database()), patience_sec=0.5)
        server.stop()
        started = time.monotonic()

        with pytest.raises(DatabaseUnavailable, match="check that it runs"):
            store.projects()

        assert time.monotonic() - started < 3
        store.close()


def test_a_server_that_is_not_there_yet_is_looked_at_when_it_is():
    with cluster(is_started=False) as server:
        store = open_postgres_store(server.url("postgres"), patience_sec=0)
        with pytest.raises(DatabaseUnavailable, match="check that it runs"):
            store.projects()
        server.start()

        wait_until(lambda: _answers(store), "it is found")
        assert store.projects() == []
        store.close()


def _answers(store):
    with contextlib.suppress(DatabaseUnavailable):
        return store.counts() == {}
    return False


# -- transactions -------------------------------------------------------------------------------


def test_what_was_committed_is_on_disk_when_the_call_returns():
    # Nobody but whoever waits for it writes the log to disk.
    with cluster("wal_writer_delay=10s") as server:
        store = open_postgres_store(server.url(server.new_database()))
        for number in range(20):
            store.set_state("last", str(number))
        server.kill()
        server.start()

        assert store.get_state("last") == "19"
        store.close()


def test_another_process_waits_with_its_first_statement(database, postgres_url):
    rival = PostgresDatabase(PostgresLink(postgres_url), for_postgres(load_statements("postgres")))
    done = threading.Event()

    def write():
        put(rival, "rival")
        done.set()
        rival.close()

    with database.transaction():
        put(database, "first")
        thread = threading.Thread(target=write)
        thread.start()
        assert not done.wait(0.3)
    thread.join(10)

    assert get(database) == ["rival"]


def test_a_lock_that_is_not_given_in_time_is_told(database, postgres_url, other):
    other.execute("begin")
    other.execute(f"select pg_advisory_xact_lock({postgres_session.WRITE_LOCK})")
    database.rows("set_lock_timeout", ms="100")

    with pytest.raises(DatabaseUnavailable, match="stayed locked by another program"):
        put(database, "a")

    other.execute("rollback")
    put(database, "b")
    assert get(database) == ["b"]


def test_a_statement_that_writes_and_returns_rows_is_committed(database, other):
    assert database.rows("put_and_tell", key="key", value="a") == [("a",)]

    assert other.execute("select value from scheduler_state").fetchall() == [("a",)]


def test_a_refused_row_leaves_the_transaction_whole(database):
    row = {
        "spec_path": "a",
        "project_path": "b",
        "enqueued_at": 1.0,
        "priority": 0,
        "batch_id": None,
        "retry_count": 0,
    }
    with database.transaction():
        put(database, "kept")
        database.insert("add_project", **row)
        with pytest.raises(NotUnique) as refusal:
            database.insert("add_project", **row)
        put(database, "kept too", key="other")

    assert refusal.value.columns == "spec_path, project_path"
    assert (get(database), get(database, "other")) == (["kept"], ["kept too"])


def test_what_only_the_server_finds_out_of_range_is_our_input_error(database):
    with pytest.raises(InvalidInput, match="the database cannot hold this"):
        database.change("too_wide", more=1)

    put(database, "a")
    assert get(database) == ["a"]


def test_a_statement_that_fails_ends_its_transaction_and_no_other(database):
    with pytest.raises(InvalidInput, match="division by zero"), database.transaction():
        put(database, "a")
        database.rows("divide", by=0)

    put(database, "b")
    assert get(database) == ["b"]


def test_an_interrupted_wait_leaves_nothing_half_done(database):
    class Stop(BaseException):
        pass

    def interrupt(*_):
        raise Stop

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Stop), database.transaction():
            put(database, "a")
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            database.rows("sleep", sec=5)
    finally:
        signal.signal(signal.SIGALRM, before)

    assert get(database) == []
    put(database, "b")
    assert get(database) == ["b"]


def test_a_failure_that_was_swallowed_is_not_committed(database):
    with pytest.raises(InvalidInput, match="division by zero"), database.transaction():
        put(database, "a")
        with contextlib.suppress(InvalidInput):
            database.rows("divide", by=0)

    assert get(database) == []


def test_a_value_larger_than_every_buffer_comes_back_whole(database):
    value = "ü" * 8_000_000

    put(database, value)

    assert get(database) == [value]


def test_nobody_waits_for_a_thread_that_never_ends_its_transaction(monkeypatch, database):
    monkeypatch.setattr(postgres_database, "LOCK_WAIT_SEC", 0.1)

    def write():
        try:
            put(database, "second")
        except DatabaseUnavailable as error:
            return str(error)
        return ""

    with database.transaction():
        words = in_thread(write)

    assert "stayed locked by another thread" in words


def test_a_ring_alone_is_a_transaction_of_nothing(database, other):
    with database.transaction():
        database.ring()
        ((backend,),) = other.execute("select count(*) from pg_locks where locktype = 'advisory'")

    assert backend == 0


# -- threads and forks --------------------------------------------------------------------------


def connections(other):
    ((count,),) = other.execute(
        "select count(*) from pg_stat_activity where application_name = %s"
        " and datname = current_database()",
        (APPLICATION,),
    ).fetchall()
    return count


def test_each_thread_has_a_connection_and_those_of_the_ended_are_closed(database, other):
    put(database, "a")
    for _ in range(3):
        in_thread(lambda: get(database))

    in_thread(lambda: get(database))

    wait_until(lambda: connections(other) == 2, "the connections of ended threads are closed")
    database.close()
    wait_until(lambda: connections(other) == 0, "our own is closed")


def forked(act):
    """Return what the act says in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            try:
                answer = str(act())
            except DatabaseUnavailable as error:
                answer = str(error)
            os.write(writing, answer.encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def test_a_forked_child_has_a_connection_of_its_own(database):
    put(database, "parent")

    answer = forked(lambda: (put(database, "child"), get(database))[1])

    assert answer == "['child']"
    assert get(database) == ["child"]


def test_a_child_forked_inside_a_transaction_cannot_touch_it(database):
    with database.transaction():
        put(database, "parent")
        answer = forked(lambda: get(database))

    assert "was in use while this process was forked" in answer
    assert get(database) == ["parent"]


def test_a_child_that_leaves_the_transaction_does_not_commit_it(database):
    with database.transaction():
        put(database, "parent")
        answer = forked(database._session().commit)

    assert "only the forked process can end" in answer
    assert get(database) == ["parent"]


# -- claims -------------------------------------------------------------------------------------


def manager(url, limit=100):
    return QueueManager(
        QueueMoves(open_postgres_store(url), SystemClock()), host="here", max_concurrent=limit
    )


def add(queue, count):
    for number in range(count):
        queue.enqueue(
            NewProject(
                spec_path=f"{number}.md", name="n", enqueued_at=1.0, spec_key=f"/s/{number}.md"
            )
        )


def test_a_claim_is_told_with_the_numbers_it_took(postgres_url):
    queue = manager(postgres_url)
    add(queue, 1)

    claim = queue.claim_next("d1")

    assert queue.store.run(claim.run.token) == claim.run
    assert queue.get(claim.project.id).status == "processing"
    (started,) = [fact for fact in queue.store.facts() if fact.name == "project_started"]
    assert (started.project_id, started.run_id) == (claim.project.id, claim.run.id)
    queue.store.close()


def test_numbers_go_on_after_a_claim(postgres_url):
    queue = manager(postgres_url)
    add(queue, 2)
    first = queue.claim_next("d1")

    second = queue.claim_next("d1")
    add(queue, 3)

    assert second.run.id > first.run.id
    ids = [fact.id for fact in queue.store.facts()]
    assert ids == sorted(set(ids))
    queue.store.close()


def test_a_project_that_is_changed_under_the_claim_is_not_started(postgres_url, other):
    queue = manager(postgres_url)
    add(queue, 1)
    store = queue.store

    with pytest.raises(NotPossible, match="changed meanwhile"), store.transaction():
        claimable = store.next_claimable(5.0, "here", 5)
        # A program that knows nothing of our lock.
        other.execute("update project_queue set status = 'failed'")
        run = queue._new_run(claimable.project, 1, "d1", 5.0)
        after = msgspec.structs.replace(claimable.project, status="processing")
        assert store.start_run(claimable.project, after, run) is not None

    assert (store.counts(), store.open_runs()) == ({"failed": 1}, [])
    store.close()


def test_a_limit_holds_over_many_processes_and_none_is_claimed_twice(postgres_url):
    queue = manager(postgres_url)
    add(queue, 30)
    queue.store.close()

    def claims():
        mine = manager(postgres_url, limit=7)
        found = []
        while (claim := mine.claim_next(f"d{os.getpid()}")) is not None:
            found.append(claim.project.id)
        return found

    results = []
    children = [threading.Thread(target=lambda: results.append(forked(claims))) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)

    claimed = [int(word) for text in results for word in text.strip("[]").split(", ") if word]
    assert (len(claimed), len(set(claimed))) == (7, 7)


# -- secrets ------------------------------------------------------------------------------------


def test_a_wrong_password_is_refused_without_telling_it():
    with cluster() as server:
        hba = Path(server.folder / "pg_hba.conf")
        server.execute("alter role sched password 'right'")
        hba.write_text(hba.read_text().replace("127.0.0.1/32            trust", "127.0.0.1/32 md5"))
        server.execute("select pg_reload_conf()")
        url = f"postgresql://sched:hunter2-marker@127.0.0.1:{server.port}/postgres"
        time.sleep(0.2)

        with pytest.raises(DatabaseUnavailable, match=r"\.pgpass") as refusal:
            open_postgres_store(url).projects()

    assert "hunter2" not in f"{refusal.value!r} {refusal.value.__cause__!r}"
