"""The table of projects that may start says so whoever writes, in whatever way."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from scheduler_modules.adapters.store_sqlite import open_sqlite_store
from scheduler_modules.model import NewProject
from tests.contract.store_worlds import World, make_run
from tests.legacy.old_databases import build

STATUSES = ["queued", "processing", "failed", "completed", "recovered", "QUEUED", "COMPLETED", None]
STATUSES += ["ProjectState.QUEUED", "timing_out", "weird"]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "task_queue.db"


@pytest.fixture
def world(path):
    store = open_sqlite_store(path)
    yield World(store, path)
    store.close()


@pytest.fixture
def old(path, world):
    """A connection as an old program has it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def ready(old: sqlite3.Connection) -> list[int]:
    return [row[0] for row in old.execute("select project_id from project_ready order by 1")]


def derived(old: sqlite3.Connection) -> list[list[tuple]]:
    """Return both tables that triggers keep."""
    tables = ("project_ready", "project_running")
    return [old.execute(f"select * from {table} order by 1").fetchall() for table in tables]


# -- what old programs do -----------------------------------------------------------------------


def test_a_row_an_old_program_adds_is_ready(old):
    old.execute("INSERT INTO project_queue (spec_path) VALUES ('a.md')")

    assert ready(old) == [1]


@pytest.mark.parametrize("status", ["processing", "failed", "paused", None])
def test_a_row_an_old_program_takes_is_not_ready(world, old, status):
    project_id = world.add()

    old.execute("UPDATE project_queue SET status = ? WHERE id = ?", (status, project_id))

    assert ready(old) == []


def test_a_row_an_old_program_queues_again_is_ready(world, old):
    project_id = world.add()
    world.change(project_id, status="failed")

    old.execute("UPDATE project_queue SET status = 'QUEUED' WHERE id = ?", (project_id,))

    assert ready(old) == [project_id]


def test_a_row_an_old_program_deletes_is_not_ready_and_leaves_no_plan(world, old):
    world.add(after_keys=("/x",), held_at=1.0)

    old.execute("DELETE FROM project_queue")

    for table in ("project_ready", "project_plan", "project_dependency"):
        assert old.execute(f"select count(*) from {table}").fetchone() == (0,)


def test_an_old_programs_end_of_a_project_lets_others_start(world, old):
    first = world.add("a.md", held_at=1.0)
    waiting = world.add("b.md", after_keys=("/specs/a.md",))

    old.execute("UPDATE project_queue SET status = 'COMPLETED' WHERE id = ?", (first,))

    assert ready(old) == [waiting]


def test_a_row_that_an_old_program_replaces_is_passed_over(world, old):
    gone = world.add("a.md", project_path="/web", priority=9)
    other = world.add("b.md")

    old.execute(
        "INSERT OR REPLACE INTO project_queue (spec_path, project_path, status)"
        " VALUES ('a.md', '/web', 'processing')"
    )

    assert world.store.project(gone) is None
    assert world.next_id() == other


def test_an_old_programs_replace_changes_no_limit(world, old):
    world.store.save_group("gpu", 1, 5.0)
    project_id = world.add(group="gpu")

    old.execute(
        "INSERT OR REPLACE INTO project_queue (id, spec_path, status) VALUES (?, 'a.md', 'queued')",
        (project_id,),
    )

    assert world.store.groups()[1].max_running == 1
    assert ready(old) == [project_id]


def test_those_that_wait_may_start_when_an_old_program_replaces_what_they_wait_for(world, old):
    first = world.add("a.md", held_at=1.0)
    waiting = world.add("b.md", after_keys=("/specs/a.md",))

    old.execute(
        "INSERT OR REPLACE INTO project_queue (id, spec_path, status) VALUES (?, 'a.md', ?)",
        (first, "completed"),
    )

    assert ready(old) == [waiting]


