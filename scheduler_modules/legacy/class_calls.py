"""The methods of the old class, by their present owner: old arguments in, old answers out."""

import logging
from collections.abc import Callable
from typing import Any

from scheduler_modules.checkin_manager import CheckinManager
from scheduler_modules.config import SchedulerConfig
from scheduler_modules.duty_keeper import DEFAULT_MODE, DUTIES_OF_MODE, QUEUE_MODE
from scheduler_modules.errors import InvalidInput, NotPossible, ProjectNotFound
from scheduler_modules.event_dispatcher import EventDispatcher
from scheduler_modules.legacy.call import working_folder
from scheduler_modules.legacy.intake import typed_project
from scheduler_modules.model import (
    Project,
    ProjectState,
    canonical_status,
)
from scheduler_modules.ports import Clock
from scheduler_modules.queue_manager import QueueManager
from scheduler_modules.recovery_manager import RecoveryManager
from scheduler_modules.session_monitor import SessionMonitor
from scheduler_modules.tmux_values import (
    TmuxSnapshot,
)

logger = logging.getLogger(__name__)

DAEMON_ID = "scheduler.py"
"""What runs claimed through the old class are recorded under; a daemon carries them out."""


class UnknownProject(ProjectNotFound, ValueError):
    """No project has that id; the old class said so with a ValueError."""


class UnknownState(NotPossible, ValueError):
    """The row holds a word that is no state."""


class QueueCalls:
    """`queue_manager`: every status goes through the state machine, as it always should have."""

    def __init__(self, queue: QueueManager, clock: Clock, dispatcher: EventDispatcher) -> None:
        self._queue = queue
        self._clock = clock
        self._dispatcher = dispatcher

    def setup_database(self) -> None:
        """Nothing is left to do: opening the store made and migrated the tables."""

    def enqueue_project(
        self,
        spec_path: str,
        project_path: str | None = None,
        batch_id: str | None = None,
        retry_count: int = 0,
    ) -> int:
        new, warnings = typed_project(
            str(spec_path),
            None if project_path is None else str(project_path),
            base_dir=working_folder(),
            now=self._clock.now(),
            batch_id=batch_id,
            retry_count=retry_count,
        )
        for warning in warnings:
            logger.warning("path_missing", extra={"warning": warning})
        return self._queue.enqueue(new).project_id

    def get_next_project(self) -> dict[str, Any] | None:
        return _as_dict(self._queue.peek())

    def get_next_project_atomic(self) -> dict[str, Any] | None:
        claim = self._queue.claim_next(DAEMON_ID)
        return None if claim is None else _as_dict(claim.project)

    def get_current_state(self, project_id: int) -> ProjectState:
        project = self._get(project_id)
        if project.state is None:
            raise UnknownState(f"project {project_id} is {project.status!a}, which is no state")
        return project.state

    def update_project_status(
        self, project_id: int, status: str, error_message: str | None = None
    ) -> None:
        """Move a project, whatever spelling the state has.

        Raises:
            InvalidInput: that is no state.
            IllegalTransition: the row may not become that; it was left as it is.
        """
        try:
            state = ProjectState(canonical_status(status))
        except ValueError as error:
            raise InvalidInput(f"{status!a} is no state of a project") from error
        self._get(project_id)
        if state in {ProjectState.COMPLETED, ProjectState.FAILED}:
            is_success = state is ProjectState.COMPLETED
            self._queue.finish(project_id, success=is_success, reason=error_message)
        elif state is ProjectState.QUEUED:
            self._queue.reset(project_id, error_message or "reset by another program")
        elif state is ProjectState.RECOVERED:
            self._queue.mark_recovered(project_id)
        else:
            self._queue.record_move(project_id, state, error_message)

    def update_project_status_with_state(
        self, project_id: int, new_state: ProjectState, reason: str | None = None
    ) -> None:
        self.update_project_status(project_id, new_state, reason)

    def mark_project_complete(
        self, project_id: int, success: bool = True, error_message: str | None = None
    ) -> None:
        project = self._queue.finish(project_id, success=success, reason=error_message)
        self._dispatcher.dispatch(
            "project_complete",
            {
                "project_id": project_id,
                "status": project.status,
                "error_message": error_message,
                "project_name": project.name,
                "batch_id": project.batch_id,
            },
        )

    def reset_project_to_queued(self, project_id: int, _internal_call: bool = False) -> bool:
        return _is_done(lambda: self._queue.reset(project_id))

    def remove_project_from_queue(self, project_id: int) -> bool:
        return _is_done(lambda: self._queue.remove(project_id))

    def update_session_name(self, project_id: int, name: str) -> None:
        """Write the name of the session that another program made for a project.

        Raises:
            InvalidInput: it is empty or holds control characters.
        """
        if not name or not name.isprintable():
            raise InvalidInput(f"session name {name!a} is empty or not printable")
        self._get(project_id)
        self._queue.set_session_name(project_id, name)

    def has_active_orchestrations(self) -> bool:
        return bool(self._queue.store.projects([ProjectState.PROCESSING], limit=1))

    def _get(self, project_id: int) -> Project:
        try:
            return self._queue.get(project_id)
        except ProjectNotFound as error:
            raise UnknownProject(project_id) from error


