"""Two daemons at once, an old holder of a lock, and what they say: one launches, one at most."""

import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.installation import Installation, installation, wait_until
from tests.lab.promises import TIMEOUT_SEC, Promise, rounds

pytestmark = [pytest.mark.faults, pytest.mark.timeout(TIMEOUT_SEC)]

REFUSAL = "Another scheduler is already running. Exiting to prevent duplicates."
MODES = {
    "plain": ("--daemon",),
    "queue": ("--daemon", "--mode", "queue"),
    "checkin": ("--daemon", "--mode", "checkin"),
    "old queue": ("--queue-daemon",),
}
LAUNCHING = {"plain", "queue", "old queue"}
_HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.truncate(0)
file.write(sys.argv[2])
file.flush()
print("held", flush=True)
time.sleep(1000)
"""


@contextmanager
def old_holder(place: Installation, mode: str) -> Iterator[int]:
    """A process that holds a mode's lock as an old daemon does; give its number."""
    folder = place.home / "locks"
    folder.mkdir(mode=0o700, exist_ok=True)
    text = json.dumps({"pid": os.getpid(), "timestamp": "2024-01-01T00:00:00", "hostname": "old"})
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder / f"scheduler-{mode}.lock"), text],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder.pid
    finally:
        holder.kill()
        holder.communicate()


def refused(place: Installation, *args: str) -> subprocess.CompletedProcess[str]:
    """Start a daemon that is to be refused; return how that went."""
    return subprocess.run(
        [sys.executable, str(Path(__file__).parents[2] / "scheduler.py"), *args],
        env=place.environ,
        cwd=place.home,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def end_all(place: Installation) -> None:
    for daemon in place.daemons:
        if daemon.poll() is None:
            daemon.send_signal(signal.SIGTERM)
    for daemon in place.daemons:
        daemon.wait(10)
    place.daemons.clear()


# -- two of ours ----------------------------------------------------------------------------


def test_promise_8_two_daemons_started_at_once_never_both_launch(promise: Promise, place):
    """Whoever launched says so in the run; a wave of projects per pair shows who did."""
    pairs = list(itertools.combinations_with_replacement(MODES, 2))
    count = rounds(50, 200)
    place.environ["MAX_CONCURRENT_PROJECTS"] = "2"
    refusals = 0
    for number in range(count):
        pair = list(pairs[number % len(pairs)])
        promise.random.shuffle(pair)
        ids = [place.enqueue(f"p{number}-{n}", place.ledger_command()) for n in range(2)]
        daemons = [place.start_daemon(*MODES[mode]) for mode in pair]
        if LAUNCHING & set(pair):
            for project_id in ids:
                place.wait_for_status(project_id, "completed")
        else:
            wait_until(lambda: not place.lock("checkin").is_free())
            time.sleep(0.3)
        owners = {run["daemon_id"] for i in ids for run in place.runs(i)}
        assert len(owners) == (1 if LAUNCHING & set(pair) else 0), (pair, owners)
        ended = [daemon.poll() for daemon in daemons]
        assert ended.count(None) >= 1, (pair, place.daemon_log()[-2000:])
        assert set(ended) <= {None, 1}
        refusals += ended.count(1)
        end_all(place)

    ran = Counter(place.ledger_lines())
    promise.tell(
        f"{count} pairs of daemons started at once: 0 launched by both, {len(ran)} projects ran "
        f"once each, {refusals} daemons refused"
    )
    assert set(ran.values()) <= {1}


def test_promise_8_a_daemon_paused_past_its_time_launches_nothing_twice(promise: Promise, place):
    """A stopped process keeps its kernel locks, so nobody takes its duty while it sleeps."""
    place.environ["MAX_CONCURRENT_PROJECTS"] = "3"
    ids = [
        place.enqueue(f"p{n}", place.ledger_command("sleep 0.1")) for n in range(rounds(12, 100))
    ]
    first = place.run_daemon("--daemon", "--mode", "queue")
    wait_until(lambda: len(place.ledger_lines()) >= 3)
    second = place.run_daemon("--daemon")
    for _ in range(rounds(2, 10)):
        os.kill(first.pid, signal.SIGSTOP)
        time.sleep(promise.random.uniform(0.2, 0.6))
        owners = {run["daemon_id"] for i in ids for run in place.runs(i)}
        os.kill(first.pid, signal.SIGCONT)
        time.sleep(0.2)
    statuses = place.wait_until_all_ended()

    promise.tell(f"{len(ids)} projects, launching daemon stopped and woken: each ran once")
    assert len(owners) == 1
    assert set(statuses.values()) == {"completed"}
    assert set(Counter(place.ledger_lines()).values()) == {1}
    assert second.poll() is None


def test_the_second_takes_the_duty_over_when_the_first_is_killed(place):
    first = place.run_daemon("--daemon", "--mode", "queue")
    place.run_daemon("--daemon")
    wait_until(lambda: place.count_events("duty_held_elsewhere") == 2)

    place.stop_daemon(first, signal.SIGKILL)
    project_id = place.enqueue("p", place.ledger_command())

    place.wait_for_status(project_id, "completed")
    assert place.count_events("duty_taken_over") >= 1


def test_a_queue_daemon_and_a_plain_one_leave_no_duty_undone(place):
    for mode in ("queue", "plain"):
        place.run_daemon(*MODES[mode])
    project_id = place.enqueue("p", place.ledger_command())

    place.wait_for_status(project_id, "completed")


@pytest.mark.parametrize(
    ("first", "second"), [("plain", "old queue"), ("queue", "queue"), ("checkin", "checkin")]
)
def test_a_second_daemon_of_the_same_mode_is_refused_in_the_old_words(place, first, second):
    place.run_daemon(*MODES[first])

    done = refused(place, *MODES[second])

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.rstrip().endswith(REFUSAL)
    assert f"pid {place.daemons[0].pid}" in done.stderr


def test_a_refused_daemon_leaves_the_holders_lock_as_it_was(place):
    place.run_daemon()
    lock = place.home / "locks" / "scheduler-default.lock"
    before = (lock.stat().st_ino, json.loads(lock.read_text())["pid"])

    refused(place, "--daemon")

    assert (lock.stat().st_ino, json.loads(lock.read_text())["pid"]) == before
    with lock.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# -- two homes, one database ----------------------------------------------------------------


def test_a_second_home_on_our_database_starts_and_touches_nothing_and_says_why(place):
    running = place.enqueue("p", place.ledger_command("sleep 3"))
    first = place.run_daemon()
    place.wait_for_status(running, "processing")

    with installation(SCHEDULER_DB_URL=f"sqlite:///{place.home}/task_queue.db") as other:
        other.run_daemon()
        wait_until(lambda: other.count_events("duty_held_elsewhere") == 1)
        later = place.enqueue("later", place.ledger_command())
        place.wait_until_all_ended()
        shown = other.cli("status", ok=False)
        place.stop_daemon(first)
        wait_until(lambda: other.count_events("duty_taken_over") == 1)

    assert sorted(line[:2] for line in place.ledger_lines()) == [(running, 1), (later, 1)]
    assert "give one of them another HOST_NAME" in shown


# -- an old one -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old_mode", "mode"),
    [("default", "plain"), ("default", "old queue"), ("queue", "queue"), ("checkin", "checkin")],
)
def test_an_old_daemon_of_the_same_mode_keeps_ours_out(place, old_mode, mode):
    with old_holder(place, old_mode):
        done = refused(place, *MODES[mode])

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.rstrip().endswith(REFUSAL)


