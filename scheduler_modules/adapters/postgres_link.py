"""Opens connections to one PostgreSQL database, with a back-off while it cannot be reached."""

import threading
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.postgres_errors import (
    Unreachable,
    cannot_connect,
    is_for_good,
    server_of,
)
from scheduler_modules.ports import Clock

CHANNEL = "tmux_orchestrator"
"""What commits are told on to whoever listens."""
own_backends: set[int] = set()
"""The server's processes that work for this one: what they tell, we know already."""
APPLICATION = "tmux-orchestrator"
LOCK_WAIT_SEC = 30
PATIENCE_SEC = 5.0
_FIRST_PAUSE_SEC = 0.1
_LONGEST_PAUSE_SEC = 5.0

# A host that vanished without a word is noticed after 10 s.
_DEFAULTS: dict[str, Any] = {
    "application_name": APPLICATION,
    "connect_timeout": 5,
    "client_encoding": "UTF8",
    "keepalives": 1,
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# A stopped process must not keep all others from writing for ever. How commits become durable is
# told in `postgres_database`.
_OPTIONS = (
    f"-c lock_timeout={LOCK_WAIT_SEC}s -c statement_timeout={LOCK_WAIT_SEC * 2}s"
    f" -c idle_in_transaction_session_timeout={LOCK_WAIT_SEC}s -c synchronous_commit=off"
    " -c client_min_messages=warning -c standard_conforming_strings=on"
    # A plan made anew each time takes longer than all the rest of a claim (0.6 of 0.75 ms).
    " -c plan_cache_mode=force_generic_plan"
    # Such a plan may be made while its tables are empty, and stays for long: it must not be to
    # read them through, which is right then and slower with each row that comes.
    " -c enable_seqscan=off"
    # While the server has no statistics it guesses costs so high that it would compile a claim to
    # machine code each time it runs (25 ms). A table without an index to use is guessed higher.
    " -c jit=off"
)


class PostgresLink:
    """Connects on behalf of several threads: together they never knock more often than one.

    While the server cannot be reached, tries are 0.1 s apart, then twice as long each time, up to
    5 s. A call waits `patience_sec` counted from the first failure; after that it fails at once
    unless a try is due, so that a daemon can say what it waits for.
    """

    def __init__(
        self, url: str, clock: Clock | None = None, *, patience_sec: float = PATIENCE_SEC
    ) -> None:
        self.server = server_of(url)
        """What to call the database in messages."""
        self._url = url
        self._clock = clock or SystemClock()
        self._patience_sec = patience_sec
        self._gate = threading.Lock()
        self._pause = threading.Event()
        self._down_since: float | None = None
        self._next_try = 0.0
        self._pause_sec = _FIRST_PAUSE_SEC
        self._failure = ""

    def connect(self) -> psycopg.Connection[Any]:
        """Return a new connection, in autocommit mode.

        Raises:
            Unreachable: it cannot be had for now; the text says why and what to do.
        """
        with self._gate:
            while True:
                self._wait_for_turn()
                try:
                    connection = plain_connection(self._url)
                except psycopg.Error as error:
                    self._note_failure(error)
                else:
                    self._note_success()
                    return connection

    def _wait_for_turn(self) -> None:
        """Return when a try is due; raise where that is too long to wait."""
        left_sec = self._next_try - self._clock.since_boot_sec()
        if self._down_since is None or left_sec <= 0:
            return
        if self._next_try > self._down_since + self._patience_sec:
            raise Unreachable(self._failure)
        self._pause.wait(left_sec)

    def _note_failure(self, error: psycopg.Error) -> None:
        now = self._clock.since_boot_sec()
        failure = cannot_connect(self.server, error)
        self._failure = str(failure)
        if self._down_since is None:
            self._down_since, self._pause_sec = now, _FIRST_PAUSE_SEC
        self._next_try = now + self._pause_sec
        self._pause_sec = min(2 * self._pause_sec, _LONGEST_PAUSE_SEC)
        if is_for_good(error):
            raise failure from error

    def _note_success(self) -> None:
        self._down_since = None

    def after_fork_in_child(self) -> None:
        """Forget a thread that was connecting and did not come along."""
        self._gate = threading.Lock()


def plain_connection(url: str) -> psycopg.Connection[Any]:
    """Return a connection with our settings; what the URL says comes before them.

    Raises:
        psycopg.Error: it cannot be had.
    """
    given = conninfo_to_dict(url)
    options = f"{_OPTIONS} {given.get('options') or ''}".strip()
    settings = {**_DEFAULTS, **given, "options": options}
    return psycopg.connect(make_conninfo(url, **settings), autocommit=True)
