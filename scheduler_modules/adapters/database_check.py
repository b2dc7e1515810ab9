"""Looks at a database file before anything opens it to write, and says plainly what is wrong."""

import enum
import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from scheduler_modules.errors import DatabaseUnavailable, DiskFull, SchedulerError

SCHEMA_VERSION = 2
VERSION_TABLE = "scheduler_alembic_version"
LOCK_WAIT_SEC = 30.0

# Tables of old programs, of the portal and of ours that may be first in a file we share, with
# columns that tell them from other programs' tables of the same name.
_SHAPES: dict[str, frozenset[str]] = {
    "project_queue": frozenset({"id", "spec_path", "status"}),
    "tasks": frozenset({"id", "session_name", "next_run"}),
    "scheduler_state": frozenset({"key", "value"}),
    "message_queue": frozenset({"message", "sequence_number"}),
    "sequence_generator": frozenset({"name", "current_value"}),
    "session_events": frozenset({"agent_id", "event_type"}),
    "agent_health": frozenset({"session_name", "agent_name"}),
    "agent_context": frozenset({"agent_id", "briefing_content"}),
    "scheduled_jobs": frozenset({"id", "name"}),
}
_MUST_FIT = ("project_queue", "tasks", "scheduler_state")

_DISK_IS_FULL_BYTES = 65_536
# The second: the index of the write-ahead log could not grow.
_IS_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
_MAY_BE_FULL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


# Reads the file as it is, without locks: nothing appears beside it.
_IMMUTABLE = "immutable=1"
_SMALLEST_BYTES = 512
_MAX_LOOKS = 5


class Standing(enum.Enum):
    """How a database file stands to this program."""

    MISSING = "missing"
    BEHIND = "behind"
    CURRENT = "current"


def real_path(path: Path) -> Path:
    """Return the absolute path of the file itself: SQLite's side files lie beside that.

    Raises:
        DatabaseUnavailable: no file can have such a path.
    """
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:
        raise DatabaseUnavailable(f"{str(path)!r} cannot be a database: {error}") from error


def check(path: Path) -> Standing:
    """Say whether the file is ours and up to date. It is not changed, nothing appears beside it.

    (A database that was left in the middle of a write is recovered, as any reader would.)

    Raises:
        DatabaseUnavailable: it cannot be opened or is not ours; the text says what to do.
    """
    looks_left = _MAX_LOOKS
    while True:
        looks_left -= 1
        before = _footprint(path)
        try:
            return _check_once(path)
        except DatabaseUnavailable:
            # A look without locks may meet another program's write half way.
            if not looks_left or _footprint(path) == before:
                raise


