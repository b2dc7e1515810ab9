"""The old flags over fakes: what they print, what they return, what they change."""

import io
import json
import time
from pathlib import Path

import pytest

from scheduler_modules.cli.output import Terminal
from scheduler_modules.errors import DatabaseUnavailable
from scheduler_modules.legacy.call import OldCli
from scheduler_modules.legacy.flags import FLAGS, LEGACY_FLAGS, is_legacy, run_legacy
from scheduler_modules.model import Task
from tests.cli_world import Answer, FakeParts, Stream
from tests.fakes.lock import FakeLockTable
from tests.fakes.processes import FakeProcesses
from tests.fakes.queue_world import QueueWorld, with_timeout
from tests.fakes.store_tables import RAW_COLUMNS

NAME = "web-impl-1a2b3c4d"


class Parts(FakeParts):
    def open_tmux(self, config):
        is_users = config.tmux_socket == "default"
        return self._world.old_tmux if is_users else self._world.tmux


class LegacyWorld(QueueWorld):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.lock_table = FakeLockTable()
        self.processes = FakeProcesses()
        self.parts = Parts(self)
        self.pauses = 0

    def call(self, *argv: str, **environ: str) -> Answer:
        out, err = Stream(), Stream()
        code = self.call_on(out, err, *argv, **environ)
        return Answer(code, out.getvalue(), err.getvalue())

    def call_on(self, out, err, *argv, **environ) -> int:
        terminal = Terminal(Stream(), out, err, environ)
        cli = OldCli(terminal, environ, self.parts, pause=self._pause, cwd_is_home=True)
        return run_legacy(argv, cwd_is_home=True, cli=cli)

    def running(self, **columns) -> int:
        values = {"status": "processing", "age_sec": 3600, "session_name": NAME}
        return self.old_row(**values | columns)

    def facts(self) -> list[str]:
        return [fact.name for fact in self.store.facts()]

    def _pause(self, sec: float) -> None:
        self.pauses += 1


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return LegacyWorld(tmp_path)


# -- the table ----------------------------------------------------------------------------------


def test_every_flag_of_the_old_program_is_known():
    assert {
        "--daemon",
        "--mode",
        "--add",
        "--list",
        "--remove",
        "--queue-daemon",
        "--queue-add",
        "--queue-list",
        "--queue-status",
        "--mark-recovered",
        "--reset-project",
        "--check-project",
        "--delegated-reset",
        "--remove-project",
        "--recovery-list-stuck",
        "--recovery-reset-project",
        "--recovery-kill-zombie",
        "--recovery-diagnostics",
        "--status",
        "--reset-session",
    } == LEGACY_FLAGS


@pytest.mark.parametrize(
    ("argv", "is_old"),
    [
        ([], False),
        (["--queue-list"], True),
        (["--queue-status=7"], True),
        (["--mode", "queue", "--daemon"], True),
        (["list", "--queue-list"], False),
        (["--help"], False),
        (["--json"], False),
    ],
)
def test_the_first_argument_tells_an_old_call(argv, is_old):
    assert is_legacy(argv) is is_old


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_the_help_names_every_flag_with_its_operands(world, flag):
    answer = world.call("--help")

    assert answer.code == 0
    assert f"  {' '.join((flag.name, *flag.operands))}\n" in answer.out
    assert "tmux-orchestrator --help" in answer.out


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("-h",),
        ("--list", "-h"),
        ("--mode", "queue"),
        ("--remove", "0"),
        ("--queue-status", "0"),
    ],
)
def test_where_nothing_is_asked_for_help_is_printed(world, argv):
    answer = world.call(*argv)

    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("usage: scheduler.py")


