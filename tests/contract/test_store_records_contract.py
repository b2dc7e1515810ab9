"""What every queue store does: runs, facts, check-ins and odds."""

from typing import Any

import msgspec
import pytest

from scheduler_modules.errors import InvalidInput, NotPossible
from scheduler_modules.model import Outcome, RunPhase, Task
from tests.contract.store_worlds import HUGE, UNDECODABLE, make_run

# -- runs ---------------------------------------------------------------------------------------


FULL_RUN: dict[str, Any] = {
    "attempt": 2,
    "host": "beta",
    "daemon_id": "d2",
    "session_name": "other",
    "phase": RunPhase.VERIFYING,
    "claimed_at": 1.5,
    "launches": 3,
    "session_id": "$1",
    "main_pane_id": "%1",
    "verify_pane_id": "%2",
    "server_pid": 77,
    "server_started_at": 1234,
    "started_at": 2.5,
    "boot_id": "boot",
    "started_boot_sec": 3.5,
    "plan": '{"cwd": "/"}',
    "reported": Outcome.COMPLETED,
    "reported_note": "note",
    "exit_code": 0,
    "outcome": Outcome.TIMED_OUT,
    "reason": "too late",
    "ended_at": 4.5,
    "cleaned_at": 5.5,
    "is_pause_wanted": True,
    "paused_boot_sec": 6.5,
    "paused_sec": 7.5,
}


def test_a_run_keeps_every_value(world, store):
    added = store.add_run(make_run(world.add(), "t1", **FULL_RUN))

    assert store.run("t1") == added
    assert added == make_run(added.project_id, "t1", **FULL_RUN, id=added.id)


def test_a_run_is_given_an_id(world, store):
    first, second = (world.add_run(7, token, id=99) for token in ("t1", "t2"))

    assert 0 < first.id < second.id < 99


def test_an_unknown_token_has_no_run(store):
    assert store.run("t9") is None
    assert store.run("\udce9") is None


def test_a_token_is_given_once(world, store):
    world.add_run(1, "t1")

    with pytest.raises(NotPossible):
        world.add_run(2, "t1")


def test_a_run_of_an_impossible_project_is_refused(world):
    with pytest.raises(InvalidInput):
        world.add_run(HUGE)


@pytest.mark.parametrize("field", FULL_RUN)
def test_a_run_is_saved_by_its_token(world, store, field):
    run = world.add_run(world.add())

    assert store.save_run(msgspec.structs.replace(run, **{field: FULL_RUN[field]})) is True
    assert getattr(store.run("t1"), field) == FULL_RUN[field]


def test_saving_a_run_changes_neither_its_id_nor_its_project(world, store):
    run = world.add_run(world.add())

    store.save_run(msgspec.structs.replace(run, id=55, project_id=66))

    assert store.run("t1") == run


def test_saving_a_run_touches_no_other(world, store):
    first, second = world.add_run(1, "t1"), world.add_run(1, "t2")

    store.save_run(msgspec.structs.replace(first, **FULL_RUN))

    assert store.run("t2") == second


def test_a_run_that_has_ended_is_not_written_again(world, store):
    run = world.add_run(world.add())
    ended = msgspec.structs.replace(run, ended_at=8.0, outcome=Outcome.LOST)
    store.save_run(ended)

    assert store.save_run(msgspec.structs.replace(run, outcome=Outcome.COMPLETED)) is False
    assert store.run("t1") == ended


def test_a_run_nobody_knows_is_not_saved(store):
    assert store.save_run(make_run(1, "t9")) is False


def test_what_a_run_says_may_hold_undecodable_bytes(world, store):
    run = world.add_run(1)

    store.save_run(msgspec.structs.replace(run, reported_note="\udce9", reason="\udcff"))

    saved = store.run("t1")
    assert (saved.reported_note, saved.reason) == ("\\udce9", "\\udcff")


def test_runs_of_a_project_come_oldest_first(world, store):
    first, _, third = (world.add_run(n % 2, f"t{n}") for n in (1, 2, 3))

    assert store.runs_of(1) == [first, third]
    assert store.runs_of(HUGE) == []


def test_open_runs_are_those_that_have_not_ended(world, store):
    here, there = world.add_run(1, "t1"), world.add_run(2, "t2", host="beta")
    world.add_run(3, "t3", ended_at=1.0)

    assert store.open_runs() == [here, there]
    assert store.open_runs("beta") == [there]
    assert store.open_runs("gamma") == []


def test_uncleaned_runs_have_ended_on_that_host(world, store):
    world.add_run(1, "open")
    uncleaned = world.add_run(2, "t2", ended_at=1.0)
    world.add_run(3, "t3", ended_at=1.0, host="beta")
    world.add_run(4, "t4", ended_at=1.0, cleaned_at=2.0)

    assert store.uncleaned_runs("alpha") == [uncleaned]


def test_an_ended_run_is_marked_as_cleaned_once(world, store):
    world.add_run(1, ended_at=1.0)

    assert store.mark_cleaned("t1", 2.0) is True
    assert store.mark_cleaned("t1", 3.0) is False
    assert store.run("t1").cleaned_at == 2.0


