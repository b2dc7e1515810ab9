"""What every queue store does: which project runs next, and what it waits for."""

import msgspec
import pytest

from scheduler_modules.errors import InvalidInput, NotPossible
from scheduler_modules.model import ProjectState
from tests.contract.store_worlds import HUGE, make_run

# -- what may run next --------------------------------------------------------------------------


def test_nothing_is_claimable_in_an_empty_queue(world):
    assert world.next_id(1.0) is None


def test_the_highest_priority_then_the_oldest_runs_next(world, store):
    order = [
        world.add("old.md", enqueued_at=1.0),
        world.add("urgent-b.md", enqueued_at=7.0, priority=5),
        world.add("urgent-a.md", enqueued_at=5.0, priority=5),
        world.add("urgent-c.md", enqueued_at=7.0, priority=5),
    ]
    found = []
    while (project_id := world.next_id(10.0)) is not None:
        found.append(project_id)
        world.change(project_id, status="processing")

    assert found == [order[2], order[1], order[3], order[0]]


@pytest.mark.parametrize("status", ["processing", "completed", "failed", "paused", None])
def test_only_queued_projects_are_claimable(world, store, status):
    world.old_row(spec_path="a.md", status=status)

    assert world.next_id(1.0) is None


def test_a_row_of_an_old_program_is_claimable(world, store):
    project_id = world.old_row(spec_path="a.md")

    assert world.next_id(1.0) == project_id


@pytest.mark.parametrize("status", ["QUEUED", "Queued", "ProjectState.QUEUED"])
def test_an_old_spelling_of_queued_is_claimable_like_all_others(world, status):
    new = world.add("b.md")
    old = world.old_row(spec_path="a.md", status=status, priority=9)

    assert world.in_turn() == [old, new]


@pytest.mark.parametrize(("now", "is_claimable"), [(9.9, False), (10.0, True), (10.1, True)])
def test_a_project_waits_for_its_time(world, store, now, is_claimable):
    project_id = world.add()
    world.change(project_id, not_before=10.0)

    assert world.next_id(now) == (project_id if is_claimable else None)


def test_a_project_that_must_wait_holds_up_no_other(world, store):
    waiting, other = world.add("a.md", priority=9), world.add("b.md")
    world.change(waiting, not_before=10.0)

    assert world.next_id(1.0) == other


@pytest.mark.parametrize(
    ("status", "is_met"),
    [
        ("completed", True),
        ("recovered", True),
        ("COMPLETED", True),
        ("ProjectState.RECOVERED", True),
        ("failed", False),
        ("processing", False),
        ("queued", False),
        ("retried", False),
    ],
)
def test_a_dependency_is_met_by_success_only(world, store, status, is_met):
    first = world.add("first.md", enqueued_at=999.0)
    second = world.add("second.md", after_keys=("/specs/first.md",))
    world.change(first, status=status)

    expected = second if is_met else first if status == "queued" else None
    assert world.next_id(1_000.0) == expected
    assert store.dependencies(second)[0].is_met is is_met


def test_a_dependency_on_nothing_is_not_met(world, store):
    project_id = world.add(after_keys=("/specs/nowhere.md",))

    assert world.next_id(1.0) is None
    assert store.dependencies(project_id)[0].project_id is None


def test_every_dependency_must_be_met(world, store):
    done = world.add("done.md")
    world.change(done, status="completed")
    world.add("late.md", after_keys=("/specs/done.md", "/specs/missing.md"))

    assert world.next_id(1.0) is None


def test_the_newest_project_of_a_spec_decides(world, store):
    old, new = world.add("first.md"), world.add("first.md")
    world.change(old, status="completed")
    world.change(new, status="failed")
    waiting = world.add("second.md", after_keys=("/specs/first.md",))

    assert world.next_id(1.0) is None
    assert store.dependencies(waiting)[0].project_id == new


def test_a_removed_project_no_longer_decides(world, store):
    old, new = world.add("first.md"), world.add("first.md")
    world.change(old, status="completed")
    waiting = world.add("second.md", after_keys=("/specs/first.md",))
    store.remove_project(world.get(new))

    assert world.next_id(1.0) == waiting


@pytest.mark.parametrize(
    ("ended_at", "cleaned_at", "is_claimable"),
    [(None, None, False), (5.0, None, False), (5.0, 6.0, True), (0.0, 0.0, True)],
)
def test_a_project_waits_until_its_earlier_run_is_cleaned(
    world, store, ended_at, cleaned_at, is_claimable
):
    project_id = world.add()
    world.add_run(project_id, ended_at=ended_at, cleaned_at=cleaned_at)

    assert world.next_id(1.0) == (project_id if is_claimable else None)


