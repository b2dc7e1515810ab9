"""`python scheduler.py ...` as scripts call it: exact text, columns, exit codes, processes."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.waiting import wait_until

SCHEDULER = Path(__file__).parents[2] / "scheduler.py"
SESSION = "web-impl-1a2b3c4d"
START_SEC = 20

# `project_queue` as the old program made it: 18 columns.
OLD_TABLE = """
create table project_queue (
    id integer primary key autoincrement, spec_path text not null, project_path text,
    status text default 'queued', enqueued_at real default (strftime('%s', 'now')),
    started_at real, completed_at real, priority integer default 0, error_message text,
    batch_id text, retry_count integer default 0, enhanced_spec_path text,
    orchestrator_session text, main_session text, spec_requirements text,
    validation_score real default 0, validation_details text, spec_version text
)"""
OLD_TASKS = """
create table tasks (
    id integer primary key autoincrement, session_name text not null, agent_role text not null,
    window_index integer not null, next_run real not null, interval_minutes integer not null,
    note text, last_run real, created_at real default (strftime('%s', 'now')),
    retry_count integer default 0, max_retries integer default 3
)"""
OLD_STATE = "create table scheduler_state (key text primary key, value text)"


class OldProgram:
    """The program in a working folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def call(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(SCHEDULER), *argv],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def says(self, *argv: str) -> tuple[int, str]:
        done = self.call(*argv)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout

    def sql(self, statement: str, *values: object) -> list[tuple]:
        with sqlite3.connect(self.folder / "task_queue.db") as conn:
            return conn.execute(statement, values).fetchall()

    def start(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(SCHEDULER), *argv],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def old(tmp_path):
    return OldProgram(tmp_path)


@pytest.fixture
def old_database(old):
    """A database of the old program: a failed, a running and a queued project."""
    with sqlite3.connect(old.folder / "task_queue.db") as conn:
        for statement in (OLD_TABLE, OLD_TASKS, OLD_STATE):
            conn.execute(statement)
        conn.executemany(
            "insert into project_queue (spec_path, project_path, status, enqueued_at, started_at,"
            " priority, main_session, error_message) values (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                ("specs/a.md", "/code/a", "FAILED", 1000.0, None, 0, None, "no"),
                ("specs/b.md", None, "processing", 2000.0, 2500.0, 0, SESSION, None),
                ("specs/c.md", None, "queued", 3000.0, None, 5, None, None),
            ],
        )
    return old


# -- the verbs scripts use ----------------------------------------------------------------------


def test_a_bare_call_prints_help_and_takes_no_lock(old):
    code, out = old.says()

    assert (code, out.splitlines()[0]) == (0, "usage: scheduler.py FLAG [ARGUMENT ...]")
    assert not (old.folder / "locks").exists()


def test_check_ins_from_add_to_remove(old):
    assert old.says("--list") == (0, "No scheduled tasks\n")
    assert old.says("--add", SESSION, "developer", "1", "20", "report, please") == (
        0,
        "Task 1 added successfully\n",
    )

    ((due,),) = old.sql("select next_run from tasks")
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(due))
    assert old.says("--list") == (
        0,
        "ID | Session | Role | Window | Next Run | Interval | Note\n"
        + "-" * 70
        + f"\n1 | {SESSION} | developer | 1 | {when} | 20 | report, please\n",
    )
    assert old.says("--remove", "1") == (0, "Task 1 removed\n")
    assert old.says("--list") == (0, "No scheduled tasks\n")


def test_a_refused_add_fails(old):
    done = old.call("--add", "main", "developer", "1", "20", "report")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: session name 'main' ")


def test_projects_from_add_to_remove(old):
    assert old.says("--queue-list") == (0, "No queued projects\n")
    assert old.says("--queue-add", "specs/web.md", "auto") == (0, "Project 1 added to queue\n")
    assert old.says("--queue-add", "specs/web.md", "auto") == (0, "Project 1 added to queue\n")
    assert old.sql("select spec_path, project_path from project_queue") == [("specs/web.md", None)]
    assert old.says("--remove-project", "1") == (0, "✅ Project 1 has been removed from queue\n")
    assert old.says("--remove-project", "1") == (
        0,
        "❌ Project 1 not found or could not be removed\n",
    )


def test_a_spec_with_a_mistake_is_refused_with_its_line(old):
    (old.folder / "web.md").write_text("---\npriority: 1\ncomand: make\n---\n")

    done = old.call("--queue-add", "web.md", "auto")

    assert (done.returncode, done.stdout) == (2, "")
    assert "web.md:3: unknown key" in done.stderr
    assert old.says("--queue-list") == (0, "No queued projects\n")


