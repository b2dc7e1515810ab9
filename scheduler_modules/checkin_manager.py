"""Keeps check-ins: who is to be told what, in which window, when. Nothing is typed from here."""

import logging
import re

import msgspec

from scheduler_modules.errors import InvalidInput
from scheduler_modules.model import FactName, Task
from scheduler_modules.ports import (
    Clock,
)
from scheduler_modules.store_port import QueueStore

logger = logging.getLogger(__name__)

NOTE_PREFIX_CHARACTERS = 20
"""Notes that agree in so many first characters are taken for the same."""
OVERDUE_SEC = 600
AHEAD_SEC = 3600
MAX_INTERVAL_MINUTES = 5_256_000
"""Ten years."""
MAX_WINDOW_INDEX = 2**31 - 1

_SECONDS_PER_DAY = 86_400
_RESERVED = frozenset({"main", "dev", "test", "temp", "debug", "shell", "bash"})
# What tmux can have in no name, and what would break the lines of a listing.
_IMPOSSIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff:]")
_BROKEN = re.compile(r"[\x00\ud800-\udfff]")


class Scheduled(msgspec.Struct, frozen=True):
    """A check-in that stands now: just added, or found standing already."""

    task_id: int
    is_new: bool


class CheckinManager:
    """Adds, lists and removes check-ins; each change commits together with its fact."""

    def __init__(self, store: QueueStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def enqueue_task(
        self,
        session_name: str,
        agent_role: str,
        window_index: int,
        interval_minutes: int,
        note: str = "",
    ) -> Scheduled:
        """Add a check-in that is first due after one interval; 0 means once, at once.

        The same session, role and window with a note that begins alike is not added twice while
        the first is due between ten minutes ago and an hour (or one interval) from now.

        Raises:
            InvalidInput: no tmux session of a project can have that name, or a number is out of
                range.
        """
        check_session_name(session_name)
        _check_numbers(window_index, interval_minutes)
        if _BROKEN.search(agent_role + note):
            raise InvalidInput("role and note must be text without broken characters")
        with self._store.transaction():
            now = self._clock.now()
            wanted = Task(
                id=0,
                session_name=session_name,
                agent_role=agent_role,
                window_index=window_index,
                next_run=now + interval_minutes * 60,
                interval_minutes=interval_minutes,
                note=note,
                created_at=now,
            )
            standing = next((t for t in self._store.tasks() if _is_same(t, wanted, now)), None)
            if standing is not None:
                return Scheduled(standing.id, is_new=False)
            task_id = self._store.add_task(wanted)
            self._tell(FactName.TASK_ADDED, task_id, wanted, now)
        return Scheduled(task_id, is_new=True)

    def remove_task(self, task_id: int) -> bool:
        """Take a check-in away. False: there is none of that id."""
        with self._store.transaction():
            task = next((task for task in self._store.tasks() if task.id == task_id), None)
            if task is None or not self._store.remove_task(task_id):
                return False
            self._tell(FactName.TASK_REMOVED, task_id, task, self._clock.now())
        return True

    def list_tasks(self) -> list[Task]:
        """Return all check-ins by due time, then id."""
        return self._store.tasks()

    def cleanup_old_tasks(self, days: float = 7) -> int:
        """Remove check-ins made more than `days` ago that never ran; return how many.

        One whose first time is still to come stays, however old, unless it was disabled.
        """
        now = self._clock.now()
        old = [
            task
            for task in self._store.tasks()
            if task.last_run is None
            and task.created_at is not None
            and task.created_at < now - days * _SECONDS_PER_DAY
            and (task.retry_count < 0 or task.next_run <= now)
        ]
        return sum(self.remove_task(task.id) for task in old)

    def _tell(self, name: FactName, task_id: int, task: Task, at: float) -> None:
        detail = {
            "task_id": task_id,
            "session": task.session_name,
            "role": task.agent_role,
            "window": task.window_index,
            "next_run": task.next_run,
        }
        self._store.add_fact(name, at, detail=detail)
        logger.info(name.value, extra=detail)


def check_session_name(name: str) -> None:
    """Let a name pass that a session of a project may have.

    Raises:
        InvalidInput: it is empty, a number, too short, a general word, or no tmux name.
    """
    problem = _problem_of(name)
    if problem is not None:
        raise InvalidInput(f"session name {name!a} {problem}")


def _problem_of(name: str) -> str | None:
    may_lack_hyphen = len(name) >= 8 and name[0].isalpha()
    problems = (
        (not name.strip(), "is empty"),
        (bool(_IMPOSSIBLE.search(name)), "holds characters that no tmux session name can hold"),
        (name.isdigit(), "is only a number"),
        (len(name) < 5, "is shorter than 5 characters"),
        (name.lower() in _RESERVED, "is too general"),
        (
            "-" not in name and not may_lack_hyphen,
            "needs a hyphen, or 8 characters beginning with a letter",
        ),
    )
    return next((problem for is_so, problem in problems if is_so), None)


def _check_numbers(window_index: int, interval_minutes: int) -> None:
    if not 0 <= window_index <= MAX_WINDOW_INDEX:
        raise InvalidInput(f"window must be from 0 to {MAX_WINDOW_INDEX}")
    if not 0 <= interval_minutes <= MAX_INTERVAL_MINUTES:
        raise InvalidInput(f"interval must be from 0 to {MAX_INTERVAL_MINUTES} minutes")


def _is_same(standing: Task, wanted: Task, now: float) -> bool:
    # Longer intervals would never find their own first entry within the hour.
    ahead_sec = max(AHEAD_SEC, wanted.interval_minutes * 60)
    return (
        (standing.session_name, standing.agent_role, standing.window_index)
        == (wanted.session_name, wanted.agent_role, wanted.window_index)
        and _beginning(standing.note) == _beginning(wanted.note)
        and standing.retry_count >= 0
        and now - OVERDUE_SEC <= standing.next_run <= now + ahead_sec
    )


def _beginning(note: str | None) -> str:
    return (note or "")[:NOTE_PREFIX_CHARACTERS]