def test_help_opens_no_database(world):
    world.parts.open_queue = lambda config: pytest.fail("opened")

    assert world.call("--help").code == 0


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--mode", "both"), "argument --mode: invalid choice: 'both'"),
        (("--remove", "one"), "argument --remove: invalid int value: 'one'"),
        (("--remove",), "argument --remove: expected one argument"),
        (("--add", "a", "b"), "argument --add: expected 5 arguments"),
        (("--queue-add", "spec.md"), "argument --queue-add: expected 2 arguments"),
        (("--reset-project",), "unrecognized arguments: --reset-project"),
        (("--list", "--recovery-list-stuck"), "unrecognized arguments: --recovery-list-stuck"),
        (("--nothing",), "unrecognized arguments: --nothing"),
        (("word\n",), "unrecognized arguments: word"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(world, argv, says):
    answer = world.call(*argv)

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {says}")
    assert answer.err.count("\n") == 1


def test_of_several_flags_the_first_in_the_old_order_wins(world):
    answer = world.call("--queue-list", "--list")

    assert answer.out == "No scheduled tasks\n"


def test_an_id_of_zero_lets_the_next_flag_count(world):
    assert world.call("--remove", "0", "--queue-list").out == "No queued projects\n"


def test_words_after_a_hand_read_flag_are_ignored_and_said(world):
    answer = world.call("--remove-project", "5", "6", "--force")

    assert answer.code == 0
    assert answer.err == "warning: ignored: 6 --force\n"


# -- check-ins ----------------------------------------------------------------------------------


def test_add_says_which_task_it_is(world):
    answer = world.call("--add", NAME, "developer", "2", "20", "report - now")

    assert (answer.code, answer.out, answer.err) == (0, "Task 1 added successfully\n", "")
    (task,) = world.store.tasks()
    assert (task.session_name, task.agent_role, task.window_index) == (NAME, "developer", 2)
    assert (task.interval_minutes, task.note) == (20, "report - now")


def test_a_doubled_add_names_the_task_that_stands(world):
    world.call("--add", NAME, "developer", "2", "20", "report")
    answer = world.call("--add", NAME, "developer", "2", "20", "report")

    assert (answer.code, answer.out) == (0, "Task 1 added successfully\n")
    assert "stood there already" in answer.err


@pytest.mark.parametrize(
    "operands",
    [
        ("main", "dev", "0", "20", "x"),
        ("", "dev", "0", "20", "x"),
        (NAME, "dev", "zero", "20", "x"),
        (NAME, "dev", "0", "1.5", "x"),
        (NAME, "dev", "0", "9" * 5000, "x"),
        (NAME, "dev", "-1", "20", "x"),
    ],
)
def test_a_refused_add_claims_no_success(world, operands):
    answer = world.call("--add", *operands)

    assert (answer.code, answer.out) == (1, "")
    assert answer.err.endswith("; nothing was added\n")
    assert world.store.tasks() == []


def add_task(world, **fields) -> int:
    values = {
        "id": 0,
        "session_name": NAME,
        "agent_role": "developer",
        "window_index": 2,
        "next_run": 1_700_000_000.0,
        "interval_minutes": 20,
        "note": "report",
    }
    return world.store.add_task(Task(**values | fields))


def test_an_empty_list_says_so(world):
    assert world.call("--list").out == "No scheduled tasks\n"


def test_the_list_has_a_header_and_one_line_a_task(world):
    add_task(world, next_run=1_700_000_300.0, note=None)
    add_task(world)

    answer = world.call("--list")

    when = [world_time(1_700_000_000.0), world_time(1_700_000_300.0)]
    assert answer.out == (
        "ID | Session | Role | Window | Next Run | Interval | Note\n"
        + "-" * 70
        + f"\n2 | {NAME} | developer | 2 | {when[0]} | 20 | report\n"
        + f"1 | {NAME} | developer | 2 | {when[1]} | 20 | None\n"
    )


def world_time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def test_a_time_no_calendar_holds_is_printed_as_it_is(world):
    add_task(world, next_run=1e20)

    assert " | 1e+20 | " in world.call("--list").out


def test_nothing_stored_can_act_on_the_terminal_or_forge_a_line(world):
    add_task(world, note="a\n9 | forged\x1b[2J\x9b\u202e")

    assert world.call("--list").out.endswith("| a 9 | forged [2J  \n")


def test_remove_says_what_it_did(world):
    task_id = add_task(world)

    answer = world.call("--remove", str(task_id))

    assert (answer.code, answer.out) == (0, f"Task {task_id} removed\n")
    assert world.store.tasks() == []


@pytest.mark.parametrize("task_id", ["99", "-5", "9" * 30])
def test_remove_of_an_unknown_task_claims_no_removal(world, task_id):
    answer = world.call("--remove", task_id)

    assert (answer.code, answer.out) == (0, f"Task {task_id} not found\n")


# -- the queue ----------------------------------------------------------------------------------


def test_queue_add_keeps_paths_as_typed(world):
    (world.folder / "specs").mkdir()
    (world.folder / "specs" / "web.md").write_text("---\npriority: 5\n---\nhello\n")
    (world.folder / "code").mkdir()

    answer = world.call("--queue-add", "specs/../specs/web.md", "code")

    assert (answer.code, answer.out, answer.err) == (0, "Project 1 added to queue\n", "")
    project = world.project(1)
    assert (project.spec_path, project.project_path) == ("specs/../specs/web.md", "code")
    assert (project.base_dir, project.priority) == (str(world.folder), 5)


def test_a_spec_that_is_queued_the_old_way_belongs_to_the_group_it_names(world):
    (world.folder / "web.md").write_text("---\ngroup: night\n---\nhello\n")

    world.call("--queue-add", "web.md", "auto")

    assert world.project(1).group == "night"


def test_auto_means_no_project_path(world):
    world.call("--queue-add", "web.md", "auto")

    assert world.project(1).project_path is None


def test_a_spec_that_is_not_there_yet_is_added_with_a_warning(world):
    answer = world.call("--queue-add", "web.md", "nowhere")

    assert (answer.code, answer.out) == (0, "Project 1 added to queue\n")
    assert [line.split(": ")[1] for line in answer.err.splitlines()] == ["web.md", "nowhere"]


def test_a_duplicate_keeps_the_old_text_and_is_told_on_stderr(world):
    world.call("--queue-add", "web.md", "auto")
    answer = world.call("--queue-add", "./web.md", "auto")

    assert (answer.code, answer.out) == (0, "Project 1 added to queue\n")
    assert "project 1 has this spec and is queued" in answer.err
    assert len(world.store.projects()) == 1


@pytest.mark.parametrize("spec", ["---\ncomand: make\n---\n", "---\nafter: web.md\n---\n"])
def test_a_spec_that_cannot_be_used_is_refused(world, spec):
    (world.folder / "web.md").write_text(spec)

    answer = world.call("--queue-add", "web.md", "auto")

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert world.store.projects() == []


@pytest.mark.parametrize("spec", ["", "\udcff.md", "."])
def test_a_path_that_names_no_file_is_refused(world, spec):
    answer = world.call("--queue-add", spec, "auto")

    assert (answer.code, answer.out) == (2, "")
    assert world.store.projects() == []


def test_a_working_folder_that_is_gone_is_said(world, monkeypatch):
    gone = world.folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    answer = world.call("--queue-add", "web.md", "auto", TMUX_ORCHESTRATOR_HOME=str(world.folder))

    assert (answer.code, answer.err) == (2, "error: the working folder is gone\n")


def test_an_empty_queue_says_so(world):
    assert world.call("--queue-list").out == "No queued projects\n"


def test_the_queue_list_prints_every_physical_column(world):
    world.old_row("/specs/a.md", priority=1, error_message="no\ngood")
    world.old_row("/specs/b.md", priority=5)

    header, dashes, *rows = world.call("--queue-list").out.splitlines()

    assert header == "ID | Spec | Project | Status | Priority | Enqueued At | Error"
    assert dashes == "-" * 80
    cells = [row.split(" | ") for row in rows]
    assert [row[:4] for row in cells] == [
        ["2", "/specs/b.md", "-", "queued"],
        ["1", "/specs/a.md", "-", "queued"],
    ]
    assert {len(row) for row in cells} == {len(RAW_COLUMNS)}
    assert cells[1][8] == "no good"


def test_queue_status_prints_one_line_a_column(world):
    project_id = world.old_row("/specs/a.md", priority=1)

    answer = world.call("--queue-status", str(project_id))

    lines = answer.out.splitlines()
    assert answer.code == 0
    assert [line.split(":")[0] for line in lines] == list(RAW_COLUMNS)
    assert lines[:4] == ["id: 1", "spec_path: /specs/a.md", "project_path: None", "status: queued"]


@pytest.mark.parametrize("project_id", ["99", "-5", "9" * 30])
def test_queue_status_of_an_unknown_project_says_so(world, project_id):
    world.old_row()

    answer = world.call("--queue-status", project_id)

    assert (answer.code, answer.out) == (0, f"Project {project_id} not found\n")


@pytest.mark.parametrize("status", ["failed", "zombie", "timing_out", "FAILED"])
def test_a_project_that_is_not_fine_can_be_marked_as_recovered(world, status):
    project_id = world.old_row(status=status)

    answer = world.call("--mark-recovered", str(project_id))

    assert (answer.code, answer.out) == (0, "✅ Project 1 marked as RECOVERED\n")
    project = world.project(project_id)
    assert (project.status, project.error_message) == ("recovered", "Manually recovered")
    assert project.started_at == world.clock.now()


@pytest.mark.parametrize("status", ["queued", "processing", "completed", "recovered", "retried"])
def test_a_project_in_another_state_cannot(world, status):
    project_id = world.old_row(status=status)

    answer = world.call("--mark-recovered", str(project_id))

    assert (answer.code, answer.out) == (
        1,
        f"❌ Project 1 is in {status.upper()} state - can only recover from FAILED, ZOMBIE, or "
        "TIMING_OUT\n",
    )
    assert world.status_of(project_id) == status


@pytest.mark.parametrize("project_id", ["99", "0", "9" * 30])
def test_an_unknown_project_cannot_be_marked_as_recovered(world, project_id):
    answer = world.call("--mark-recovered", project_id)

    assert (answer.code, answer.out) == (
        1,
        f"❌ Invalid project ID or state: Project {project_id} not found\n",
    )


def test_remove_project_says_what_it_did(world):
    project_id = world.old_row()

    answer = world.call("--remove-project", str(project_id))

    assert (answer.code, answer.out) == (0, "✅ Project 1 has been removed from queue\n")
    assert world.store.projects() == []


@pytest.mark.parametrize("project_id", ["99", "-5", "9" * 30])
def test_an_unknown_project_is_not_removed(world, project_id):
    answer = world.call("--remove-project", project_id)

    assert (answer.code, answer.out) == (
        0,
        f"❌ Project {project_id} not found or could not be removed\n",
    )


def test_a_running_project_is_not_removed_and_stderr_says_why(world):
    project_id = world.running()

    answer = world.call("--remove-project", str(project_id))

    assert (answer.code, answer.out) == (0, "❌ Project 1 not found or could not be removed\n")
    assert "is running" in answer.err
    assert world.status_of(project_id) == "processing"


def test_status_says_how_things_stand(world):
    world.running()
    for number in range(2):
        world.old_row(f"/specs/{number}.md")
    add_task(world)

    answer = world.call("--status")

    assert (answer.code, answer.out) == (
        0,
        "Projects: 1 processing, 2 queued\n"
        "Tasks: 1\n"
        "Daemon: no daemon runs, so nothing is started\n",
    )


@pytest.mark.parametrize("status", [None, ""])
def test_status_tells_of_rows_without_one(world, status):
    world.old_row(status=status)

    assert world.call("--status").out.splitlines()[0] == "Projects: 1 (none)"


def test_status_of_an_empty_queue_with_a_daemon(world):
    world.lock_table.holders["scheduler-default"] = "an old daemon"

    assert world.call("--status").out == "Projects: none\nTasks: 0\nDaemon: running\n"


# -- resets -------------------------------------------------------------------------------------

WORDS_FOR_IDS = ["one", "1.5", "", "--force", "9" * 5000]


@pytest.mark.parametrize(
    "flag",
    [
        "--reset-project",
        "--delegated-reset",
        "--remove-project",
        "--recovery-reset-project",
        "--recovery-kill-zombie",
    ],
)
@pytest.mark.parametrize("word", WORDS_FOR_IDS)
def test_what_is_no_number_is_no_project_id(world, flag, word):
    answer = world.call(flag, word)

    assert (answer.code, answer.out) == (1, "❌ Invalid project ID\n")


def test_a_stuck_project_is_reset_to_failed(world):
    project_id = world.running()

    answer = world.call("--reset-project", str(project_id))

    assert (answer.code, answer.out) == (0, "✅ Project 1 has been reset\n")
    assert world.status_of(project_id) == "failed"


def test_a_healthy_project_is_not_reset(world):
    project_id = world.running()
    world.old_tmux.add_foreign_session(NAME)

    answer = world.call("--reset-project", str(project_id))

    assert (answer.code, answer.out) == (
        0,
        "ℹ️ Project 1 was not reset (use --force to override)\n",
    )
    assert answer.err.startswith("warning: its session is alive")
    assert world.status_of(project_id) == "processing"


def test_with_force_a_running_project_is_queued_again(world):
    run = world.start()

    answer = world.call("--reset-project", str(run.project_id), "--force")

    assert (answer.code, answer.out) == (0, "✅ Project 1 has been reset\n")
    assert world.status_of(run.project_id) == "queued"


@pytest.mark.parametrize("status", ["completed", "queued"])
def test_what_cannot_be_reset_is_not_claimed_to_be(world, status):
    project_id = world.old_row(status=status)

    answer = world.call("--reset-project", str(project_id), "--force")

    assert answer.out == "ℹ️ Project 1 was not reset (use --force to override)\n"
    assert answer.err == f"warning: project 1: {status} cannot become queued\n"
    assert world.status_of(project_id) == status


def test_an_unknown_project_is_not_reset(world):
    answer = world.call("--reset-project", "99", "--force")

    assert (answer.code, answer.out) == (
        0,
        "ℹ️ Project 99 was not reset (use --force to override)\n",
    )
    assert answer.err == "warning: project 99 not found\n"


def test_a_check_does_the_same_and_prints_nothing(world):
    project_id = world.running()

    answer = world.call("--check-project", str(project_id))

    assert (answer.code, answer.out) == (0, "")
    assert world.status_of(project_id) == "failed"


def test_a_check_takes_no_force(world):
    run = world.start()

    world.call("--check-project", str(run.project_id), "--force")

    assert world.status_of(run.project_id) == "processing"


def test_a_check_of_no_number_prints_nothing_either(world):
    answer = world.call("--check-project", "one")

    assert (answer.code, answer.out) == (1, "")


def test_a_delegated_reset_leaves_a_file_and_opens_no_database(world):
    world.parts.open_queue = lambda config: pytest.fail("opened")

    answer = world.call("--delegated-reset", "7")

    assert (answer.code, answer.out) == (
        0,
        "✅ Reset signal created for project 7\n"
        "   Signal file: signals/reset_project_7.signal\n"
        "   The daemon will process this reset within 60 seconds\n",
    )
    content = json.loads((world.folder / "signals" / "reset_project_7.signal").read_text())
    assert (content["project_id"], content["force"]) == (7, True)


def test_a_file_elsewhere_is_named_in_full(world, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")

    answer = world.call("--delegated-reset", "7", TMUX_ORCHESTRATOR_HOME=str(home))

    assert f"   Signal file: {home}/signals/reset_project_7.signal\n" in answer.out


@pytest.mark.parametrize("project_id", ["0", "-5", "9" * 30])
def test_no_file_is_left_for_an_id_nobody_has(world, project_id):
    answer = world.call("--delegated-reset", project_id)

    assert (answer.code, answer.out) == (1, "❌ Invalid project ID\n")
    assert not (world.folder / "signals").exists()


def test_the_project_of_a_dead_session_is_queued_again(world):
    project_id = world.running()

    answer = world.call("--reset-session", f"{NAME}:0")

    assert (answer.code, answer.out) == (0, "✅ Project 1 has been reset\n")
    assert world.status_of(project_id) == "queued"


def test_the_project_of_a_living_session_is_left_alone(world):
    run = world.start()

    answer = world.call("--reset-session", f"{run.session_name}:0")

    assert answer.code == 1
    assert answer.out == (
        "ℹ️ Project 1 was not reset: its session is alive and its time is not over "
        "(use --force to override)\n"
    )
    assert world.status_of(run.project_id) == "processing"


def test_a_silent_tmux_lets_no_session_be_reset(world):
    world.running()
    world.tmux.goes_down()

    answer = world.call("--reset-session", f"{NAME}:0")

    assert answer.code == 1
    assert "unknown" in answer.out


def test_with_force_a_living_session_s_project_is_queued_again(world):
    run = world.start()

    answer = world.call("--reset-session", f"{run.session_name}:3", "--force")

    assert answer.code == 0
    assert world.status_of(run.project_id) == "queued"


def test_a_failed_project_of_a_session_is_queued_again(world):
    project_id = world.old_row(status="failed", session_name=NAME)

    assert world.call("--reset-session", NAME).code == 0
    assert world.status_of(project_id) == "queued"


def test_a_completed_project_of_a_session_is_not(world):
    world.old_row(status="completed", session_name=NAME)

    answer = world.call("--reset-session", f"{NAME}:0")

    assert (answer.code, answer.out) == (
        1,
        "ℹ️ Project 1 was not reset: project 1: completed cannot become queued\n",
    )


def test_of_several_projects_of_a_session_the_running_one_is_meant(world):
    running = world.running()
    world.old_row("/specs/other.md", status="failed", session_name=NAME)

    world.call("--reset-session", f"{NAME}:0")

    assert world.status_of(running) == "queued"


@pytest.mark.parametrize("session", ["nobody:0", ":0", "", NAME[:-1]])
def test_a_session_without_a_project_is_told(world, session):
    world.running()

    answer = world.call("--reset-session", session)

    assert answer.code == 1
    assert answer.out.startswith("❌ No project has the session ")


# -- recovery -----------------------------------------------------------------------------------


def test_the_list_of_stuck_projects(world):
    world.running(spec_path="/specs/" + "long-name-of-a-spec-file-" * 2 + ".md")
    world.old_row("/specs/z.md", status="zombie")
    world.old_row("/specs/f.md", status="failed")
    world.old_row("/specs/q.md", status="queued")

    answer = world.call("--recovery-list-stuck")

    assert (answer.code, answer.out.splitlines()) == (
        0,
        [
            "📋 Checking for stuck projects...",
            "-" * 80,
            "ID    Status       Spec File                      Stuck?   Reason",
            f"1     processing   long-name-of-a-spec-file-long- YES      session {NAME} is gone",
            "2     zombie       z.md                           YES      state is zombie",
            "3     failed       f.md                           NO       -",
            "Total stuck projects: 2",
        ],
    )


def test_a_silent_tmux_is_told_as_unknown(world):
    world.running()
    world.old_tmux.goes_down()

    lines = world.call("--recovery-list-stuck").out.splitlines()

    assert "UNKNOWN  unknown: tmux did not answer" in lines[3]
    assert lines[-1] == "Total stuck projects: 0"


def test_what_is_not_stuck_needs_force(world):
    run = world.start()

    answer = world.call("--recovery-reset-project", str(run.project_id))

    assert (answer.code, answer.out) == (
        1,
        "ℹ️  Project 1 is not stuck (reason: its session is alive and its time is not over)\n"
        "   Use --force to reset anyway\n",
    )
    assert world.status_of(run.project_id) == "processing"


def test_a_stuck_project_is_failed(world):
    run = world.start(plan=with_timeout(600))
    world.clock.advance(601)

    answer = world.call("--recovery-reset-project", str(run.project_id))

    assert (answer.code, answer.out) == (
        0,
        "🔧 Resetting project 1 (stuck reason: running for 10m, limit 10m)\n"
        "✅ Project 1 has been reset to failed state\n"
        "   The queue daemon will pick up new projects on next cycle\n",
    )
    assert world.status_of(run.project_id) == "failed"


def test_force_fails_a_running_project(world):
    run = world.start()

    assert world.call("--recovery-reset-project", str(run.project_id), "--force").code == 0
    assert world.status_of(run.project_id) == "failed"


def test_force_cannot_fail_a_completed_project(world):
    project_id = world.old_row(status="completed")

    answer = world.call("--recovery-reset-project", str(project_id), "--force")

    assert (answer.code, answer.out) == (
        1,
        "🔧 Resetting project 1 (stuck reason: state is completed)\n❌ Failed to reset project 1\n",
    )
    assert answer.err == "error: project 1: completed cannot become failed\n"
    assert world.status_of(project_id) == "completed"


def test_an_unknown_project_is_not_stuck(world):
    answer = world.call("--recovery-reset-project", "99")

    assert answer.code == 1
    assert answer.out.startswith("ℹ️  Project 99 is not stuck (reason: project 99 not found)\n")


def test_force_cannot_fail_an_unknown_project(world):
    answer = world.call("--recovery-reset-project", "9" * 30, "--force")

    assert answer.code == 1
    assert answer.out.endswith(f"❌ Failed to reset project {'9' * 30}\n")


@pytest.mark.parametrize("project_id", ["1", "99", "9" * 30])
def test_without_left_processes_there_is_no_zombie(world, project_id):
    world.start()

    answer = world.call("--recovery-kill-zombie", project_id)

    assert (answer.code, answer.out) == (0, f"❌ No process found for project {project_id}\n")


def test_the_processes_of_a_running_project_are_no_zombies(world):
    run = world.start()
    process = world.processes.start(run.token)

    world.call("--recovery-kill-zombie", str(run.project_id))

    assert world.processes.is_alive(process)


def test_what_outlived_its_run_is_killed(world):
    run = world.start()
    process = world.processes.start(run.token, ignores_term=True, heirs=1)
    stranger = world.processes.start("f" * 32)
    world.queue.finish(run.project_id, success=False)
    world.clock.advance(90)

    answer = world.call("--recovery-kill-zombie", str(run.project_id))

    assert (answer.code, answer.out) == (
        0,
        "🧟 Killing zombie process of project 1...\n"
        f"   PID: {process.pid}\n"
        "   Runtime: 1m\n"
        "   Heartbeat age: unknown\n"
        "✅ Zombie process killed\n",
    )
    assert list(world.processes.living) == [stranger]


def test_what_cannot_be_killed_is_not_claimed_to_be(world):
    run = world.start()
    process = world.processes.start(run.token)
    world.queue.finish(run.project_id, success=False)
    world.processes.send = lambda process, number: True

    answer = world.call("--recovery-kill-zombie", str(run.project_id))

    assert answer.code == 1
    assert answer.out.endswith("❌ Processes of project 1 are still alive\n")
    assert world.processes.is_alive(process)
    assert world.pauses > 1


def test_diagnostics_keep_their_headings_in_order(world):
    run = world.start()
    world.old_row("/specs/z.md", status="zombie")

    answer = world.call("--recovery-diagnostics")

    assert (answer.code, answer.out.splitlines()) == (
        0,
        [
            "🔍 Recovery Diagnostics",
            "=" * 80,
            "Timestamp: 2023-11-14T22:13:20+00:00",
            "",
            "📊 ProcessManager",
            "   running: 1",
            "",
            "🚫 Stuck Projects",
            "   project 2: state is zombie",
            "",
            "📺 Tmux Sessions",
            f"   {run.session_name}: 1 window(s)",
            "",
            "🎭 Active Orchestrations",
            f"   project 1: {run.session_name}, running, attempt 1",
            "=" * 80,
        ],
    )


def test_diagnostics_of_nothing(world):
    lines = world.call("--recovery-diagnostics").out.splitlines()

    assert [line for line in lines if line.startswith("   ")] == [
        "   no runs",
        "   none",
        "   none",
        "   none",
    ]


# -- daemons ------------------------------------------------------------------------------------


@pytest.fixture
def started(mocker):
    """Calls of `run_daemon`: the call itself is what these flags do."""
    return mocker.patch("scheduler_modules.legacy.daemon.run_daemon", return_value=0)


@pytest.mark.parametrize(
    ("argv", "mode", "duties", "announce"),
    [
        (("--daemon",), "default", {"launch", "checkin", "notify"}, None),
        (("--daemon", "--mode", "checkin"), "checkin", {"checkin"}, None),
        (
            ("--mode=queue", "--daemon"),
            "queue",
            {"launch", "notify"},
            "Starting project queue daemon (systemd mode)...",
        ),
        (
            ("--queue-daemon",),
            "default",
            {"launch", "notify"},
            "Starting project queue daemon...",
        ),
    ],
)
def test_daemons_start_with_the_old_lock_and_words(world, started, argv, mode, duties, announce):
    assert world.call(*argv).code == 0

    (config, *rest), options = started.call_args
    assert config.home == world.folder
    assert rest == [mode, frozenset(duties), announce]
    assert options["load"]().home == world.folder


# -- the edge -----------------------------------------------------------------------------------


def test_a_database_that_cannot_be_opened_is_one_line(world):
    def refuse(config):
        raise DatabaseUnavailable("task_queue.db is not ours\x1b[2J")

    world.parts.open_queue = refuse

    answer = world.call("--queue-list")

    assert (answer.code, answer.out, answer.err) == (6, "", "error: task_queue.db is not ours\n")


def test_a_wrong_setting_is_one_line(world):
    answer = world.call("--queue-list", MAX_CONCURRENT_PROJECTS="many")

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: MAX_CONCURRENT_PROJECTS='many'")


def test_a_mistake_of_ours_shows_no_trace(world):
    world.parts.open_queue = lambda config: {}["nothing"]

    answer = world.call("--queue-list")

    assert answer.code == 1
    assert answer.err.startswith("error: this should not happen (KeyError: 'nothing')")
    assert answer.err.count("\n") == 1


def test_a_file_that_fails_is_named(world):
    def fail(config):
        raise OSError(28, "No space left on device", "/x/task_queue.db")

    world.parts.open_queue = fail

    answer = world.call("--queue-list")

    assert (answer.code, answer.err) == (8, "error: /x/task_queue.db: No space left on device\n")


def test_an_interrupted_call_says_so(world):
    def interrupt(config):
        raise KeyboardInterrupt

    world.parts.open_queue = interrupt

    answer = world.call("--queue-list")

    assert (answer.code, answer.err) == (130, "interrupted\n")


class BrokenPipe(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def test_a_reader_that_goes_away_is_no_error(world, monkeypatch):
    monkeypatch.setattr("scheduler_modules.cli.edge.drop_stdout", lambda: None)
    err = Stream()

    assert world.call_on(BrokenPipe(), err, "--queue-list") == 141
    assert err.getvalue() == ""


def test_a_stdout_that_cannot_be_written_is_told(world, monkeypatch):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("scheduler_modules.cli.edge.drop_stdout", lambda: None)
    err = Stream()

    assert world.call_on(Full(), err, "--queue-list") == 1
    assert "cannot be written" in err.getvalue()


def test_a_home_that_is_not_there_yet_is_made(world, tmp_path):
    home = tmp_path / "new"

    assert world.call("--queue-list", TMUX_ORCHESTRATOR_HOME=str(home)).code == 0
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_working_folder_that_others_write_in_is_read_all_the_same(world):
    world.folder.chmod(0o775)

    assert world.call("--queue-list").code == 0


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if "daemon" not in flag.name])
def test_no_verb_takes_a_lock(world, flag):
    operands = {"WINDOW": "1", "INTERVAL": "5", "ID": "1"}
    argv = [operands.get(name, "x") for name in flag.operands if not name.startswith("[")]

    world.call(flag.name, *argv)

    assert world.lock_table.holders == {}