def test_an_old_database_is_listed_with_every_column(old_database):
    code, out = old_database.says("--queue-list")

    columns = [row[1] for row in old_database.sql("pragma table_info(project_queue)")]
    header, dashes, *rows = out.splitlines()
    cells = [row.split(" | ") for row in rows]
    assert (code, header) == (0, "ID | Spec | Project | Status | Priority | Enqueued At | Error")
    assert dashes == "-" * 80
    assert [row[:9] for row in cells] == [
        ["3", "specs/c.md", "-", "queued", "3000.0", "-", "-", "5", "-"],
        ["1", "specs/a.md", "/code/a", "FAILED", "1000.0", "-", "-", "0", "no"],
        ["2", "specs/b.md", "-", "processing", "2000.0", "2500.0", "-", "0", "-"],
    ]
    assert {len(row) for row in cells} == {len(columns)}


def test_columns_of_later_migrations_are_listed_as_well(old_database):
    for column in ("session_name text", "fresh_start boolean default 0", "merged_status text"):
        old_database.sql(f"alter table project_queue add column {column}")
    old_database.sql("alter table project_queue add column merged_at real")
    old_database.sql("update project_queue set merged_status = 'merged' where id = 1")

    _, out = old_database.says("--queue-list")

    row = out.splitlines()[3].split(" | ")
    assert (row[0], row[20], row[21]) == ("1", "merged", "-")
    assert len(row) == 22


def test_the_status_of_a_project_is_one_line_a_column(old_database):
    code, out = old_database.says("--queue-status", "2")

    assert code == 0
    assert out.splitlines()[:6] == [
        "id: 2",
        "spec_path: specs/b.md",
        "project_path: None",
        "status: processing",
        "enqueued_at: 2000.0",
        "started_at: 2500.0",
    ]
    assert old_database.says("--queue-status", "99") == (0, "Project 99 not found\n")


def test_recovery_of_a_failed_project(old_database):
    assert old_database.says("--mark-recovered", "1") == (
        0,
        "✅ Project 1 marked as RECOVERED\n",
    )
    assert old_database.says("--mark-recovered", "3") == (
        1,
        "❌ Project 3 is in QUEUED state - can only recover from FAILED, ZOMBIE, or TIMING_OUT\n",
    )
    assert old_database.says("--mark-recovered", "99") == (
        1,
        "❌ Invalid project ID or state: Project 99 not found\n",
    )


def test_resets_of_a_project_whose_session_is_gone(old_database):
    assert old_database.says("--reset-project", "2") == (0, "✅ Project 2 has been reset\n")
    assert old_database.sql("select status from project_queue where id = 2") == [("failed",)]
    assert old_database.says("--reset-project", "2") == (
        0,
        "ℹ️ Project 2 was not reset (use --force to override)\n",
    )
    assert old_database.says("--reset-project", "2", "--force") == (
        0,
        "✅ Project 2 has been reset\n",
    )
    assert old_database.sql("select status from project_queue where id = 2") == [("queued",)]
    assert old_database.says("--reset-project", "two") == (1, "❌ Invalid project ID\n")


def test_a_check_prints_nothing(old_database):
    assert old_database.says("--check-project", "2") == (0, "")
    assert old_database.sql("select status from project_queue where id = 2") == [("failed",)]


def test_stuck_projects_are_listed_and_reset(old_database):
    code, out = old_database.says("--recovery-list-stuck")

    assert (code, out.splitlines()[3:]) == (
        0,
        [
            "1     failed       a.md                           NO       -",
            *[line for line in out.splitlines() if line.startswith("2     processing   b.md ")],
            "Total stuck projects: 1",
        ],
    )
    assert " YES      running for " in out
    code, out = old_database.says("--recovery-reset-project", "2")
    assert (code, out.splitlines()[1:]) == (
        0,
        [
            "✅ Project 2 has been reset to failed state",
            "   The queue daemon will pick up new projects on next cycle",
        ],
    )


def test_a_delegated_reset_is_a_file_only(old):
    assert old.says("--delegated-reset", "7") == (
        0,
        "✅ Reset signal created for project 7\n"
        "   Signal file: signals/reset_project_7.signal\n"
        "   The daemon will process this reset within 60 seconds\n",
    )
    assert [path.name for path in old.folder.iterdir()] == ["signals"]


def test_the_two_flags_that_never_were_work_now(old_database):
    code, out = old_database.says("--status")
    assert (code, out.splitlines()[0]) == (0, "Projects: 1 failed, 1 processing, 1 queued")

    assert old_database.says("--reset-session", f"{SESSION}:0") == (
        0,
        "✅ Project 2 has been reset\n",
    )


def test_a_zombie_that_is_none_is_not_found(old_database):
    assert old_database.says("--recovery-kill-zombie", "2") == (
        0,
        "❌ No process found for project 2\n",
    )


