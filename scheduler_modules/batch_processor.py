"""Knows how a batch of projects stands."""

import msgspec

from scheduler_modules.model import Project, ProjectState
from scheduler_modules.store_port import QueueStore

_SUCCEEDED = frozenset({ProjectState.COMPLETED, ProjectState.RECOVERED})
_FAILED = frozenset({ProjectState.FAILED.value, "permanently_failed"})


class BatchProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How many projects of a batch stand where."""

    total: int
    queued: int
    running: int
    succeeded: int
    """Completed, or declared to be fine by a person."""
    failed: int
    """For good, or until somebody queues them again."""
    other: int
    """In any other state: retried under another batch, paused, a zombie, ..."""

    @property
    def is_complete(self) -> bool:
        """Whether there was work and none of it is queued or running any more."""
        return self.total > 0 and self.queued == 0 and self.running == 0


class BatchProcessor:
    """Reads batches: the rows that share a `batch_id`. Changes nothing."""

    def __init__(self, store: QueueStore) -> None:
        self._store = store

    def progress(self, batch_id: str) -> BatchProgress:
        """Return how the batch stands; all zero where no project has that batch."""
        statuses = [project.status for project in self._store.projects(batch_id=batch_id)]
        queued = statuses.count(ProjectState.QUEUED)
        running = statuses.count(ProjectState.PROCESSING)
        succeeded = sum(status in _SUCCEEDED for status in statuses)
        failed = sum(status in _FAILED for status in statuses)
        return BatchProgress(
            total=len(statuses),
            queued=queued,
            running=running,
            succeeded=succeeded,
            failed=failed,
            other=len(statuses) - queued - running - succeeded - failed,
        )

    def is_batch_complete(self, batch_id: str) -> bool:
        """Return whether the batch exists and none of it is queued or running."""
        return self.progress(batch_id).is_complete

    def failed_projects(self, batch_id: str) -> list[Project]:
        """Return the projects of the batch that failed, in the order of the queue."""
        return self._store.projects(_FAILED, batch_id=batch_id)
