"""One thread's connection to an SQLite file, and where it stands."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from scheduler_modules.adapters.database_log import LOG_BYTES
from scheduler_modules.adapters.sql_database import Row
from scheduler_modules.errors import DatabaseUnavailable, SchedulerError

_CHECKPOINT_WAIT_MS = 50

_never_closed: list[sqlite3.Connection] = []


class Session:
    """Belongs to the thread that made it; others touch it only while they hold `lock`."""

    connection: sqlite3.Connection

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.lock = threading.RLock()
        self.is_open = False
        self.in_transaction = False
        self.failure: SchedulerError | None = None
        """Why the present transaction can only be rolled back."""
        self.is_ring_wanted = False
        """Whether to tell others of the present transaction once it has committed."""
        self.is_stopped = False
        """Closed and held still while the process forks."""
        self.is_abandoned = False
        """In a forked child: the connection is the parent's."""

    def open(self, path: Path, wait_sec: float) -> None:
        self.connection = _connect(path, wait_sec)
        self.is_open = True

    def begin(self) -> None:
        self.connection.execute("begin immediate")

    def commit(self) -> None:
        self.connection.execute("commit")

    def fetch(self, statement: str, parameters: dict[str, Any]) -> list[Row]:
        try:
            return self.connection.execute(statement, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) is not None:
                raise
        # Only Python's own complaint has no code: some text in the database is no UTF-8.
        with self._any_text():
            return self.connection.execute(statement, parameters).fetchall()

    def fetch_named(self, statement: str) -> tuple[list[str], list[Row]]:
        """Return the names of the columns, and the rows."""
        with self._any_text(), closing(self.connection.execute(statement)) as cursor:
            return [column[0] for column in cursor.description], cursor.fetchall()

    @contextmanager
    def _any_text(self) -> Iterator[None]:
        self.connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        try:
            yield
        finally:
            self.connection.text_factory = str

    def roll_back(self) -> None:
        """Undo what was not committed; SQLite may have done so by itself."""
        if self.is_abandoned or not self.is_open or not self.connection.in_transaction:
            return
        try:
            self.connection.execute("rollback")
        except sqlite3.Error:
            # Nothing was committed; a new connection starts from what is on disk.
            self.close(is_same_file=True)

    def checkpoint(self, wait_sec: float) -> int:
        """Move the write-ahead log into the database, holding the right to write meanwhile.

        Return how many frames had to stay in the log, because somebody still reads there. With
        none the next commit begins the log anew, in the same file: one that does not grow is
        synced in half the time.

        Raises:
            sqlite3.Error: that failed; nothing is lost, but the connection should be closed.
        """
        self.connection.execute(f"pragma busy_timeout={_CHECKPOINT_WAIT_MS}")
        ((is_busy, frames, _),) = self.connection.execute("pragma wal_checkpoint(restart)")
        self.connection.execute(f"pragma busy_timeout={wait_sec * 1000:.0f}")
        return int(frames) if is_busy else 0

    def close(self, *, is_same_file: bool) -> None:
        """Close the connection. One whose file was replaced is left open for good: closing it
        would delete the log of the database that has its name now."""
        if not self.is_open:
            return
        self.is_open = False
        if is_same_file:
            self.connection.close()
        else:
            _never_closed.append(self.connection)

    # -- forks ------------------------------------------------------------------------------

    def stop_for_fork(self, *, is_same_file: bool) -> None:
        """Close the connection if nobody works on it, and hold it still until `go_on`."""
        if self.in_transaction or not self.lock.acquire(blocking=False):
            return
        self.is_stopped = True
        self.close(is_same_file=is_same_file)

    def go_on(self) -> None:
        if self.is_stopped:
            self.is_stopped = False
            self.lock.release()

    def abandon(self) -> None:
        """Never touch the connection again, not even to close it: it is the parent's."""
        self.is_abandoned = True
        if self.is_open:
            _never_closed.append(self.connection)


def _connect(path: Path, wait_sec: float) -> sqlite3.Connection:
    # Other threads close it, when its own has ended or before a fork.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=wait_sec,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        (mode,) = connection.execute("pragma journal_mode=wal").fetchone()
        if mode != "wal":
            raise DatabaseUnavailable(
                f"{path}: its file system cannot keep a write-ahead log: put it on a local disk"
            )
        connection.execute("pragma synchronous=full")
        connection.execute("pragma wal_autocheckpoint=0")
        connection.execute(f"pragma journal_size_limit={LOG_BYTES}")
        connection.execute("pragma cell_size_check=on")
    except BaseException:
        connection.close()
        raise
    return connection
