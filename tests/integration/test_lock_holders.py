"""Locks between real processes: killed ones, old programs, races."""

import fcntl
import json
import os
import signal
import subprocess
import sys

import pytest

from scheduler_modules.adapters.lock import FileLocks
from tests.fakes.clock import FakeClock
from tests.waiting import wait_until

OLD_HOLDER = """
import fcntl, json, os, sys
file = open(sys.argv[1], "w+")
fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
json.dump({"pid": os.getpid(), "timestamp": "2024-05-01T10:00:00", "hostname": "here",
           "cmdline": "python scheduler.py --daemon"}, file)
file.flush()
print("held", flush=True)
sys.stdin.read()
"""
OUR_HOLDER = """
import sys
from pathlib import Path
from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.lock import FileLocks
lock = FileLocks(Path(sys.argv[1]), SystemClock()).mode("default")
print("held" if lock.try_acquire() else "refused", flush=True)
sys.stdin.read()
"""
HOLDER_WITH_CHILD = """
import subprocess, sys
from pathlib import Path
from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.lock import FileLocks
FileLocks(Path(sys.argv[1]), SystemClock()).mode("default").try_acquire()
child = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.read()
"""
RACER = """
import os, sys
from pathlib import Path
from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.lock import FileLocks
lock = FileLocks(Path(sys.argv[1]), SystemClock()).duty("launch")
won = 0
print("ready", flush=True)
sys.stdin.readline()
while won < int(sys.argv[2]):
    if lock.try_acquire():
        # Fails if the other one is in here too.
        os.close(os.open(sys.argv[1] + "/inside", os.O_CREAT | os.O_EXCL))
        won += 1
        os.unlink(sys.argv[1] + "/inside")
        lock.release()
"""
OLD_RACER = """
import fcntl, os, sys
path, won = sys.argv[1] + "/duty-launch.lock", 0
print("ready", flush=True)
sys.stdin.readline()
while won < int(sys.argv[2]):
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file).st_ino == os.stat(path).st_ino:
            os.close(os.open(sys.argv[1] + "/inside", os.O_CREAT | os.O_EXCL))
            won += 1
            os.unlink(sys.argv[1] + "/inside")
            os.unlink(path)
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(file)
"""
PROBER = """
import sys
from pathlib import Path
from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.lock import FileLocks
lock = FileLocks(Path(sys.argv[1]), SystemClock()).mode("default")
print("probing", flush=True)
while True:
    lock.is_free()
"""


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def locks(tmp_path, clock):
    return FileLocks(tmp_path, clock)


@pytest.fixture
def start():
    """Start Python programs; whatever is left of them is killed afterwards."""
    running = []

    def start(script, *args):
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def hold_as_old_program(start, path):
    process = start(OLD_HOLDER, path)
    assert process.stdout.readline() == "held\n"
    return process


def text_of(path):
    return json.loads(path.read_text())


def test_the_lock_of_a_killed_process_is_free_at_once(start, tmp_path, locks):
    holder = start(OUR_HOLDER, tmp_path)
    assert holder.stdout.readline() == "held\n"
    assert locks.mode("default").try_acquire() is False

    holder.send_signal(signal.SIGKILL)
    holder.wait()

    assert locks.mode("default").try_acquire() is True


def test_a_zombie_holds_nothing(start, tmp_path, locks):
    holder = start(OUR_HOLDER, tmp_path)
    holder.stdout.readline()

    holder.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)

    assert locks.mode("default").try_acquire() is True


def test_an_old_daemon_keeps_ours_out(start, tmp_path, locks):
    hold_as_old_program(start, tmp_path / "scheduler-default.lock")

    assert locks.mode("default").try_acquire() is False
    assert not locks.mode("default").is_free()


def test_an_old_daemon_is_named(start, tmp_path, locks):
    process = hold_as_old_program(start, tmp_path / "scheduler-queue.lock")

    assert locks.mode("queue").holder() == (
        f"pid {process.pid} (python scheduler.py --daemon, since 2024-05-01T10:00:00)"
    )


