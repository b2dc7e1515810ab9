"""The old class: every method of the old contract is handed over, or says what became of it."""

import re
import signal
import sqlite3
import threading

import pytest

import scheduler
from scheduler import HANDED_OVER, ProjectState, TmuxOrchestratorScheduler
from scheduler_modules.errors import (
    DatabaseUnavailable,
    IllegalTransition,
    InvalidInput,
    NotPossible,
    SpecError,
)
from scheduler_modules.legacy.class_calls import SessionCalls
from scheduler_modules.legacy.scheduler_class import NotHandedOver
from scheduler_modules.model import LEGAL_MOVES, FactName
from tests.fakes.clock import FakeClock
from tests.fakes.tmux import FakeTmux

# The methods of the old class by migration phase, as its callers know them.
OLD_METHODS = {
    "1": """check_credits _session_exists _is_session_ready _find_lingering_sessions
        _get_session_age get_active_tmux_sessions _check_dependencies""",
    "2": """check_and_reset_specific_project _on_project_complete check_batch_completion
        _is_batch_complete _handle_batch_completion _get_failed_projects _run_research_agent
        _monitor_batches detect_and_reset_phantom_projects _reset_phantom_project
        validate_session_liveness _check_session_directly _scan_active_sessions_for_project
        _is_valid_project_session _is_system_session _is_session_healthy
        _attempt_session_name_recovery discover_and_update_session_names check_stuck_projects
        is_stuck_or_zombie mark_as_zombie force_cleanup get_recovery_diagnostics
        _recover_from_reboot _detect_reboot_or_downtime _attempt_auto_resume
        detect_completed_projects check_project_completions get_agent_credit_status
        _run_state_sync _reconcile_orphaned_sessions has_active_orchestrations
        _heartbeat_thread""",
    "2/4": """check_and_run_tasks run_task _escalate_batch_failures run run_queue_daemon
        stop_monitoring shutdown _signal_handler""",
    "3": """setup_database enqueue_project get_next_project_atomic get_next_project
        update_project_status update_project_status_with_state get_current_state
        mark_project_complete reset_project_to_queued remove_project_from_queue
        update_session_name enqueue_task remove_task list_tasks cleanup_old_tasks complete_task
        _handle_task_completion subscribe _dispatch_event trigger_event publish_event
        _auto_schedule_check_ins""",
    "4": "process_signal_files",
    "5": "_acquire_process_lock _release_process_lock",
}
OWNED = [row for row in HANDED_OVER if re.match(r"[a-z_]+\.", row[1])]
NOT_OWNED = [row for row in HANDED_OVER if row not in OWNED]
SESSION = "web-impl-1a2b3c4d"


@pytest.fixture
def old(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    instance = TmuxOrchestratorScheduler()
    yield instance
    instance.close()


@pytest.fixture
def spec(tmp_path, old):
    (tmp_path / "web.md").write_text("do it\n")
    return "web.md"


def status_of(old, project_id) -> str:
    return old.store.project(project_id).status


# -- the table ----------------------------------------------------------------------------------


def test_the_table_holds_exactly_the_old_methods_with_their_phases():
    expected = {name: phase for phase, names in OLD_METHODS.items() for name in names.split()}

    assert {name: phase for name, _, phase in HANDED_OVER} == expected
    assert len(HANDED_OVER) == len(expected)


@pytest.mark.parametrize("row", OWNED, ids=lambda row: row[0])
def test_an_owner_that_is_named_is_there(old, row):
    part, _, method = row[1].partition(".")

    assert callable(getattr(getattr(old, part), method))


@pytest.mark.parametrize("row", NOT_OWNED, ids=lambda row: row[0])
def test_a_method_without_an_owner_says_what_became_of_it(old, row):
    name, owner, _ = row

    assert owner.startswith(("later: ", "gone: "))
    with pytest.raises(NotHandedOver, match=f"^{name}: {re.escape(owner)}$") as caught:
        getattr(old, name)("any", argument=True)
    assert isinstance(caught.value, NotImplementedError)


def test_methods_are_seen_on_the_class():
    assert TmuxOrchestratorScheduler.enqueue_project.__doc__ == (
        "See `queue_manager.enqueue_project`."
    )


# -- constructing -------------------------------------------------------------------------------


def test_constructing_opens_the_database_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = threading.active_count(), [signal.getsignal(number) for number in numbers]

    old = TmuxOrchestratorScheduler()

    assert (threading.active_count(), [signal.getsignal(number) for number in numbers]) == before
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} <= {
        "task_queue.db",
        "task_queue.db.migrate.lock",
    }
    old.close()


