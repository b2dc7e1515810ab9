"""One SQLite file: a connection for each thread, none across a fork, errors in our words."""

import math
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from scheduler_modules.adapters import sql_database
from scheduler_modules.adapters.database_check import translate
from scheduler_modules.adapters.database_log import LOG_BYTES, log_has_frames
from scheduler_modules.adapters.database_session import Session
from scheduler_modules.adapters.named_sql import Statements
from scheduler_modules.adapters.sql_database import NotUnique, Row
from scheduler_modules.errors import DatabaseUnavailable, InvalidInput, SchedulerError

_Result = TypeVar("_Result")
_CHECKPOINT_FRAMES = LOG_BYTES // 4096
_COMMITS_A_LOOK = 4
"""The first of so many looks whether the log is large."""
_SLICE_SEC = 0.5
"""SQLite waits for a lock inside one C call, in which no signal is handled: it waits in slices."""


_FOREIGN = (sqlite3.Error, UnicodeError, OverflowError)


class _Unstorable(InvalidInput):
    """A parameter that no column can hold."""


class Database(sql_database.Database):
    """`Database` on one file; what its methods promise is written there.

    `ring` is called after a commit inside which `ring()` was asked for.
    """

    def __init__(
        self,
        path: Path,
        statements: Statements,
        lock_wait_sec: float,
        ring: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._statements = statements
        self._ring = ring
        self._slice_sec = min(lock_wait_sec, _SLICE_SEC)
        self._slices = max(1, math.ceil(lock_wait_sec / _SLICE_SEC))
        self._name = str(path)
        self._file = _identity(self._name)
        self._local = threading.local()
        self._guard = threading.Lock()
        self._sessions: list[Session] = []
        self._wal = f"{path}-wal"
        self._checkpoint_at = _CHECKPOINT_FRAMES
        self._commits = 0
        self._was_forked_busy = False
        _databases.add(self)

    def transaction(self) -> AbstractContextManager[None]:
        session = self._working_session()
        return _Transaction(self, self._session()) if session is None else _JOINED

    def rows(self, name: str, /, **parameters: Any) -> list[Row]:
        statement = self._statements.rows[name]
        session = self._session()
        with session.lock:
            try:
                return self._run(session, session.fetch, statement, parameters)
            except _Unstorable:
                return []

    def raw_rows(self, name: str) -> tuple[list[str], list[Row]]:
        statement = self._statements.rows[name]
        session = self._session()
        with session.lock:
            return self._run(session, session.fetch_named, statement)

    def change(self, name: str, /, **parameters: Any) -> int:
        session = self._working_session()
        if session is None:
            with self.transaction():
                return self.change(name, **parameters)
        statement = self._statements.changes[name]
        try:
            return session.connection.execute(statement, parameters).rowcount
        except _FOREIGN as error:
            raise self._translate(session, error) from error

    def insert(self, name: str, /, **parameters: Any) -> int:
        session = self._working_session()
        if session is None:
            with self.transaction():
                return self.insert(name, **parameters)
        statement = self._statements.inserts[name]
        try:
            ((row_id,),) = session.connection.execute(statement, parameters).fetchall()
        except _FOREIGN as error:
            raise self._translate(session, error) from error
        return int(row_id)

    def ring(self) -> None:
        session = self._working_session()
        if session is None:
            self._ring()
        else:
            session.is_ring_wanted = True

    def close(self) -> None:
        with self._guard:
            own = threading.current_thread()
            self._close_those(lambda session: session.thread is own)
            self._local.__dict__.pop("session", None)

    # -- sessions ---------------------------------------------------------------------------

    def _working_session(self) -> Session | None:
        """Return the thread's session if it has a transaction open that may still succeed.

        A statement in it needs no patience: the right to write is there already.
        """
        session: Session | None = getattr(self._local, "session", None)
        if session is None or not session.in_transaction:
            return None
        if session.failure is not None:
            raise session.failure
        return session

    def _session(self) -> Session:
        """Return the thread's session, opened unless the file is not the one we know."""
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._new_session()
        if not session.in_transaction:
            self._refuse_what_is_gone()
            if not session.is_open:
                self._run(session, session.open, self._path, self._slice_sec)
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
        return _identity(self._name) == self._file

    # -- statements -------------------------------------------------------------------------

    def _run(self, session: Session, act: Callable[..., _Result], *arguments: Any) -> _Result:
        """Do it; where another program holds the lock, again until the time for that is over."""
        if session.failure is not None and session.in_transaction:
            raise session.failure
        slices_left = self._slices
        while True:
            slices_left -= 1
            try:
                return act(*arguments)
            except _FOREIGN as error:
                if not slices_left or not _is_busy(error):
                    raise self._translate(session, error) from error

    def _translate(
        self, session: Session, error: sqlite3.Error | UnicodeError | OverflowError
    ) -> SchedulerError:
        if not isinstance(error, sqlite3.Error | UnicodeDecodeError):
            return _Unstorable(f"the database cannot hold this: {error}")
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
            return NotUnique(str(error).partition(": ")[2])
        # SQLite may have rolled back by itself: what follows must not commit on its own.
        session.failure = translate(self._path, error)
        return session.failure

    def _begin(self, session: Session) -> None:
        session.lock.acquire()
        try:
            session.failure, session.is_ring_wanted = None, False
            self._run(session, session.begin)
            session.in_transaction = True
        except BaseException:
            self._leave(session)
            raise

    def _end(self, session: Session, *, is_good: bool) -> None:
        try:
            if is_good:
                self._commit(session)
        finally:
            self._leave(session)
        if is_good:
            if session.is_ring_wanted:
                self._ring()
            self._checkpoint_if_large(session)

    def _leave(self, session: Session) -> None:
        session.in_transaction = False
        session.roll_back()
        session.lock.release()

    def _commit(self, session: Session) -> None:
        if session.is_abandoned:
            raise DatabaseUnavailable(
                f"{self._path} has a transaction open that only the forked process can end"
            )
        self._run(session, session.commit)

    def _checkpoint_if_large(self, session: Session) -> None:
        """Move the write-ahead log into the database once it is large.

        Automatic checkpoints are off: before SQLite 3.51.3 one that meets a commit of another
        process can damage the database. Ours holds the right to write while it works.
        """
        self._commits += 1
        if self._commits % _COMMITS_A_LOOK != 1:
            return
        if not log_has_frames(self._wal, self._checkpoint_at):
            return
        # A long reader keeps the log growing: do not hold up every commit for it.
        left_frames = 0
        with session.lock:
            try:
                left_frames = session.checkpoint(self._slice_sec)
            except sqlite3.Error:
                # The commit stands; a later one tries again, on a new connection.
                session.close(is_same_file=self._is_same_file())
        self._checkpoint_at = left_frames + _CHECKPOINT_FRAMES

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


class _Transaction(AbstractContextManager[None]):
    """The outermost transaction of a thread."""

    __slots__ = ("_database", "_session")

    def __init__(self, database: Database, session: Session) -> None:
        self._database = database
        self._session = session

    def __enter__(self) -> None:
        self._database._begin(self._session)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._database._end(self._session, is_good=kind is None)


_JOINED = nullcontext()


def _is_busy(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None) or 0
    return code & 0xFF == sqlite3.SQLITE_BUSY


def _identity(path: str) -> tuple[int, int] | None:
    try:
        # Each transaction asks: no path is made into an object for it.
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return found.st_dev, found.st_ino


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