def test_one_unfinished_run_among_finished_ones_is_enough_to_wait(world, store):
    project_id = world.add()
    world.add_run(project_id, "t1", ended_at=1.0)
    world.add_run(project_id, "t2", ended_at=2.0, cleaned_at=3.0)

    assert world.next_id(1.0) is None


# -- which host, which time ---------------------------------------------------------------------


def test_a_pinned_project_runs_on_its_host_only(world):
    project_id = world.add(host="beta")

    assert (world.next_id(host="alpha"), world.next_id(host="beta")) == (None, project_id)


def test_pinned_and_free_projects_take_turns_by_priority_and_age(world):
    order = [
        world.add("a.md", host="alpha", priority=3),
        world.add("b.md", priority=2),
        world.add("c.md", host="alpha", priority=2),
        world.add("d.md", priority=2, enqueued_at=101.0),
    ]
    world.add("e.md", host="beta", priority=9)

    assert world.in_turn(host="alpha") == order


def test_a_project_can_be_pinned_and_freed_later(world):
    project_id = world.add()
    world.change(project_id, host="beta")
    pinned = world.next_id()
    world.change(project_id, host=None)

    assert (pinned, world.next_id()) == (None, project_id)


def test_a_held_project_runs_once_it_is_released(world):
    project_id = world.add(held_at=5.0)
    held = world.next_id()
    world.change(project_id, held_at=None)

    assert (held, world.next_id()) == (None, project_id)


def test_a_queued_project_can_be_held(world):
    project_id = world.add()

    world.change(project_id, held_at=5.0)

    assert world.next_id() is None


@pytest.mark.parametrize("status", ["queued", "QUEUED", "ProjectState.QUEUED"])
def test_a_project_can_be_set_aside_whatever_its_row_says(world, store, status):
    odd = world.old_row(spec_path="odd.md", status=status, priority=9)
    other = world.add("other.md")

    store.hold_project(odd, 5.0)

    assert world.next_id(10.0) == other
    assert (world.get(odd).held_at, world.get(odd).stored_status) == (5.0, status)


def test_a_due_project_takes_its_turn_by_priority(world):
    first, urgent = world.add("a.md", priority=1), world.add("b.md", priority=2, not_before=10.0)

    assert (world.next_id(9.0), world.next_id(10.0)) == (first, urgent)


def test_a_due_project_waits_its_turn(world):
    world.add("a.md", not_before=10.0)
    urgent = world.add("b.md", priority=2)

    assert world.next_id(10.0) == urgent


def test_of_due_projects_the_first_in_order_runs(world):
    order = [world.add(f"{n}.md", not_before=10.0 - n, priority=-n) for n in range(3)]

    assert world.in_turn(now=10.0) == order


@pytest.mark.parametrize(
    "fields", [{"held_at": 1.0}, {"host": "beta"}, {"group": "shut"}, {"after_keys": ("/x",)}]
)
def test_a_due_project_must_meet_everything_else_too(world, store, fields):
    store.save_group("shut", None, 1.0)
    world.add(not_before=10.0, **fields)

    assert world.next_id(11.0) is None


def test_promoting_clears_the_times_that_have_come(world, store):
    due, later = world.add("a.md", not_before=10.0), world.add("b.md", not_before=11.0)

    assert store.promote_due(10.0) == 1
    assert (world.get(due).not_before, world.get(later).not_before) == (None, 11.0)
    assert world.in_turn(now=10.0) == [due]


def test_promoting_leaves_the_order_as_it_was(world, store):
    order = [world.add(f"{n}.md", not_before=5.0 + n, priority=-n) for n in range(3)]

    store.promote_due(100.0)

    assert world.in_turn(now=100.0) == order


def test_nothing_is_promoted_twice(world, store):
    world.add(not_before=10.0)
    store.promote_due(10.0)

    assert store.promote_due(10.0) == 0


def test_the_next_due_time_is_the_earliest(world, store):
    world.add("a.md", not_before=12.0)
    world.add("b.md", not_before=11.0)
    world.add("c.md")

    assert store.next_due() == 11.0


def test_nothing_is_due_when_nothing_waits_for_its_time(world, store):
    world.add()

    assert store.next_due() is None


@pytest.mark.parametrize("fields", [{"held_at": 1.0}, {"after_keys": ("/x",)}])
def test_a_time_at_which_nothing_could_start_is_not_due(world, store, fields):
    world.add(not_before=10.0, **fields)

    assert store.next_due() is None


def test_a_project_that_no_longer_waits_is_not_due(world, store):
    project_id = world.add(not_before=10.0)

    world.change(project_id, status="failed")

    assert (store.next_due(), store.promote_due(99.0)) == (None, 0)


