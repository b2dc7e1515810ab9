"""What every queue store does: groups, and finding projects by group and by name."""

import pytest

from scheduler_modules.errors import InvalidInput
from scheduler_modules.model import Group
from tests.contract.store_worlds import HUGE

# -- groups -------------------------------------------------------------------------------------


def test_the_default_group_is_always_there(store):
    assert store.groups() == [Group(name="")]


def test_a_group_keeps_its_values(store):
    store.save_group("gpu", 2, 5.5)

    assert store.groups()[1] == Group(name="gpu", max_running=2, paused_at=5.5)


def test_a_group_can_be_changed(store):
    store.save_group("gpu", 2, 5.5)
    store.save_group("gpu", None, None)

    assert store.groups()[1] == Group(name="gpu")


def test_the_default_group_can_be_changed(store):
    store.save_group("", 4, None)

    assert store.groups() == [Group(name="", max_running=4)]


def test_groups_come_by_name_the_default_one_first(store):
    for name in ("b", "A", "a-1", "a"):
        store.save_group(name, None, None)

    assert [group.name for group in store.groups()] == ["", "A", "a", "a-1", "b"]


def test_a_group_counts_what_is_queued_and_what_runs(world, store):
    for status in ("queued", "queued", "processing", "completed"):
        world.change(world.add(f"{status}.md", group="gpu"), status=status)
    world.old_row(spec_path="old.md", status="PROCESSING")
    world.old_row(spec_path="older.md", status="ProjectState.QUEUED")

    assert [(group.queued, group.running) for group in store.groups()] == [(1, 1), (2, 1)]


def test_groups_can_be_had_without_counting(world, store):
    store.save_group("gpu", 2, 5.5)
    world.add("a.md", group="gpu")

    told = [Group(name=""), Group(name="gpu", max_running=2, paused_at=5.5)]
    assert store.groups(is_counted=False) == told


@pytest.mark.parametrize("fields", [{}, {"held_at": 1.0}, {"not_before": 99.0}])
def test_a_group_nobody_made_is_made_with_its_first_project(world, store, fields):
    world.add(group="gpu", **fields)

    assert store.groups()[1] == Group(name="gpu", queued=1)


def test_a_project_in_a_group_does_not_change_its_limits(world, store):
    store.save_group("gpu", 2, 5.5)

    world.add(group="gpu")

    assert store.groups()[1] == Group(name="gpu", max_running=2, paused_at=5.5, queued=1)


@pytest.mark.parametrize("status", ["queued", "failed"])
def test_a_group_nobody_made_is_made_when_a_project_changes_to_it(world, store, status):
    project_id = world.add()

    world.change(project_id, group="gpu", status=status)

    assert [group.name for group in store.groups()] == ["", "gpu"]
    assert world.get(project_id).group == "gpu"


def test_an_empty_group_can_be_removed_once(store):
    store.save_group("gpu", 2, None)

    assert (store.remove_group("gpu"), store.remove_group("gpu")) == (True, False)
    assert [group.name for group in store.groups()] == [""]


def test_the_default_group_cannot_be_removed(store):
    assert store.remove_group("") is False
    assert store.groups() == [Group(name="")]


@pytest.mark.parametrize(
    ("status", "is_removed"),
    [
        ("queued", False),
        ("processing", False),
        ("timing_out", False),
        ("zombie", False),
        ("completed", True),
        ("failed", True),
        ("recovered", True),
    ],
)
def test_a_group_is_removed_when_all_its_projects_have_ended(world, store, status, is_removed):
    world.change(world.add(group="gpu"), status=status)

    assert store.remove_group("gpu") is is_removed


def test_a_removed_group_is_made_again_when_one_of_its_projects_is_queued_again(world, store):
    store.save_group("gpu", 1, None)
    project_id = world.add(group="gpu")
    world.change(project_id, status="failed")
    store.remove_group("gpu")

    world.change(project_id, status="queued")

    assert store.groups()[1] == Group(name="gpu", queued=1)
    assert world.next_id() == project_id


