"""What every queue store does."""

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scheduler_modules.adapters.store_sqlite import open_sqlite_store
from scheduler_modules.errors import InvalidInput, NotPossible
from scheduler_modules.model import (
    NewProject,
    Outcome,
    Project,
    ProjectState,
    Run,
    RunPhase,
    Task,
)
from scheduler_modules.ports import QueueStore
from tests.fakes.store import FakeStore

HUGE = 10**30
UNDECODABLE = "caf\udce9.md"


class World:
    """A store, short ways to fill it, and a way to insert rows as old programs do."""

    def __init__(self, store: QueueStore, database: Path | None) -> None:
        self.store = store
        self._database = database

    def add(self, spec: str = "a.md", **fields: Any) -> int:
        new = {"name": Path(spec).stem, "enqueued_at": 100.0, "spec_key": f"/specs/{spec}"}
        return self.store.add_project(NewProject(**new | {"spec_path": spec} | fields))

    def get(self, project_id: int) -> Project:
        project = self.store.project(project_id)
        assert project is not None
        return project

    def change(self, project_id: int, **fields: Any) -> bool:
        before = self.get(project_id)
        return self.store.save_project(before, msgspec.structs.replace(before, **fields))

    def add_run(self, project_id: int, token: str = "t1", **fields: Any) -> Run:
        return self.store.add_run(make_run(project_id, token, **fields))

    def old_row(self, **columns: Any) -> int:
        if self._database is None:
            return self.store.insert_row(**columns)
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        with closing(sqlite3.connect(self._database)) as connection, connection:
            inserted = connection.execute(
                f"insert into project_queue ({names}) values ({marks})", tuple(columns.values())
            )
        return inserted.lastrowid


def make_run(project_id: int, token: str, **fields: Any) -> Run:
    values = {
        "id": 0,
        "project_id": project_id,
        "attempt": 1,
        "token": token,
        "host": "alpha",
        "daemon_id": "d1",
        "session_name": "a-impl-1",
        "phase": RunPhase.STARTING,
        "claimed_at": 5.0,
    }
    return Run(**values | fields)


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("template") / "task_queue.db"
    open_sqlite_store(path).close()
    return path


@pytest.fixture(params=["fake", "sqlite"])
def world(request, template, tmp_path):
    if request.param == "fake":
        yield World(FakeStore(), None)
        return
    path = tmp_path / "task_queue.db"
    shutil.copy(template, path)
    store = open_sqlite_store(path)
    yield World(store, path)
    store.close()


@pytest.fixture
def store(world) -> QueueStore:
    return world.store


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


def test_an_id_that_was_rolled_back_may_be_given_again(world, store):
    with pytest.raises(Stop), store.transaction():
        lost = world.add()
        raise Stop

    assert world.add() == lost


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

    assert (store.counts(), store.dependents("/x")) == ({"queued": 1}, [])


def test_one_spec_may_wait_twice_where_the_folder_is_to_be_detected(world, store):
    world.add(), world.add()

    assert store.counts() == {"queued": 2}


@pytest.mark.parametrize("project_id", [0, -1, 999, HUGE, -HUGE])
def test_there_is_no_project_under_a_foreign_id(world, store, project_id):
    world.add()

    assert store.project(project_id) is None


@pytest.mark.parametrize(
    "text", ["a'b\".md", "$(id).md", "a\nb.md", "a\0b.md", "ü 漢字 🐟.md", "-x"]
)
def test_any_text_comes_back_as_it_was(world, text):
    assert world.get(world.add(text)).spec_path == text