def test_constructing_changes_no_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with_rows = TmuxOrchestratorScheduler()
    with_rows.conn.execute(
        "insert into project_queue (spec_path, status, started_at) values ('x.md','processing',1)"
    )
    with_rows.conn.commit()
    with_rows.close()

    again = TmuxOrchestratorScheduler()

    names, (row,) = again.store.raw_projects()
    assert (row[names.index("status")], row[names.index("started_at")]) == ("processing", 1.0)
    assert again.store.facts() == []
    again.close()


def test_two_may_be_open_at_once(old):
    other = TmuxOrchestratorScheduler(read_only=True, service_mode="queue")

    assert other.read_only
    assert other.service_mode == "queue"
    other.close()


def test_a_path_of_its_own_names_another_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    old = TmuxOrchestratorScheduler("elsewhere/queue.db", tmux_orchestrator_path="/opt/tools")

    assert (tmp_path / "elsewhere" / "queue.db").exists()
    assert not (tmp_path / "task_queue.db").exists()
    assert old.db_path == "elsewhere/queue.db"
    assert str(old.tmux_orchestrator_path) == "/opt/tools"
    old.close()


def test_a_file_that_is_no_database_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task_queue.db").write_text("no database at all, but more than nothing")

    with pytest.raises(DatabaseUnavailable):
        TmuxOrchestratorScheduler()

    assert (tmp_path / "task_queue.db").read_text().startswith("no database")


def test_the_program_s_own_folder_is_the_default(old):
    assert (old.tmux_orchestrator_path / "scheduler.py").exists()


def test_conn_is_a_connection_that_writes_as_the_old_one_did(old, spec):
    project_id = old.enqueue_project(spec)

    cursor = old.conn.cursor()
    cursor.execute("update project_queue set priority = 7 where id = ?", (project_id,))
    old.conn.commit()

    assert isinstance(old.conn, sqlite3.Connection)
    assert old.store.project(project_id).priority == 7


def test_after_shutdown_the_connection_is_closed(old):
    conn = old.conn

    old.stop_monitoring()
    old.shutdown()

    with pytest.raises(sqlite3.ProgrammingError):
        conn.execute("select 1")


def test_the_states_know_their_moves():
    moves = ProjectState.valid_transitions()

    assert moves == LEGAL_MOVES
    assert moves[ProjectState.COMPLETED] == frozenset()


# -- the queue ----------------------------------------------------------------------------------


def test_enqueue_returns_the_id_and_the_same_id_for_the_same_spec(old, spec):
    first = old.enqueue_project(spec)

    assert old.enqueue_project(spec) == first
    assert old.enqueue_project(spec, project_path="/tmp", batch_id="night", retry_count=1) != first


def test_a_project_without_its_spec_is_enqueued_with_a_warning(old, caplog):
    assert old.enqueue_project("later.md", "auto") == 1
    assert caplog.messages == ["path_missing"]


def test_a_spec_that_cannot_be_used_is_refused(old, tmp_path):
    (tmp_path / "bad.md").write_text("---\ncomand: x\n---\n")

    with pytest.raises(SpecError):
        old.enqueue_project("bad.md")


def test_the_next_project_is_a_dict_and_stays_queued(old, spec):
    project_id = old.enqueue_project(spec, batch_id="night")

    assert old.get_next_project() == {
        "id": project_id,
        "spec_path": spec,
        "project_path": None,
        "batch_id": "night",
        "retry_count": 0,
    }
    assert status_of(old, project_id) == "queued"


def test_claiming_takes_the_project_off_the_queue_once(old, spec):
    project_id = old.enqueue_project(spec)

    claimed = old.get_next_project_atomic()

    assert claimed["id"] == project_id
    assert status_of(old, project_id) == "processing"
    assert old.get_next_project_atomic() is None
    assert old.get_next_project() is None


def test_the_current_state_is_a_state(old, spec):
    assert old.get_current_state(old.enqueue_project(spec)) is ProjectState.QUEUED


def test_an_unknown_project_is_a_value_error(old):
    with pytest.raises(ValueError, match="project 99 not found"):
        old.get_current_state(99)


def test_a_word_that_is_no_state_is_never_taken_for_one(old):
    old.conn.execute("insert into project_queue (spec_path, status) values ('x.md', 'retried')")
    old.conn.commit()

    with pytest.raises(ValueError, match="'retried', which is no state"):
        old.get_current_state(1)