# -- limits -------------------------------------------------------------------------------------


def test_no_more_projects_run_than_allowed(world):
    running, waiting = world.add("a.md", enqueued_at=1.0), world.add("b.md")
    world.change(running, status="processing")

    assert (world.next_id(max_running=1), world.next_id(max_running=2)) == (None, waiting)


@pytest.mark.parametrize("stored", ["PROCESSING", "ProjectState.PROCESSING", "Processing"])
def test_old_spellings_of_processing_count_as_running(world, stored):
    world.old_row(spec_path="a.md", status=stored)
    world.add("b.md")

    assert world.next_id(max_running=1) is None


def test_nothing_runs_where_nothing_may(world):
    world.add()

    assert world.next_id(max_running=0) is None


def test_nothing_is_claimable_while_the_queue_is_paused(world, store):
    project_id = world.add()
    store.set_state("paused_at", "5.0")
    paused = world.next_id()
    store.set_state("paused_at", "")

    assert (paused, world.next_id()) == (None, project_id)


def test_a_paused_group_holds_up_no_other(world, store):
    world.add("a.md", group="night", priority=9)
    other = world.add("b.md")
    store.save_group("night", None, 5.0)

    assert world.in_turn() == [other]


def test_a_group_goes_on_when_it_is_resumed(world, store):
    project_id = world.add(group="night")
    store.save_group("night", None, 5.0)
    store.save_group("night", None, None)

    assert world.next_id() == project_id


def test_a_full_group_holds_up_no_other(world, store):
    store.save_group("gpu", 1, None)
    running = world.add("a.md", group="gpu", priority=9)
    world.add("b.md", group="gpu", priority=8)
    other = world.add("c.md")

    assert world.in_turn() == [running, other]


def test_a_slot_of_a_group_is_free_again_when_a_project_ends(world, store):
    store.save_group("gpu", 1, None)
    running, waiting = world.add("a.md", group="gpu"), world.add("b.md", group="gpu")
    world.change(running, status="processing")
    world.change(running, status="completed")

    assert world.next_id() == waiting


def test_a_group_may_have_no_slot_at_all(world, store):
    store.save_group("never", 0, None)
    world.add(group="never")

    assert world.next_id() is None


def test_the_default_group_can_have_a_limit(world, store):
    store.save_group("", 1, None)
    world.change(world.add("a.md"), status="processing")
    world.add("b.md")
    other = world.add("c.md", group="gpu")

    assert world.next_id() == other


def test_rows_of_old_programs_are_in_the_default_group(world, store):
    world.old_row(spec_path="a.md")

    store.save_group("", None, 5.0)

    assert world.next_id() is None


def test_the_best_of_all_groups_runs_next(world):
    order = [
        world.add("a.md", group="gpu", priority=3),
        world.add("b.md", priority=2),
        world.add("c.md", group="web", priority=1),
        world.add("d.md", group="gpu"),
    ]

    assert world.in_turn() == order


def test_a_project_that_changes_its_group_goes_by_the_new_one(world, store):
    store.save_group("shut", None, 5.0)
    project_id = world.add(group="shut")

    world.change(project_id, group="open")

    assert world.next_id() == project_id


# -- what makes a project ready, or not any more ------------------------------------------------


def test_a_changed_priority_changes_the_order(world):
    first, second = world.add("a.md"), world.add("b.md")

    world.change(second, priority=1)

    assert world.in_turn() == [second, first]


def test_a_project_that_is_queued_again_is_claimable_again(world):
    project_id = world.add()
    world.change(project_id, status="failed")

    world.change(project_id, status="queued", enqueued_at=50.0)

    assert world.next_id() == project_id


def test_a_removed_project_is_not_claimable(world, store):
    store.remove_project(world.get(world.add()))

    assert world.next_id() is None


def test_a_project_waits_no_longer_when_its_run_is_cleaned(world, store):
    project_id = world.add()
    run = world.add_run(project_id)
    store.save_run(msgspec.structs.replace(run, ended_at=5.0))
    ended = world.next_id()
    store.mark_cleaned("t1", 6.0)

    assert (ended, world.next_id()) == (None, project_id)


def test_those_that_wait_may_start_when_a_project_completes(world):
    first = world.add("a.md")
    waiting = world.add("b.md", after_keys=("/specs/a.md",))
    world.change(first, status="processing")
    before = world.next_id()
    world.change(first, status="completed")

    assert (before, world.next_id()) == (None, waiting)


def test_those_that_wait_wait_again_when_the_spec_is_queued_anew(world):
    world.change(world.add("a.md"), status="completed")
    world.add("b.md", after_keys=("/specs/a.md",))

    world.add("a.md", held_at=1.0)

    assert world.next_id() is None


