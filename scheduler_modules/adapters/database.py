"""One SQLite file: a connection for each thread, none across a fork, errors in our words."""

import math
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from scheduler_modules.adapters.database_check import translate
from scheduler_modules.adapters.database_session import Row, Session
from scheduler_modules.adapters.named_sql import Statements
from scheduler_modules.errors import (
    DatabaseUnavailable,
    InvalidInput,
    NotPossible,
)

_Result = TypeVar("_Result")
_CHECKPOINT_BYTES = 4 * 1024 * 1024
_SLICE_SEC = 0.5
"""SQLite waits for a lock inside one C call, in which no signal is handled: it waits in slices."""


class NotUnique(NotPossible):
    """A unique index refuses the row. `columns` names what it is over, as SQLite does."""

    def __init__(self, columns: str) -> None:
        super().__init__(f"a row with the same {columns} exists already")
        self.columns = columns


class _Unstorable(InvalidInput):
    """A parameter that no column can hold."""


class Database:
    """Runs named statements on one file. May be used by several threads.

    Raises (any method):
        DatabaseUnavailable: it stayed locked, went away, is damaged, or the disk fails.
        DiskFull: no space is left; the transaction was rolled back.
        InvalidInput: a value cannot be stored (text that is no Unicode, a number over 64 bits).
        NotUnique: a unique index refuses the row.
    """

    def __init__(self, path: Path, statements: Statements, lock_wait_sec: float) -> None:
        self._path = path
        self._statements = statements
        self._slice_sec = min(lock_wait_sec, _SLICE_SEC)
        self._slices = max(1, math.ceil(lock_wait_sec / _SLICE_SEC))
        self._file = _identity(path)
        self._local = threading.local()
        self._guard = threading.Lock()
        self._sessions: list[Session] = []
        self._checkpoint_at = _CHECKPOINT_BYTES
        self._was_forked_busy = False
        _databases.add(self)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Reserve the right to write; commit at the end. A nested one joins the outer."""
        session = self._session()
        if session.in_transaction:
            yield
            return
        with session.lock:
            session.failure = None
            try:
                self._run(session, lambda: session.connection.execute("begin immediate"))
                session.in_transaction = True
                yield
                self._commit(session)
            finally:
                session.in_transaction = False
                session.roll_back()
        self._checkpoint_if_large(session)

    def rows(self, name: str, /, **parameters: Any) -> list[Row]:
        """Return the rows of a statement; none if a parameter is such that no row can hold it."""
        statement = self._statements.rows[name]
        session = self._session()
        with session.lock:
            try:
                return self._run(session, lambda: session.fetch(statement, parameters))
            except _Unstorable:
                return []

    def raw_rows(self, name: str) -> tuple[list[str], list[Row]]:
        """Return the names of a statement's columns, and its rows."""
        statement = self._statements.rows[name]
        session = self._session()
        with session.lock:
            return self._run(session, lambda: session.fetch_named(statement))

    def change(self, name: str, /, **parameters: Any) -> int:
        """Return how many rows the statement changed."""
        statement = self._statements.changes[name]
        with self.transaction():
            session = self._session()
            return self._run(
                session, lambda: session.connection.execute(statement, parameters).rowcount
            )

    def insert(self, name: str, /, **parameters: Any) -> int:
        """Return the id of the row the statement inserted."""
        statement = self._statements.inserts[name]
        with self.transaction():
            session = self._session()
            rows = self._run(session, lambda: session.fetch(statement, parameters))
            return int(rows[0][0])

    def close(self) -> None:
        """Close the connections of every thread that has ended, and the caller's own."""
        with self._guard:
            own = threading.current_thread()
            self._close_those(lambda session: session.thread is own)
            self._local.__dict__.pop("session", None)

    # -- sessions ---------------------------------------------------------------------------

    def _session(self) -> Session:
        """Return the thread's session, opened unless the file is not the one we know."""
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._new_session()
        if not session.in_transaction:
            self._refuse_what_is_gone()
            if not session.is_open:
                self._run(session, lambda: session.open(self._path, self._slice_sec))
        return session

    def _new_session(self) -> Session:
        session = Session()
        with self._guard:
            self._close_those(lambda _: False)
            self._sessions.append(session)
        self._local.session = session
        return session

    def _close_those(self, is_meant: Callable[[Session], bool]) -> None:
        """Close and forget these sessions, and those of threads that have ended."""
        for session in list(self._sessions):
            if is_meant(session) or not session.thread.is_alive():
                self._sessions.remove(session)
                session.close(is_same_file=self._is_same_file())

    def _refuse_what_is_gone(self) -> None:
        if self._was_forked_busy:
            raise DatabaseUnavailable(
                f"{self._path} was in use while this process was forked: start a new process"
            )
        if not self._is_same_file():
            raise DatabaseUnavailable(
                f"{self._path} was removed or replaced while in use: "
                "see that the right file is there, then start this program again"
            )

    def _is_same_file(self) -> bool:
        return _identity(self._path) == self._file

    # -- statements -------------------------------------------------------------------------

    def _run(self, session: Session, act: Callable[[], _Result]) -> _Result:
        if session.in_transaction and session.failure is not None:
            raise session.failure
        try:
            return self._patiently(act)
        except (OverflowError, UnicodeEncodeError) as error:
            raise _Unstorable(f"the database cannot hold this: {error}") from error
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise NotUnique(str(error).partition(": ")[2]) from error
            # SQLite may have rolled back by itself: what follows must not commit on its own.
            session.failure = translate(self._path, error)
            raise session.failure from error

    def _patiently(self, act: Callable[[], _Result]) -> _Result:
        """Do it; where another program holds the lock, again until the time for that is over."""
        for slices_left in reversed(range(self._slices)):
            try:
                return act()
            except sqlite3.OperationalError as error:
                code = getattr(error, "sqlite_errorcode", None) or 0
                if code & 0xFF != sqlite3.SQLITE_BUSY or not slices_left:
                    raise
        raise AssertionError("unreachable")

    def _commit(self, session: Session) -> None:
        if session.is_abandoned:
            raise DatabaseUnavailable(
                f"{self._path} has a transaction open that only the forked process can end"
            )
        self._run(session, lambda: session.connection.execute("commit"))

    def _checkpoint_if_large(self, session: Session) -> None:
        """Move the write-ahead log into the database once it is large.

        Automatic checkpoints are off: before SQLite 3.51.3 one that meets a commit of another
        process can damage the database. Ours holds the right to write while it works.
        """
        if _wal_bytes(self._path) < self._checkpoint_at:
            return
        with session.lock:
            try:
                session.checkpoint(self._slice_sec)
            except sqlite3.Error:
                # The commit stands; a later one tries again, on a new connection.
                session.close(is_same_file=self._is_same_file())
        # A long reader keeps the log from shrinking: do not hold up every commit for it.
        self._checkpoint_at = _wal_bytes(self._path) + _CHECKPOINT_BYTES

    # -- forks ------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Close every idle connection and hold it still.

        A child that inherits an open connection lacks its locks, and the parent's last close
        would delete the log that the child writes to. Commits were lost that way (tried).
        """
        self._guard.acquire()
        for session in self._sessions:
            session.stop_for_fork(is_same_file=self._is_same_file())

    def after_fork_in_parent(self) -> None:
        for session in self._sessions:
            session.go_on()
        self._guard.release()

    def after_fork_in_child(self) -> None:
        """Forget the sessions of threads that did not come along; never touch busy ones again."""
        busy = [session for session in self._sessions if not session.is_stopped]
        own = threading.current_thread()
        self._sessions = [s for s in self._sessions if s.is_stopped and s.thread is own]
        for session in self._sessions:
            session.go_on()
        for session in busy:
            session.abandon()
        if busy:
            self._was_forked_busy = True
            self._local = threading.local()
        self._guard.release()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _wal_bytes(path: Path) -> int:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except OSError:
        return 0


_databases: "weakref.WeakSet[Database]" = weakref.WeakSet()
_fork_lock = threading.Lock()
_held_still: list[Database] = []


def _before_fork() -> None:
    _fork_lock.acquire()
    _held_still.extend(_databases)
    for database in _held_still:
        database.before_fork()


def _after_fork_in_parent() -> None:
    for database in _held_still:
        database.after_fork_in_parent()
    _held_still.clear()
    _fork_lock.release()


def _after_fork_in_child() -> None:
    for database in _held_still:
        database.after_fork_in_child()
    _held_still.clear()
    _fork_lock.release()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