def test_a_running_row_that_an_old_program_replaces_takes_no_slot_of_its_group(world, old):
    world.store.save_group("gpu", 1, None)
    gone = world.add("a.md", project_path="/web", group="gpu")
    world.change(gone, status="processing")
    waiting = world.add("b.md", group="gpu")

    old.execute(
        "INSERT OR REPLACE INTO project_queue (spec_path, project_path, status)"
        " VALUES ('a.md', '/web', 'processing')"
    )

    assert world.next_id() == waiting


@pytest.mark.parametrize("status", ["PROCESSING", "ProjectState.PROCESSING"])
def test_what_an_old_program_runs_takes_a_slot_of_its_group(world, old, status):
    world.store.save_group("gpu", 1, None)
    running = world.add("a.md", group="gpu")
    world.add("b.md", group="gpu")

    old.execute("UPDATE project_queue SET status = ? WHERE id = ?", (status, running))

    assert world.next_id() is None


def test_the_row_id_and_count_an_old_program_sees_are_its_own(world, old):
    world.add()
    added = old.execute("INSERT INTO project_queue (spec_path) VALUES ('b.md')")
    changed = old.execute("UPDATE project_queue SET status = 'failed'")

    assert (added.lastrowid, changed.rowcount) == (2, 2)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (None, 0.0),
        ("2023-11-14 22:13:20", 1700000000.0),
        ("2023-11-14T22:13:20", 1700000000.0),
        ("1700000000.5", 1700000000.5),
        ("yesterday", 0.0),
        (b"\xff", 0.0),
        (float("inf"), float("inf")),
    ],
)
def test_odd_times_of_old_rows_have_their_place_in_the_order(world, old, written, seconds):
    old.execute("INSERT INTO project_queue (spec_path, enqueued_at) VALUES ('a.md', ?)", (written,))

    assert old.execute("select enqueued_at from project_ready").fetchall() == [(seconds,)]


@pytest.mark.parametrize(("written", "number"), [(None, 0), ("high", 0), ("3", 3), (2.7, 2)])
def test_odd_priorities_of_old_rows_have_their_place_in_the_order(world, old, written, number):
    old.execute("INSERT INTO project_queue (spec_path, priority) VALUES ('a.md', ?)", (written,))

    assert old.execute("select priority from project_ready").fetchall() == [(number,)]


def test_a_row_of_an_old_program_in_a_removed_group_brings_the_group_back(world, old):
    project_id = world.add(group="gpu")
    world.change(project_id, status="failed")
    world.store.remove_group("gpu")

    old.execute("UPDATE project_queue SET status = 'queued'")

    assert [group.name for group in world.store.groups()] == ["", "gpu"]
    assert world.next_id() == project_id


# -- whatever is done ---------------------------------------------------------------------------


def acts(world: World, old: sqlite3.Connection, chance: random.Random) -> None:
    """Do one thing at random to one project at random, as we do it or as an old program does."""
    store, number = world.store, chance.randrange(1_000_000)
    spec, keys = chance.choice("abc"), [f"/specs/{key}.md" for key in chance.sample("abc", 2)]
    ids = [row[0] for row in old.execute("select id from project_queue")]
    project_id = chance.choice(ids) if ids else world.add(f"{spec}.md")
    ended, cleaned = chance.choice([(None, None), (1.0, None), (1.0, 2.0)])
    runs = store.runs_of(project_id)

    def change(**fields):
        if store.project(project_id):
            world.change(project_id, **fields)

    choice = chance.choice
    what = choice(
        [
            lambda: world.add(f"{spec}.md", after_keys=tuple(keys[: chance.randrange(3)])),
            lambda: world.add(f"{spec}.md", group=choice(["", "gpu"]), host=choice([None, "h"])),
            lambda: change(status=choice(STATUSES[:5])),
            lambda: change(priority=chance.randrange(3), held_at=choice([None, 1.0])),
            lambda: change(not_before=choice([None, 5.0]), group=choice(["", "gpu"])),
            lambda: store.set_dependencies(project_id, keys[: chance.randrange(3)]),
            lambda: store.add_run(
                make_run(project_id, f"t{number}", ended_at=ended, cleaned_at=cleaned)
            ),
            lambda: [
                store.save_run(msgspec.structs.replace(run, ended_at=3.0))
                or store.mark_cleaned(run.token, 4.0)
                for run in runs[:1]
            ],
            lambda: store.remove_project(world.get(project_id)),
            lambda: store.promote_due(5.0),
            lambda: old.execute("delete from project_queue where id = ?", (project_id,)),
            lambda: old.execute(
                "update project_queue set status = ?, enqueued_at = ? where id = ?",
                (choice(STATUSES), chance.randrange(9), project_id),
            ),
            lambda: old.execute(
                "insert into project_queue (spec_path, status) values (?, ?)",
                (f"{spec}.md", choice(STATUSES)),
            ),
            lambda: old.execute(
                "insert or replace into project_queue (id, spec_path, status) values (?, ?, ?)",
                (project_id, f"{spec}.md", choice(STATUSES)),
            ),
        ]
    )
    what()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_done_the_table_is_what_it_would_be_if_made_anew(world, old, seed):
    chance = random.Random(seed)
    for _ in range(150):
        acts(world, old, chance)
    as_kept = derived(old)

    old.execute("delete from project_ready")
    old.execute("delete from project_running")
    old.execute("insert into project_refresh (project_id) select id from project_queue")

    assert as_kept == derived(old)


