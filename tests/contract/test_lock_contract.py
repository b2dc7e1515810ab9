"""What every lock does, seen by two processes that share a machine."""

import os
from itertools import count

import pytest

from scheduler_modules.adapters.lock import FileLocks, open_launcher_file
from scheduler_modules.adapters.postgres_lock import PostgresLauncherLock
from tests.fakes.clock import FakeClock
from tests.fakes.lock import FakeLocks, FakeLockTable


class FakeMachine:
    def __init__(self) -> None:
        self._table = FakeLockTable()

    def process(self, name):
        self._table.pids[name] = os.getpid()
        return FakeLocks(self._table, name)

    def replace_file(self, name, process):
        self._table.seize(name, process.process)


class RealMachine:
    """Two objects of one process stand in for two: flock tells open files apart, not processes."""

    def __init__(self, folder) -> None:
        self._folder = folder

    def process(self, name):
        return FileLocks(self._folder, FakeClock())

    def replace_file(self, name, process):
        (self._folder / f"{name}.lock").unlink()
        kind, _, rest = name.partition("-")
        assert getattr(process, {"duty": "duty", "scheduler": "mode"}[kind])(rest).try_acquire()


@pytest.fixture(params=["fake", "real"])
def machine(request, tmp_path):
    return FakeMachine() if request.param == "fake" else RealMachine(tmp_path)


@pytest.fixture
def first(machine):
    return machine.process("first")


@pytest.fixture
def second(machine):
    return machine.process("second")


def test_a_free_lock_can_be_taken(first):
    lock = first.duty("launch")

    assert lock.try_acquire() is True
    assert lock.is_held


def test_a_taken_lock_is_refused_at_once(first, second):
    first.duty("launch").try_acquire()

    assert second.duty("launch").try_acquire() is False
    assert not second.duty("launch").is_held


def test_taking_it_again_changes_nothing(first, second):
    first.duty("launch").try_acquire()

    assert first.duty("launch").try_acquire() is True
    assert first.duty("launch").is_held


def test_a_released_lock_is_anybodys(first, second):
    lock = first.duty("launch")
    lock.try_acquire()

    lock.release()

    assert not lock.is_held
    assert second.duty("launch").try_acquire() is True


def test_releasing_what_is_not_held_takes_it_from_nobody(first, second):
    first.duty("launch").try_acquire()

    second.duty("launch").release()

    assert first.duty("launch").is_held
    assert not second.duty("launch").is_free()


def test_duties_and_modes_are_different_locks(first, second):
    first.duty("checkin").try_acquire()

    assert second.duty("launch").try_acquire() is True
    assert second.mode("checkin").try_acquire() is True


def test_a_lock_nobody_holds_is_free(first):
    assert first.mode("queue").is_free()


def test_a_held_lock_is_free_for_nobody(first, second):
    first.mode("queue").try_acquire()

    assert not first.mode("queue").is_free()
    assert not second.mode("queue").is_free()


def test_looking_whether_it_is_free_keeps_nothing(first, second):
    first.mode("queue").is_free()

    assert second.mode("queue").try_acquire() is True


def test_a_heartbeat_confirms_a_held_lock(first):
    lock = first.mode("default")
    lock.try_acquire()

    assert lock.heartbeat() is True


def test_a_heartbeat_without_the_lock_says_no(first):
    assert first.mode("default").heartbeat() is False


def test_a_heartbeat_tells_that_the_lock_was_taken_away(machine, first, second):
    lock = first.mode("default")
    lock.try_acquire()
    machine.replace_file("scheduler-default", second)

    assert lock.heartbeat() is False
    assert not lock.is_held


def test_nobody_is_named_for_a_free_lock(first):
    assert first.duty("launch").holder() == "nobody"


def test_the_holder_is_told_that_it_is_itself(first):
    first.duty("launch").try_acquire()

    assert first.duty("launch").holder().startswith("this process")


def test_others_are_told_of_some_holder(first, second):
    first.duty("launch").try_acquire()

    assert second.duty("launch").holder() not in {"", "nobody"}
    assert not second.duty("launch").holder().startswith("this process")


def test_a_free_lock_has_no_holder(first):
    assert first.mode("default").holder_pid() is None


