"""Opens the queue's tables in a PostgreSQL database."""

import functools
import threading
from collections.abc import Mapping
from typing import Any

import msgspec

from scheduler_modules.adapters import store_rows as convert
from scheduler_modules.adapters.database_check import SCHEMA_VERSION
from scheduler_modules.adapters.named_sql import load_statements
from scheduler_modules.adapters.postgres_sql import PostgresStatements, for_postgres
from scheduler_modules.adapters.store import SqlStore, is_standing_only
from scheduler_modules.errors import DatabaseUnavailable
from scheduler_modules.model import Claimable, Project, Run
from scheduler_modules.ports import Clock

try:
    from scheduler_modules.adapters.postgres_database import PostgresDatabase
    from scheduler_modules.adapters.postgres_errors import MissingTable, Unreachable
    from scheduler_modules.adapters.postgres_link import PATIENCE_SEC, PostgresLink
except ImportError as error:
    raise DatabaseUnavailable(
        f"PostgreSQL needs its driver ({error}): pip install 'tmux-orchestrator[postgres]'"
    ) from error


def open_postgres_store(
    url: str, *, clock: Clock | None = None, patience_sec: float = PATIENCE_SEC
) -> SqlStore:
    """Open the queue's database; make its tables where there are none, migrate old ones.

    Only a schema that is behind loads Alembic. `patience_sec` is how long a call waits for a
    server that cannot be reached. One that cannot be reached now is looked at by the first call
    that reaches it: a daemon may be started before its database.

    Raises:
        DatabaseUnavailable: it is not ours; it was left as it is.
        DiskFull: no space is left to make or migrate it.
    """
    link = PostgresLink(url, clock, patience_sec=patience_sec)
    database = PostgresDatabase(link, _statements())
    check = functools.partial(_bring_up_to_date, link, database)
    try:
        check()
    except Unreachable:
        database.check_first(check)
    return PostgresStore(database)


def _bring_up_to_date(link: PostgresLink, database: PostgresDatabase) -> None:
    if not _is_current(link.server, database):
        from scheduler_modules.adapters import migrate_postgres

        migrate_postgres.upgrade(link)


class PostgresStore(SqlStore):
    """The store over SQL, with a claim in two round trips, because all other writers wait for it.

    The first asks what runs next and takes numbers for the run and for the fact that will tell of
    it. So nothing that follows has an answer anybody needs, and it goes along with the commit. A
    start that finds its project changed is an error there, and nothing is committed; only a
    program that does not take our lock could bring that about.
    """

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(database)
        self._postgres = database
        self._claim = threading.local()

    def next_claimable(self, now: float, host: str, max_running: int) -> Claimable | None:
        if not self._postgres.in_transaction:
            return super().next_claimable(now, host, max_running)
        rows = self._postgres.rows(
            "next_claimable_numbered", now=now, host=host, max_running=max_running
        )
        if not rows:
            return None
        *columns, attempts, run_id, fact_id = rows[0]
        project = convert.project_from_row(tuple(columns))
        self._claim.project, self._claim.run_id, self._claim.fact_id = project, run_id, fact_id
        return Claimable(project, attempts)

    def start_run(self, before: Project, after: Project, run: Run) -> Run | None:
        is_claimed = self._taken("project") is before and self._postgres.in_transaction
        if not (is_claimed and is_standing_only(before, after)):
            return super().start_run(before, after, run)
        run = msgspec.structs.replace(run, id=self._claim.run_id)
        row = {f"run_{name}": value for name, value in convert.run_to_row(run).items()}
        row |= convert.project_to_row(after)
        self._postgres.defer("start_run", stored_status=before.stored_status, **row)
        return run

    def add_fact(
        self,
        name: str,
        at: float,
        project_id: int | None = None,
        run_id: int | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        fact_id = self._taken("fact_id")
        if fact_id is None or not self._postgres.in_transaction:
            return super().add_fact(name, at, project_id, run_id, detail)
        self._postgres.defer(
            "put_fact",
            id=fact_id,
            name=name,
            at=at,
            project_id=project_id,
            run_id=run_id,
            detail=convert.detail_to_text(detail or {}),
        )
        return int(fact_id)

    def _taken(self, what: str) -> Any:
        """Return something of this thread's claim, once; None if there is none."""
        return self._claim.__dict__.pop(what, None)


@functools.cache
def _statements() -> PostgresStatements:
    return for_postgres(load_statements("postgres"))


def _is_current(server: str, database: PostgresDatabase) -> bool:
    """Compare the one stored number; False: the tables are missing or behind."""
    try:
        versions = [str(version) for (version,) in database.rows("schema_versions")]
    except MissingTable:
        return False
    version = int(versions[0]) if versions and versions[0].isdecimal() else 0
    if versions and (versions != [f"{version:04d}"] or version == 0):
        raise DatabaseUnavailable(
            f"{server} has an unknown schema version ({', '.join(versions)}): restore a backup"
        )
    if version > SCHEMA_VERSION:
        raise DatabaseUnavailable(
            f"{server} has schema version {version}, this program knows {SCHEMA_VERSION}: "
            "install the newer version of this program"
        )
    return version == SCHEMA_VERSION
