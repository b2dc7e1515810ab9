"""What every queue store does: finding what waits in vain or is set aside, counting a part."""

import pytest


@pytest.mark.parametrize(
    "status",
    ["failed", "permanently_failed", "retried", "cancelled", "superseded", "archived", "FAILED"],
)
def test_what_waits_for_what_has_ended_badly_waits_in_vain(world, store, status):
    world.change(world.add("a.md"), status=status)
    waiting = world.add("b.md", after_keys=("/specs/a.md",))

    assert [project.id for project in store.waiting_in_vain(9)] == [waiting]


@pytest.mark.parametrize("status", ["queued", "processing", "completed", "recovered", "zombie"])
def test_what_waits_for_what_goes_on_or_went_well_does_not(world, store, status):
    world.change(world.add("a.md"), status=status)
    world.add("b.md", after_keys=("/specs/a.md",))

    assert store.waiting_in_vain(9) == []


def test_what_waits_for_a_spec_that_was_never_queued_waits_in_vain(world, store):
    waiting = world.add("b.md", after_keys=("/specs/a.md", "/specs/absent.md"))

    assert [project.id for project in store.waiting_in_vain(9)] == [waiting]


def test_the_newest_project_of_a_spec_decides(world, store):
    world.change(world.add("a.md"), status="failed")
    world.add("b.md", after_keys=("/specs/a.md",))
    world.add("a.md")

    assert store.waiting_in_vain(9) == []


@pytest.mark.parametrize("status", ["processing", "completed", "failed"])
def test_only_queued_projects_wait(world, store, status):
    world.change(world.add("b.md", after_keys=("/specs/absent.md",)), status=status)

    assert store.waiting_in_vain(9) == []


def test_what_waits_for_what_waits_in_vain_is_not_told(world, store):
    first = world.add("b.md", after_keys=("/specs/absent.md",))
    world.add("c.md", after_keys=("/specs/b.md",))

    assert [project.id for project in store.waiting_in_vain(9)] == [first]


def test_what_waits_in_vain_comes_in_the_order_of_the_queue_up_to_a_limit(world, store):
    ids = [
        world.add(f"{n}.md", priority=n, after_keys=("/specs/x.md", "/specs/y.md"))
        for n in range(3)
    ]

    assert [project.id for project in store.waiting_in_vain(2)] == [ids[2], ids[1]]


def test_what_is_set_aside_is_counted_while_it_is_queued(world, store):
    world.add("a.md", held_at=1.0)
    world.add("b.md")
    world.change(world.add("c.md", held_at=1.0), status="failed")

    assert store.held_count() == 1


def test_projects_are_counted_by_batch_and_group(world, store):
    world.add("a.md", batch_id="night", group="gpu")
    world.add("b.md", batch_id="night")
    world.change(world.add("c.md", group="gpu"), status="failed")
    world.old_row(spec_path="old.md", status="ProjectState.QUEUED")

    assert store.counts(batch_id="night") == {"queued": 2}
    assert store.counts(group="gpu") == {"queued": 1, "failed": 1}
    assert store.counts(group="") == {"queued": 2}
    assert store.counts(batch_id="night", group="gpu") == {"queued": 1}
