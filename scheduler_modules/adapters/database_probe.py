"""Looks at the queue's database from outside: whether it can be used, its size, its health.

Nothing is changed and nothing is made; a long look holds up nobody.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, LiteralString

from scheduler_modules.adapters.database_check import (
    SCHEMA_VERSION,
    Standing,
    check,
    real_path,
    translate,
)
from scheduler_modules.doctor_values import DatabaseFacts
from scheduler_modules.errors import SchedulerError

if TYPE_CHECKING:
    import psycopg

CHECK_SEC = 5.0
"""How long the quick check may take."""
_COMPLAINTS = 5
_STEPS_BETWEEN_LOOKS = 10_000
_VERSION: "LiteralString" = "select version_num from scheduler_alembic_version"
_NEWEST: "LiteralString" = "select at from event_log order by id desc limit 1"


class SqliteProbe:
    """One SQLite file."""

    def __init__(self, path: Path, *, check_sec: float = CHECK_SEC) -> None:
        self._path = path
        self._check_sec = check_sec

    def facts(self) -> DatabaseFacts:
        """Return all that can be seen; what is wrong is told, not raised."""
        place = str(self._path)
        try:
            path = real_path(self._path)
            if not path.parent.exists():
                # So it is before the first use: home itself is not made yet.
                return DatabaseFacts(place=place, is_there=False, version=sqlite3.sqlite_version)
            standing = check(path)
            if standing is Standing.MISSING:
                return DatabaseFacts(place=place, is_there=False, version=sqlite3.sqlite_version)
            return self._look(path, is_behind=standing is Standing.BEHIND)
        except SchedulerError as error:
            return DatabaseFacts(place=place, problem=str(error), version=sqlite3.sqlite_version)

    def is_current(self) -> bool:
        """Whether opening it would neither make nor change it."""
        try:
            path = real_path(self._path)
            return path.exists() and check(path) is Standing.CURRENT
        except SchedulerError:
            return False

    def _look(self, path: Path, *, is_behind: bool) -> DatabaseFacts:
        wal_bytes = _size(path.with_name(f"{path.name}-wal"))
        # Without a log beside it nobody writes to it: it can be read as it lies there.
        mode = "mode=ro" if wal_bytes else "immutable=1"
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)) as connection:
                pages, free, page_bytes = (
                    int(connection.execute(f"pragma {name}").fetchone()[0])
                    for name in ("page_count", "freelist_count", "page_size")
                )
                newest = None if is_behind else connection.execute(_NEWEST).fetchone()
                return DatabaseFacts(
                    place=str(self._path),
                    is_behind=is_behind,
                    version=sqlite3.sqlite_version,
                    size_bytes=pages * page_bytes,
                    free_bytes=free * page_bytes,
                    wal_bytes=wal_bytes,
                    damage=self._damage(connection),
                    newest_fact_at=newest[0] if newest else None,
                    backups=len(list((path.parent / "backups").glob(f"{path.stem}*"))),
                )
        except sqlite3.Error as error:
            raise translate(path, error) from error

    def _damage(self, connection: sqlite3.Connection) -> tuple[str, ...] | None:
        """Return what the quick check complains of; None: it took too long."""
        until = time.monotonic() + self._check_sec
        connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_LOOKS)
        try:
            rows = connection.execute(f"pragma quick_check({_COMPLAINTS})").fetchall()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                return None
            raise
        finally:
            connection.set_progress_handler(None, 0)
        return tuple(str(row[0]) for row in rows if row[0] != "ok")


class PostgresProbe:
    """One PostgreSQL database."""

    def __init__(self, url: str) -> None:
        self._url = url

    def facts(self) -> DatabaseFacts:
        """Return whether it can be reached; what is wrong is told, not raised."""
        try:
            import psycopg

            from scheduler_modules.adapters.postgres_errors import cannot_connect, server_of
        except ImportError:
            problem = "psycopg is not installed: pip install 'tmux-orchestrator[postgres]'"
            return DatabaseFacts(place="PostgreSQL", is_postgres=True, problem=problem)
        try:
            place = server_of(self._url)
        except SchedulerError as error:
            return DatabaseFacts(place="PostgreSQL", is_postgres=True, problem=str(error))
        try:
            with closing(psycopg.connect(self._url, connect_timeout=5)) as connection:
                return self._look(place, connection)
        except psycopg.Error as error:
            told = str(cannot_connect(place, error))
            return DatabaseFacts(place=place, is_postgres=True, problem=told)

    def is_current(self) -> bool:
        """Whether opening it would neither make nor change it."""
        facts = self.facts()
        return facts.problem is None and facts.is_there and not facts.is_behind

    def _look(self, place: str, connection: "psycopg.Connection") -> DatabaseFacts:
        (known,) = _row(connection, "select to_regclass('scheduler_alembic_version') is not null")
        version = _row(connection, _VERSION)[0] if known else None
        is_behind = version != f"{SCHEMA_VERSION:04d}"
        newest = None if is_behind else connection.execute(_NEWEST).fetchone()
        return DatabaseFacts(
            place=place,
            is_postgres=True,
            is_there=bool(known),
            is_behind=bool(known) and is_behind,
            version=str(_row(connection, "show server_version")[0]),
            newest_fact_at=newest[0] if newest else None,
        )


def _row(connection: "psycopg.Connection", query: LiteralString) -> tuple[object, ...]:
    return connection.execute(query).fetchone() or (None,)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