def test_a_project_that_waits_for_itself_never_runs(world):
    world.add("a.md", after_keys=("/specs/a.md",))

    assert world.next_id() is None


# -- starting a run -----------------------------------------------------------------------------


def start(world, project_id: int, token: str = "t1"):
    before = world.get(project_id)
    after = msgspec.structs.replace(before, status="processing", not_before=None)
    return world.store.start_run(before, after, make_run(project_id, token))


def test_a_started_run_is_there_with_its_project(world, store):
    project_id = world.add(not_before=5.0)

    run = start(world, project_id)

    assert store.runs_of(project_id) == [run]
    assert (world.get(project_id).status, world.get(project_id).not_before) == ("processing", None)
    assert world.next_id() is None


def test_no_run_is_started_when_somebody_was_first(world, store):
    project_id = world.add()
    seen = world.get(project_id)
    world.change(project_id, status="failed")

    run = store.start_run(
        seen, msgspec.structs.replace(seen, status="processing"), make_run(project_id, "t1")
    )

    assert run is None
    assert (store.runs_of(project_id), world.get(project_id).status) == ([], "failed")


def test_a_refused_run_leaves_the_project_as_it_was(world):
    project_id = world.add("a.md")
    world.add_run(world.add("b.md"), "t1")

    with pytest.raises(NotPossible):
        start(world, project_id, "t1")

    assert world.get(project_id).status == "queued"


def test_the_attempts_that_came_as_far_as_a_session_are_counted(world, store):
    project_id = world.add()
    for token, launches in (("t1", 1), ("t2", 0), ("t3", 2)):
        world.add_run(project_id, token, launches=launches, ended_at=1.0, cleaned_at=2.0)

    assert store.next_claimable(1.0, "alpha", 9).attempts == 2


def test_what_is_claimable_comes_with_all_its_values(world, store):
    project_id = world.add(priority=2, host="alpha", group="gpu", batch_id="b")

    assert store.next_claimable(1.0, "alpha", 9).project == world.get(project_id)


# -- dependencies -------------------------------------------------------------------------------


def test_dependencies_come_in_their_order_with_their_standing(world, store):
    done = world.add("done.md")
    world.change(done, status="completed")
    project_id = world.add("x.md", after_keys=("/specs/z.md", "/specs/done.md"))

    first, second = store.dependencies(project_id)

    assert (first.spec_key, first.project_id, first.status) == ("/specs/z.md", None, None)
    assert (second.project_id, second.status, second.is_met) == (done, "completed", True)


def test_dependencies_can_be_replaced(world, store):
    project_id = world.add(after_keys=("/a", "/b", "/c"))

    store.set_dependencies(project_id, ["/d"])

    assert [known.spec_key for known in store.dependencies(project_id)] == ["/d"]


def test_dependencies_can_be_taken_away(world, store):
    project_id = world.add(after_keys=("/a",))

    store.set_dependencies(project_id, [])

    assert world.next_id(1.0) == project_id


def test_nothing_is_known_of_what_is_not_there(store):
    assert store.dependencies(HUGE) == store.dependencies(5) == []
    assert store.spec_key_of(HUGE) is store.spec_key_of(5) is None
    assert store.dependents("/a") == {}


def test_dependencies_of_an_impossible_project_are_refused(store):
    with pytest.raises(InvalidInput):
        store.set_dependencies(HUGE, ["/a"])


def test_dependents_are_the_specs_of_queued_projects_that_wait(world, store):
    b = world.add("b.md", after_keys=("/specs/a.md", "/specs/x.md"))
    c = world.add("c.md", after_keys=("/specs/a.md", "/specs/a.md"))
    again = world.add("c.md", after_keys=("/specs/a.md",))
    ended = world.add("d.md", after_keys=("/specs/a.md",))
    world.change(ended, status="failed")

    assert store.dependents("/specs/a.md") == {"/specs/b.md": [b], "/specs/c.md": [c, again]}


def test_dependents_of_other_statuses_can_be_asked_for(world, store):
    world.add("b.md", after_keys=("/specs/a.md",))
    running = world.add("c.md", after_keys=("/specs/a.md",))
    world.change(running, status="processing")
    failed = world.add("d.md", after_keys=("/specs/a.md",))
    world.change(failed, status="failed")

    found = store.dependents("/specs/a.md", (ProjectState.PROCESSING, ProjectState.FAILED))

    assert found == {"/specs/c.md": [running], "/specs/d.md": [failed]}


def test_a_project_knows_the_key_of_its_spec(world, store):
    assert store.spec_key_of(world.add()) == "/specs/a.md"
    assert store.spec_key_of(world.old_row(spec_path="b.md")) is None
