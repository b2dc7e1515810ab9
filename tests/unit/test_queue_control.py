"""What may start, and when: pauses, groups, holds, start times, order."""

import pytest

from scheduler_modules.errors import InvalidInput, NotFound, NotPossible, ProjectNotFound
from scheduler_modules.model import Outcome
from scheduler_modules.queue_control import PAUSED_AT
from tests.fakes.queue_world import QueueWorld


@pytest.fixture
def world():
    return QueueWorld()


def claimed(world):
    """Return the id of what a daemon would be given now; None if nothing."""
    claim = world.queue.claim_next("daemon")
    return None if claim is None else claim.project.id


def facts(world, project_id=None):
    return [fact.name for fact in world.store.facts(project_id=project_id)]


def detail_of_last(world):
    return dict(world.store.facts()[-1].detail)


# -- the whole queue ----------------------------------------------------------------------------


def test_a_paused_queue_starts_nothing(world):
    world.enqueue()

    assert world.control.pause_queue()

    assert (claimed(world), world.control.paused_at()) == (None, world.clock.now())


def test_a_queue_that_is_resumed_starts_projects_again(world):
    project_id = world.enqueue()
    world.control.pause_queue()

    assert world.control.resume_queue()

    assert (claimed(world), world.control.paused_at()) == (project_id, None)


def test_pausing_twice_keeps_the_first_time(world):
    world.control.pause_queue()
    since = world.control.paused_at()
    world.clock.advance(60)

    assert not world.control.pause_queue()

    assert world.control.paused_at() == since


def test_resuming_what_is_not_paused_says_so(world):
    assert not world.control.resume_queue()


def test_pause_and_resume_are_told(world):
    world.control.pause_queue()
    world.control.pause_queue()
    world.control.resume_queue()

    assert facts(world) == ["queue_paused", "queue_resumed"]


def test_a_queue_that_somebody_paused_with_another_word_is_paused(world):
    world.store.set_state(PAUSED_AT, "yes")

    assert world.control.paused_at() == 0.0


# -- groups -------------------------------------------------------------------------------------


def test_the_default_group_is_always_there(world):
    assert [group.name for group in world.control.groups()] == [""]


def test_a_group_counts_what_is_queued_and_runs_in_it(world):
    world.enqueue("a", group="night")
    world.claim("b")
    world.enqueue("c")

    night = world.control.group("night")

    assert (night.queued, night.running) == (0, 1)


def test_a_group_runs_no_more_than_its_limit(world):
    world.control.set_limit("night", 1)
    for stem in ("a", "b"):
        world.enqueue(stem, group="night")
    other = world.enqueue("c")

    assert [claimed(world) for _ in range(3)] == [1, other, None]


def test_a_limit_of_none_is_no_limit(world):
    world.control.set_limit("night", 1)
    for stem in ("a", "b"):
        world.enqueue(stem, group="night")
    world.control.set_limit("night", None)

    assert [claimed(world), claimed(world)] == [1, 2]


def test_a_new_limit_leaves_a_paused_group_paused(world):
    world.control.set_limit("night", 1)
    world.control.pause_group("night")

    world.control.set_limit("night", 2)

    night = world.control.group("night")
    assert (night.max_running, night.paused_at) == (2, world.clock.now())
    assert detail_of_last(world) == {"group": "night", "max_running": 2}


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(world, limit):
    with pytest.raises(InvalidInput, match="pause it instead"):
        world.control.set_limit("night", limit)

    assert [group.name for group in world.control.groups()] == [""]


@pytest.mark.parametrize("name", ["a b", "-x", ".x", "ä", "x" * 41, "a/b", "a\n"])
def test_a_name_that_is_none_is_refused(world, name):
    project_id = world.enqueue()

    for act in (
        lambda: world.control.set_limit(name, 1),
        lambda: world.control.set_group(project_id, name),
    ):
        with pytest.raises(InvalidInput, match="allowed are up to 40"):
            act()


