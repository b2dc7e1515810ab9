"""Notices what programs commit that do not ring: one question a second to the SQLite file."""

from pathlib import Path

from scheduler_modules.adapters.database import Database
from scheduler_modules.adapters.database_check import Standing, check, real_path
from scheduler_modules.adapters.named_sql import Statements
from scheduler_modules.errors import SchedulerError
from scheduler_modules.ports import Clock

_STATEMENTS = Statements(rows={"data_version": "pragma main.data_version"}, changes={}, inserts={})
# Whoever waits is the daemon's main loop; the next second is a chance as good.
_LOCK_WAIT_SEC = 0.05


class DataVersionWatch:
    """The port `WakeupSource`: commits by any other connection, also those of our own process.

    It has a connection to itself, idle and with no transaction open between two questions, and
    never asks more often than each `poll_sec`: what the daemon writes itself costs it one look a
    second at most. A database that is missing or cannot be used is nothing new; once it can be
    asked again, that is.

    Source: sqlite.org/pragma.html, data_version.
    """

    reason = "database"
    poll_sec = 1.0

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._database: Database | None = None
        self._version: int | None = None
        self._next_at = 0.0

    def fileno(self) -> int:
        return -1

    def drain(self) -> bool:
        """Ask, if it is time; True: something was committed, or may have been."""
        now = self._clock.since_boot_sec()
        if now < self._next_at:
            return False
        self._next_at = now + self.poll_sec
        before = self._version
        self._version = self._ask()
        return self._version is not None and self._version != before

    def close(self) -> None:
        """Close the connection; in the thread that asked."""
        if self._database is not None:
            self._database.close()
        self._database = None

    def _ask(self) -> int | None:
        """Return the number that any other connection's commit changes; None: cannot be told."""
        try:
            if self._database is None:
                self._database = self._open()
            return int(self._database.rows("data_version")[0][0])
        except SchedulerError:
            # Whoever works with the database says what is wrong. A file that took its place
            # would be refused for ever by an opened one.
            self.close()
            return None

    def _open(self) -> Database:
        path = real_path(self._path)
        # Opening a file that somebody is only just restoring would write to it.
        if check(path) is not Standing.CURRENT:
            raise SchedulerError(f"{path} is not there, or not up to date")
        return Database(path, _STATEMENTS, _LOCK_WAIT_SEC)
