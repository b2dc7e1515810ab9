"""Finds projects that an old program left as running although their session is gone."""

import logging

import msgspec

from scheduler_modules.errors import NotPossible, ProjectNotFound
from scheduler_modules.model import Project, ProjectState
from scheduler_modules.ports import (
    Clock,
    Tmux,
)
from scheduler_modules.queue_manager import QueueManager
from scheduler_modules.session_names import has_session
from scheduler_modules.store_port import QueueStore

logger = logging.getLogger(__name__)


class Phantom(msgspec.Struct, frozen=True):
    """A project that is running by its row only, and why that is known."""

    project: Project
    reason: str


class SessionMonitor:
    """Judges rows that say `processing` and that no run of ours holds.

    Rows with a run are the business of whoever settles runs. `tmux` and `old_tmux` are the
    servers such a session may live on: a row is a phantom only if it is on neither.
    """

    def __init__(
        self,
        queue: QueueManager,
        store: QueueStore,
        tmux: Tmux,
        clock: Clock,
        grace_sec: float,
        old_tmux: Tmux | None = None,
    ) -> None:
        self._queue = queue
        self._store = store
        self._servers = (tmux,) if old_tmux is None else (tmux, old_tmux)
        self._clock = clock
        self._grace_sec = grace_sec

    def find_phantoms(self) -> list[Phantom]:
        """Return projects that outlived their session, in the order of the queue.

        Raises:
            TmuxUnavailable: a server could not be asked. Unknown is not dead.
        """
        suspects = [
            project
            for project in self._store.projects([ProjectState.PROCESSING])
            if self._is_past_grace(project) and self._queue.open_run_of(project.id) is None
        ]
        if not suspects:
            return []
        alive = self.alive_sessions()
        return [
            Phantom(project, _reason(project))
            for project in suspects
            if not has_session(project, alive)
        ]

    def reset_phantoms(self) -> list[Project]:
        """Fail every phantom with its reason; return those that were failed.

        Raises:
            TmuxUnavailable: a server could not be asked; nothing was changed.
        """
        failed = []
        for phantom in self.find_phantoms():
            reason = f"Phantom project detected: {phantom.reason}"
            try:
                after = self._queue.finish(phantom.project.id, success=False, reason=reason)
            except (ProjectNotFound, NotPossible):
                # Its owner moved it between our look and our write: then it is no phantom.
                continue
            logger.warning(
                "phantom_project", extra={"project_id": after.id, "reason": phantom.reason}
            )
            failed.append(after)
        return failed

    def alive_sessions(self) -> frozenset[str]:
        """Return the names of all sessions on the servers we know.

        Raises:
            TmuxUnavailable: a server could not be asked.
        """
        return frozenset().union(*(server.snapshot().session_names() for server in self._servers))

    def _is_past_grace(self, project: Project) -> bool:
        """A row without a start time has no grace left: nothing says it started lately."""
        started_at = project.started_at
        return started_at is None or self._clock.now() - started_at > self._grace_sec


def _reason(project: Project) -> str:
    if project.session_name is None:
        return "no session was ever recorded and none has its name"
    return f"session {project.session_name} is gone"