def test_a_paused_group_starts_nothing_and_others_do(world):
    world.enqueue("a", group="night")
    other = world.enqueue("b")

    assert world.control.pause_group("night")

    assert [claimed(world), claimed(world)] == [other, None]


def test_the_default_group_can_be_paused(world):
    world.enqueue("a")
    night = world.enqueue("b", group="night")

    world.control.pause_group("")

    assert [claimed(world), claimed(world)] == [night, None]


def test_a_group_that_is_resumed_goes_on(world):
    project_id = world.enqueue("a", group="night")
    world.control.pause_group("night")

    assert world.control.resume_group("night")

    assert claimed(world) == project_id
    assert facts(world)[1:3] == ["group_paused", "group_resumed"]


def test_a_group_is_paused_and_resumed_once(world):
    world.control.set_limit("night", 1)

    paused = [world.control.pause_group("night") for _ in range(2)]
    resumed = [world.control.resume_group("night") for _ in range(2)]

    assert (paused, resumed) == ([True, False], [True, False])


@pytest.mark.parametrize("act", ["group", "pause_group", "resume_group", "remove_group"])
def test_a_group_that_nobody_made_is_not_found(world, act):
    with pytest.raises(NotFound, match="no group 'nope'"):
        getattr(world.control, act)("nope")


def test_an_unused_group_is_removed(world):
    world.control.set_limit("night", 1)

    world.control.remove_group("night")

    assert [group.name for group in world.control.groups()] == [""]
    assert facts(world)[-1] == "group_removed"


@pytest.mark.parametrize("is_running", [False, True])
def test_a_group_with_projects_that_have_not_ended_stays(world, is_running):
    world.enqueue("a", group="night")
    if is_running:
        world.queue.claim_next("daemon")

    with pytest.raises(NotPossible, match="still has 1 project that has not ended"):
        world.control.remove_group("night")

    assert world.control.group("night").name == "night"


def test_the_default_group_stays(world):
    with pytest.raises(NotPossible, match="default group"):
        world.control.remove_group("")


# -- one project --------------------------------------------------------------------------------


def test_a_held_project_does_not_start(world):
    project_id = world.enqueue()

    assert world.control.hold(project_id)

    assert (claimed(world), world.project(project_id).held_at) == (None, world.clock.now())


def test_a_released_project_starts(world):
    project_id = world.enqueue()
    world.control.hold(project_id)

    assert world.control.release(project_id)

    assert claimed(world) == project_id
    assert facts(world, project_id)[1:3] == ["project_held", "project_released"]


def test_holding_twice_keeps_the_first_time(world):
    project_id = world.enqueue()
    world.control.hold(project_id)
    since = world.clock.now()
    world.clock.advance(60)

    assert not world.control.hold(project_id)

    assert world.project(project_id).held_at == since


def test_releasing_what_is_not_held_says_so(world):
    assert not world.control.release(world.enqueue())


def test_what_runs_cannot_be_held(world):
    run = world.claim()

    with pytest.raises(NotPossible, match="is running, not queued"):
        world.control.hold(run.project_id)


def test_what_has_ended_cannot_be_held(world):
    project_id = world.old_row(status="completed")

    with pytest.raises(NotPossible, match="is completed, not queued"):
        world.control.hold(project_id)


def test_what_has_no_status_cannot_be_held(world):
    project_id = world.old_row(status=None)

    with pytest.raises(NotPossible, match="without a status"):
        world.control.hold(project_id)


@pytest.mark.parametrize("act", ["hold", "release", "want_pause", "want_resume"])
def test_what_is_not_there_is_not_found(world, act):
    with pytest.raises(ProjectNotFound):
        getattr(world.control, act)(99)


def test_a_pause_is_wanted_of_the_run(world):
    run = world.start()

    assert world.control.want_pause(run.project_id)

    assert world.store.run(run.token).is_pause_wanted
    assert facts(world, run.project_id)[-1] == "project_held"


