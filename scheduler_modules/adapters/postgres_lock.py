"""The lock of those who launch for one host from a PostgreSQL database."""

import logging
import os
import select
from typing import Any

import psycopg

from scheduler_modules.adapters.postgres_errors import translate
from scheduler_modules.adapters.postgres_link import APPLICATION, PostgresLink
from scheduler_modules.adapters.postgres_pipe import Pipe
from scheduler_modules.adapters.sql_database import Row
from scheduler_modules.errors import SchedulerError
from scheduler_modules.ports import Clock
from scheduler_modules.utils import one_line

logger = logging.getLogger(__name__)

_ANSWER_SEC = 5.0
_MAX_WORDS = 80
# Our first half keeps us apart from other programs' locks, the second the hosts from each other;
# a database may hold a queue in each of its schemas.
_OURS = 746_098_211
_KEY = "hashtext(concat(current_schema(), '/', $1::text))"
_TAKE = f"select pg_try_advisory_lock({_OURS}, {_KEY})".encode()
_GIVE_BACK = f"select pg_advisory_unlock({_OURS}, {_KEY})".encode()
_INTRODUCE = b"select set_config('application_name', $1::text, false)"
# Half of all keys are negative, and stand there as what their bits are without a sign.
_HOLDER = f"""
select activity.application_name
  from pg_locks held left join pg_stat_activity activity on activity.pid = held.pid
 where held.locktype = 'advisory' and held.granted and held.objsubid = 2
   and held.classid = {_OURS}::oid
   and held.objid = ({_KEY}::bigint & 4294967295)::oid
   and held.database = (select oid from pg_database where datname = current_database())
""".encode()  # noqa: S608 - of constants only


class PostgresLauncherLock:
    """The port `DutyLock`: it lives as long as the connection it was taken on.

    A connection that is lost is noticed without a question to the server, so looking is cheap.

    Raises (`try_acquire`):
        DatabaseUnavailable: the server cannot be asked now.

    Source: PostgreSQL's manual, "Advisory Locks".
    """

    def __init__(self, url: str, host: str, clock: Clock) -> None:
        # A daemon has other things to do than to wait here.
        self._link = PostgresLink(url, clock, patience_sec=0)
        self._host = host.encode(errors="surrogateescape")
        self._connection: psycopg.Connection[Any] | None = None
        self._pipe: Pipe | None = None
        self._is_taken = False

    @property
    def is_held(self) -> bool:
        return self._is_taken

    def try_acquire(self) -> bool:
        if not self.heartbeat():
            rows = self._ask(_TAKE)
            self._is_taken = rows[0][0] is True
        return self._is_taken

    def release(self) -> None:
        if self._is_taken and self._is_alive():
            try:
                # Without it the server lets go only when it has seen that we hung up.
                self._ask(_GIVE_BACK)
            except SchedulerError as error:
                logger.warning("lock_not_given_back", extra={"error": str(error)})
        self._hang_up()

    def heartbeat(self) -> bool:
        if self._is_taken and not self._is_alive():
            logger.error("lock_lost", extra={"server": self._link.server})
            self._hang_up()
        return self._is_taken

    def holder(self) -> str:
        if self._is_taken:
            return f"this process (pid {os.getpid()})"
        try:
            rows = self._ask(_HOLDER)
        except SchedulerError as error:
            return f"nobody knows whom: {error}"
        if not rows:
            return "nobody"
        return one_line(str(rows[0][0] or "another process"), _MAX_WORDS)

    def _ask(self, statement: bytes) -> list[Row]:
        """Ask the server; on a connection that turns out to be dead, not again."""
        try:
            return self._asked(self._open(), statement, self._host)
        except psycopg.Error as error:
            self._hang_up()
            raise translate(self._link.server, error) from error

    def _open(self) -> Pipe:
        if self._pipe is None or not self._is_alive():
            self._hang_up()
            self._connection = self._link.connect()
            self._pipe = Pipe(self._connection, _ANSWER_SEC)
            name = f"{APPLICATION}, pid {os.getpid()} on {os.uname().nodename}"
            self._asked(self._pipe, _INTRODUCE, name.encode(errors="replace"))
        return self._pipe

    def _asked(self, pipe: Pipe, statement: bytes, value: bytes) -> list[Row]:
        pipe.queue(statement, [value], (0,))
        return pipe.answers()[-1].rows()

    def _is_alive(self) -> bool:
        """Look, without waiting, whether the server has ended the connection."""
        if self._connection is None or self._pipe is None or not self._pipe.is_usable:
            return False
        server = self._connection.pgconn
        socket = select.poll()
        try:
            socket.register(server.socket, select.POLLIN)
            # Its last words may stand before the end.
            while socket.poll(0):
                server.consume_input()
        except psycopg.Error:
            return False
        return True

    def _hang_up(self) -> None:
        connection, self._connection, self._pipe = self._connection, None, None
        self._is_taken = False
        if connection is not None:
            connection.close()
