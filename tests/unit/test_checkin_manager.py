"""Check-ins: which are refused, which count as the same, what a clean-up takes."""

import msgspec
import pytest

from scheduler_modules.checkin_manager import CheckinManager, check_session_name
from scheduler_modules.errors import InvalidInput
from scheduler_modules.model import FactName, Task
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore

DAY_SEC = 86_400


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        self.manager = CheckinManager(self.store, self.clock)

    def add(self, session="web-impl-1", role="dev", window=1, interval=20, note="report"):
        return self.manager.enqueue_task(session, role, window, interval, note)

    def due_in(self, seconds: float, **fields) -> int:
        """Store a check-in like those of `add`, due in so many seconds."""
        task = Task(
            id=0,
            session_name="web-impl-1",
            agent_role="dev",
            window_index=1,
            next_run=self.clock.now() + seconds,
            interval_minutes=20,
            note="report",
            created_at=self.clock.now(),
        )
        return self.store.add_task(msgspec.structs.replace(task, **fields))


@pytest.fixture
def world():
    return World()


# -- what is stored -----------------------------------------------------------------------------


def test_a_check_in_is_first_due_after_one_interval(world):
    world.add(interval=20)

    (task,) = world.manager.list_tasks()
    assert task.next_run == world.clock.now() + 1200


def test_an_interval_of_nothing_is_due_at_once(world):
    world.add(interval=0)

    (task,) = world.manager.list_tasks()
    assert (task.next_run, task.interval_minutes) == (world.clock.now(), 0)


def test_role_and_note_are_stored_as_typed(world):
    world.add(role="project Manager", note="  $(x); 'y'\n")

    (task,) = world.manager.list_tasks()
    assert (task.agent_role, task.note) == ("project Manager", "  $(x); 'y'\n")


def test_an_added_check_in_is_told_as_a_fact(world):
    scheduled = world.add()

    (fact,) = world.store.facts()
    assert (fact.name, fact.detail["task_id"]) == (FactName.TASK_ADDED, scheduled.task_id)


def test_a_removed_check_in_is_told_as_a_fact(world):
    task_id = world.add().task_id

    was_there = world.manager.remove_task(task_id)

    assert was_there
    assert world.manager.list_tasks() == []
    assert world.store.facts()[-1].name == FactName.TASK_REMOVED


def test_removing_what_is_not_there_changes_nothing(world):
    world.add()

    was_there = world.manager.remove_task(99)

    assert not was_there
    assert len(world.store.facts()) == 1


def test_check_ins_are_listed_by_due_time(world):
    later = world.add(interval=30).task_id
    sooner = world.add(interval=10, note="another").task_id

    assert [task.id for task in world.manager.list_tasks()] == [sooner, later]


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["web-impl-1a2b3c4d", "a-b-c", "parserwork", "x y-z", "-----"])
def test_names_of_project_sessions_pass(name):
    check_session_name(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("     ", "empty"),
        ("12345678", "number"),
        ("a-b", "shorter"),
        ("main", "shorter"),
        ("debug", "general"),
        ("Shell", "general"),
        ("parsers", "hyphen"),
        ("1parserwork", "hyphen"),
        ("web-impl:1", "characters"),
        ("web-impl\n1", "characters"),
        ("web-impl\udcff", "characters"),
    ],
)
def test_other_names_are_refused_with_the_reason(name, why):
    with pytest.raises(InvalidInput, match=why):
        check_session_name(name)


def test_a_refused_name_adds_nothing(world):
    with pytest.raises(InvalidInput):
        world.add(session="main")

    assert world.manager.list_tasks() == []
    assert world.store.facts() == []


@pytest.mark.parametrize(
    "numbers",
    [{"window": -1}, {"window": 2**31}, {"interval": -1}, {"interval": 10**9}],
)
def test_numbers_out_of_range_are_refused(world, numbers):
    with pytest.raises(InvalidInput):
        world.add(**numbers)


@pytest.mark.parametrize("text", [{"role": "\udcff"}, {"note": "a\0b"}])
def test_text_that_is_none_is_refused(world, text):
    with pytest.raises(InvalidInput):
        world.add(**text)


# -- duplicates ---------------------------------------------------------------------------------


def test_the_same_check_in_is_not_added_twice(world):
    first = world.add()
    second = world.add()

    assert first.is_new
    assert (second.task_id, second.is_new) == (first.task_id, False)
    assert len(world.store.facts()) == 1


def test_notes_that_differ_after_twenty_characters_are_the_same(world):
    first = world.add(note="x" * 20 + " one")
    second = world.add(note="x" * 20 + " two")

    assert second.task_id == first.task_id


def test_notes_that_differ_in_the_twentieth_character_are_not(world):
    first = world.add(note="x" * 19 + "1")
    second = world.add(note="x" * 19 + "2")

    assert second.task_id != first.task_id


@pytest.mark.parametrize("note", ["", "%", "_eport", "re%"])
def test_a_note_is_never_taken_for_a_pattern(world, note):
    world.add(note="report")

    assert world.add(note=note).is_new


def test_a_missing_note_is_the_same_as_an_empty_one(world):
    standing = world.due_in(60, note=None)

    assert world.add(note="").task_id == standing


@pytest.mark.parametrize("other", [{"session": "api-impl-1"}, {"role": "pm"}, {"window": 2}])
def test_another_session_role_or_window_is_another_check_in(world, other):
    world.add()

    assert world.add(**other).is_new


@pytest.mark.parametrize(
    ("seconds", "is_new"), [(-601, True), (-600, False), (3600, False), (3601, True)]
)
def test_only_a_check_in_due_about_now_stands_for_a_new_one(world, seconds, is_new):
    world.due_in(seconds)

    assert world.add().is_new is is_new


def test_a_long_interval_finds_its_own_first_entry(world):
    first = world.add(interval=180)

    assert world.add(interval=180).task_id == first.task_id


def test_a_disabled_check_in_stands_for_nothing(world):
    world.due_in(60, retry_count=-1)

    assert world.add().is_new


# -- clean-up -----------------------------------------------------------------------------------


def test_old_check_ins_that_never_ran_are_removed(world):
    world.due_in(60)
    world.clock.advance(7 * DAY_SEC + 1)

    assert world.manager.cleanup_old_tasks() == 1
    assert world.manager.list_tasks() == []


def test_a_check_in_of_exactly_seven_days_stays(world):
    world.due_in(60)
    world.clock.advance(7 * DAY_SEC)

    assert world.manager.cleanup_old_tasks() == 0


@pytest.mark.parametrize(
    "fields", [{"last_run": 1.0}, {"created_at": None}], ids=["ran once", "of unknown age"]
)
def test_check_ins_that_may_matter_stay(world, fields):
    world.due_in(60, **fields)
    world.clock.advance(30 * DAY_SEC)

    assert world.manager.cleanup_old_tasks() == 0


def test_an_old_check_in_whose_first_time_is_to_come_stays(world):
    world.due_in(60 * DAY_SEC)
    world.clock.advance(30 * DAY_SEC)

    assert world.manager.cleanup_old_tasks() == 0


def test_an_old_disabled_check_in_goes_although_its_date_is_far(world):
    world.due_in(365 * DAY_SEC, retry_count=-1)
    world.clock.advance(30 * DAY_SEC)

    assert world.manager.cleanup_old_tasks(days=7) == 1
