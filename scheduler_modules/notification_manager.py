"""Takes in requests that are left as files, and says on the log what became of projects."""

import logging
from pathlib import Path

from scheduler_modules.errors import NotPossible, ProjectNotFound, UnusableHome
from scheduler_modules.model import Fact, FactName
from scheduler_modules.queue_manager import QueueManager
from scheduler_modules.signal_files import BadSignal, ResetSignal, SignalFolder

logger = logging.getLogger(__name__)

CLOCK_SLACK_SEC = 1
"""The time of a file may lag behind the clock."""

# Which facts are announced, how loudly.
_NEWS = {
    FactName.PROJECT_QUEUED: logging.INFO,
    FactName.PROJECT_COMPLETED: logging.INFO,
    FactName.PROJECT_RECOVERED: logging.INFO,
    FactName.PROJECT_REQUEUED: logging.WARNING,
    FactName.PROJECT_FAILED: logging.ERROR,
}


class NotificationManager:
    """Requests come in through `signals_dir`; news go out as log lines."""

    def __init__(self, queue: QueueManager, signals_dir: Path) -> None:
        self._queue = queue
        self._folder = SignalFolder(signals_dir)
        self._said: set[str] = set()

    def process_signal_files(self) -> int:
        """Honour every request to reset a project; return how many were.

        A file is taken away once it was dealt with. One that is no request is renamed to `.bad`.

        Raises:
            UnusableHome: the folder cannot be used; nothing was done.
            DatabaseUnavailable, DiskFull: the rest waits for the next time.
        """
        done = 0
        for signal in self._folder.pending():
            if isinstance(signal, BadSignal):
                self._set_aside(signal)
            else:
                done += self._honour(signal)
        return done

    def create_reset_signal(self, project_id: int, at: float) -> Path:
        """Leave a request, made at that time, to reset a project; return its file.

        Raises:
            InvalidInput, DiskFull, UnusableHome
        """
        return self._folder.create(project_id, at)

    def announce(self, fact: Fact) -> bool:
        """Say on the log what became of a project; False for facts that are no news."""
        try:
            level = _NEWS.get(FactName(fact.name))
        except ValueError:
            return False
        if level is None:
            return False
        extra = {"project_id": fact.project_id, "news": fact.name}
        reason = fact.detail.get("reason")
        logger.log(level, "project_news", extra=extra | ({"reason": reason} if reason else {}))
        return True

    def _honour(self, signal: ResetSignal) -> bool:
        try:
            is_done = self._reset(signal)
        except (ProjectNotFound, NotPossible) as error:
            logger.warning(
                "reset_signal_refused",
                extra={"project_id": signal.project_id, "reason": str(error)},
            )
            is_done = False
        self._folder.remove(signal.name)
        return is_done

    def _reset(self, signal: ResetSignal) -> bool:
        started_at = self._queue.get(signal.project_id).started_at
        if started_at is not None and started_at > signal.at + CLOCK_SLACK_SEC:
            # Acted on before, but its file could not be taken away: what it meant is over.
            logger.info("reset_signal_outdated", extra={"project_id": signal.project_id})
            return False
        self._queue.reset(signal.project_id, "reset by a signal file")
        return True

    def _set_aside(self, signal: BadSignal) -> None:
        if signal.name not in self._said:
            self._said.add(signal.name)
            logger.warning(
                "reset_signal_bad", extra={"file": signal.name, "problem": signal.problem}
            )
        try:
            self._folder.set_aside(signal.name)
        except UnusableHome as error:
            logger.debug("reset_signal_stays", extra={"reason": str(error)})