def test_another_program_s_own_life_of_a_project(old, spec):
    project_id = old.enqueue_project(spec)

    old.update_project_status(project_id, "PROCESSING")
    started = old.store.project(project_id)
    old.update_session_name(project_id, SESSION)
    old.update_project_status_with_state(project_id, ProjectState.TIMING_OUT, "slow")
    slow = old.store.project(project_id)
    old.update_project_status(project_id, "failed", "too slow")
    failed = old.store.project(project_id)
    old.update_project_status(project_id, "recovered")

    assert (started.status, started.started_at is None) == ("processing", False)
    assert (slow.session_name, slow.error_message) == (SESSION, "slow")
    assert slow.started_at == started.started_at
    assert (failed.error_message, failed.completed_at is None) == ("too slow", False)
    assert status_of(old, project_id) == "recovered"
    assert [fact.name for fact in old.store.facts()] == [
        FactName.PROJECT_QUEUED,
        FactName.PROJECT_STARTED,
        FactName.PROJECT_CHANGED,
        FactName.PROJECT_CHANGED,
        FactName.PROJECT_FAILED,
        FactName.PROJECT_RECOVERED,
    ]


def test_an_illegal_move_raises_and_changes_nothing(old, spec):
    project_id = old.enqueue_project(spec)

    with pytest.raises(IllegalTransition):
        old.update_project_status(project_id, "zombie")

    assert status_of(old, project_id) == "queued"


def test_a_word_that_is_no_state_is_not_written(old, spec):
    project_id = old.enqueue_project(spec)

    with pytest.raises(InvalidInput, match="no state"):
        old.update_project_status(project_id, "done")


def test_a_daemon_s_run_is_not_moved_behind_its_back(old, spec):
    project_id = old.enqueue_project(spec)
    old.get_next_project_atomic()

    with pytest.raises(NotPossible, match="run by a daemon"):
        old.update_project_status(project_id, "zombie")


def test_a_status_of_queued_is_a_reset(old, spec):
    project_id = old.enqueue_project(spec)
    old.update_project_status(project_id, "processing")

    old.update_project_status(project_id, "queued", "again")

    assert status_of(old, project_id) == "queued"
    assert old.store.facts()[-1].detail["reason"] == "again"


def test_completing_is_told_to_subscribers(old, spec):
    heard = []
    old.subscribe("project_complete", heard.append)
    project_id = old.enqueue_project(spec, batch_id="night")
    old.update_project_status(project_id, "processing")

    old.mark_project_complete(project_id)
    old.mark_project_complete(project_id)

    assert status_of(old, project_id) == "completed"
    assert heard[0] == {
        "project_id": project_id,
        "status": "completed",
        "error_message": None,
        "project_name": "web",
        "batch_id": "night",
    }


def test_a_failure_can_be_marked_as_well(old, spec):
    project_id = old.enqueue_project(spec)
    old.update_project_status(project_id, "processing")

    old.mark_project_complete(project_id, success=False, error_message="no")

    assert old.store.project(project_id).error_message == "no"


def test_resets_and_removals_answer_yes_or_no(old, spec):
    project_id = old.enqueue_project(spec)

    answers = [
        old.reset_project_to_queued(project_id),
        old.reset_project_to_queued(99, _internal_call=True),
        old.remove_project_from_queue(project_id),
        old.remove_project_from_queue(project_id),
    ]

    assert answers == [False, False, True, False]


@pytest.mark.parametrize("name", ["", "a\nb"])
def test_a_session_name_that_is_none_is_refused(old, spec, name):
    project_id = old.enqueue_project(spec)

    with pytest.raises(InvalidInput):
        old.update_session_name(project_id, name)


def test_there_are_active_orchestrations_while_something_runs(old, spec):
    project_id = old.enqueue_project(spec)
    before = old.has_active_orchestrations()
    old.update_project_status(project_id, "processing")

    assert (before, old.has_active_orchestrations()) == (False, True)


def test_setting_up_the_database_again_does_no_harm(old, spec):
    old.enqueue_project(spec)

    old.setup_database()

    assert len(old.store.projects()) == 1


# -- check-ins and events -----------------------------------------------------------------------


def test_check_ins_are_added_listed_and_removed(old):
    heard = []
    old.subscribe("task_added", heard.append)

    task_id = old.enqueue_task(SESSION, "developer", 1, 20, note="report")
    again = old.enqueue_task(SESSION, "developer", 1, 20, note="report")
    (row,) = old.list_tasks()
    old.cleanup_old_tasks()
    old.remove_task(task_id)

    assert again == task_id
    assert (row[:4], row[5:]) == ((task_id, SESSION, "developer", 1), (20, "report"))
    assert old.list_tasks() == []
    assert [event["task_id"] for event in heard] == [task_id]


def test_a_refused_check_in_is_none(old):
    assert old.enqueue_task("main", "developer", 1, 20) is None


def test_events_reach_subscribers(old):
    heard = []
    old.subscribe("dependency_failure", heard.append)

    old._dispatch_event("dependency_failure", {"severity": "high"})

    assert heard == [{"severity": "high"}]


