"""Brings a database file up to date: one process at a time, backup first, all or nothing."""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from scheduler_modules.adapters.database_check import (
    LOCK_WAIT_SEC,
    SCHEMA_VERSION,
    Standing,
    check,
    damage,
    disk_full,
    is_disk_full,
    translate,
)
from scheduler_modules.errors import DatabaseUnavailable, SchedulerError

logger = logging.getLogger(__name__)

_SIDES = ("", "-journal", "-wal", "-shm")


def upgrade(path: Path) -> None:
    """Make the database, or migrate it, unless another process has done so meanwhile.

    Killed at any moment it leaves the old database or the new one, never a half.

    Raises:
        DatabaseUnavailable: it cannot be opened, is not ours or is damaged; it was not changed.
        DiskFull: no space is left; it was not changed.
    """
    try:
        with _alone(path):
            if check(path) is Standing.MISSING:
                _create(path)
            if check(path) is Standing.BEHIND:
                _migrate(path)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translate(path, error) from error
    except OSError as error:
        raise _of_files(path, error) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process makes or migrates this database."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    lock = os.open(path.with_name(f"{path.name}.migrate.lock"), flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _create(path: Path) -> None:
    """Build the database under another name and put it in place whole."""
    fresh = path.with_name(f".{path.name}.new")
    _discard(fresh)
    try:
        _run_revisions(fresh, "rwc", lambda _: None)
        with closing(_connect(fresh, "rw")) as connection:
            connection.execute("pragma journal_mode=wal")
        # Not a rename: an old program may have made the file at this very moment.
        os.link(fresh, path)
    except FileExistsError:
        return
    finally:
        _discard(fresh)
    _sync_folder(path.parent)
    logger.info("database_created", extra={"path": str(path), "version": SCHEMA_VERSION})


def _migrate(path: Path) -> None:
    backups: list[Path] = []
    try:
        _run_revisions(path, "rw", lambda connection: backups.append(_back_up(path, connection)))
    except BaseException:
        # The file is as it was. A copy for each vain attempt would fill the disk.
        for backup in backups:
            backup.unlink(missing_ok=True)
        raise
    logger.info(
        "database_migrated",
        extra={"path": str(path), "version": SCHEMA_VERSION, "backup": str(backups[0])},
    )


def _run_revisions(path: Path, mode: str, before: Callable[[Connection], None]) -> None:
    """Run all revisions in one transaction that begins with `before`."""
    engine = create_engine("sqlite://", creator=lambda: _connect(path, mode), poolclass=NullPool)
    event.listen(engine, "begin", lambda begun: begun.exec_driver_sql("begin immediate"))
    try:
        with engine.begin() as connection:
            before(connection)
            run_alembic(connection)
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise error.orig from error
        raise


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}", uri=True, timeout=LOCK_WAIT_SEC, isolation_level=None
    )


def run_alembic(connection: Connection) -> None:
    """Run the revisions that are missing, inside the connection's transaction."""
    # Its own lines would tell what `database_migrated` tells, at greater length.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    command.upgrade(config, "head")


def _back_up(path: Path, connection: Connection) -> Path:
    """Copy the database as it stands before the change; return the copy.

    The caller holds the right to write, so no commit falls between copy and change.
    """
    for (verdict,) in connection.exec_driver_sql("pragma quick_check(1)"):
        if verdict != "ok":
            raise damage(path, verdict)
    (moment,) = connection.exec_driver_sql("select strftime('%Y%m%dT%H%M%SZ', 'now')").one()
    folder = path.parent / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    backup = folder / f"{path.stem}-{moment}{path.suffix}"
    partial = folder / f".{backup.name}.partial"
    _discard(partial)
    with (
        closing(_connect(path, "rw")) as source,
        closing(_connect(partial, "rwc")) as target,
    ):
        source.backup(target)
        target.execute("pragma journal_mode=delete")
    partial.replace(backup)
    _sync_folder(folder)
    return backup


def _discard(path: Path) -> None:
    for side in _SIDES:
        path.with_name(path.name + side).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _of_files(path: Path, error: OSError) -> SchedulerError:
    if is_disk_full(error):
        return disk_full(path.parent)
    return DatabaseUnavailable(
        f"{path} cannot be made or migrated: {error.strerror} ({error.filename or path.parent})"
    )
