"""Says on the terminal what opening a database did to it: once, in words."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from scheduler_modules.cli.output import Terminal

# By the event's name; the fields are those of the log record.
_WORDS = {
    "database_migrated": "{path} was brought up to date; as it was it is kept as {backup}",
    "database_index_skipped": "rows of an old program keep index {index} from being made",
}


class _Notices(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        words = _WORDS.get(record.getMessage())
        if words is not None:
            self._terminal.talk(words.format_map(vars(record)))


@contextmanager
def told_on(terminal: Terminal) -> Iterator[None]:
    """Tell what adapters do to the database meanwhile, rather than log it."""
    logger = logging.getLogger("scheduler_modules.adapters")
    handler, level, is_passed_on = _Notices(terminal), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = is_passed_on
