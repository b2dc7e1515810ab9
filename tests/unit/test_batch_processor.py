"""Batches: how they stand."""

import pytest

from scheduler_modules.batch_processor import BatchProcessor, BatchProgress
from tests.fakes.store import FakeStore


@pytest.fixture
def store():
    return FakeStore()


def fill(store, *statuses, batch="night"):
    for number, status in enumerate(statuses):
        store.insert_row(spec_path=f"/specs/{batch}-{number}.md", status=status, batch_id=batch)


def test_progress_counts_each_project_once(store):
    fill(store, "queued", "PROCESSING", "completed", "recovered", "FAILED", "retried", "zombie")
    fill(store, "failed", batch="other")

    progress = BatchProcessor(store).progress("night")

    assert progress == BatchProgress(total=7, queued=1, running=1, succeeded=2, failed=1, other=2)


@pytest.mark.parametrize(
    ("statuses", "is_complete"),
    [
        ([], False),
        (["completed", "failed"], True),
        (["completed", "queued"], False),
        (["completed", "processing"], False),
        (["completed", "permanently_failed", "zombie"], True),
    ],
)
def test_a_batch_is_complete_when_none_of_it_waits_or_runs(store, statuses, is_complete):
    fill(store, *statuses)

    assert BatchProcessor(store).is_batch_complete("night") is is_complete


def test_failed_projects_are_those_of_this_batch(store):
    fill(store, "failed", "completed", "permanently_failed", "retried")
    fill(store, "failed", batch="other")

    failed = BatchProcessor(store).failed_projects("night")

    assert [project.status for project in failed] == ["failed", "permanently_failed"]
