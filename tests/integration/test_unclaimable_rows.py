"""Rows of old programs that cannot be taken keep no other project from running."""

import sqlite3
from contextlib import closing

import pytest

from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.store_sqlite import open_sqlite_store
from scheduler_modules.queue_manager import QueueManager
from scheduler_modules.queue_moves import QueueMoves


class Place:
    def __init__(self, path) -> None:
        self._path = path
        self.store = open_sqlite_store(path)
        self.queue = QueueManager(
            QueueMoves(self.store, SystemClock()), host="here", max_concurrent=99
        )

    def old_row(self, spec_path: str, status: object, priority: int = 0) -> int:
        with closing(sqlite3.connect(self._path)) as old, old:
            return old.execute(
                "insert into project_queue (spec_path, project_path, status, priority)"
                " values (?, '/p', ?, ?)",
                (spec_path, status, priority),
            ).lastrowid

    def claimed(self) -> list[str]:
        """Claim until nothing may start; return the specs in that order."""
        specs = []
        while (claim := self.queue.claim_next("d")) is not None:
            specs.append(claim.project.spec_path)
        return specs

    def facts(self, project_id: int) -> list[tuple[str, str | None]]:
        return [
            (fact.name, fact.detail.get("reason"))
            for fact in self.store.facts(project_id=project_id)
        ]


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path / "task_queue.db")
    yield place
    place.store.close()


def test_a_second_row_of_the_same_spec_is_set_aside_with_the_reason(place):
    twin = place.old_row("/a.md", "QUEUED", priority=9)
    first = place.old_row("/a.md", "queued")
    place.old_row("/b.md", "queued")

    assert place.claimed() == ["/a.md", "/b.md"]

    assert place.facts(twin) == [
        ("project_held", f"project {twin}: the same spec is already queued or running as"
         f" project {first}")
    ]  # fmt: skip
    assert place.queue.get(twin).held_at is not None


@pytest.mark.parametrize(
    "status", [b"queued", "projectstate.queuedprojectstate.", "queuedProjectState."]
)
def test_a_row_with_a_word_nobody_can_change_is_set_aside(place, status):
    odd = place.old_row("/odd.md", status, priority=9)
    place.old_row("/b.md", "queued")

    assert place.claimed() == ["/b.md"]

    assert [name for name, _ in place.facts(odd)] in ([], ["project_held"])
