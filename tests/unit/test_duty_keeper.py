"""Which daemon does what, told by locks alone."""

import itertools

import pytest

from scheduler_modules.adapters.lock import FileLocks
from scheduler_modules.duty_keeper import DUTIES_OF_MODE, DutyKeeper, enter_mode, leave_mode
from tests.fakes.clock import FakeClock
from tests.fakes.lock import FakeLocks, FakeLockTable


def keeper(table: FakeLockTable, mode: str, process: str) -> DutyKeeper | None:
    """Start a daemon of that mode; None if its mode lock is held."""
    locks = FakeLocks(table, process)
    return DutyKeeper(locks, mode, DUTIES_OF_MODE[mode]) if enter_mode(locks, mode) else None


@pytest.mark.parametrize("modes", list(itertools.product(DUTIES_OF_MODE, repeat=2)))
def test_no_duty_is_ever_held_twice_whatever_two_daemons_start(modes):
    table = FakeLockTable()
    keepers = [keeper(table, mode, f"daemon {n}") for n, mode in enumerate(modes)]

    held = [started.refresh() if started else frozenset() for started in keepers]

    assert not held[0] & held[1]


def test_a_plain_daemon_does_everything():
    started = keeper(FakeLockTable(), "default", "one")

    assert started.refresh() == {"launch", "checkin", "notify"}


def test_queue_and_checkin_daemons_share_the_work():
    table = FakeLockTable()

    queue, checkin = keeper(table, "queue", "one"), keeper(table, "checkin", "two")

    assert (queue.refresh(), checkin.refresh()) == ({"launch", "notify"}, {"checkin"})


def test_a_plain_daemon_takes_over_what_a_queue_daemon_leaves():
    table = FakeLockTable()
    queue, plain = keeper(table, "queue", "one"), keeper(table, "default", "two")
    queue.refresh()
    before = plain.refresh()

    table.end("one")

    assert (before, plain.refresh()) == ({"checkin"}, {"launch", "checkin", "notify"})


@pytest.mark.parametrize("mode", ["queue", "checkin"])
def test_an_old_plain_daemon_keeps_ours_from_its_work(mode):
    table = FakeLockTable()
    table.seize("scheduler-default", "an old daemon")
    started = keeper(table, mode, "ours")

    assert not started.refresh() & {"launch", "checkin"}


def test_an_old_queue_daemon_keeps_our_plain_one_from_launching_only():
    table = FakeLockTable()
    table.seize("scheduler-queue", "an old daemon")
    started = keeper(table, "default", "ours")

    assert started.refresh() == {"checkin", "notify"}


def test_our_plain_daemon_keeps_an_old_queue_daemon_out():
    table = FakeLockTable()
    keeper(table, "default", "ours").refresh()

    assert not FakeLocks(table, "old").mode("queue").try_acquire()


def test_a_duty_held_elsewhere_is_said_once(caplog):
    table = FakeLockTable()
    table.seize("scheduler-queue", "pid 5")
    started = keeper(table, "default", "ours")

    started.refresh()
    started.refresh()

    said = [record for record in caplog.records if record.message == "duty_held_elsewhere"]
    assert [(record.duty, record.holder) for record in said] == [("launch", "pid 5")]


def test_a_duty_whose_lock_was_taken_is_given_up():
    table = FakeLockTable()
    started = keeper(table, "default", "ours")
    started.refresh()
    table.seize("duty-launch", "a thief")

    alive = started.heartbeat()

    assert alive
    assert "launch" not in started.refresh()


def test_a_daemon_whose_own_lock_was_taken_is_told_to_go():
    table = FakeLockTable()
    started = keeper(table, "default", "ours")
    table.seize("scheduler-default", "a thief")

    assert not started.heartbeat()


def test_release_gives_everything_back():
    table = FakeLockTable()
    started = keeper(table, "queue", "ours")
    started.refresh()

    started.release()

    assert set(table.holders) == {"scheduler-queue"}


@pytest.mark.parametrize("modes", list(itertools.permutations(DUTIES_OF_MODE, 2)))
def test_every_duty_that_two_daemons_are_here_for_is_held_by_one_of_them(modes):
    table = FakeLockTable()
    keepers = [keeper(table, mode, f"daemon {n}") for n, mode in enumerate(modes)]

    for _ in range(2):
        held = [started.refresh() for started in keepers]

    assert held[0] | held[1] == DUTIES_OF_MODE[modes[0]] | DUTIES_OF_MODE[modes[1]]


def test_a_duty_that_cannot_be_had_whole_keeps_nobody_else_from_it():
    table = FakeLockTable()
    plain, queue = keeper(table, "default", "plain"), keeper(table, "queue", "queue")

    plain.refresh()

    assert "launch" in queue.refresh()


def test_a_queue_daemon_goes_on_beside_our_plain_one():
    table = FakeLockTable()
    queue = keeper(table, "queue", "queue")
    before = queue.refresh()
    plain = keeper(table, "default", "plain")
    plain.refresh()

    assert "launch" in before & queue.refresh()