@pytest.mark.parametrize(("old_mode", "mode"), [("default", "queue"), ("queue", "plain")])
def test_an_old_daemon_that_launches_keeps_ours_from_launching_until_it_ends(place, old_mode, mode):
    project_id = place.enqueue("p", place.ledger_command())
    with old_holder(place, old_mode):
        daemon = place.run_daemon(*MODES[mode])
        wait_until(lambda: place.count_events("duty_held_elsewhere") >= 1)
        time.sleep(0.3)
        beside_old = place.status(project_id)

    place.wait_for_status(project_id, "completed")
    assert (beside_old, daemon.poll()) == ("queued", None)


def test_an_old_checkin_daemon_does_not_keep_our_plain_one_from_launching(place):
    project_id = place.enqueue("p", place.ledger_command())
    with old_holder(place, "checkin"):
        place.run_daemon("--daemon")
        place.wait_for_status(project_id, "completed")


def test_the_text_a_dead_holder_left_keeps_nobody_out(place):
    with old_holder(place, "default"):
        pass

    daemon = place.run_daemon()

    assert daemon.poll() is None
    assert place.count_events("daemon_started") == 1


def test_garbage_in_a_lock_file_keeps_nobody_out(place):
    locks = place.home / "locks"
    locks.mkdir(mode=0o700)
    for name in ("scheduler-default.lock", "duty-launch.lock", "scheduler-queue.lock"):
        (locks / name).write_bytes(b"\xff\x00{not json")
    project_id = place.enqueue("p", place.ledger_command())

    place.run_daemon()

    place.wait_for_status(project_id, "completed")
