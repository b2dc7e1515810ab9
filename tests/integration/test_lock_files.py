"""Lock files: what stands in them, and what stands in their place."""

import errno
import fcntl
import json
import os
import socket
from datetime import datetime

import pytest

from scheduler_modules.adapters.lock import FileLocks, open_launcher_file
from scheduler_modules.errors import DiskFull, SchedulerError
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def locks(tmp_path, clock):
    return FileLocks(tmp_path, clock)


def text_of(path):
    return json.loads(path.read_text())


def test_a_text_naming_a_living_process_does_not_make_a_free_lock_held(tmp_path, locks):
    (tmp_path / "scheduler-default.lock").write_text(json.dumps({"pid": os.getppid()}))

    assert locks.mode("default").is_free()
    assert locks.mode("default").try_acquire() is True


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": 999999}', '{"pid": true}', "\0"])
def test_no_text_makes_a_held_lock_free(tmp_path, locks, text):
    path = tmp_path / "scheduler-default.lock"
    path.write_text(text)
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        assert locks.mode("default").try_acquire() is False
        assert path.read_text() == text


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 100_000, '{"pid": -1}', '{"pid": true}', '{"pid": "1"}', "\0"]
)
def test_a_holder_without_a_readable_text_is_another_process(tmp_path, locks, text):
    path = tmp_path / "scheduler-default.lock"
    path.write_text(text)
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        assert locks.mode("default").holder() == "another process"


def test_a_text_cannot_act_on_the_terminal(tmp_path, locks):
    path = tmp_path / "scheduler-default.lock"
    path.write_text(
        json.dumps({"pid": 7, "cmdline": "\x1b]52;c;eA==\x07a\nb", "timestamp": "\x9b"})
    )
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        assert locks.mode("default").holder() == "pid 7 (a b, since )"


def test_the_text_has_what_old_programs_read(tmp_path, clock, locks):
    locks.mode("checkin").try_acquire()

    text = text_of(tmp_path / "scheduler-checkin.lock")

    assert text["pid"] == os.getpid()
    assert datetime.fromisoformat(text["timestamp"]).timestamp() == clock.now()
    assert text["hostname"] == socket.gethostname()
    assert text["mode"] == "checkin"
    assert text["cwd"] == os.getcwd()
    assert text["signature"] and text["cmdline"]


def test_the_text_goes_without_a_working_folder_that_is_gone(tmp_path, monkeypatch, locks):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    locks.mode("default").try_acquire()

    assert text_of(tmp_path / "scheduler-default.lock")["cwd"] == ""


def test_a_longer_old_text_is_replaced_whole(tmp_path, locks):
    path = tmp_path / "scheduler-default.lock"
    path.write_text("x" * 10_000)

    locks.mode("default").try_acquire()

    assert text_of(path)["pid"] == os.getpid()


def test_a_heartbeat_renews_the_time_each_half_minute(tmp_path, clock, locks):
    lock = locks.mode("default")
    lock.try_acquire()
    path = tmp_path / "scheduler-default.lock"
    first = text_of(path)

    clock.advance(29)
    lock.heartbeat()
    unchanged = text_of(path)
    clock.advance(1)
    lock.heartbeat()

    assert unchanged == first
    assert datetime.fromisoformat(text_of(path)["timestamp"]).timestamp() == clock.now()
    assert text_of(path)["acquired_at"] == first["acquired_at"]


def test_the_file_keeps_its_place_and_its_size_over_heartbeats(tmp_path, clock, locks):
    lock = locks.mode("default")
    lock.try_acquire()
    path = tmp_path / "scheduler-default.lock"
    before = path.stat()

    clock.advance(60)
    lock.heartbeat()
    lock.release()

    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)


def test_a_deleted_file_is_taken_again_at_the_next_heartbeat(tmp_path, clock, locks):
    lock = locks.mode("default")
    lock.try_acquire()
    path = tmp_path / "scheduler-default.lock"
    path.unlink()

    assert lock.heartbeat() is True

    assert text_of(path)["pid"] == os.getpid()
    assert FileLocks(tmp_path, clock).mode("default").try_acquire() is False


