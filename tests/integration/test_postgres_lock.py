"""Who launches for a host from PostgreSQL, while connections are lost and servers go away."""

import psycopg
import pytest

from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.postgres_lock import PostgresLauncherLock
from scheduler_modules.errors import DatabaseUnavailable
from tests.integration.test_postgres_faults import on_postgres
from tests.lab.installation import wait_until as wait_for
from tests.postgres_cluster import cluster
from tests.waiting import wait_until


@pytest.fixture
def launcher(postgres_url):
    opened: list[PostgresLauncherLock] = []

    def launcher(url=postgres_url, host="desk"):
        opened.append(PostgresLauncherLock(url, host, SystemClock()))
        return opened[-1]

    yield launcher
    for lock in opened:
        lock.release()


def hang_up(url):
    """End all connections of the database but our own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )


def test_a_lock_whose_connection_is_lost_is_lost(launcher, postgres_url):
    lock = launcher()
    lock.try_acquire()

    hang_up(postgres_url)

    assert lock.heartbeat() is False
    assert not lock.is_held


def test_a_lock_that_was_lost_is_taken_again_if_nobody_else_has_it(launcher, postgres_url):
    lock = launcher()
    lock.try_acquire()
    hang_up(postgres_url)

    assert lock.try_acquire()
    assert not launcher().try_acquire()


def test_a_lock_that_was_lost_may_be_somebody_elses(launcher, postgres_url):
    lock, other = launcher(), launcher()
    lock.try_acquire()
    hang_up(postgres_url)
    other.try_acquire()

    assert lock.try_acquire() is False


def test_who_is_refused_survives_the_loss_of_its_connection(launcher, postgres_url):
    lock, other = launcher(), launcher()
    lock.try_acquire()
    other.try_acquire()
    hang_up(postgres_url)

    assert other.try_acquire()


def test_the_holder_is_named_with_process_and_machine(launcher):
    launcher().try_acquire()

    assert launcher().holder().startswith("tmux-orchestrator, pid ")


def test_queues_in_two_schemas_of_a_database_have_a_launcher_each(launcher, postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("create schema other")
    launcher().try_acquire()

    assert launcher(f"{postgres_url}&options=-csearch_path%3Dother").try_acquire()


def test_a_server_that_goes_away_takes_the_lock_along_and_is_waited_for_by_nobody(launcher):
    with cluster() as server:
        lock = launcher(server.url("postgres"))
        lock.try_acquire()
        server.kill()

        assert not lock.heartbeat()
        with pytest.raises(DatabaseUnavailable, match="cannot be used"):
            lock.try_acquire()
        assert "cannot be used" in lock.holder()
        server.start()
        wait_until(lambda: _taken(lock), "the lock is taken again")


def test_a_server_that_stands_still_is_not_asked_whether_the_lock_is_held(launcher):
    with cluster() as server:
        lock = launcher(server.url("postgres"))
        lock.try_acquire()
        server.freeze()

        assert lock.heartbeat() and lock.try_acquire()
        server.thaw()


def test_a_lock_that_cannot_be_given_back_is_no_longer_ours(monkeypatch, launcher):
    monkeypatch.setattr("scheduler_modules.adapters.postgres_lock._ANSWER_SEC", 0.2)
    with cluster() as server:
        lock = launcher(server.url("postgres"))
        lock.try_acquire()
        server.freeze()

        lock.release()

        assert not lock.is_held
        server.thaw()
        assert launcher(server.url("postgres")).holder() in {"nobody", lock.holder()}


def _taken(lock):
    try:
        return lock.try_acquire()
    except DatabaseUnavailable:
        return False


@pytest.mark.faults
def test_a_second_home_on_the_same_server_starts_nothing():
    with cluster() as server:
        name = server.new_database()
        with on_postgres(server, name) as place, on_postgres(server, name) as other:
            running = place.enqueue("p", place.ledger_command("sleep 3"))
            place.run_daemon()
            place.wait_for_status(running, "processing")
            other.run_daemon()
            wait_for(lambda: other.count_events("duty_held_elsewhere") == 1)
            place.enqueue("later", place.ledger_command())
            place.wait_until_all_ended()

            assert [attempt for _, attempt, _ in place.ledger_lines()] == [1, 1]
            assert "give one of them another HOST_NAME" in other.cli("status", ok=False)