def test_the_kernel_tells_which_process_an_old_daemon_is(start, tmp_path, locks):
    process = hold_as_old_program(start, tmp_path / "scheduler-queue.lock")

    assert locks.mode("queue").holder_pid() == process.pid


def test_without_a_word_of_the_kernel_the_holding_process_is_not_known(
    start, tmp_path, monkeypatch, locks
):
    hold_as_old_program(start, tmp_path / "scheduler-queue.lock")
    monkeypatch.setattr("scheduler_modules.adapters.lock._KERNEL_LOCKS", tmp_path / "absent")

    assert locks.mode("queue").holder_pid() is None


def test_ours_keeps_an_old_daemon_out(start, tmp_path, locks):
    locks.mode("default").try_acquire()

    process = start(OLD_HOLDER, tmp_path / "scheduler-default.lock")

    assert process.wait(timeout=10) != 0


def test_a_text_that_an_old_loser_cut_is_written_again_at_the_next_heartbeat(
    start, tmp_path, locks
):
    lock = locks.mode("default")
    lock.try_acquire()
    path = tmp_path / "scheduler-default.lock"
    start(OLD_HOLDER, path).wait(timeout=10)
    assert path.read_text() == ""

    assert lock.heartbeat() is True

    assert text_of(path)["pid"] == os.getpid()


def test_a_program_that_the_holder_started_does_not_keep_the_lock(start, tmp_path, locks):
    holder = start(HOLDER_WITH_CHILD, tmp_path)
    child = int(holder.stdout.readline())

    holder.kill()
    holder.wait()

    os.kill(child, 0)
    assert locks.mode("default").try_acquire() is True
    os.kill(child, signal.SIGKILL)


def test_a_release_frees_it_from_a_forked_child_too(tmp_path, clock, locks):
    lock = locks.duty("launch")
    lock.try_acquire()
    inherited = os.dup(lock._file)

    lock.release()

    assert FileLocks(tmp_path, clock).duty("launch").is_free()
    os.close(inherited)


def test_a_file_deleted_again_and_again_is_given_up(tmp_path, monkeypatch, locks):
    really = fcntl.flock

    def delete_first(file, kind):
        (tmp_path / "duty-launch.lock").unlink(missing_ok=True)
        really(file, kind)

    monkeypatch.setattr(fcntl, "flock", delete_first)

    assert locks.duty("launch").try_acquire() is False


def test_probing_never_makes_somebody_lose_the_race(start, tmp_path, locks):
    locks.mode("default").is_free()
    probers = [start(PROBER, tmp_path) for _ in range(2)]
    (tmp_path / "scheduler-default.lock").touch()
    for prober in probers:
        prober.stdout.readline()
    lock = locks.mode("default")

    for _ in range(500):
        assert lock.try_acquire() is True
        lock.release()


def test_somebody_who_keeps_a_shared_lock_is_a_holder_in_the_end(tmp_path, locks):
    path = tmp_path / "duty-launch.lock"
    path.touch()
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)

        assert locks.duty("launch").try_acquire() is False


def race(*racers):
    """Let them go at the same moment; return their exit codes (1: met another inside)."""
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    return [racer.wait(timeout=60) for racer in racers]


def test_two_racing_processes_never_hold_it_both(start, tmp_path):
    assert race(start(RACER, tmp_path, 1000), start(RACER, tmp_path, 1000)) == [0, 0]


def test_an_old_program_that_deletes_the_file_it_holds_makes_no_second_holder(start, tmp_path):
    racers = [start(RACER, tmp_path, 500), start(RACER, tmp_path, 500)]

    assert race(*racers, start(OLD_RACER, tmp_path, 500)) == [0, 0, 0]


def test_a_process_waiting_for_a_dead_holder_gets_the_lock(start, tmp_path, locks):
    holder = hold_as_old_program(start, tmp_path / "scheduler-default.lock")
    lock = locks.mode("default")
    assert lock.try_acquire() is False

    holder.kill()

    wait_until(lock.try_acquire, "the lock of a killed old daemon")
