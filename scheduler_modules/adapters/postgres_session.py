"""One thread's connection to PostgreSQL, and where its transaction stands."""

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psycopg

from scheduler_modules.adapters.postgres_errors import ends_connection, one_line, translate
from scheduler_modules.adapters.postgres_link import (
    CHANNEL,
    LOCK_WAIT_SEC,
    PostgresLink,
    own_backends,
)
from scheduler_modules.adapters.postgres_pipe import Answer, Pipe
from scheduler_modules.adapters.postgres_sql import Statement, bind
from scheduler_modules.adapters.sql_database import NotUnique
from scheduler_modules.errors import DatabaseUnavailable, SchedulerError

_Result = TypeVar("_Result")

# Any number that no other program is likely to use.
WRITE_LOCK = 7_460_982_113
_LOCK = b"select pg_advisory_xact_lock(%d)" % WRITE_LOCK
_NOTIFY = b"select pg_notify('%s', '')" % CHANNEL.encode()
# A durable commit: with it, whatever was committed before it becomes durable.
_MAKE_DURABLE = (
    b"select set_config('synchronous_commit', 'on', true),"
    b" pg_logical_emit_message(true, 'tmux-orchestrator', '')"
)
# Longer than the server's own limit for a lock.
_ANSWER_SEC = LOCK_WAIT_SEC + 5.0

_never_closed: list[Pipe] = []


