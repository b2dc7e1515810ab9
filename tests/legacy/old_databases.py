"""Builds `task_queue.db` files as old programs left them, one builder for each form seen.

`VARIANTS` holds them by name. Each writes a few projects, the newest form of every table it knows,
and leaves a closed file behind.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

BASE_COLUMNS = (
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
)
START_UP_COLUMNS = (
    "spec_requirements TEXT",
    "validation_score REAL DEFAULT 0",
    "validation_details TEXT",
    "spec_version TEXT",
)
COMMON_COLUMNS = (
    "session_name TEXT",
    "fresh_start BOOLEAN DEFAULT 0",
    "merged_status TEXT",
    "merged_at REAL",
)
TASKS = """
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, session_name TEXT NOT NULL, agent_role TEXT NOT NULL,
    window_index INTEGER NOT NULL, next_run REAL NOT NULL, interval_minutes INTEGER NOT NULL,
    note TEXT, last_run REAL, created_at REAL DEFAULT (strftime('%s','now')),
    retry_count INTEGER DEFAULT 0, max_retries INTEGER DEFAULT 3);
INSERT INTO tasks (session_name, agent_role, window_index, next_run, interval_minutes, note)
VALUES ('web-impl-1234abcd', 'Tester', 3, 1700000000.5, 30, 'Tester regular check-in');
CREATE TABLE scheduler_state (key TEXT PRIMARY KEY, value TEXT);
INSERT INTO scheduler_state VALUES ('last_boot_time', '1699990000.0');
"""
INDEXES = """
CREATE UNIQUE INDEX idx_unique_active_project ON project_queue(spec_path, project_path)
    WHERE status IN ('queued', 'processing');
CREATE UNIQUE INDEX idx_unique_processing_session ON project_queue(main_session)
    WHERE status = 'processing' AND main_session IS NOT NULL;
CREATE INDEX idx_project_queue_status ON project_queue(status);
CREATE INDEX idx_project_queue_priority ON project_queue(priority, enqueued_at);
CREATE INDEX idx_project_queue_batch ON project_queue(batch_id);
CREATE INDEX idx_project_queue_retry ON project_queue(retry_count);
CREATE INDEX idx_project_queue_main_session ON project_queue(main_session);
"""
ROWS = """
INSERT INTO project_queue (id, spec_path, project_path, status, enqueued_at, priority) VALUES
    (3, '/specs/a.md', NULL, 'queued', 1700000001.0, 0),
    (4, '/specs/b.md', '/web', 'processing', 1700000002.0, 5),
    (7, '/specs/c.md', '/api', 'failed', 1700000003.0, 0);
"""
MESSAGES = """
CREATE TABLE migrations (name TEXT PRIMARY KEY, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
INSERT INTO migrations (name) VALUES ('agent_id_rename'), ('hooks_enhancement');
CREATE TABLE message_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT, agent_id TEXT NOT NULL, message TEXT NOT NULL,
    priority INTEGER DEFAULT 0, sequence_number INTEGER NOT NULL DEFAULT 0,
    dependency_id INTEGER REFERENCES message_queue(id), project_name TEXT,
    status TEXT DEFAULT 'pending', enqueued_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    pulled_at TIMESTAMP, delivered_at TIMESTAMP, delivery_method TEXT DEFAULT 'queued',
    fifo_scope TEXT DEFAULT 'agent');
