"""What every queue store does: transactions, and projects from queuing to removal."""

import threading
from typing import Any

import msgspec
import pytest

from scheduler_modules.errors import InvalidInput, NotPossible
from scheduler_modules.model import NewProject, Project, ProjectState
from scheduler_modules.store_port import QueueStore
from tests.contract.store_worlds import HUGE, UNDECODABLE


class Stop(Exception):
    pass


def in_thread(act):
    """Return what the call gives in another thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    thread.join(10)
    return found[0]


# -- transactions -------------------------------------------------------------------------------


def test_what_a_transaction_wrote_is_there_when_it_ends(world, store):
    with store.transaction():
        project_id = world.add()

    assert in_thread(lambda: store.project(project_id)) is not None


def test_an_exception_undoes_all_writes_of_a_transaction(world, store):
    kept = world.add("kept.md")

    with pytest.raises(Stop), store.transaction():
        lost = world.add("lost.md")
        world.change(kept, priority=9)
        store.add_fact("said", 1.0)
        store.set_state("key", "value")
        raise Stop

    assert (store.project(lost), world.get(kept).priority) == (None, 0)
    assert (store.facts(), store.get_state("key")) == ([], None)


def test_an_id_that_was_rolled_back_may_be_given_again_or_lost(world, store):
    with pytest.raises(Stop), store.transaction():
        lost = world.add()
        raise Stop

    assert world.add() in {lost, lost + 1}


def test_a_nested_transaction_ends_with_the_outer_one(world, store):
    with pytest.raises(Stop), store.transaction():
        with store.transaction():
            project_id = world.add()
        raise Stop

    assert store.project(project_id) is None


def test_an_exception_that_left_only_a_nested_transaction_undoes_nothing(world, store):
    with store.transaction():
        project_id = world.add()
        with pytest.raises(Stop), store.transaction():
            raise Stop

    assert store.project(project_id) is not None


def test_a_transaction_sees_its_own_writes(world, store):
    with store.transaction():
        project_id = world.add()

        assert world.get(project_id).spec_path == "a.md"


def test_another_thread_does_not_see_what_is_not_committed(world, store):
    with store.transaction():
        project_id = world.add()

        assert in_thread(lambda: store.project(project_id)) is None


def test_a_second_writer_waits_for_the_first(world, store):
    order = []

    def write_second():
        with store.transaction():
            order.append("second")

    with store.transaction():
        thread = threading.Thread(target=write_second)
        thread.start()
        world.add()
        order.append("first")
    thread.join(10)

    assert order == ["first", "second"]


def test_threads_can_write_at_once_and_nothing_is_lost(world, store):
    threads = [
        threading.Thread(target=lambda n=n: [world.add(f"{n}-{i}.md") for i in range(10)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(store.projects()) == 40


def test_a_store_can_be_used_after_close(world, store):
    project_id = world.add()

    store.close()

    assert store.project(project_id) is not None


# -- adding and reading projects ----------------------------------------------------------------


def test_a_new_project_is_queued_and_keeps_every_value(world, store):
    project_id = store.add_project(
        NewProject(
            spec_path="specs/a.md",
            name="a",
            enqueued_at=12.5,
            project_path="web",
            priority=3,
            batch_id="b1",
            retry_count=2,
            base_dir="/home/me",
            spec_key="/home/me/specs/a.md",
            project_key="/home/me/web",
            after_keys=("/home/me/b.md",),
            group="gpu",
            host="beta",
            held_at=13.5,
            not_before=14.5,
        )
    )

    assert store.project(project_id) == Project(
        id=project_id,
        spec_path="specs/a.md",
        status="queued",
        stored_status="queued",
        enqueued_at=12.5,
        name="a",
        project_path="web",
        priority=3,
        batch_id="b1",
        retry_count=2,
        base_dir="/home/me",
        group="gpu",
        host="beta",
        held_at=13.5,
        not_before=14.5,
    )


def test_ids_grow_and_are_not_given_twice(world, store):
    first, second = world.add("a.md"), world.add("b.md")
    store.remove_project(world.get(second))

    assert first < second < world.add("c.md")


def test_adding_what_is_active_in_the_same_folder_names_the_other(world):
    twin = world.add(project_path="web")

    with pytest.raises(NotPossible, match=f"already queued or running as project {twin}$"):
        world.add(project_path="web")


def test_what_could_not_be_added_leaves_nothing_behind(world, store):
    world.add(project_path="web")
    with pytest.raises(NotPossible):
        world.add(project_path="web", after_keys=("/x",), spec_key="/other")

    assert (store.counts(), store.dependents("/x")) == ({"queued": 1}, {})


def test_one_spec_may_wait_twice_where_the_folder_is_to_be_detected(world, store):
    world.add(), world.add()

    assert store.counts() == {"queued": 2}


@pytest.mark.parametrize("project_id", [0, -1, 999, HUGE, -HUGE])
def test_there_is_no_project_under_a_foreign_id(world, store, project_id):
    world.add()

    assert store.project(project_id) is None


@pytest.mark.parametrize("text", ["a'b\".md", "$(id).md", "a\nb.md", "ü 漢字 🐟.md", "-x"])
def test_any_text_comes_back_as_it_was(world, text):
    assert world.get(world.add(text)).spec_path == text


def test_a_nul_character_comes_back_or_is_refused(world, store):
    try:
        found = world.get(world.add("a\0b.md")).spec_path
    except InvalidInput:
        assert store.projects() == []
    else:
        assert found == "a\0b.md"


@pytest.mark.parametrize(
    "field",
    ["spec_path", "name", "project_path", "batch_id", "base_dir", "spec_key", "group", "host"],
)
def test_undecodable_bytes_in_a_name_are_refused(world, store, field):
    with pytest.raises(InvalidInput):
        world.add(**{"spec": "a.md", field: UNDECODABLE})

    assert store.projects() == []


def test_a_number_over_64_bits_is_refused(world):
    with pytest.raises(InvalidInput):
        world.add(priority=HUGE)


# -- lists --------------------------------------------------------------------------------------


def test_a_list_is_by_priority_then_age_then_id(world, store):
    late = world.add("late.md", enqueued_at=9.0)
    twin_a, twin_b = world.add("b.md", enqueued_at=5.0), world.add("a.md", enqueued_at=5.0)
    urgent = world.add("urgent.md", enqueued_at=99.0, priority=1)
    unimportant = world.add("never.md", enqueued_at=1.0, priority=-1)

    assert [p.id for p in store.projects()] == [urgent, twin_a, twin_b, late, unimportant]


def test_the_newest_can_come_first(world, store):
    ids = [world.add(f"{n}.md", priority=n % 2) for n in range(4)]

    assert [p.id for p in store.projects(newest_first=True)] == ids[::-1]


@pytest.mark.parametrize(("limit", "number"), [(None, 4), (0, 0), (2, 2), (HUGE, 4), (-1, 0)])
@pytest.mark.parametrize("statuses", [None, ["queued"]])
@pytest.mark.parametrize("newest_first", [True, False])
def test_a_list_can_be_cut(world, store, limit, number, statuses, newest_first):
    for n in range(4):
        world.add(f"{n}.md")

    found = store.projects(statuses, limit=limit, newest_first=newest_first)

    assert len(found) == number


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("statuses", [None, ["queued"]])
def test_a_list_can_be_of_one_batch(world, store, statuses, newest_first):
    world.add("other.md", batch_id="b2")
    world.add("none.md")
    wanted = world.add("a.md", batch_id="b1")

    found = store.projects(statuses, batch_id="b1", newest_first=newest_first)

    assert [p.id for p in found] == [wanted]


def test_a_list_of_a_batch_can_be_of_some_statuses(world, store):
    done, waiting = world.add("a.md", batch_id="b"), world.add("b.md", batch_id="b")
    world.change(done, status="completed")

    assert [p.id for p in store.projects(["queued"], batch_id="b")] == [waiting]


def test_a_list_of_no_status_is_empty(world, store):
    world.add()

    assert store.projects([]) == []


@pytest.mark.parametrize(
    "stored", ["FAILED", "failed", "Failed", "ProjectState.FAILED", "projectstate.failed"]
)
def test_old_spellings_of_a_status_are_found_and_read_as_the_word(world, store, stored):
    project_id = world.old_row(spec_path="a.md", status=stored)
    world.add("other.md")

    (project,) = store.projects([ProjectState.FAILED])

    assert (project.id, project.status, project.stored_status) == (project_id, "failed", stored)


@pytest.mark.parametrize("word", ["retried", "permanently_failed", "credit_paused", "Weird"])
def test_words_that_are_no_state_stay_what_they_are(world, store, word):
    world.old_row(spec_path="a.md", status=word)

    (project,) = store.projects([word.lower()])

    assert (project.status, project.state) == (word.lower(), None)


def test_a_row_without_a_status_reads_as_the_empty_word(world, store):
    project_id = world.old_row(spec_path="a.md", status=None)
    world.add("other.md")

    (project,) = store.projects([""])

    assert (project.id, project.status, project.stored_status) == (project_id, "", None)


def test_the_empty_word_is_found_beside_others(world, store):
    world.old_row(spec_path="a.md", status=None)
    world.add("other.md")

    assert len(store.projects(["", "queued"], newest_first=True)) == 2


def test_a_row_of_an_old_program_is_named_after_its_spec(world):
    plain = world.old_row(spec_path="/specs/My parser.md")
    symbols = world.old_row(spec_path="/specs/!!!.md")

    assert (world.get(plain).name, world.get(symbols).name) == ("My-parser", "project")


def test_counts_are_by_canonical_status(world, store):
    for status in ("FAILED", "ProjectState.FAILED", "failed", None, "retried"):
        world.old_row(spec_path=f"{status}.md", status=status)
    world.add()

    assert store.counts() == {"failed": 3, "": 1, "retried": 1, "queued": 1}


def test_an_empty_store_counts_nothing(store):
    assert store.counts() == {}


# -- the same spec ------------------------------------------------------------------------------


def same(store: QueueStore, **fields: Any) -> list[int]:
    wanted = {
        "spec_path": "a.md",
        "spec_key": "/specs/a.md",
        "project_path": None,
        "project_key": None,
        "statuses": ["queued", "processing"],
    }
    return [project.id for project in store.same_spec(**wanted | fields)]


def test_the_same_spec_path_is_the_same_spec(world, store):
    project_id = world.add()

    assert same(store, spec_key="/elsewhere/a.md") == [project_id]


def test_the_same_spec_key_is_the_same_spec(world, store):
    project_id = world.add()

    assert same(store, spec_path="../specs/a.md") == [project_id]


def test_another_spec_is_not_the_same(world, store):
    world.add()

    assert same(store, spec_path="b.md", spec_key="/specs/b.md") == []


def test_a_row_of_an_old_program_is_the_same_by_its_path(world, store):
    project_id = world.old_row(spec_path="a.md")

    assert same(store) == [project_id]


@pytest.mark.parametrize(
    ("path", "key", "is_same"),
    [
        ("web", "/home/web", True),
        ("./web", "/home/web", True),
        ("web", "/other/web", True),
        ("api", "/home/api", False),
        (None, None, False),
    ],
)
def test_the_folder_is_compared_by_path_or_key(world, store, path, key, is_same):
    project_id = world.add(project_path="web", project_key="/home/web")

    found = same(store, project_path=path, project_key=key)

    assert found == ([project_id] if is_same else [])


def test_no_folder_equals_no_folder_only(world, store):
    project_id = world.add()

    assert same(store) == [project_id]
    assert same(store, project_path="web", project_key="/home/web") == []


def test_an_old_row_with_a_folder_is_not_the_same_as_one_without(world, store):
    world.old_row(spec_path="a.md", project_path="/web")

    assert same(store) == []


def test_an_old_row_keeps_its_folder_when_it_is_given_a_plan(world, store):
    project_id = world.old_row(spec_path="a.md", project_path="/web")
    world.change(project_id, not_before=5.0)

    assert same(store) == []


def test_only_the_wanted_statuses_are_the_same_old_spellings_included(world, store):
    failed = world.old_row(spec_path="a.md", status="FAILED")
    world.old_row(spec_path="a.md", status="completed")
    world.old_row(spec_path="a.md", status=None)

    assert same(store, statuses=["failed"]) == [failed]


def test_the_same_spec_comes_newest_first_and_can_be_cut(world, store):
    ids = [world.add() for _ in range(3)]

    assert same(store) == ids[::-1]
    assert same(store, limit=2) == ids[:0:-1]


def test_undecodable_bytes_match_nothing(world, store):
    world.add()

    assert same(store, spec_path=UNDECODABLE, spec_key=UNDECODABLE) == []


# -- changing projects --------------------------------------------------------------------------


CHANGES: dict[str, Any] = {
    "status": "failed",
    "enqueued_at": 1.5,
    "started_at": 2.5,
    "completed_at": 3.5,
    "error_message": "exit 3",
    "retry_count": 4,
    "batch_id": "b2",
    "priority": -5,
    "fresh_start": True,
    "session_name": "a-impl-12345678",
    "not_before": 6.5,
    "retries_used": 7,
    "group": "gpu",
    "host": "beta",
    "held_at": 8.5,
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_changed_value_is_saved(world, field):
    project_id = world.add()

    assert world.change(project_id, **{field: CHANGES[field]}) is True
    assert getattr(world.get(project_id), field) == CHANGES[field]


def test_values_can_be_taken_back_to_none(world):
    project_id = world.add(batch_id="b")
    before = world.get(project_id)
    world.change(project_id, **CHANGES)
    names = ("started_at", "error_message", "session_name", "not_before", "host", "held_at")
    empty = dict.fromkeys(names)

    world.change(project_id, **empty)

    assert {name: getattr(world.get(project_id), name) for name in empty} == empty
    assert before.batch_id == "b"


@pytest.mark.parametrize(
    ("field", "value"),
    [("spec_path", "z.md"), ("name", "z"), ("project_path", "z"), ("base_dir", "/z")],
)
def test_saving_changes_nothing_else(world, field, value):
    project_id = world.add(project_path="web", base_dir="/home")
    before = world.get(project_id)

    world.change(project_id, **{field: value})

    assert world.get(project_id) == before


def test_saving_touches_no_other_row(world):
    one, other = world.add("a.md"), world.add("b.md")
    before = world.get(other)

    world.change(one, **CHANGES)

    assert world.get(other) == before


def test_saving_is_refused_when_somebody_was_first(world, store):
    project_id = world.add()
    seen = world.get(project_id)
    world.change(project_id, status="processing")

    saved = store.save_project(seen, msgspec.structs.replace(seen, status="failed", priority=9))

    assert saved is False
    assert (world.get(project_id).status, world.get(project_id).priority) == ("processing", 0)


@pytest.mark.parametrize("stored", ["FAILED", "ProjectState.FAILED", None, "weird"])
def test_a_row_in_an_old_spelling_can_be_saved(world, stored):
    project_id = world.old_row(spec_path="a.md", status=stored)

    assert world.change(project_id, status="queued") is True
    assert world.get(project_id).stored_status == "queued"


def test_a_project_that_is_gone_is_not_saved(world, store):
    project = world.get(world.add())
    store.remove_project(project)

    assert store.save_project(project, project) is False


def test_a_project_of_an_impossible_id_is_neither_saved_nor_removed(world, store):
    project = msgspec.structs.replace(world.get(world.add()), id=HUGE)

    assert store.save_project(project, project) is False
    assert store.remove_project(project) is False


def test_a_row_of_an_old_program_can_be_given_a_time_and_retries(world):
    project_id = world.old_row(spec_path="a.md")

    world.change(project_id, not_before=9.0, retries_used=2)

    project = world.get(project_id)
    assert (project.not_before, project.retries_used, project.name) == (9.0, 2, "a")


def test_making_a_second_one_active_names_the_first(world):
    project_id = world.add(project_path="web")
    world.change(project_id, status="failed")
    twin = world.add(project_path="web")

    with pytest.raises(NotPossible) as refusal:
        world.change(project_id, status="queued")

    assert str(refusal.value) == (
        f"project {project_id}: the same spec is already queued or running as project {twin}"
    )


def test_what_was_refused_changed_nothing(world):
    project_id = world.add(project_path="web")
    world.change(project_id, status="failed")
    world.add(project_path="web")
    with pytest.raises(NotPossible):
        world.change(project_id, status="queued", priority=9)

    assert (world.get(project_id).status, world.get(project_id).priority) == ("failed", 0)


def test_a_transaction_goes_on_after_a_refusal(world, store):
    world.add(project_path="web")

    with store.transaction():
        with pytest.raises(NotPossible):
            world.add(project_path="web")
        project_id = world.add("b.md")

    assert store.project(project_id) is not None


def test_a_session_of_a_running_project_belongs_to_no_other(world):
    first, second = world.add("a.md"), world.add("b.md")
    world.change(first, status="processing", session_name="s")

    with pytest.raises(NotPossible, match=f"session s belongs to project {first}$"):
        world.change(second, status="processing", session_name="s")


def test_a_message_may_hold_undecodable_bytes(world):
    project_id = world.add()

    world.change(project_id, error_message=f"{UNDECODABLE} is missing")

    assert world.get(project_id).error_message == "caf\\udce9.md is missing"


def test_an_impossible_number_is_refused_on_saving(world):
    project_id = world.add()

    with pytest.raises(InvalidInput):
        world.change(project_id, priority=HUGE)


# -- removing -----------------------------------------------------------------------------------


def test_a_removed_project_is_gone_with_plan_dependencies_and_runs(world, store):
    project_id = world.add(after_keys=("/specs/b.md",))
    world.add_run(project_id)

    assert store.remove_project(world.get(project_id)) is True
    assert (store.project(project_id), store.spec_key_of(project_id)) == (None, None)
    assert (store.dependencies(project_id), store.runs_of(project_id)) == ([], [])


def test_removing_leaves_facts_and_other_projects(world, store):
    project_id, other = world.add("a.md"), world.add("b.md", after_keys=("/x",))
    store.add_fact("project_queued", 1.0, project_id)
    world.add_run(other)

    store.remove_project(world.get(project_id))

    assert [fact.project_id for fact in store.facts()] == [project_id]
    assert len(store.dependencies(other)) == len(store.runs_of(other)) == 1


def test_removing_is_refused_when_somebody_was_first(world, store):
    project_id = world.add()
    seen = world.get(project_id)
    world.change(project_id, status="processing")
    world.add_run(project_id)

    assert store.remove_project(seen) is False
    assert len(store.runs_of(project_id)) == 1


def test_a_row_without_a_status_can_be_removed(world, store):
    project_id = world.old_row(spec_path="a.md", status=None)

    assert store.remove_project(world.get(project_id)) is True


# -- raw rows ---------------------------------------------------------------------------------


def test_raw_rows_show_every_column_in_listing_order(world, store):
    world.add("low.md")
    high = world.add("high.md", priority=3, project_path="web", enqueued_at=7.0)
    world.change(high, session_name="s", status="failed")

    names, rows = store.raw_projects()

    assert names[:8] == [
        "id",
        "spec_path",
        "project_path",
        "status",
        "enqueued_at",
        "started_at",
        "completed_at",
        "priority",
    ]
    assert (len(names), names[18:]) == (20, ["session_name", "fresh_start"])
    assert rows[0][:8] == (high, "high.md", "web", "failed", 7.0, None, None, 3)
    sessions = ("orchestrator_session", "main_session", "session_name")
    assert [rows[0][names.index(name)] for name in sessions] == ["s", "s", "s"]


def test_raw_rows_show_stored_words_as_they_are(world, store):
    world.old_row(spec_path="a.md", status="ProjectState.FAILED")

    _, rows = store.raw_projects()

    assert rows[0][3] == "ProjectState.FAILED"