class Session:
    """Belongs to the thread that made it; only that uses its connection while it lives."""

    def __init__(self, link: PostgresLink) -> None:
        self.thread = threading.current_thread()
        self.in_transaction = False
        self.is_ring_wanted = False
        """Whether to tell others of the present transaction as it commits."""
        self._link = link
        self._process = os.getpid()
        self._pipe: Pipe | None = None
        self._failure: SchedulerError | None = None
        """Why the present transaction can only be rolled back."""
        self._deferred: list[tuple[bytes, list[bytes | None], tuple[int, ...]]] = []
        self._has_begun = False
        self._has_written = False
        self._has_savepoint = False
        """Whether the transaction can go on although its last statement was refused."""

    @property
    def is_foreign(self) -> bool:
        """Whether this process was forked from the one whose connection it is."""
        return self._process != os.getpid()

    def ask(self, statement: Statement, parameters: Mapping[str, Any]) -> Answer:
        """Carry out one statement, inside the transaction if there is one.

        A connection that turns out to be dead is opened anew, once, where nothing can be done
        twice by that: for what only reads, and for the first statement of a transaction.
        """
        values, types = bind(statement, parameters)
        if not self.in_transaction:
            return self._twice(lambda pipe: self._read(pipe, statement, values, types))
        if self._failure is not None:
            raise self._failure
        if not self._has_begun:
            return self._twice(lambda pipe: self._work(pipe, statement, values, types))
        return self._once(lambda pipe: self._work(pipe, statement, values, types))

    def defer(self, statement: Statement, parameters: Mapping[str, Any]) -> None:
        """Let a statement go along with the next one of the transaction, or with its commit.

        Only inside a transaction. What it is refused for, the next one is.
        """
        if self._failure is not None:
            raise self._failure
        self._deferred.append((statement.text, *bind(statement, parameters)))
        self._has_written = True

    def begin(self) -> None:
        """Enter a transaction; the server hears of it together with the first statement."""
        self.in_transaction, self.is_ring_wanted = True, False
        self._failure, self._has_begun, self._has_written = None, False, False
        self._deferred.clear()

    def commit(self) -> None:
        """Make the transaction's changes durable and seen.

        Raises:
            DatabaseUnavailable: the answer was lost. Whether the changes were made is not known.
        """
        self._refuse_if_foreign()
        if self._failure is not None:
            raise self._failure
        if self._has_begun or self._deferred:
            self._once(self._commit)
        elif self.is_ring_wanted:
            self.in_transaction = False
            self.ring()

    def ring(self) -> None:
        """Wake those who listen: now, or as the transaction commits."""
        if self.in_transaction:
            self.is_ring_wanted = True
        else:
            self._twice(lambda pipe: self._read(pipe, Statement(_NOTIFY), [], ()))

    def end(self) -> None:
        """Leave the transaction; what was not committed is undone."""
        has_begun, self.in_transaction, self._has_begun = self._has_begun, False, False
        if not has_begun or self._pipe is None or self.is_foreign:
            return
        try:
            if self._pipe.is_usable:
                self._pipe.queue(b"rollback")
                self._pipe.answers()
                return
        except psycopg.Error:
            pass
        # The server undoes it when it sees that we have gone.
        self.close()

    def close(self) -> None:
        """Close the connection. One that another process works with is only forgotten."""
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            return
        own_backends.discard(pipe.backend)
        if self.is_foreign:
            _never_closed.append(pipe)
        else:
            pipe.close()

    # -- below ------------------------------------------------------------------------------

    def _read(
        self, pipe: Pipe, statement: Statement, values: list[bytes | None], types: tuple[int, ...]
    ) -> Answer:
        pipe.queue(statement.text, values, types)
        return pipe.answers()[-1]

    def _work(
        self, pipe: Pipe, statement: Statement, values: list[bytes | None], types: tuple[int, ...]
    ) -> Answer:
        """Carry out a statement of a transaction; the first one opens it and takes the lock."""
        self._queue_what_is_due(pipe)
        self._has_savepoint = statement.may_clash
        if statement.may_clash:
            pipe.queue(b"savepoint clash")
        pipe.queue(statement.text, values, types)
        if statement.may_clash:
            pipe.queue(b"release savepoint clash")
        try:
            answers = pipe.answers()
        except psycopg.errors.UniqueViolation:
            self._has_begun = True
            if statement.may_clash:
                pipe.queue(b"rollback to savepoint clash")
                pipe.answers()
            raise
        except psycopg.Error:
            self._has_begun = pipe.is_usable
            raise
        self._has_begun = True
        self._deferred.clear()
        answer = answers[-2] if statement.may_clash else answers[-1]
        if statement.is_write and answer.row_count:
            self._has_written = True
        return answer

    def _queue_what_is_due(self, pipe: Pipe) -> None:
        """Queue the beginning of the transaction, if it has none, and what was deferred."""
        if not self._has_begun:
            pipe.queue(b"begin")
            pipe.queue(_LOCK)
        for text, values, types in self._deferred:
            pipe.queue(text, values, types)

    def _commit(self, pipe: Pipe) -> None:
        self._queue_what_is_due(pipe)
        if self.is_ring_wanted:
            pipe.queue(_NOTIFY)
        pipe.queue(b"commit")
        if self._has_written:
            pipe.queue(_MAKE_DURABLE)
        self._has_begun = True
        try:
            answers = pipe.answers()
        except psycopg.Error as error:
            if pipe.is_usable:
                raise
            raise DatabaseUnavailable(
                f"{self._link.server} ended the connection while a change was being saved "
                f"({one_line(error)}): whether it was is not known; look before you try again"
            ) from error
        self._has_begun = False
        if not answers[-2 if self._has_written else -1].is_commit:
            raise DatabaseUnavailable(f"{self._link.server} undid a change instead of saving it")

    def _twice(self, act: Callable[[Pipe], _Result]) -> _Result:
        """Do it; on a dead connection once more, on a new one."""
        try:
            return act(self._open())
        except psycopg.Error as error:
            if not self._is_over(error):
                raise self._failed(error) from error
        return self._once(act)

    def _once(self, act: Callable[[Pipe], _Result]) -> _Result:
        try:
            return act(self._same() if self._has_begun else self._open())
        except psycopg.Error as error:
            self._is_over(error)
            raise self._failed(error) from error

    def _failed(self, error: psycopg.Error) -> SchedulerError:
        failure = translate(self._link.server, error)
        if not (self._has_savepoint and isinstance(failure, NotUnique)):
            self._failure = failure
        return failure

    def _is_over(self, error: psycopg.Error) -> bool:
        """Say whether the connection is dead; if so, close it."""
        pipe = self._pipe
        if pipe is not None and pipe.is_usable and error.sqlstate and not ends_connection(error):
            return False
        self.close()
        return True

    def _open(self) -> Pipe:
        if self._pipe is not None and not self._pipe.is_usable:
            self.close()
        if self._pipe is None:
            self._pipe = Pipe(self._link.connect(), _ANSWER_SEC)
            own_backends.add(self._pipe.backend)
        return self._pipe

    def _same(self) -> Pipe:
        """Return the connection that the transaction began on: no other will do."""
        if self._pipe is None or not self._pipe.is_usable:
            raise psycopg.OperationalError("it was interrupted")
        return self._pipe

    def _refuse_if_foreign(self) -> None:
        if self.is_foreign:
            raise DatabaseUnavailable(
                f"{self._link.server} has a transaction open that only the forked process can end"
            )
