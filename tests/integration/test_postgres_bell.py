"""The daemon hears of commits on PostgreSQL, its own apart, and listens again after a loss."""

import select
import threading

import psycopg
import pytest

from scheduler_modules.adapters import postgres_bell
from scheduler_modules.adapters.postgres_bell import PostgresBell
from scheduler_modules.adapters.postgres_link import CHANNEL
from scheduler_modules.adapters.store_postgres import open_postgres_store
from tests.postgres_cluster import cluster, free_port
from tests.waiting import wait_until


@pytest.fixture
def bell(postgres_url):
    bell = PostgresBell(postgres_url)
    wait_until(bell.drain, "it listens")
    yield bell
    bell.close()


@pytest.fixture
def other(postgres_url):
    """A connection of another process."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


def is_ready(bell, timeout_sec=5.0):
    return bool(select.select([bell.fileno()], [], [], timeout_sec)[0])


def test_a_notice_of_others_wakes(bell, other):
    other.execute(f"notify {CHANNEL}")

    assert is_ready(bell)
    assert (bell.drain(), bell.drain()) == (True, False)


def test_a_notice_comes_with_the_commit_and_not_before(bell, other):
    other.execute("begin")
    other.execute(f"notify {CHANNEL}")
    before = is_ready(bell, 0.2)
    other.execute("commit")

    assert (before, is_ready(bell)) == (False, True)


def test_what_we_commit_ourselves_does_not_wake_us(bell, postgres_url):
    store = open_postgres_store(postgres_url)

    with store.transaction():
        store.set_state("key", "value")
        store.ring()
    store.ring()

    assert is_ready(bell)
    assert bell.drain() is False
    store.close()


def test_a_store_of_another_process_wakes(bell, postgres_url, monkeypatch):
    monkeypatch.setattr(postgres_bell, "own_backends", set())
    store = open_postgres_store(postgres_url)

    with store.transaction():
        store.ring()
    heard = [is_ready(bell), bell.drain()]
    with store.transaction():
        store.set_state("key", "value")
        store.ring()
    heard += [is_ready(bell), bell.drain()]

    assert heard == [True] * 4
    store.close()


def test_a_ring_in_a_transaction_that_is_undone_wakes_nobody(bell, postgres_url, monkeypatch):
    monkeypatch.setattr(postgres_bell, "own_backends", set())
    store = open_postgres_store(postgres_url)

    with pytest.raises(ZeroDivisionError), store.transaction():
        store.set_state("key", "value")
        store.ring()
        raise ZeroDivisionError

    assert not is_ready(bell, 0.2)
    store.close()


def test_the_first_success_after_a_loss_counts_as_a_notice(bell, postgres_url, other):
    other.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where query like 'listen%' and datname = current_database()"
    )
    wait_until(bell.drain, "it listens again")
    assert bell.drain() is False
    other.execute(f"notify {CHANNEL}")
    assert is_ready(bell)
    assert bell.drain()


class Interrupted(PostgresBell):
    """Its thread hands a connection over at the very moment the last one is looked for."""

    late = None

    def _call(self):
        self.calls = getattr(self, "calls", 0) + 1

    @property
    def _arrived(self):
        before = self.__dict__.get("handed_over")
        self.hand_over_at_last()
        return before

    @_arrived.setter
    def _arrived(self, connection):
        self.__dict__["handed_over"] = connection

    def hand_over_at_last(self):
        """Let the thread do it, if it has not; it may have to wait until we let it."""
        late, self.late = self.late, None
        if late is not None:
            thread = threading.Thread(target=self._hand_over, args=(late,))
            thread.start()
            thread.join(0.5)


def test_a_connection_that_comes_while_one_is_looked_for_is_not_forgotten(postgres_url):
    bell = Interrupted(postgres_url)
    late = psycopg.connect(postgres_url, autocommit=True)
    bell.late = late

    bell.drain()
    bell.hand_over_at_last()

    wait_until(bell.drain, "the connection is taken")
    assert bell.fileno() == late.fileno()
    bell.close()


def test_a_server_that_comes_late_is_found_without_anybody_waiting():
    with cluster(is_started=False) as server:
        bell = PostgresBell(server.url("postgres"))
        before = bell.drain()
        server.start()

        assert is_ready(bell, 15)
        assert (before, bell.drain()) == (False, True)
        bell.close()


def test_a_closed_bell_is_silent_and_leaves_no_thread():
    bell = PostgresBell(f"postgresql://127.0.0.1:{free_port()}/queue")

    bell.close()
    bell.close()

    assert (bell.fileno(), bell.drain()) == (-1, False)
    wait_until(
        lambda: not any(t.name == "postgres-bell" for t in threading.enumerate()), "no thread"
    )


def test_a_closed_bell_hangs_up(bell, other):
    bell.close()

    def listening():
        return other.execute(
            "select count(*) from pg_stat_activity where query like 'listen%'"
            " and datname = current_database()"
        ).fetchall()

    wait_until(lambda: listening() == [(0,)], "the connection is closed")