def test_a_deleted_folder_is_made_again_at_the_next_heartbeat(tmp_path, clock):
    folder = tmp_path / "locks"
    lock = FileLocks(folder, clock).duty("launch")
    lock.try_acquire()
    (folder / "duty-launch.lock").unlink()
    folder.rmdir()

    assert lock.heartbeat() is True

    assert FileLocks(folder, clock).duty("launch").try_acquire() is False
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_file_is_for_us_alone(tmp_path, locks):
    locks.duty("launch").try_acquire()

    assert (tmp_path / "duty-launch.lock").stat().st_mode & 0o777 == 0o600


def put_symlink(path):
    (path.parent / "target").write_text("precious")
    path.symlink_to(path.parent / "target")


def put_hard_link(path):
    (path.parent / "target").write_text("precious")
    path.hardlink_to(path.parent / "target")


def put_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(path.parent)  # the address of a socket must be short
        server.bind(path.name)
        os.chdir(here)


@pytest.mark.parametrize(
    ("put", "problem"),
    [
        (put_symlink, "is a symbolic link"),
        (put_hard_link, "is a hard link to another file"),
        (put_socket, "is not a regular file"),
        (os.mkfifo, "is not a regular file"),
        (os.mkdir, "is a folder"),
    ],
)
def test_what_is_no_lock_file_is_refused_and_left_alone(tmp_path, locks, put, problem):
    path = tmp_path / "duty-launch.lock"
    put(path)

    with pytest.raises(SchedulerError, match=f"duty-launch.lock {problem}$"):
        locks.duty("launch").try_acquire()

    target = tmp_path / "target"
    assert not target.exists() or target.read_text() == "precious"
    assert locks.duty("launch").holder() == "another process"


@pytest.mark.parametrize("put", [os.mkdir, os.mkfifo, put_symlink])
def test_looking_at_what_is_no_lock_file_is_refused(tmp_path, locks, put):
    put(tmp_path / "duty-launch.lock")

    with pytest.raises(SchedulerError, match=r"lock file .*duty-launch\.lock is "):
        locks.duty("launch").is_free()


def test_a_file_of_somebody_else_is_refused(tmp_path, monkeypatch, locks):
    (tmp_path / "duty-launch.lock").touch()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(SchedulerError, match="belongs to uid"):
        locks.duty("launch").try_acquire()


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, DiskFull), (errno.EMFILE, SchedulerError)]
)
def test_a_file_that_cannot_be_opened_is_told_in_one_line(
    tmp_path, monkeypatch, locks, number, error
):
    def fail(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)

    with pytest.raises(error, match=r"duty-launch\.lock"):
        locks.duty("launch").try_acquire()


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path, clock):
    with pytest.raises(SchedulerError, match="cannot be opened: No such file"):
        FileLocks(tmp_path / "no" / "locks", clock).duty("launch").try_acquire()


def test_a_file_system_without_locks_is_told_in_one_line(monkeypatch, locks):
    def fail(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)

    with pytest.raises(SchedulerError, match="cannot lock: No locks available"):
        locks.duty("launch").try_acquire()


def test_a_full_disk_does_not_cost_the_lock(monkeypatch, caplog, locks):
    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", fail)

    assert locks.duty("launch").try_acquire() is True
    assert [record.message for record in caplog.records] == ["lock_text_not_written"]


# -- beside the database ------------------------------------------------------------------------


def test_a_launchers_lock_lies_beside_the_database_whatever_leads_there(tmp_path, clock):
    (tmp_path / "task_queue.db").touch()
    (tmp_path / "link.db").symlink_to("task_queue.db")
    open_launcher_file(tmp_path / "link.db", "desk", clock).try_acquire()

    assert (tmp_path / "task_queue.db.launch-desk.lock").exists()
    assert not open_launcher_file(tmp_path / "task_queue.db", "desk", clock).try_acquire()


def test_a_folder_that_is_gone_with_the_database_is_not_made_for_a_lock(tmp_path, clock):
    lock = open_launcher_file(tmp_path / "gone" / "task_queue.db", "desk", clock)

    with pytest.raises(SchedulerError, match="No such file"):
        lock.try_acquire()

    assert not (tmp_path / "gone").exists()


def test_a_home_that_knows_of_no_other_has_the_launchers_lock_to_itself(locks):
    assert locks.launcher().try_acquire()
    assert locks.launcher().is_held