def test_what_outlived_a_project_is_killed(old):
    token = "a" * 32
    old.says("--queue-add", "web.md", "auto")
    old.sql("update project_queue set status = 'failed'")
    columns = {
        "project_id": 1,
        "attempt": 1,
        "token": token,
        "host": "here",
        "daemon_id": "d",
        "session_name": SESSION,
        "phase": "ended",
        "claimed_at": time.time(),
        "ended_at": time.time(),
    }
    names, marks = ", ".join(columns), ", ".join("?" for _ in columns)
    old.sql(f"insert into project_run ({names}) values ({marks})", *columns.values())
    left = subprocess.Popen(["sleep", "600"], env={**os.environ, "SCHEDULER_RUN_ID": token})

    try:
        code, out = old.says("--recovery-kill-zombie", "1")

        assert code == 0
        assert f"   PID: {left.pid}\n" in out
        assert out.endswith("✅ Zombie process killed\n")
        assert left.wait(timeout=5) == -signal.SIGKILL
    finally:
        left.kill()
        left.wait()


@pytest.mark.parametrize(
    "argv",
    [
        ("--queue-status", "9" * 40),
        ("--mark-recovered", "-1"),
        ("--reset-project", "9" * 40, "--force"),
        ("--remove", "9" * 40),
        ("--queue-add", "$(touch canary)", "; touch canary"),
        ("--queue-add", "-x", "auto"),
        ("--reset-session", "#(touch canary):0"),
        ("--add", "web-impl-'1;touch canary'", "dev", "0", "5", "`touch canary`"),
        ("--queue-list", "extra"),
        ("--mode", "x"),
        ("--queue-add", b"\xff.md".decode(errors="surrogateescape"), "auto"),
    ],
)
def test_odd_arguments_give_a_plain_answer(old_database, argv):
    done = old_database.call(*argv)

    assert done.returncode in {0, 1, 2}
    assert "Traceback" not in done.stderr
    assert not list(old_database.folder.rglob("canary"))


def test_a_reader_that_goes_away_causes_no_noise(old_database):
    # The first call on an old file says on stderr what it did to it.
    old_database.call("--queue-list")

    with old_database.start("--queue-list") as process:
        assert process.stdout is not None
        process.stdout.close()
        _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (141, "")


def test_a_file_that_is_no_database_is_left_alone(old):
    (old.folder / "task_queue.db").write_text("not a database, but more than nothing at all")

    done = old.call("--queue-list")

    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.count("\n") == 1
    assert (old.folder / "task_queue.db").read_text().startswith("not a database")


# -- daemons ------------------------------------------------------------------------------------


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def wait_until_up(folder: Path) -> None:
    log = folder / "scheduler.log"
    wait_until(lambda: log.exists() and "daemon_started" in log.read_text(), "a daemon", START_SEC)


def command_line_of(process: subprocess.Popen[str]) -> str:
    return Path(f"/proc/{process.pid}/cmdline").read_text().replace("\0", " ")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--daemon", "--mode", "queue"), "Starting project queue daemon (systemd mode)...\n"),
        (("--queue-daemon",), "Starting project queue daemon...\n"),
    ],
)
def test_a_queue_daemon_says_so_and_ends_at_term(old, argv, words):
    daemon = old.start(*argv)
    try:
        said = first_line(daemon)
        listed = command_line_of(daemon)
        wait_until_up(old.folder)
        daemon.send_signal(signal.SIGTERM)
        rest, _ = daemon.communicate(timeout=START_SEC)
    finally:
        daemon.kill()

    assert (said, rest, daemon.returncode) == (words, "", 0)
    assert f"scheduler.py {' '.join(argv)}" in listed


def test_a_second_daemon_of_the_same_mode_is_refused(old):
    daemon = old.start("--daemon", "--mode", "checkin")
    try:
        wait_until_up(old.folder)
        second = old.call("--daemon", "--mode", "checkin")
        daemon.send_signal(signal.SIGTERM)
        said, _ = daemon.communicate(timeout=START_SEC)
    finally:
        daemon.kill()

    assert (second.returncode, second.stdout, said) == (1, "", "")
    assert second.stderr.splitlines()[-1] == (
        "Another scheduler is already running. Exiting to prevent duplicates."
    )


def test_verbs_work_beside_a_plain_daemon(old):
    daemon = old.start("--daemon")
    try:
        wait_until_up(old.folder)
        added = old.says("--add", SESSION, "developer", "1", "20", "report")
        removed = old.says("--remove", "1")
        _, status = old.says("--status")
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=START_SEC)

    assert (added, removed) == ((0, "Task 1 added successfully\n"), (0, "Task 1 removed\n"))
    assert status.splitlines()[-1] == "Daemon: running"


def test_a_delegated_reset_reaches_the_daemon(old_database):
    old_database.says("--delegated-reset", "1")
    daemon = old_database.start("--daemon", "--mode", "queue")
    try:
        request = old_database.folder / "signals" / "reset_project_1.signal"
        wait_until(lambda: not request.exists(), "the request to be taken", START_SEC)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=START_SEC)

    facts = old_database.sql("select name from event_log where project_id = 1")
    assert ("project_reset",) in facts
