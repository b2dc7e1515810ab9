"""Requests left as files, and news on the log."""

import json
import logging
import os
import stat

import pytest

from scheduler_modules.errors import DiskFull, InvalidInput, UnusableHome
from scheduler_modules.model import Fact, FactName
from scheduler_modules.notification_manager import NotificationManager
from scheduler_modules.signal_files import MAX_SIGNAL_BYTES, SignalFolder
from tests.fakes.queue_world import QueueWorld


class World(QueueWorld):
    def __init__(self, home) -> None:
        super().__init__()
        self.folder = home / "signals"
        self.notifier = NotificationManager(self.queue, self.folder)

    def failed(self) -> int:
        return self.old_row(status="failed", age_sec=3600)

    def leave(self, name: str, content: str | bytes) -> None:
        """Put a file into the folder, written now by the clock of the test."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(path, (self.clock.now(), self.clock.now()))

    def ask_for(self, project_id: int) -> None:
        self.leave(f"reset_project_{project_id}.signal", json.dumps({"project_id": project_id}))

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


# -- requests -----------------------------------------------------------------------------------


def test_a_request_resets_its_project_and_is_taken_away(world):
    project_id = world.failed()
    world.ask_for(project_id)

    assert world.notifier.process_signal_files() == 1
    assert world.status_of(project_id) == "queued"
    assert world.files() == []


def test_a_request_of_our_own_making_is_honoured(world):
    project_id = world.failed()

    path = world.notifier.create_reset_signal(project_id, world.clock.now())

    assert json.loads(path.read_text()) == {
        "project_id": project_id,
        "timestamp": "2023-11-14T22:13:20+00:00",
        "force": True,
    }
    assert world.notifier.process_signal_files() == 1


def test_without_a_folder_there_is_nothing_to_do(world):
    assert world.notifier.process_signal_files() == 0
    assert not world.folder.exists()


def test_other_files_are_left_alone(world):
    names = ["readme.txt", "reset_project_x.signal", "reset_project_0.signal", "x.signal.bad"]
    for name in names:
        world.leave(name, "{}")

    assert world.notifier.process_signal_files() == 0
    assert world.files() == sorted(names)


@pytest.mark.parametrize("status", ["queued", "completed"])
def test_a_request_the_state_machine_refuses_is_told_and_taken_away(world, caplog, status):
    project_id = world.old_row(status=status)
    world.ask_for(project_id)

    assert world.notifier.process_signal_files() == 0
    assert world.status_of(project_id) == status
    assert world.files() == []
    assert caplog.messages == ["reset_signal_refused"]


def test_a_request_for_an_unknown_project_is_told_and_taken_away(world, caplog):
    world.ask_for(99)

    assert world.notifier.process_signal_files() == 0
    assert world.files() == []
    assert caplog.messages == ["reset_signal_refused"]


def test_a_request_from_before_the_present_start_is_over(world):
    project_id = world.old_row(status="processing", started_at=world.clock.now() + 2)
    world.ask_for(project_id)

    assert world.notifier.process_signal_files() == 0
    assert world.status_of(project_id) == "processing"
    assert world.files() == []


def test_a_request_right_after_the_start_counts_although_file_times_lag(world):
    project_id = world.old_row(status="processing", started_at=world.clock.now() + 1)
    world.ask_for(project_id)

    assert world.notifier.process_signal_files() == 1


def test_a_database_that_fails_leaves_the_request_for_the_next_time(world):
    project_id = world.failed()
    world.ask_for(project_id)

    class FullQueue:
        def get(self, project_id):
            raise DiskFull("no space left")

    with pytest.raises(DiskFull):
        NotificationManager(FullQueue(), world.folder).process_signal_files()

    assert len(world.files()) == 1


# -- files that are no requests -----------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        "[7]",
        "{}",
        '{"project_id": 8}',
        '{"project_id": "7"}',
        '{"project_id": 7.0}',
        '{"project_id": true}',
        "[" * 4000,
        b"\xff\xfe",
        '{"project_id": 7, "x": "' + "y" * MAX_SIGNAL_BYTES + '"}',
    ],
)
def test_a_file_that_is_no_request_is_set_aside(world, caplog, content):
    for _ in range(7):
        world.failed()
    world.leave("reset_project_7.signal", content)

    assert world.notifier.process_signal_files() == 0
    assert world.status_of(7) == "failed"
    assert world.files() == ["reset_project_7.signal.bad"]
    assert caplog.messages == ["reset_signal_bad"]


def test_an_id_too_large_for_any_row_is_set_aside(world):
    world.ask_for(9_999_999_999_999_999_999)

    world.notifier.process_signal_files()

    assert world.files() == ["reset_project_9999999999999999999.signal.bad"]


def test_a_symbolic_link_is_not_followed(world, tmp_path):
    project_id = world.failed()
    (tmp_path / "secret").write_text(json.dumps({"project_id": project_id}))
    world.folder.mkdir(mode=0o700)
    (world.folder / f"reset_project_{project_id}.signal").symlink_to(tmp_path / "secret")

    world.notifier.process_signal_files()

    assert world.status_of(project_id) == "failed"
    assert (tmp_path / "secret").exists()
    assert world.files() == [f"reset_project_{project_id}.signal.bad"]


def test_a_pipe_does_not_make_us_wait(world):
    world.folder.mkdir(mode=0o700)
    os.mkfifo(world.folder / "reset_project_1.signal")

    world.notifier.process_signal_files()

    assert world.files() == ["reset_project_1.signal.bad"]


def test_a_folder_in_its_place_is_set_aside(world):
    (world.folder / "reset_project_1.signal").mkdir(parents=True)

    world.notifier.process_signal_files()

    assert world.files() == ["reset_project_1.signal.bad"]


def test_somebody_else_s_file_is_set_aside(world, monkeypatch):
    project_id = world.failed()
    world.ask_for(project_id)
    real = os.fstat

    def fstat(fd):
        found = real(fd)
        if not stat.S_ISREG(found.st_mode):
            return found
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:10]))

    monkeypatch.setattr(os, "fstat", fstat)
    world.notifier.process_signal_files()

    assert world.status_of(project_id) == "failed"
    assert world.files() == [f"reset_project_{project_id}.signal.bad"]


def test_a_bad_file_that_cannot_be_set_aside_is_told_once(world, caplog, monkeypatch):
    world.leave("reset_project_1.signal", "no")

    def rename(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", rename)
    world.notifier.process_signal_files()
    world.notifier.process_signal_files()

    assert caplog.messages == ["reset_signal_bad"]


def test_the_rest_is_honoured_beside_a_bad_file(world):
    project_id = world.failed()
    world.leave("reset_project_99.signal", "no")
    world.ask_for(project_id)

    assert world.notifier.process_signal_files() == 1


# -- the folder ---------------------------------------------------------------------------------


def test_a_folder_anybody_may_write_in_is_refused(world):
    project_id = world.failed()
    world.ask_for(project_id)
    world.folder.chmod(0o777)

    with pytest.raises(UnusableHome, match="anybody may write"):
        world.notifier.process_signal_files()

    assert world.status_of(project_id) == "failed"


def test_a_folder_of_somebody_else_is_refused(world, monkeypatch):
    world.ask_for(world.failed())
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)

    with pytest.raises(UnusableHome, match="belongs to uid"):
        world.notifier.process_signal_files()


def test_a_link_in_the_folder_s_place_is_refused(world, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    world.folder.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnusableHome):
        world.notifier.process_signal_files()


def test_a_file_in_the_folder_s_place_is_refused(world):
    world.folder.write_text("")

    with pytest.raises(UnusableHome):
        world.notifier.create_reset_signal(1, 0.0)


@pytest.mark.parametrize("project_id", [0, -1, 2**63])
def test_no_request_is_made_for_an_id_nobody_has(world, project_id):
    with pytest.raises(InvalidInput):
        world.notifier.create_reset_signal(project_id, 0.0)

    assert not world.folder.exists()


def test_a_full_disk_leaves_no_half_a_request(world, monkeypatch):
    def fsync(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)

    with pytest.raises(DiskFull):
        world.notifier.create_reset_signal(1, 0.0)

    assert world.files() == []


def test_a_new_request_replaces_an_older_one(world):
    project_id = world.failed()
    world.leave(f"reset_project_{project_id}.signal", "no")

    world.notifier.create_reset_signal(project_id, world.clock.now())

    assert world.notifier.process_signal_files() == 1


def test_what_is_gone_already_need_not_be_taken_away(world):
    world.folder.mkdir(mode=0o700)
    folder = SignalFolder(world.folder)

    folder.remove("reset_project_1.signal")
    folder.set_aside("reset_project_1.signal")

    assert world.files() == []


# -- news ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "level"),
    [
        (FactName.PROJECT_QUEUED, logging.INFO),
        (FactName.PROJECT_COMPLETED, logging.INFO),
        (FactName.PROJECT_REQUEUED, logging.WARNING),
        (FactName.PROJECT_FAILED, logging.ERROR),
    ],
)
def test_what_became_of_a_project_is_said_on_the_log(world, caplog, name, level):
    caplog.set_level(logging.INFO)
    fact = Fact(id=1, at=1.0, name=name, project_id=7, detail={"reason": "exit 3"})

    assert world.notifier.announce(fact)

    (record,) = caplog.records
    assert (record.message, record.levelno) == ("project_news", level)
    assert (record.project_id, record.news, record.reason) == (7, name, "exit 3")


@pytest.mark.parametrize("name", [FactName.RUN_CLEANED, FactName.TASK_ADDED, "from_tomorrow"])
def test_other_facts_are_no_news(world, caplog, name):
    caplog.set_level(logging.INFO)

    assert not world.notifier.announce(Fact(id=1, at=1.0, name=name))
    assert caplog.records == []