def test_an_impossible_limit_is_refused(store):
    with pytest.raises(InvalidInput):
        store.save_group("gpu", HUGE, None)


# -- lists of a group ---------------------------------------------------------------------------


@pytest.mark.parametrize("statuses", [None, ["queued"]])
@pytest.mark.parametrize("newest_first", [True, False])
def test_a_list_can_be_of_one_group(world, store, statuses, newest_first):
    wanted = [world.add("a.md", group="gpu", priority=9), world.add("b.md", group="gpu")]
    world.add("c.md")
    world.add("d.md", group="web")

    found = store.projects(statuses, group="gpu", newest_first=newest_first)

    assert [p.id for p in found] == (wanted[::-1] if newest_first else wanted)


@pytest.mark.parametrize("statuses", [None, ["queued"]])
@pytest.mark.parametrize("newest_first", [True, False])
def test_a_list_can_be_of_the_default_group(world, store, statuses, newest_first):
    wanted = [world.add("a.md"), world.old_row(spec_path="b.md", enqueued_at=200.0)]
    world.add("c.md", group="gpu")

    found = store.projects(statuses, group="", newest_first=newest_first)

    assert [p.id for p in found] == (wanted[::-1] if newest_first else wanted)


@pytest.mark.parametrize("group", ["", "gpu"])
def test_a_list_of_a_group_can_be_of_some_statuses_and_cut(world, store, group):
    world.change(world.add("a.md", group=group, priority=9), status="failed")
    wanted = world.add("b.md", group=group, priority=8)
    world.add("c.md", group=group)

    assert [p.id for p in store.projects(["queued"], group=group, limit=1)] == [wanted]


@pytest.mark.parametrize(("group", "number"), [("gpu", 1), ("", 1), ("web", 0), (None, 2)])
def test_a_list_can_be_of_a_batch_in_a_group(world, store, group, number):
    world.add("a.md", batch_id="b", group="gpu")
    world.add("b.md", batch_id="b")

    assert len(store.projects(batch_id="b", group=group)) == number


# -- by name ------------------------------------------------------------------------------------


def named(store, beginning: str, limit: int = 10) -> list[int]:
    return [project.id for project in store.projects_named(beginning, limit)]


def test_projects_are_found_by_how_their_name_begins_newest_first(world, store):
    ids = [world.add(f"{name}.md") for name in ("web", "website", "api", "web-2")]

    assert named(store, "webs") == [ids[1]]
    assert named(store, "we") == [ids[3], ids[1], ids[0]]


def test_an_exact_name_comes_before_all_that_only_begin_so(world, store):
    ids = [world.add(f"{name}.md") for name in ("web", "web", "web-2")]

    assert named(store, "web") == [ids[1], ids[0], ids[2]]
    assert named(store, "web", limit=1) == [ids[1]]


def test_names_are_the_same_in_upper_and_lower_case(world, store):
    ids = [world.add("Web.md"), world.add("WEBSITE.md")]

    assert named(store, "wEb") == ids


def test_rows_of_old_programs_are_found_by_the_name_of_their_spec(world, store):
    old = [world.old_row(spec_path=f"/specs/my {name}.md") for name in ("web", "api")]
    new = world.add("my-website.md")

    assert named(store, "my-web") == [old[0], new]
    assert named(store, "my-") == [new, *old[::-1]]


def test_a_name_is_taken_as_it_is_not_as_a_pattern(world, store):
    world.add("a-b.md")

    assert [named(store, text) for text in ("a_", "a%", "%", "[a]*", "a-b.md")] == [[]] * 5


def test_the_empty_beginning_is_that_of_all_names(world, store):
    ids = [world.add(f"{n}.md") for n in range(3)]

    assert named(store, "", limit=2) == ids[:0:-1]


@pytest.mark.parametrize("limit", [0, -1])
def test_no_names_may_be_asked_for(world, store, limit):
    world.add("web.md")

    assert named(store, "web", limit) == []


def test_a_name_that_cannot_be_stored_is_nobodys(world, store):
    world.add("web.md")

    assert named(store, "\udce9") == []
