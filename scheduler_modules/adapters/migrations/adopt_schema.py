"""The schema of revision 1: the old program's tables as it made them, and ours beside them."""

import logging

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

logger = logging.getLogger(__name__)

# In the old program's physical order, which `--queue-list` shows: 14 columns it creates, 4 it adds
# when it starts, 2 that it reads and that only hosts mended by hand had.
_OLD_TABLES = {
    "tasks": (
        "id INTEGER PRIMARY KEY AUTOINCREMENT",
        "session_name TEXT NOT NULL",
        "agent_role TEXT NOT NULL",
        "window_index INTEGER NOT NULL",
        "next_run REAL NOT NULL",
        "interval_minutes INTEGER NOT NULL",
        "note TEXT",
        "last_run REAL",
        "created_at REAL DEFAULT (strftime('%s', 'now'))",
        "retry_count INTEGER DEFAULT 0",
        "max_retries INTEGER DEFAULT 3",
    ),
    "project_queue": (
        "id INTEGER PRIMARY KEY AUTOINCREMENT",
        "spec_path TEXT NOT NULL",
        "project_path TEXT",
        "status TEXT DEFAULT 'queued'",
        "enqueued_at REAL DEFAULT (strftime('%s', 'now'))",
        "started_at REAL",
        "completed_at REAL",
        "priority INTEGER DEFAULT 0",
        "error_message TEXT",
        "batch_id TEXT",
        "retry_count INTEGER DEFAULT 0",
        "enhanced_spec_path TEXT",
        "orchestrator_session TEXT",
        "main_session TEXT",
        "spec_requirements TEXT",
        "validation_score REAL DEFAULT 0",
        "validation_details TEXT",
        "spec_version TEXT",
        "session_name TEXT",
        "fresh_start BOOLEAN DEFAULT 0",
    ),
    "scheduler_state": ("key TEXT PRIMARY KEY", "value TEXT"),
}

_NEW_TABLES = """
create table if not exists project_plan (
    project_id integer primary key,
    name text,
    base_dir text,
    spec_key text,
    project_key text,
    not_before real,
    retries_used integer not null default 0
);
create table if not exists project_dependency (
    project_id integer not null,
    position integer not null,
    spec_key text not null,
    primary key (project_id, position)
);
create table if not exists project_run (
    id integer primary key autoincrement,
    project_id integer not null,
    attempt integer not null,
    token text not null unique,
    host text not null,
    daemon_id text not null,
    session_name text not null,
    phase text not null,
    claimed_at real not null,
    launches integer not null default 0,
    session_id text,
    main_pane_id text,
    verify_pane_id text,
    server_pid integer,
    server_started_at integer,
    started_at real,
    boot_id text,
    started_boot_sec real,
    plan text,
    reported text,
    reported_note text,
    exit_code integer,
    outcome text,
    reason text,
    ended_at real,
    cleaned_at real
);
create table if not exists event_log (
    id integer primary key autoincrement,
    at real not null,
    name text not null,
    project_id integer,
    run_id integer,
    detail text not null default '{}'
);
create table if not exists event_cursor (
    listener text primary key,
    fact_id integer not null
);
"""

_INDEXES = """
create index if not exists idx_project_queue_status on project_queue(status);
create index if not exists idx_project_queue_priority on project_queue(priority, enqueued_at);
create index if not exists idx_project_queue_batch on project_queue(batch_id);
create index if not exists idx_project_queue_retry on project_queue(retry_count);
create index if not exists idx_project_queue_main_session on project_queue(main_session);
create index if not exists idx_project_queue_spec on project_queue(spec_path);
create index if not exists idx_project_queue_claim
    on project_queue(priority desc, enqueued_at, id) where status = 'queued';
create index if not exists idx_project_plan_spec_key on project_plan(spec_key);
create index if not exists idx_project_dependency_spec_key on project_dependency(spec_key);
create index if not exists idx_project_run_project on project_run(project_id);
create index if not exists idx_project_run_unfinished
    on project_run(project_id) where ended_at is null or cleaned_at is null;
create index if not exists idx_event_log_project on event_log(project_id);
"""

_UNIQUE_INDEXES = {
    "idx_unique_active_project": (
        "spec_path, project_path",
        "status in ('queued', 'processing')",
    ),
    "idx_unique_processing_session": (
        "main_session",
        "status = 'processing' and main_session is not null",
    ),
}


def adopt(connection: Connection) -> None:
    """Add the tables, columns and indexes that are missing; change nothing that is there."""
    for table, columns in _OLD_TABLES.items():
        _add_table_or_columns(connection, table, columns)
    for statement in filter(str.strip, (_NEW_TABLES + _INDEXES).split(";")):
        connection.exec_driver_sql(statement)
    for name, (columns_of_index, condition) in _UNIQUE_INDEXES.items():
        _add_unique_index(connection, name, columns_of_index, condition)


def _add_table_or_columns(connection: Connection, table: str, columns: tuple[str, ...]) -> None:
    rows = connection.exec_driver_sql(f"pragma table_info({table})")
    present = {row[1].lower() for row in rows}
    if not present:
        connection.exec_driver_sql(f"create table {table} ({', '.join(columns)})")
        return
    for column in columns:
        if column.split()[0] not in present:
            connection.exec_driver_sql(f"alter table {table} add column {_addable(column)}")


def _addable(column: str) -> str:
    """Return the column without what SQLite cannot add to a table that has rows."""
    return column.partition(" DEFAULT (")[0].replace(" NOT NULL", "")


def _add_unique_index(connection: Connection, name: str, columns: str, condition: str) -> None:
    try:
        connection.exec_driver_sql(
            f"create unique index if not exists {name} on project_queue({columns})"
            f" where {condition}"
        )
    except IntegrityError:
        # Old rows break the rule. They are worth more than the index.
        logger.warning("database_index_skipped", extra={"index": name, "columns": columns})
