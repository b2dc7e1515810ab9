"""One connection in pipeline mode: many statements in one flush, their answers in one wait.

psycopg opens the connection; from there on this speaks libpq through `psycopg.pq`. A statement
costs the client a third of what a cursor in psycopg's own pipeline does, and on PostgreSQL every
writer waits for the one before it: what the client does inside a transaction, all others wait for.

Source: PostgreSQL's manual, "libpq: Pipeline Mode".
"""

import select
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

from scheduler_modules.adapters.sql_database import Row

_OK = frozenset({pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK})
_Key = tuple[bytes, tuple[int, ...]]


class Answer:
    """What one statement gave back."""

    def __init__(self, result: pq.abc.PGresult, connection: psycopg.Connection[Any]) -> None:
        self._result = result
        self._connection = connection

    @property
    def row_count(self) -> int:
        """How many rows it changed or gave."""
        return self._result.command_tuples or 0

    @property
    def is_commit(self) -> bool:
        return self._result.command_status == b"COMMIT"

    def rows(self) -> list[Row]:
        converter = Transformer.from_context(self._connection)
        converter.set_pgresult(self._result)
        return converter.load_rows(0, self._result.ntuples, tuple)

    def column_names(self) -> list[str]:
        names = (self._result.fname(column) or b"" for column in range(self._result.nfields))
        return [name.decode() for name in names]


class Pipe:
    """Sends what was queued, and reads as many answers. For one thread.

    Raises (any method):
        psycopg.Error: the server refuses one of the statements, and did none of those behind it;
            or the connection is over (not `is_usable`).
    """

    def __init__(self, connection: psycopg.Connection[Any], limit_sec: float) -> None:
        self._connection = connection
        self._server = connection.pgconn
        self.backend = self._server.backend_pid
        """The number of the server's process, by which notices tell who sent them."""
        self._limit_ms = int(limit_sec * 1000)
        self._socket = self._server.socket
        self._poll = select.poll()
        self._queued: list[bool] = []
        """For each command that was sent: whether its result is an answer to somebody."""
        self._prepared: dict[_Key, bytes] = {}
        self._unsure: list[_Key] = []
        self._named = 0
        self._is_clean = True
        self._server.nonblocking = 1
        self._server.enter_pipeline_mode()

    @property
    def is_usable(self) -> bool:
        """False: it is over, or somebody was interrupted while answers were due."""
        return self._is_clean and self._server.status != pq.ConnStatus.BAD

    def queue(
        self, text: bytes, values: Sequence[bytes | None] = (), types: tuple[int, ...] = ()
    ) -> None:
        """Let a statement go with the next flush. What is asked again is planned only once."""
        self._is_clean = False
        key = (text, types)
        name = self._prepared.get(key)
        if name is None:
            self._named += 1
            name = b"s%d" % self._named
            self._server.send_prepare(name, text, types)
            self._queued.append(False)
            self._prepared[key] = name
            self._unsure.append(key)
        self._server.send_query_prepared(name, values)
        self._queued.append(True)

    def answers(self) -> list[Answer]:
        """Flush; return the answers to what was queued since the last flush, in order."""
        self._server.pipeline_sync()
        queued, self._queued = self._queued, []
        while self._server.flush():
            # A server that waits for us to read would never read on itself.
            if self._wait(select.POLLIN | select.POLLOUT) & select.POLLIN:
                self._server.consume_input()
        results = [self._result() for _ in queued]
        # The sync's own, with no None behind it.
        self._next_result()
        self._is_clean = True
        refused = next((result for result in results if result.status not in _OK), None)
        if refused is not None:
            # Whether they were prepared is not known; their names are never used again.
            for key in self._unsure:
                self._prepared.pop(key, None)
        self._unsure.clear()
        if refused is not None:
            raise error_from_result(refused, encoding="utf-8")
        return [
            Answer(result, self._connection)
            for result, is_answer in zip(results, queued, strict=True)
            if is_answer
        ]

    def close(self) -> None:
        """End the connection; an open transaction is undone."""
        self._server.finish()

    def _result(self) -> pq.abc.PGresult:
        """Return the result of the next statement; the None behind it is taken too."""
        result = self._next_result()
        if result is None or self._server.status == pq.ConnStatus.BAD:
            said = self._server.get_error_message("utf-8").strip()
            self.close()
            if result is not None and result.error_field(pq.DiagnosticField.SQLSTATE):
                raise error_from_result(result, encoding="utf-8")
            raise psycopg.OperationalError(said or "the server closed the connection")
        self._next_result()
        return result

    def _next_result(self) -> pq.abc.PGresult | None:
        while self._server.is_busy():
            self._wait(select.POLLIN)
            self._server.consume_input()
        return self._server.get_result()

    def _wait(self, events: int) -> int:
        """Wait for the socket; one that stays silent for too long is taken for dead."""
        self._poll.register(self._socket, events)
        found = self._poll.poll(self._limit_ms)
        if not found:
            self.close()
            raise psycopg.OperationalError("no answer")
        return found[0][1]