def translate(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> SchedulerError:
    """Return our error for one of SQLite's, in words that name the file and say what to do.

    UnicodeDecodeError: SQLite's own message quotes what is no text, as only damage makes it do.
    """
    if isinstance(error, UnicodeDecodeError):
        return damage(path, "its schema is no text")
    code = getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR
    primary = code & 0xFF
    if code in _IS_FULL or (primary in _MAY_BE_FULL and _disk_is_full(path)):
        return disk_full(path.parent)
    match primary:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            problem = "stayed locked by another program: try again"
        case sqlite3.SQLITE_CORRUPT:
            return damage(path, str(error))
        case sqlite3.SQLITE_NOTADB:
            problem = f"is not an SQLite database: {_restore_hint(path)}"
        case sqlite3.SQLITE_READONLY:
            problem = "cannot be written: check its owner and permissions"
        case sqlite3.SQLITE_CANTOPEN:
            problem = "cannot be opened: check that it and its folder may be read and written"
        case sqlite3.SQLITE_IOERR:
            problem = f"cannot be read or written ({error}): check the disk"
        case _:
            problem = f"cannot be used: {error}"
    return DatabaseUnavailable(f"{path} {problem}")


def damage(path: Path, how: str) -> DatabaseUnavailable:
    """Return the error for a file whose content is broken."""
    return DatabaseUnavailable(f"{path} is damaged ({how}): {_restore_hint(path)}")


def is_disk_full(error: OSError) -> bool:
    """Say whether a file operation failed for want of space."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def disk_full(folder: Path) -> DiskFull:
    """Return the error for no space left in a folder."""
    return DiskFull(
        f"{folder}: no space left on the disk; nothing was changed: make room, try again"
    )


def _disk_is_full(path: Path) -> bool:
    try:
        space = os.statvfs(path.parent)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < _DISK_IS_FULL_BYTES


def _check_once(path: Path) -> Standing:
    sides = [side for side in ("-wal", "-journal") if _size(_beside(path, side))]
    if not _exists(path):
        if sides:
            raise DatabaseUnavailable(
                f"{path} is missing but {path.name}{sides[0]} is there and may hold its last "
                f"writes: {_restore_hint(path)}, or move {path.name}{sides[0]} away"
            )
        return Standing.MISSING
    if not sides:
        return _standing(path, _IMMUTABLE)
    return _check_unfinished(path, "mode=rw" if "-journal" in sides else "mode=ro")


def _check_unfinished(path: Path, mode: str) -> Standing:
    """Check a file whose last writes lie beside it: in use, or left by a killed program."""
    # Another program's file is refused before its side files are touched.
    try:
        with _looking_at(path, _IMMUTABLE) as connection:
            tables = _tables(connection)
    except DatabaseUnavailable:
        tables = {}
    if tables:
        _refuse_foreign(path, tables)
    return _standing(path, mode)


def _standing(path: Path, mode: str) -> Standing:
    with _looking_at(path, mode) as connection:
        versions = _versions(connection)
        if mode == _IMMUTABLE:
            _refuse_cut_off(path, connection)
        if versions:
            return _standing_of(path, versions)
        _refuse_foreign(path, _tables(connection))
        return Standing.BEHIND


def _standing_of(path: Path, versions: list[str]) -> Standing:
    version = int(versions[0]) if versions[0].isdecimal() else 0
    if versions != [f"{version:04d}"] or version == 0:
        raise DatabaseUnavailable(
            f"{path} has an unknown schema version ({', '.join(versions)}): {_restore_hint(path)}"
        )
    if version > SCHEMA_VERSION:
        raise DatabaseUnavailable(
            f"{path} has schema version {version}, this program knows {SCHEMA_VERSION}: "
            "install the newer version of this program"
        )
    return Standing.CURRENT if version == SCHEMA_VERSION else Standing.BEHIND


def _refuse_foreign(path: Path, tables: dict[str, frozenset[str | None]]) -> None:
    if not tables or VERSION_TABLE in tables:
        return
    fitting = {name for name, shape in _SHAPES.items() if shape <= tables.get(name, set())}
    wrong = [name for name in _MUST_FIT if name in tables and name not in fitting]
    if fitting and not wrong:
        return
    names = sorted(tables)
    shown = ", ".join(wrong or names[:3]) + (", ..." if not wrong and len(names) > 3 else "")
    raise DatabaseUnavailable(
        f"{path} is another program's database (it has {shown}): set SCHEDULER_DB_URL or "
        "QUEUE_DB_PATH to another file"
    )


def _versions(connection: sqlite3.Connection) -> list[str]:
    known = connection.execute(
        "select 1 from sqlite_master where type = 'table' and name = ?", (VERSION_TABLE,)
    ).fetchone()
    if not known:
        return []
    # The name is a constant of ours.
    rows = connection.execute(f"select version_num from {VERSION_TABLE}")  # noqa: S608
    return [str(row[0]) for row in rows]


def _tables(connection: sqlite3.Connection) -> dict[str, frozenset[str | None]]:
    """Return the columns of every table; views and virtual tables show none."""
    rows = connection.execute(
        "select m.name, c.name from sqlite_master m left join pragma_table_info(m.name) c"
        " on m.type = 'table' and m.sql not like 'create virtual%'"
        " where m.type in ('table', 'view') and m.name not like 'sqlite\\_%' escape '\\'"
    )
    tables: dict[str, set[str | None]] = {}
    for table, column in rows:
        tables.setdefault(table, set()).add(column)
    return {table: frozenset(columns) for table, columns in tables.items()}


@contextmanager
def _looking_at(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    try:
        with closing(
            sqlite3.connect(
                f"{path.as_uri()}?{mode}", uri=True, timeout=LOCK_WAIT_SEC, isolation_level=None
            )
        ) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
            yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translate(path, error) from error


def _exists(path: Path) -> bool:
    """Say whether there is a file that can be a database; refuse what never can."""
    try:
        found = path.stat()
    except FileNotFoundError:
        if path.parent.is_dir():
            return False
        raise DatabaseUnavailable(
            f"{path}: the folder {path.parent} does not exist: make it, or correct the path"
        ) from None
    except (OSError, ValueError) as error:
        raise DatabaseUnavailable(f"{path} cannot be looked at: {_reason(error)}") from error
    if stat.S_ISDIR(found.st_mode):
        raise DatabaseUnavailable(f"{path} is a folder: name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise DatabaseUnavailable(f"{path} is not a regular file: name another one")
    if not os.access(path, os.R_OK):
        raise DatabaseUnavailable(f"{path} may not be read: check its owner and permissions")
    if found.st_size == 0:
        raise DatabaseUnavailable(
            f"{path} is empty (0 bytes): {_restore_hint(path)}, or delete it to start afresh"
        )
    if found.st_size < _SMALLEST_BYTES:
        raise DatabaseUnavailable(f"{path} is not an SQLite database: {_restore_hint(path)}")
    return True


def _refuse_cut_off(path: Path, connection: sqlite3.Connection) -> None:
    (page_bytes,) = connection.execute("pragma page_size").fetchone()
    if _size(path) % page_bytes:
        raise damage(path, "its end is missing")


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _restore_hint(path: Path) -> str:
    backups = path.parent / "backups"
    return f"restore a backup from {backups}" if backups.is_dir() else "restore a backup"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0


def _footprint(path: Path) -> tuple[object, ...]:
    """Return what changes when another program writes to the database."""
    found: list[tuple[int, int, int] | None] = []
    for suffix in ("", "-wal", "-journal"):
        try:
            status = _beside(path, suffix).stat()
        except (OSError, ValueError):
            found.append(None)
        else:
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)