class CheckinCalls:
    """`checkin_manager`"""

    def __init__(self, manager: CheckinManager, dispatcher: EventDispatcher) -> None:
        self._manager = manager
        self._dispatcher = dispatcher

    def enqueue_task(
        self,
        session_name: str,
        agent_role: str,
        window_index: int,
        interval_minutes: int,
        note: str = "",
        task_type: str = "standard",
    ) -> int | None:
        """Add a check-in; None where the session's name is refused."""
        try:
            scheduled = self._manager.enqueue_task(
                session_name, agent_role, window_index, interval_minutes, note
            )
        except InvalidInput as error:
            logger.warning("task_refused", extra={"reason": str(error)})
            return None
        if scheduled.is_new:
            self._dispatcher.dispatch(
                "task_added",
                {
                    "task_id": scheduled.task_id,
                    "session": session_name,
                    "role": agent_role,
                    "task_type": task_type,
                },
            )
        return scheduled.task_id

    def remove_task(self, task_id: int) -> None:
        self._manager.remove_task(task_id)

    def list_tasks(self) -> list[tuple[Any, ...]]:
        """Return check-ins by due time: id, session, role, window, due, interval, note."""
        return [
            (
                task.id,
                task.session_name,
                task.agent_role,
                task.window_index,
                task.next_run,
                task.interval_minutes,
                task.note,
            )
            for task in self._manager.list_tasks()
        ]

    def cleanup_old_tasks(self, days: float = 7) -> None:
        self._manager.cleanup_old_tasks(days)


class RecoveryCalls:
    """`recovery_manager`"""

    def __init__(self, recovery: RecoveryManager, queue: QueueManager) -> None:
        self._recovery = recovery
        self._queue = queue

    def is_stuck_or_zombie(self, project_id: int) -> tuple[bool, str]:
        verdict = self._recovery.is_stuck_or_zombie(project_id)
        return bool(verdict.is_stuck), verdict.reason

    def check_and_reset_specific_project(self, project_id: int, force: bool = False) -> bool:
        try:
            return self._recovery.check_and_reset_specific_project(project_id, force=force).is_done
        except (ProjectNotFound, NotPossible) as error:
            logger.warning("project_not_reset", extra={"reason": str(error)})
            return False

    def mark_as_zombie(self, project_id: int) -> None:
        self._queue.finish(project_id, success=False, reason="marked as a zombie")

    def get_recovery_diagnostics(self) -> dict[str, Any]:
        return self._recovery.get_recovery_diagnostics()


class MonitorCalls:
    """`session_monitor`"""

    def __init__(self, monitor: SessionMonitor, queue: QueueManager) -> None:
        self._monitor = monitor
        self._queue = queue

    def detect_and_reset_phantom_projects(self) -> int:
        return len(self._monitor.reset_phantoms())

    def reset_phantom_project(
        self, _cursor: object, project_id: int, _name: str, reason: str
    ) -> None:
        """Fail a project; the caller's cursor is not used."""
        self._queue.finish(project_id, success=False, reason=f"Phantom project detected: {reason}")


class SessionCalls:
    """Plain questions about sessions. `looks` asks every server we know.

    Raises (any method):
        TmuxUnavailable: a server could not be asked.
    """

    def __init__(self, looks: Callable[[], list[TmuxSnapshot]], clock: Clock) -> None:
        self._looks = looks
        self._clock = clock

    def session_exists(self, name: str) -> bool:
        return name in self.get_active_tmux_sessions()

    def get_session_age(self, name: str) -> float | None:
        """Return the age in seconds; None if there is no such session."""
        born = [pane.session_created_at for look in self._looks() for pane in look.of_session(name)]
        return self._clock.now() - born[0] if born else None

    def get_active_tmux_sessions(self) -> list[str]:
        return sorted(frozenset[str]().union(*(look.session_names() for look in self._looks())))


class DaemonCalls:
    """`core_scheduler`: the loops of the old class, in this thread until SIGTERM."""

    def __init__(
        self, config: SchedulerConfig, mode: str | None, close: Callable[[], None]
    ) -> None:
        self._config = config
        self._mode = mode or DEFAULT_MODE
        self._close = close

    def run(self) -> int:
        from scheduler_modules.daemon_main import run_daemon

        return run_daemon(self._config, self._mode)

    def run_queue_daemon(
        self,
        poll_interval: float = 60,  # noqa: ARG002 - callers name it
        send_batch_summary: bool = True,  # noqa: ARG002 - callers name it
    ) -> int:
        """Run the queue's duties; it waits for events, and mails nothing yet."""
        from scheduler_modules.daemon_main import run_daemon

        return run_daemon(self._config, self._mode, DUTIES_OF_MODE[QUEUE_MODE])

    def stop_monitoring(self) -> None:
        """Nothing runs beside the caller: there is nothing to stop."""

    def shutdown(self) -> None:
        """Close the database."""
        self._close()


class ConfigCalls:
    """`config`"""

    def check_credits(self) -> bool:
        """The old placeholder: credit is known per agent, from its session state."""
        return True


def _as_dict(project: Project | None) -> dict[str, Any] | None:
    if project is None:
        return None
    return {
        "id": project.id,
        "spec_path": project.spec_path,
        "project_path": project.project_path,
        "batch_id": project.batch_id,
        "retry_count": project.retry_count,
    }


def _is_done(act: Callable[[], object]) -> bool:
    try:
        act()
    except (ProjectNotFound, NotPossible) as error:
        logger.warning("project_left_as_it_is", extra={"reason": str(error)})
        return False
    return True