INSERT INTO message_queue (agent_id, message, sequence_number) VALUES ('web:1', 'go on', 1);
CREATE TABLE sequence_generator (name TEXT PRIMARY KEY, current_value INTEGER DEFAULT 0);
INSERT INTO sequence_generator VALUES ('message_sequence', 1);
CREATE TABLE agents (agent_id TEXT PRIMARY KEY, project_name TEXT, status TEXT DEFAULT 'active');
"""


def build(path: Path, *scripts: str) -> Path:
    """Run the scripts on a new file."""
    with closing(sqlite3.connect(path)) as connection:
        for script in scripts:
            connection.executescript(script)
    return path


def queue_table(*columns: str) -> str:
    return f"CREATE TABLE project_queue ({', '.join(columns)});"


def with_14_columns(path: Path) -> Path:
    """Return a file whose program was ended before it added its four."""
    return build(path, queue_table(*BASE_COLUMNS), TASKS, ROWS)


def with_18_columns(path: Path) -> Path:
    """Return what the old program makes of an empty folder."""
    added = [f"ALTER TABLE project_queue ADD COLUMN {column};" for column in START_UP_COLUMNS]
    return build(path, queue_table(*BASE_COLUMNS), *added, TASKS, INDEXES, ROWS)


def with_22_columns(path: Path) -> Path:
    """Return what the author's host had, and the message tables with it."""
    columns = (*BASE_COLUMNS, *START_UP_COLUMNS, *COMMON_COLUMNS)
    return build(
        path,
        queue_table(*columns),
        TASKS,
        INDEXES,
        "CREATE INDEX idx_merged_status ON project_queue(merged_status);",
        ROWS,
        "UPDATE project_queue SET session_name = 'b-impl-1234abcd' WHERE id = 4;",
        MESSAGES,
    )


def with_other_positions(path: Path) -> Path:
    """Return a file whose columns stand in another order, some of them unknown to us."""
    columns = (
        BASE_COLUMNS[0],
        "session_name TEXT",
        "fresh_start INTEGER DEFAULT 0",
        "log_file TEXT",
        *reversed(BASE_COLUMNS[1:]),
        "process_pid INTEGER",
    )
    return build(path, queue_table(*columns), TASKS, ROWS)


def with_few_columns(path: Path) -> Path:
    """Return a file that has only what nothing can do without."""
    rows = "INSERT INTO project_queue VALUES (3, '/specs/a.md', 'queued'), (9, 'b.md', 'failed');"
    columns = ("id INTEGER PRIMARY KEY", "spec_path TEXT NOT NULL", "status TEXT")
    return build(path, queue_table(*columns), rows)


def with_swallowing_constraint(path: Path) -> Path:
    """Return the rival table of `queue_status.py`, which ignores rows without a word."""
    columns = (
        *BASE_COLUMNS[:12],
        "log_file TEXT",
        "fresh_start INTEGER DEFAULT 0",
        "auto_orchestrate_args TEXT",
        "failed_components TEXT",
        "research_session_id TEXT",
        "UNIQUE(spec_path, status) ON CONFLICT IGNORE",
    )
    return build(
        path,
        queue_table(*columns),
        "CREATE INDEX idx_by_log ON project_queue(log_file);",
        ROWS,
        "INSERT INTO project_queue (id, spec_path) VALUES (20, '/gone.md');",
        "DELETE FROM project_queue WHERE id = 20;",
        "CREATE VIEW failed_projects AS SELECT id FROM project_queue WHERE status = 'failed';",
    )


def with_broken_rules(path: Path) -> Path:
    """Return a file without the unique indexes, and rows that break both."""
    return build(
        path,
        queue_table(*BASE_COLUMNS, *START_UP_COLUMNS),
        TASKS,
        ROWS,
        "INSERT INTO project_queue (spec_path, project_path, status, main_session) VALUES"
        " ('d.md', '/d', 'queued', NULL), ('d.md', '/d', 'queued', NULL),"
        " ('e.md', '/e', 'processing', 's'), ('f.md', '/f', 'processing', 's');",
    )


def with_tasks_only(path: Path) -> Path:
    """Return a file of an installation that only ever used check-ins."""
    return build(path, TASKS)


def with_messages_only(path: Path) -> Path:
    """Return a file that the message hooks made."""
    return build(path, MESSAGES)


def with_write_ahead_log(path: Path) -> Path:
    """Return a file set to write-ahead logging, as the scheduler does."""
    return build(with_18_columns(path), "PRAGMA journal_mode = WAL;")


VARIANTS: dict[str, Callable[[Path], Path]] = {
    builder.__name__: builder
    for builder in (
        with_14_columns,
        with_18_columns,
        with_22_columns,
        with_other_positions,
        with_few_columns,
        with_swallowing_constraint,
        with_broken_rules,
        with_tasks_only,
        with_messages_only,
        with_write_ahead_log,
    )
}
