"""Keeps one failure from stopping the rest: logs it once, remembers it until it heals."""

import logging
from collections.abc import Callable, Collection

from scheduler_modules.errors import DatabaseUnavailable, SchedulerError

logger = logging.getLogger(__name__)

BUG = "a step crashed, see the log"


class StepGuard:
    """What each step of a daemon, and each run within one, is done under."""

    def __init__(self) -> None:
        self._troubles: dict[str, str] = {}
        self.is_database_away = False
        """Whether the last thing done failed because the database did not answer."""

    def run(self, name: str, act: Callable[[], object]) -> bool:
        """Do it; a failure is logged (one that repeats itself, once) and never passed on."""
        self.is_database_away = False
        try:
            act()
        except SchedulerError as error:
            self.is_database_away = isinstance(error, DatabaseUnavailable)
            if self._troubles.get(name) != str(error):
                self._troubles[name] = str(error)
                logger.warning("step_failed", extra={"step": name, "error": str(error)})
            return False
        except Exception:
            if self._troubles.get(name) != BUG:
                self._troubles[name] = BUG
                logger.exception("step_crashed", extra={"step": name})
            return False
        if self._troubles.pop(name, None) is not None:
            logger.info("step_healed", extra={"step": name})
        return True

    def forget_but(self, kind: str, tokens: Collection[str]) -> None:
        """Drop what was wrong with things called `kind TOKEN` that are not looked at any more."""
        for name in list(self._troubles):
            its_kind, _, token = name.partition(" ")
            if its_kind == kind and token and token not in tokens:
                del self._troubles[name]

    @property
    def has_trouble(self) -> bool:
        return bool(self._troubles)

    def in_words(self) -> str | None:
        """Return all that is wrong now, each thing once; None: nothing is."""
        return "; ".join(dict.fromkeys(self._troubles.values())) or None