@pytest.mark.parametrize(
    "field", ["spec_path", "name", "project_path", "batch_id", "base_dir", "spec_key"]
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
    empty = dict.fromkeys(("started_at", "error_message", "session_name", "not_before"))

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


# -- what may run next --------------------------------------------------------------------------


def test_nothing_is_claimable_in_an_empty_queue(store):
    assert store.next_claimable(1.0) is None


def test_the_highest_priority_then_the_oldest_runs_next(world, store):
    order = [
        world.add("old.md", enqueued_at=1.0),
        world.add("urgent-b.md", enqueued_at=7.0, priority=5),
        world.add("urgent-a.md", enqueued_at=5.0, priority=5),
        world.add("urgent-c.md", enqueued_at=7.0, priority=5),
    ]
    found = []
    while (project_id := store.next_claimable(10.0)) is not None:
        found.append(project_id)
        world.change(project_id, status="processing")

    assert found == [order[2], order[1], order[3], order[0]]


@pytest.mark.parametrize("status", ["processing", "completed", "failed", "paused", None])
def test_only_queued_projects_are_claimable(world, store, status):
    world.old_row(spec_path="a.md", status=status)

    assert store.next_claimable(1.0) is None


def test_a_row_of_an_old_program_is_claimable(world, store):
    project_id = world.old_row(spec_path="a.md")

    assert store.next_claimable(1.0) == project_id


@pytest.mark.parametrize("status", ["QUEUED", "Queued", "ProjectState.QUEUED"])
def test_an_old_spelling_of_queued_is_claimable_after_all_others(world, store, status):
    old = world.old_row(spec_path="a.md", status=status, priority=9)
    new = world.add("b.md")
    first = store.next_claimable(1.0)
    world.change(new, status="processing")

    assert (first, store.next_claimable(1.0)) == (new, old)
    world.change(old, status="processing")
    assert store.next_claimable(1.0) is None


@pytest.mark.parametrize(("now", "is_claimable"), [(9.9, False), (10.0, True), (10.1, True)])
def test_a_project_waits_for_its_time(world, store, now, is_claimable):
    project_id = world.add()
    world.change(project_id, not_before=10.0)

    assert store.next_claimable(now) == (project_id if is_claimable else None)


def test_a_project_that_must_wait_holds_up_no_other(world, store):
    waiting, other = world.add("a.md", priority=9), world.add("b.md")
    world.change(waiting, not_before=10.0)

    assert store.next_claimable(1.0) == other


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
    assert store.next_claimable(1_000.0) == expected
    assert store.dependencies(second)[0].is_met is is_met


def test_a_dependency_on_nothing_is_not_met(world, store):
    project_id = world.add(after_keys=("/specs/nowhere.md",))

    assert store.next_claimable(1.0) is None
    assert store.dependencies(project_id)[0].project_id is None


def test_every_dependency_must_be_met(world, store):
    done = world.add("done.md")
    world.change(done, status="completed")
    world.add("late.md", after_keys=("/specs/done.md", "/specs/missing.md"))

    assert store.next_claimable(1.0) is None


def test_the_newest_project_of_a_spec_decides(world, store):
    old, new = world.add("first.md"), world.add("first.md")
    world.change(old, status="completed")
    world.change(new, status="failed")
    waiting = world.add("second.md", after_keys=("/specs/first.md",))

    assert store.next_claimable(1.0) is None
    assert store.dependencies(waiting)[0].project_id == new


def test_a_removed_project_no_longer_decides(world, store):
    old, new = world.add("first.md"), world.add("first.md")
    world.change(old, status="completed")
    waiting = world.add("second.md", after_keys=("/specs/first.md",))
    store.remove_project(world.get(new))

    assert store.next_claimable(1.0) == waiting


@pytest.mark.parametrize(
    ("ended_at", "cleaned_at", "is_claimable"),
    [(None, None, False), (5.0, None, False), (5.0, 6.0, True), (0.0, 0.0, True)],
)
def test_a_project_waits_until_its_earlier_run_is_cleaned(
    world, store, ended_at, cleaned_at, is_claimable
):
    project_id = world.add()
    world.add_run(project_id, ended_at=ended_at, cleaned_at=cleaned_at)

    assert store.next_claimable(1.0) == (project_id if is_claimable else None)


def test_one_unfinished_run_among_finished_ones_is_enough_to_wait(world, store):
    project_id = world.add()
    world.add_run(project_id, "t1", ended_at=1.0)
    world.add_run(project_id, "t2", ended_at=2.0, cleaned_at=3.0)

    assert store.next_claimable(1.0) is None


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

    assert store.next_claimable(1.0) == project_id


def test_nothing_is_known_of_what_is_not_there(store):
    assert store.dependencies(HUGE) == store.dependencies(5) == []
    assert store.spec_key_of(HUGE) is store.spec_key_of(5) is None
    assert store.dependents("/a") == []


def test_dependencies_of_an_impossible_project_are_refused(store):
    with pytest.raises(InvalidInput):
        store.set_dependencies(HUGE, ["/a"])


def test_dependents_are_the_specs_of_queued_projects_that_wait(world, store):
    world.add("b.md", after_keys=("/specs/a.md", "/specs/x.md"))
    world.add("c.md", after_keys=("/specs/a.md",))
    world.add("c.md", after_keys=("/specs/a.md",))
    ended = world.add("d.md", after_keys=("/specs/a.md",))
    world.change(ended, status="failed")

    assert store.dependents("/specs/a.md") == ["/specs/b.md", "/specs/c.md"]


def test_a_project_knows_the_key_of_its_spec(world, store):
    assert store.spec_key_of(world.add()) == "/specs/a.md"
    assert store.spec_key_of(world.old_row(spec_path="b.md")) is None


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