def test_a_pause_is_wanted_no_more(world):
    run = world.start()
    world.control.want_pause(run.project_id)

    assert world.control.want_resume(run.project_id)

    assert not world.store.run(run.token).is_pause_wanted
    assert facts(world, run.project_id)[-1] == "project_released"


def test_wanting_what_is_so_already_tells_nothing(world):
    run = world.start()
    world.control.want_pause(run.project_id)
    told = len(facts(world))

    assert not world.control.want_pause(run.project_id)
    world.control.want_resume(run.project_id)
    assert not world.control.want_resume(run.project_id)

    assert len(facts(world)) == told + 1


def test_nothing_is_wanted_of_what_waits(world):
    with pytest.raises(NotPossible, match="is queued, not running"):
        world.control.want_pause(world.enqueue())


def test_nothing_is_wanted_of_what_has_ended(world):
    run = world.start()
    world.ledger.end_run(run, Outcome.COMPLETED)

    with pytest.raises(NotPossible, match="is completed, not running"):
        world.control.want_pause(run.project_id)


def test_nothing_is_wanted_of_what_another_program_runs(world):
    project_id = world.old_row(status="processing")

    with pytest.raises(NotPossible, match="run by another program"):
        world.control.want_pause(project_id)


def test_a_higher_priority_starts_first(world):
    world.enqueue("a")
    second = world.enqueue("b")

    world.control.set_priority(second, 5)

    assert claimed(world) == second
    assert world.project(second).priority == 5


def test_a_project_is_moved_to_a_group_that_is_made(world):
    project_id = world.enqueue()

    world.control.set_group(project_id, "night")

    assert world.project(project_id).group == "night"
    assert world.control.group("night").queued == 1


def test_a_project_starts_at_its_time_and_not_before(world):
    project_id = world.enqueue()

    world.control.set_start(project_id, world.clock.now() + 60)

    assert claimed(world) is None
    world.clock.advance(60)
    assert claimed(world) == project_id


def test_a_start_time_is_taken_away(world):
    project_id = world.enqueue(not_before=world.clock.now() + 60)

    world.control.set_start(project_id, None)

    assert claimed(world) == project_id


def test_another_host_s_project_is_left_to_it(world):
    project_id = world.enqueue()

    world.control.set_host(project_id, "workbench")

    assert claimed(world) is None
    world.control.set_host(project_id, None)
    assert claimed(world) == project_id


def test_what_a_project_waits_for_is_replaced(world):
    world.enqueue("a")
    project_id = world.enqueue("b", after_keys=("/specs/old.md",))

    world.control.set_dependencies(project_id, ["/specs/a.md"])

    assert [entry.spec_key for entry in world.store.dependencies(project_id)] == ["/specs/a.md"]
    assert detail_of_last(world) == {"after": ["/specs/a.md"]}


def test_a_project_never_comes_to_wait_for_itself(world):
    first = world.enqueue("a")
    world.enqueue("b", after_keys=("/specs/a.md",))

    with pytest.raises(InvalidInput, match="neither would ever run"):
        world.control.set_dependencies(first, ["/specs/b.md"])

    assert world.store.dependencies(first) == []


def test_a_row_of_an_old_program_can_be_made_to_wait(world):
    project_id = world.old_row()

    world.control.set_dependencies(project_id, ["/specs/a.md"])

    assert claimed(world) is None


@pytest.mark.parametrize(
    "act",
    [
        lambda control, number: control.set_priority(number, 1),
        lambda control, number: control.set_group(number, "night"),
        lambda control, number: control.set_start(number, 1.0),
        lambda control, number: control.set_host(number, "x"),
        lambda control, number: control.set_dependencies(number, []),
    ],
    ids=["priority", "group", "start", "host", "dependencies"],
)
def test_what_runs_is_not_changed(world, act):
    run = world.claim()
    before = world.project(run.project_id)

    with pytest.raises(NotPossible, match="is running"):
        act(world.control, run.project_id)

    assert world.project(run.project_id) == before