def test_the_process_that_holds_a_lock_is_known(first, second):
    first.mode("default").try_acquire()

    assert second.mode("default").holder_pid() == os.getpid()


def test_a_fake_process_that_ends_frees_its_locks():
    table = FakeLockTable()
    FakeLocks(table, "first").duty("launch").try_acquire()

    table.end("first")

    assert FakeLocks(table, "second").duty("launch").try_acquire() is True


def test_what_is_in_the_way_of_the_holder_can_be_read_by_others(first, second):
    lock = first.mode("default")
    lock.try_acquire()
    lock.tell("tmux is not installed")

    assert second.mode("default").trouble() == "tmux is not installed"
    assert lock.trouble() == "tmux is not installed"


def test_nothing_in_the_way_any_more_is_told_too(first, second):
    lock = first.mode("default")
    lock.try_acquire()
    lock.tell("no space left")
    lock.tell(None)

    assert second.mode("default").trouble() is None


def test_trouble_ends_with_its_holder(first, second):
    lock = first.mode("default")
    lock.try_acquire()
    lock.tell("no space left")
    lock.release()

    assert second.mode("default").trouble() is None
    assert second.mode("default").try_acquire()
    assert first.mode("default").trouble() is None


def test_nobody_tells_of_trouble_without_the_lock(first, second):
    first.mode("default").try_acquire()
    other = second.mode("default")

    other.tell("not mine to say")

    assert first.mode("default").trouble() is None


# -- one launches for a host of a database ------------------------------------------------------


def launchers_of(kind, request, tmp_path):
    """Return what gives the launchers' lock as a new process in a home of its own sees it."""
    if kind == "fake":
        table, numbers = FakeLockTable(), count(1)
        return lambda host: FakeLocks(table, f"process {next(numbers)}", host=host).launcher()
    if kind == "sqlite":
        return lambda host: open_launcher_file(tmp_path / "task_queue.db", host, FakeClock())
    url = request.getfixturevalue("postgres_url")
    return lambda host: PostgresLauncherLock(url, host, FakeClock())


@pytest.fixture(params=["fake", "sqlite", "postgres"])
def launcher(request, tmp_path):
    opened = []
    make = launchers_of(request.param, request, tmp_path)

    def launcher(host="desk"):
        opened.append(make(host))
        return opened[-1]

    yield launcher
    for lock in opened:
        lock.release()


def test_one_launches_for_a_host(launcher):
    first, second = launcher(), launcher()

    assert (first.try_acquire(), second.try_acquire()) == (True, False)
    assert (first.is_held, second.is_held) == (True, False)


def test_each_host_has_a_launcher(launcher):
    # Names that no file could have, and that differ only where it could not.
    hosts = ["desk", "Desk", "lap/top", "lap:top", "ü" * 300, "ü" * 299]

    first, second = ([launcher(host).try_acquire() for host in hosts] for _ in range(2))

    assert (first, second) == ([True] * 6, [False] * 6)


def test_launching_that_was_given_up_is_the_next_ones_at_once(launcher):
    locks = [launcher(), launcher()]
    answers = []

    for _ in range(3):
        for lock in locks:
            answers += [other.try_acquire() for other in (lock, *locks)]
            lock.release()

    assert answers == [True, True, False, True, False, True] * 3


def test_a_launcher_that_takes_its_lock_twice_gives_it_up_at_once(launcher):
    first, second = launcher(), launcher()

    taken = [first.try_acquire(), first.try_acquire()]
    first.release()

    assert taken == [True, True]
    assert not first.is_held
    assert second.try_acquire()


def test_a_launcher_gives_nobody_elses_lock_up(launcher):
    first, second = launcher(), launcher()
    first.try_acquire()
    second.try_acquire()

    second.release()

    assert first.heartbeat()
    assert not second.try_acquire()


def test_a_launchers_heart_beats_while_it_holds_its_lock(launcher):
    lock = launcher()
    before = lock.heartbeat()
    lock.try_acquire()

    assert (before, lock.heartbeat()) == (False, True)


def test_who_launches_is_told(launcher):
    first, second = launcher(), launcher()
    before = second.holder()
    first.try_acquire()

    assert before == "nobody"
    assert first.holder().startswith("this process")
    assert second.holder() not in {"", "nobody"}
    assert not second.holder().startswith("this process")
