"""Opens the queue's tables in an SQLite file."""

from collections.abc import Callable
from pathlib import Path

from scheduler_modules.adapters.database import Database
from scheduler_modules.adapters.database_check import LOCK_WAIT_SEC, Standing, check, real_path
from scheduler_modules.adapters.named_sql import load_statements
from scheduler_modules.adapters.store import SqlStore


def open_sqlite_store(
    path: Path,
    *,
    lock_wait_sec: float = LOCK_WAIT_SEC,
    ring: Callable[[], None] = lambda: None,
) -> SqlStore:
    """Open the queue's database; make it where there is none, migrate it where it is old.

    Only a schema that is behind loads Alembic. The folder must be there. `lock_wait_sec` is how
    long a call waits for other programs that write; `ring` wakes those who wait for our commits.

    Raises:
        DatabaseUnavailable: it cannot be opened or is not ours; the file was left as it is.
        DiskFull: no space is left to make or migrate it.
    """
    path = real_path(path)
    if check(path) is not Standing.CURRENT:
        from scheduler_modules.adapters import migrate

        migrate.upgrade(path)
    return SqlStore(Database(path, load_statements("sqlite"), lock_wait_sec, ring))