def test_an_old_plain_daemon_takes_the_place_of_ours_and_is_known_as_old():
    table = FakeLockTable()
    plain = keeper(table, "default", "plain")
    plain.refresh()
    table.end("plain")
    table.seize("scheduler-default", "an old daemon")

    checkin = keeper(table, "checkin", "ours")

    assert checkin.refresh() == frozenset()


def test_a_plain_daemon_that_lost_its_mark_is_no_less_a_daemon():
    table = FakeLockTable()
    plain = keeper(table, "default", "plain")
    plain.refresh()
    table.seize("duty-plain", "a thief")

    assert plain.heartbeat()
    assert "launch" in plain.refresh()


def test_a_daemon_that_stops_leaves_no_lock_held():
    table = FakeLockTable()
    keeper(table, "default", "plain").refresh()
    locks = FakeLocks(table, "plain")
    DutyKeeper(locks, "default", DUTIES_OF_MODE["default"]).release()

    leave_mode(locks, "default")

    assert table.holders == {}


def test_a_queue_daemon_does_not_give_its_duty_up_while_a_plain_one_starts():
    table = FakeLockTable()
    queue = keeper(table, "queue", "queue")
    queue.refresh()

    enter_mode(FakeLocks(table, "plain"), "default")

    assert "launch" in queue.refresh()


@pytest.mark.parametrize("name", ["duty-launch", "duty-plain"])
def test_a_lock_file_that_was_deleted_and_taken_by_another_is_given_up(tmp_path, name, caplog):
    ours, theirs = (FileLocks(tmp_path, FakeClock()) for _ in range(2))
    enter_mode(ours, "default")
    started = DutyKeeper(ours, "default", DUTIES_OF_MODE["default"])
    started.refresh()
    (tmp_path / f"{name}.lock").unlink()
    stolen = theirs.duty(name.removeprefix("duty-"))
    stolen.try_acquire()

    alive = started.heartbeat()

    assert alive
    assert stolen.is_held
    assert ("launch" in started.refresh()) is (name != "duty-launch")


def test_a_lock_file_that_was_only_deleted_is_made_again(tmp_path):
    ours = FileLocks(tmp_path, FakeClock())
    enter_mode(ours, "default")
    started = DutyKeeper(ours, "default", DUTIES_OF_MODE["default"])
    started.refresh()
    for file in tmp_path.iterdir():
        file.unlink()

    assert started.heartbeat()
    assert not FileLocks(tmp_path, FakeClock()).duty("launch").try_acquire()


# -- two homes, one database --------------------------------------------------------------------


def at_home(table: FakeLockTable, home: str, host: str = "desk") -> DutyKeeper:
    """Start a plain daemon in a home of its own, over the database that all share."""
    locks = FakeLocks(table, home, home=home, host=host)
    assert enter_mode(locks, "default")
    return DutyKeeper(locks, "default", DUTIES_OF_MODE["default"])


def test_one_of_two_homes_launches_for_a_host_of_a_database():
    table = FakeLockTable()
    first, second = at_home(table, "one"), at_home(table, "two")

    held = [first.refresh(), second.refresh(), first.refresh()]

    assert ["launch" in duties for duties in held] == [True, False, True]
    assert "checkin" in held[1]


def test_homes_with_names_of_their_own_both_launch():
    table = FakeLockTable()
    desk, lap = at_home(table, "one", host="desk"), at_home(table, "two", host="lap")

    assert "launch" in desk.refresh() & lap.refresh()


def test_a_home_that_may_not_launch_says_what_to_do_about_it(caplog):
    table = FakeLockTable()
    first, second = at_home(table, "one"), at_home(table, "two")
    first.refresh()

    second.refresh()
    second.tell("no space left")

    words = (
        "another daemon launches for host desk on this database: give one of them another "
        "HOST_NAME (held by one)"
    )
    said = [record.holder for record in caplog.records if record.message == "duty_held_elsewhere"]
    assert said == [words]
    assert (
        FakeLocks(table, "who", home="two").mode("default").trouble() == f"{words}; no space left"
    )


def test_a_home_that_may_launch_again_has_no_trouble_any_more():
    table = FakeLockTable()
    first, second = at_home(table, "one"), at_home(table, "two")
    first.refresh()
    second.refresh()
    first.release()

    duties = second.refresh()
    second.tell(None)

    assert "launch" in duties
    assert FakeLocks(table, "who", home="two").mode("default").trouble() is None


def test_a_home_that_may_not_launch_keeps_no_lock_of_that_duty():
    table = FakeLockTable()
    first, second = at_home(table, "one"), at_home(table, "two")
    first.refresh()

    second.refresh()

    assert not {"twoduty-launch", "twoscheduler-queue"} & set(table.holders)


def test_a_launcher_whose_lock_was_taken_gives_the_duty_up():
    table = FakeLockTable()
    first = at_home(table, "one")
    first.refresh()
    table.seize("launch-desk", "a thief")

    alive = first.heartbeat()

    assert alive
    assert "launch" not in first.refresh()
