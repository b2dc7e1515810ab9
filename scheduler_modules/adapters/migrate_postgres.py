"""Makes our tables in a PostgreSQL database, or brings them up to date: all or nothing."""

import logging
from typing import Any

import psycopg
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from scheduler_modules.adapters.database_check import SCHEMA_VERSION, VERSION_TABLE
from scheduler_modules.adapters.migrate import run_alembic
from scheduler_modules.adapters.postgres_errors import translate
from scheduler_modules.adapters.postgres_link import PostgresLink
from scheduler_modules.adapters.postgres_session import WRITE_LOCK
from scheduler_modules.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

_OUR_TABLES = (
    *("project_queue", "tasks", "scheduler_state"),
    *("project_plan", "project_dependency", "project_run", "event_log", "event_cursor"),
)


def upgrade(link: PostgresLink) -> None:
    """Make the tables, or migrate them, unless another process has done so meanwhile.

    It is one transaction. Meanwhile nobody else can write, as in any transaction of ours. There
    is no way back but a backup (`pg_dump`).

    Raises:
        DatabaseUnavailable: it cannot be reached, is not ours, or may not be changed by us.
        DiskFull: no space is left; it was not changed.
    """
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: _connect(link), poolclass=NullPool
    )
    try:
        with engine.begin() as connection:
            for statement in (
                "set local statement_timeout = 0",
                "set local synchronous_commit = on",
                f"select pg_advisory_xact_lock({WRITE_LOCK})",
            ):
                connection.exec_driver_sql(statement)
            before = _version(connection)
            if before is None:
                _refuse_unsuitable(link.server, connection)
            run_alembic(connection)
            after = _version(connection)
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise translate(link.server, error.orig) from error
        raise
    if before != after:
        logger.info(
            "database_created" if before is None else "database_migrated",
            extra={"server": link.server, "version": SCHEMA_VERSION},
        )


def _connect(link: PostgresLink) -> "psycopg.Connection[Any]":
    connection = link.connect()
    connection.autocommit = False
    return connection


def _version(connection: Connection) -> str | None:
    """Return the version that is stored; None where there are no tables of ours."""
    ((table,),) = connection.exec_driver_sql(f"select to_regclass('{VERSION_TABLE}')")
    if table is None:
        return None
    # The name is a constant of ours.
    rows = connection.exec_driver_sql(f"select version_num from {VERSION_TABLE}")  # noqa: S608
    return next((str(version) for (version,) in rows), None)


def _refuse_unsuitable(server: str, connection: Connection) -> None:
    """Raise where our tables cannot be made: other tables in their place, or no Unicode."""
    ((encoding,),) = connection.exec_driver_sql("show server_encoding")
    if encoding != "UTF8":
        raise DatabaseUnavailable(
            f"{server} keeps text as {encoding}: make a database with encoding UTF8"
        )
    taken = [
        table
        for table in _OUR_TABLES
        for (found,) in connection.exec_driver_sql(f"select to_regclass('{table}')")
        if found is not None
    ]
    if taken:
        raise DatabaseUnavailable(
            f"{server} is another program's database (it has {', '.join(taken[:3])}): "
            "set SCHEDULER_DB_URL to another one"
        )