def test_batches_are_read(old, spec):
    project_id = old.enqueue_project(spec, batch_id="night")
    old.update_project_status(project_id, "processing")
    old.update_project_status(project_id, "failed")

    assert old._is_batch_complete("night")
    assert [project.id for project in old._get_failed_projects("night")] == [project_id]


# -- recovery and sessions ----------------------------------------------------------------------


def lost_project(old) -> int:
    """Insert a row whose session has been gone for long."""
    cursor = old.conn.execute(
        "insert into project_queue (spec_path, status, started_at, session_name)"
        " values ('x.md', 'processing', 1000.0, ?)",
        (SESSION,),
    )
    old.conn.commit()
    return int(cursor.lastrowid or 0)


def test_stuck_projects_are_told_as_a_pair(old):
    is_stuck, reason = old.is_stuck_or_zombie(lost_project(old))

    assert is_stuck
    assert "running for" in reason


def test_a_stuck_project_can_be_reset(old):
    project_id = lost_project(old)

    assert old.check_and_reset_specific_project(project_id)
    assert status_of(old, project_id) == "failed"
    assert old.check_and_reset_specific_project(project_id, force=True)
    assert status_of(old, project_id) == "queued"
    assert not old.check_and_reset_specific_project(99)


def test_phantoms_are_counted(old):
    project_id = lost_project(old)

    assert old.detect_and_reset_phantom_projects() == 1
    assert status_of(old, project_id) == "failed"


def test_a_single_phantom_can_be_failed(old):
    project_id = lost_project(old)

    old._reset_phantom_project(None, project_id, "x", "its window is closed")

    assert old.store.project(project_id).error_message == (
        "Phantom project detected: its window is closed"
    )


def test_a_zombie_ends_as_failed(old):
    project_id = lost_project(old)

    old.mark_as_zombie(project_id)

    assert status_of(old, project_id) == "failed"


def test_diagnostics_have_the_old_keys(old):
    assert set(old.get_recovery_diagnostics()) == {
        "timestamp",
        "process_manager",
        "stuck_projects",
        "tmux_sessions",
        "active_orchestrations",
    }


def test_without_a_server_there_are_no_sessions(old):
    assert old.get_active_tmux_sessions() == []
    assert not old._session_exists(SESSION)
    assert old._get_session_age(SESSION) is None


def test_sessions_of_every_server_are_seen():
    clock = FakeClock()
    ours, users = FakeTmux(clock.now), FakeTmux(clock.now)
    ours.add_foreign_session(SESSION)
    clock.advance(90)
    users.add_foreign_session("mine")
    sessions = SessionCalls(lambda: [ours.snapshot(), users.snapshot()], clock)

    assert sessions.get_active_tmux_sessions() == ["mine", SESSION]
    assert sessions.session_exists(SESSION)
    assert not sessions.session_exists(SESSION[:-1])
    assert sessions.get_session_age(SESSION) == 90


def test_one_server_is_asked_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMUX_SOCKET", "default")
    old = TmuxOrchestratorScheduler()

    assert old.get_active_tmux_sessions() == []
    old.close()


def test_signal_files_are_honoured(old, tmp_path):
    project_id = lost_project(old)
    (tmp_path / "signals").mkdir(mode=0o700)
    (tmp_path / "signals" / f"reset_project_{project_id}.signal").write_text(
        f'{{"project_id": {project_id}}}'
    )

    assert old.process_signal_files() == 1
    assert status_of(old, project_id) == "queued"


def test_an_agent_of_whom_nothing_is_said_has_credit(old):
    assert old.check_credits()
    assert old.get_agent_credit_status("web", "developer") == {
        "exhausted": False,
        "reset_time": None,
        "alive": True,
    }


def test_dependencies_are_there_on_this_machine(old):
    assert old._check_dependencies()


# -- daemons ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "service_mode", "expected"),
    [
        ("run", None, ["default"]),
        ("run", "checkin", ["checkin"]),
        ("run_queue_daemon", "queue", ["queue", frozenset({"launch", "notify"})]),
    ],
)
def test_the_loops_are_the_daemon_s(tmp_path, monkeypatch, mocker, method, service_mode, expected):
    monkeypatch.chdir(tmp_path)
    run_daemon = mocker.patch("scheduler_modules.daemon_main.run_daemon", return_value=0)
    old = TmuxOrchestratorScheduler(service_mode=service_mode)

    assert getattr(old, method)() == 0

    config, *rest = run_daemon.call_args.args
    assert (config, rest) == (old.config, expected)
    old.close()


def test_main_keeps_state_in_the_working_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["scheduler.py", "--queue-add", "later.md", "auto"])

    assert scheduler.main() == 0
    assert capsys.readouterr().out == "Project 1 added to queue\n"
    assert (tmp_path / "task_queue.db").exists()
