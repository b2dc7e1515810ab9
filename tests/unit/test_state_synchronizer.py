"""What a project says of itself in files."""

import json
import os
from pathlib import Path

import msgspec
import pytest

from scheduler_modules.model import Outcome
from scheduler_modules.state_synchronizer_wrapper import MAX_STATE_BYTES, StateSynchronizer
from tests.fakes.queue_world import PLAN, QueueWorld

STARTED_AT = 1_700_000_000.0


class World(QueueWorld):
    """A running project whose folder is `<tmp>/code/web`; files are a minute younger."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__()
        self.home = tmp_path / "home"
        self.registry = self.home / "registry" / "projects"
        self.worktrees = tmp_path / "code" / "web-tmux-worktrees"
        plan = msgspec.structs.replace(PLAN, cwd=str(tmp_path / "code" / "web"))
        self.run = self.start("web", plan)
        self.sync = StateSynchronizer(self.home)

    def write(self, path: Path, content: object = "", *, at: float = STARTED_AT + 60) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        os.utime(path, (at, at))
        return path

    def marker(self, name: str, content: str = "", role: str = "orchestrator", **when) -> Path:
        return self.write(self.worktrees / role / name, content, **when)

    def state(self, folder: str, content: object, **when) -> Path:
        return self.write(self.registry / folder / "session_state.json", content, **when)

    def said(self, run=None) -> tuple[Outcome, str] | None:
        project = self.project(self.run.project_id)
        return self.sync.reported_outcome(project, run or self.run)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_silence_is_no_word(world):
    assert world.said() is None


# -- worktree markers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "outcome"), [("COMPLETED", Outcome.COMPLETED), ("FAILED", Outcome.FAILED)]
)
def test_a_marker_in_the_orchestrator_s_worktree_counts(world, name, outcome):
    path = world.marker(name)

    assert world.said() == (outcome, str(path))


def test_what_a_marker_says_is_passed_on_as_one_plain_line(world):
    path = world.marker("FAILED", "no \x1b[31mdisk\x1b[0m\nleft\n")

    assert world.said() == (Outcome.FAILED, f"{path}: no disk left")


def test_another_role_s_marker_does_not_count(world):
    world.marker("COMPLETED", role="developer")
    world.marker("FAILED", role="tester")

    assert world.said() is None


@pytest.mark.parametrize("at", [STARTED_AT - 1, STARTED_AT])
def test_a_marker_from_before_this_run_does_not_count(world, at):
    world.marker("COMPLETED", at=at)

    assert world.said() is None


def test_the_newest_marker_wins(world):
    world.marker("FAILED", at=STARTED_AT + 60)
    world.marker("COMPLETED", at=STARTED_AT + 61)

    assert world.said()[0] is Outcome.COMPLETED


def test_of_two_with_the_same_time_the_failure_wins(world):
    world.marker("COMPLETED")
    world.marker("FAILED")

    assert world.said()[0] is Outcome.FAILED


def test_without_a_plan_the_row_tells_the_folder(world, tmp_path):
    path = world.marker("COMPLETED")
    run = msgspec.structs.replace(world.run, plan=None)
    project = world.project(run.project_id)

    beside = msgspec.structs.replace(project, project_path="web", base_dir=str(tmp_path / "code"))

    assert world.sync.reported_outcome(beside, run) == (Outcome.COMPLETED, str(path))


@pytest.mark.parametrize("project_path", [None, "web", "/"])
def test_a_folder_that_is_not_known_has_no_markers(world, project_path, monkeypatch):
    world.marker("COMPLETED")
    monkeypatch.chdir(world.worktrees.parent)
    run = msgspec.structs.replace(world.run, plan=None)
    project = msgspec.structs.replace(world.project(run.project_id), project_path=project_path)

    assert world.sync.reported_outcome(project, run) is None


# -- the registry's marker ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        ("", Outcome.COMPLETED),
        ("{}", Outcome.COMPLETED),
        ("[]", Outcome.COMPLETED),
        ('{"status": "completed"}', Outcome.COMPLETED),
        ('{"status": "Failed"}', Outcome.FAILED),
        ('{"status": 7}', Outcome.COMPLETED),
    ],
)
def test_the_completion_marker_of_the_session_counts(world, content, outcome):
    path = world.write(world.registry / world.run.session_name / "COMPLETION_MARKER", content)

    assert world.said() == (outcome, str(path))


def test_the_completion_marker_of_another_session_does_not_count(world):
    world.write(world.registry / "web-impl-99999999" / "COMPLETION_MARKER")

    assert world.said() is None


# -- session states -----------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["web", "web-1", "web-impl-00000001"])
def test_a_session_state_counts_under_every_naming_scheme(world, folder):
    path = world.state(folder, {"completion_status": "completed"})

    assert world.said() == (Outcome.COMPLETED, str(path))


def test_a_session_state_tells_why_it_failed(world):
    path = world.state(
        "web",
        {
            "session_name": world.run.session_name,
            "completion_status": "failed",
            "failure_reason": "tests are red",
            "from_tomorrow": {"x": 1},
        },
    )

    assert world.said() == (Outcome.FAILED, f"{path}: tests are red")


@pytest.mark.parametrize(
    "content",
    [
        {"completion_status": "pending"},
        {"completion_status": None},
        {"completion_status": ["completed"]},
        {},
        [],
        "not json",
        "[" * 100_000,
        {"session_name": "web-impl-99999999", "completion_status": "completed"},
    ],
)
def test_a_session_state_that_says_nothing_of_this_run_does_not_count(world, content):
    world.state("web", content)

    assert world.said() is None


def test_a_session_state_from_before_this_run_does_not_count(world):
    world.state("web", {"completion_status": "completed"}, at=STARTED_AT - 60)

    assert world.said() is None


def test_a_session_state_that_cannot_be_read_is_told_once(world, caplog):
    world.state("web", "{")

    world.said()
    world.said()

    assert caplog.messages == ["session_state_unreadable"]


def test_a_huge_session_state_is_not_read(world):
    world.state("web", json.dumps({"completion_status": "completed", "x": "y" * MAX_STATE_BYTES}))

    assert world.said() is None


def test_a_link_is_not_followed(world, tmp_path):
    target = world.write(tmp_path / "elsewhere", {"completion_status": "completed"})
    (world.registry / "web").mkdir(parents=True)
    (world.registry / "web" / "session_state.json").symlink_to(target)

    assert world.said() is None


def test_a_pipe_does_not_make_us_wait(world):
    (world.registry / "web").mkdir(parents=True)
    os.mkfifo(world.registry / "web" / "session_state.json")

    assert world.said() is None


def test_a_name_cannot_lead_out_of_the_registry(world):
    world.write(world.home / "session_state.json", {"completion_status": "completed"})
    project = msgspec.structs.replace(world.project(world.run.project_id), name="../..")

    assert world.sync.reported_outcome(project, world.run) is None


def test_reading_changes_no_file(world):
    paths = [
        world.marker("COMPLETED"),
        world.state("web", {"completion_status": "completed"}),
        world.state("web-1", "{"),
    ]
    before = [(path.read_text(), path.stat().st_mtime) for path in paths]

    world.said()

    assert [(path.read_text(), path.stat().st_mtime) for path in paths] == before
    assert len([path for path in world.home.rglob("*") if path.is_file()]) == 2


# -- agents -------------------------------------------------------------------------------------

DEFAULTS = {"exhausted": False, "reset_time": None, "alive": True}


def test_an_agent_s_credit_is_what_its_session_state_says(world):
    agent = {"is_exhausted": True, "credit_reset_time": "2024-01-01T05:00", "is_alive": False}
    world.state("my-web-app", {"agents": {"developer": agent}})

    assert world.sync.agent_credit_status("My Web App", "developer") == {
        "exhausted": True,
        "reset_time": "2024-01-01T05:00",
        "alive": False,
    }


@pytest.mark.parametrize(
    "content", [{}, {"agents": []}, {"agents": {}}, {"agents": {"developer": None}}, "{"]
)
def test_an_agent_of_whom_nothing_is_said_is_alive_and_has_credit(world, content):
    world.state("web", content)

    assert world.sync.agent_credit_status("web", "developer") == DEFAULTS


def test_without_a_session_state_agents_are_alive(world):
    assert world.sync.agent_credit_status("web", "developer") == DEFAULTS
