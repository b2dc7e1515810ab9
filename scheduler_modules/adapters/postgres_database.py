"""One PostgreSQL database: a connection for each thread, none across a fork, errors in our words.

*Writers are serial.* Each transaction begins with one advisory lock, so whatever it reads stays
true until it ends, as on SQLite: limits, groups and all rules of the kind "look, then write" hold
over every host. (Rows locked one by one do not keep a limit: two writers that each see one slot
free both take it.)

*Commits are durable, though the lock is not held for it.* A transaction commits without waiting
for the disk, which ends the lock; then, in the same flush, a commit of next to nothing waits. Its
record lies behind ours in the log, so both are on disk when `transaction` returns, and the disk
writes for many writers at once. Who builds on a change that is not on disk yet commits behind it:
a crash can take both away, never the first alone.

*A lost answer.* When the connection ends while the commit is under way, nobody here can know
whether it was made: the caller gets DatabaseUnavailable and tries again later from what the tables
say then. That is safe because every move is guarded by the state it starts from and every report
by its run's token: what was made already is refused the second time.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from scheduler_modules.adapters.postgres_link import LOCK_WAIT_SEC, PostgresLink
from scheduler_modules.adapters.postgres_pipe import Answer
from scheduler_modules.adapters.postgres_session import Session
from scheduler_modules.adapters.postgres_sql import PostgresStatements, Statement, Unstorable
from scheduler_modules.adapters.sql_database import Row
from scheduler_modules.errors import DatabaseUnavailable

_Result = TypeVar("_Result")


class PostgresDatabase:
    """The protocol `sql_database.Database`; what its methods promise is written there."""

    def __init__(self, link: PostgresLink, statements: PostgresStatements) -> None:
        self._link = link
        self._statements = statements
        self._local = threading.local()
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._sessions: list[Session] = []
        self._check: Callable[[], None] | None = None
        self._checking = threading.RLock()
        _databases.add(self)

    def check_first(self, check: Callable[[], None]) -> None:
        """Let this pass before anything else is asked; if it raises, the next call tries again."""
        self._check = check

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Let nobody else write; a nested one joins the outer.

        Threads of this process take turns from here on, other processes from the first statement
        on: nothing that was read inside can be changed by anybody else.
        """
        session = self._session()
        if session.in_transaction:
            yield
            return
        with self._turn():
            session.begin()
            try:
                yield
                session.commit()
            finally:
                session.end()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        # Kept by name: a forked child gets a new one, and gives this one back.
        writing = self._writing
        if not writing.acquire(timeout=LOCK_WAIT_SEC):
            raise DatabaseUnavailable(
                f"{self._link.server} stayed locked by another thread: try again"
            )
        try:
            yield
        finally:
            writing.release()

    def rows(self, name: str, /, **parameters: Any) -> list[Row]:
        statement = self._statements.rows[name]
        try:
            if statement.is_write:
                return self._write(statement, parameters, lambda answer: answer.rows())
            return self._session().ask(statement, parameters).rows()
        except Unstorable:
            return []

    @property
    def in_transaction(self) -> bool:
        """Whether the calling thread is inside `transaction`."""
        return self._session().in_transaction

    def defer(self, name: str, /, **parameters: Any) -> None:
        """Change something together with whatever the transaction asks next, or its commit.

        Only inside a transaction, and for what is either done or an error: it saves the time of
        an answer, for which all other writers would wait.
        """
        self._session().defer(self._statements.changes[name], parameters)

    def raw_rows(self, name: str) -> tuple[list[str], list[Row]]:
        answer = self._session().ask(self._statements.rows[name], {})
        return answer.column_names(), answer.rows()

    def change(self, name: str, /, **parameters: Any) -> int:
        statement = self._statements.changes[name]
        return self._write(statement, parameters, lambda answer: answer.row_count)

    def insert(self, name: str, /, **parameters: Any) -> int:
        statement = self._statements.inserts[name]
        return self._write(statement, parameters, lambda answer: int(answer.rows()[0][0]))

    def ring(self) -> None:
        self._session().ring()

    def close(self) -> None:
        with self._guard:
            own = threading.current_thread()
            self._close_those(lambda session: session.thread is own)
            self._local.__dict__.pop("session", None)

    # -- below ------------------------------------------------------------------------------

    def _write(
        self, statement: Statement, parameters: dict[str, Any], take: Callable[[Answer], _Result]
    ) -> _Result:
        with self.transaction():
            return take(self._session().ask(statement, parameters))

    def _pass_check(self) -> None:
        with self._checking:
            check, self._check = self._check, None
            if check is None:
                return
            try:
                check()
            except BaseException:
                self._check = check
                raise

    def _session(self) -> Session:
        """Return the thread's session."""
        if self._check is not None:
            self._pass_check()
        session: Session | None = getattr(self._local, "session", None)
        if session is not None and session.is_foreign:
            if session.in_transaction:
                raise DatabaseUnavailable(
                    f"{self._link.server} was in use while this process was forked: "
                    "start a new process"
                )
            session = None
        return session or self._new_session()

    def _new_session(self) -> Session:
        session = Session(self._link)
        with self._guard:
            self._close_those(lambda session: session.is_foreign)
            self._sessions.append(session)
        self._local.session = session
        return session

    def _close_those(self, is_meant: Callable[[Session], bool]) -> None:
        """Close and forget these sessions, and those of threads that have ended."""
        for session in list(self._sessions):
            if is_meant(session) or not session.thread.is_alive():
                self._sessions.remove(session)
                session.close()

    def after_fork_in_child(self) -> None:
        """Let go of what threads that did not come along may have held."""
        self._guard, self._writing = threading.Lock(), threading.Lock()
        self._checking = threading.RLock()
        self._link.after_fork_in_child()


_databases: "weakref.WeakSet[PostgresDatabase]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for database in _databases:
        database.after_fork_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