# -- a database of revision 1 -------------------------------------------------------------------


@pytest.fixture
def first_revision(path) -> Path:
    """Return a file as the version before this one left it."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    from scheduler_modules.adapters import migrate

    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with create_engine(f"sqlite:///{path}").begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    return build(
        path,
        "pragma journal_mode = wal;",
        """
        insert into project_queue (id, spec_path, status, priority) values
            (1, 'a.md', 'completed', 0), (2, 'b.md', 'queued', 1), (3, 'c.md', 'queued', 2),
            (4, 'd.md', 'queued', 3), (5, '/old/my spec.md', 'QUEUED', null),
            (6, 'f.md', 'queued', 4);
        insert into project_plan (project_id, name, spec_key, not_before) values
            (1, 'a', '/a', null), (2, 'b', '/b', null), (3, 'c', '/c', null), (4, 'd', '/d', 5.0),
            (6, 'f', '/f', null), (9, 'gone', '/gone', null);
        insert into project_dependency values (2, 0, '/a'), (3, 0, '/b'), (9, 0, '/a');
        insert into project_run (project_id, attempt, token, host, daemon_id, session_name, phase,
                                 claimed_at, ended_at)
        values (6, 1, 't6', 'h', 'd', 's', 'ended', 1.0, 2.0);
        """,
    )


def test_a_database_of_the_first_revision_is_brought_up_to_date(first_revision):
    store = open_sqlite_store(first_revision)
    world = World(store, first_revision)

    assert world.in_turn(now=1.0) == [2, 5]
    assert (store.next_due(), world.next_id(now=5.0)) == (5.0, 4)
    assert [(run.token, run.is_pause_wanted, run.paused_sec) for run in store.open_runs()] == []
    assert store.uncleaned_runs("h")[0].paused_sec == 0
    store.close()


def test_rows_of_old_programs_are_given_a_name_when_the_database_is_brought_up_to_date(
    first_revision,
):
    store = open_sqlite_store(first_revision)

    assert [project.id for project in store.projects_named("my-sp", 5)] == [5]
    store.close()
    with closing(sqlite3.connect(first_revision)) as connection:
        names = connection.execute("select project_id, name from project_plan order by 1")
        assert dict(names) == {1: "a", 2: "b", 3: "c", 4: "d", 5: "my-spec", 6: "f"}


def test_every_project_of_an_old_database_keeps_its_values(first_revision):
    store = open_sqlite_store(first_revision)

    project = store.project(4)

    assert (project.not_before, project.name, project.priority) == (5.0, "d", 3)
    assert (project.group, project.host, project.held_at) == ("", None, None)
    assert store.groups()[0].queued == 5
    assert isinstance(
        store.add_project(NewProject(spec_path="n", name="n", enqueued_at=1.0, spec_key="n")), int
    )
    store.close()