@pytest.mark.parametrize("token", ["t1", "unknown"])
def test_only_an_ended_run_can_be_cleaned(world, store, token):
    world.add_run(1)

    assert store.mark_cleaned(token, 2.0) is False
    assert store.run("t1").cleaned_at is None


# -- facts --------------------------------------------------------------------------------------


def test_a_fact_keeps_every_value(store):
    detail = {"exit_code": 3, "why": "ü", "list": [1, {"a": None}]}

    fact_id = store.add_fact("project_failed", 1.5, 7, 8, detail)

    (fact,) = store.facts()
    assert msgspec.structs.astuple(fact) == (fact_id, 1.5, "project_failed", 7, 8, detail)


def test_a_fact_may_say_little(store):
    store.add_fact("started", 1.0)

    (fact,) = store.facts()
    assert (fact.project_id, fact.run_id, fact.detail) == (None, None, {})


def test_facts_come_oldest_first_after_a_known_one(store):
    ids = [store.add_fact("said", 9.0 - n) for n in range(4)]

    assert [fact.id for fact in store.facts(ids[1])] == ids[2:]
    assert ids == sorted(ids)


@pytest.mark.parametrize(("after", "number"), [(-HUGE, 3), (-1, 3), (HUGE, 0)])
def test_facts_can_be_asked_for_from_anywhere(store, after, number):
    for _ in range(3):
        store.add_fact("said", 1.0)

    assert len(store.facts(after)) == number


def test_facts_can_be_cut_and_taken_up_again(store):
    ids = [store.add_fact("said", 1.0) for _ in range(5)]

    assert [fact.id for fact in store.facts(limit=2)] == ids[:2]
    assert [fact.id for fact in store.facts(ids[1], limit=HUGE)] == ids[2:]


def test_facts_can_be_of_one_project(store):
    first, _, third = (store.add_fact("said", 1.0, project_id) for project_id in (1, 2, 1))

    assert [fact.id for fact in store.facts(project_id=1)] == [first, third]
    assert [fact.id for fact in store.facts(first, project_id=1)] == [third]
    assert store.facts(project_id=HUGE) == []


def test_facts_may_hold_undecodable_bytes(store):
    store.add_fact("said", 1.0, detail={"path": UNDECODABLE, "all": ["\udc80"]})

    assert store.facts()[0].detail == {"path": "caf\\udce9.md", "all": ["\\udc80"]}


def test_a_fact_of_an_impossible_project_is_refused(store):
    with pytest.raises(InvalidInput):
        store.add_fact("said", 1.0, HUGE)


def test_a_cursor_starts_at_zero_and_is_kept_for_each_listener(store):
    store.set_cursor("mail", 4)
    store.set_cursor("mail", 7)

    assert (store.cursor("mail"), store.cursor("hooks")) == (7, 0)


def test_an_impossible_cursor_is_refused(store):
    with pytest.raises(InvalidInput):
        store.set_cursor("mail", HUGE)


# -- check-ins and odds -------------------------------------------------------------------------


def make_task(**fields: Any) -> Task:
    values = {
        "id": 0,
        "session_name": "a-impl-1",
        "agent_role": "Tester",
        "window_index": 3,
        "next_run": 100.0,
        "interval_minutes": 30,
    }
    return Task(**values | fields)


def test_a_task_keeps_every_value(store):
    task = make_task(note="go on", last_run=1.5, created_at=2.5, retry_count=-1, id=77)

    task_id = store.add_task(task)

    assert store.tasks() == [msgspec.structs.replace(task, id=task_id)]
    assert task_id == 1


def test_a_task_may_say_little(store):
    store.add_task(make_task())

    (task,) = store.tasks()
    assert (task.note, task.last_run, task.created_at) == (None, None, None)


def test_tasks_come_by_due_time_then_id(store):
    ids = [store.add_task(make_task(next_run=due)) for due in (5.0, 1.0, 5.0, 3.0)]

    assert [task.id for task in store.tasks()] == [ids[1], ids[3], ids[0], ids[2]]


def test_a_task_can_be_removed_once(store):
    task_id = store.add_task(make_task())

    assert store.remove_task(task_id) is True
    assert store.remove_task(task_id) is False
    assert store.tasks() == []


@pytest.mark.parametrize("task_id", [0, -1, 99, HUGE])
def test_there_is_no_task_under_a_foreign_id(store, task_id):
    store.add_task(make_task())

    assert store.remove_task(task_id) is False
    assert len(store.tasks()) == 1


def test_a_task_of_undecodable_bytes_is_refused_but_its_note_is_written_out(store):
    with pytest.raises(InvalidInput):
        store.add_task(make_task(session_name="\udce9"))
    store.add_task(make_task(note="\udce9"))

    assert [task.note for task in store.tasks()] == ["\\udce9"]


def test_a_state_value_can_be_set_and_replaced(store):
    assert store.get_state("last_boot_time") is None

    store.set_state("last_boot_time", "1.0")
    store.set_state("last_boot_time", "2.0")

    assert store.get_state("last_boot_time") == "2.0"


def test_a_state_value_of_undecodable_bytes_is_refused(store):
    with pytest.raises(InvalidInput):
        store.set_state("key", "\udce9")
