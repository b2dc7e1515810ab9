"""Wakes the daemon when anybody else commits to the PostgreSQL database."""

import contextlib
import os
import threading
from typing import Any

import psycopg

from scheduler_modules.adapters.postgres_link import CHANNEL, own_backends, plain_connection

_FIRST_PAUSE_SEC = 0.5
_LONGEST_PAUSE_SEC = 5.0


class PostgresBell:
    """The port `WakeupSource`: notices of commits, on a connection of its own.

    Connecting is done by a thread, so nobody who waits is held up by it; while the server cannot
    be reached it tries again after 0.5 s, then after twice as long each time, up to 5 s. What was
    said meanwhile is lost: the first success counts as a notice. Our own commits do not wake us.

    Source: PostgreSQL's manual, NOTIFY and "libpq: Asynchronous Notification".
    """

    reason = "database"
    poll_sec = 5.0

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        self._arrived: psycopg.Connection[Any] | None = None
        self._guard = threading.Lock()
        self._is_closed = threading.Event()
        self._arrival = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._call()

    def fileno(self) -> int:
        if self._is_closed.is_set():
            return -1
        return self._arrival if self._connection is None else self._connection.fileno()

    def drain(self) -> bool:
        """Take in what has come; True: others committed something, or may have."""
        if self._is_closed.is_set():
            return False
        if self._connection is None:
            return self._take_arrived()
        try:
            return self._hear(self._connection)
        except psycopg.Error:
            self._connection.close()
            self._connection = None
            self._call()
            return False

    def close(self) -> None:
        """Listen no longer."""
        if self._is_closed.is_set():
            return
        with self._guard:
            self._is_closed.set()
            os.close(self._arrival)
            arrived, self._arrived = self._arrived, None
        for connection in (self._connection, arrived):
            if connection is not None:
                connection.close()
        self._connection = None

    def _hear(self, connection: psycopg.Connection[Any]) -> bool:
        """Read what is there, without waiting."""
        connection.pgconn.consume_input()
        is_new = False
        while (notice := connection.pgconn.notifies()) is not None:
            is_new |= notice.be_pid not in own_backends
        return is_new

    def _take_arrived(self) -> bool:
        with self._guard, contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._arrival)
            self._connection, self._arrived = self._arrived, None
        return self._connection is not None

    # -- the thread that connects -----------------------------------------------------------

    def _call(self) -> None:
        threading.Thread(target=self._connect, name="postgres-bell", daemon=True).start()

    def _connect(self) -> None:
        """Try until a connection listens, or the bell is closed."""
        pause_sec = _FIRST_PAUSE_SEC
        while not self._is_closed.is_set():
            try:
                connection = plain_connection(self._url)
                connection.execute(f"listen {CHANNEL}".encode())
            except psycopg.Error:
                self._is_closed.wait(pause_sec)
                pause_sec = min(2 * pause_sec, _LONGEST_PAUSE_SEC)
            else:
                self._hand_over(connection)
                return

    def _hand_over(self, connection: psycopg.Connection[Any]) -> None:
        with self._guard:
            if self._is_closed.is_set():
                connection.close()
                return
            self._arrived = connection
            os.eventfd_write(self._arrival, 1)
