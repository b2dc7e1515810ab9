"""Projects that will not end, that hide, stop or flood: all of it is gone when the run is over."""

import json
import os
import signal
import sys
import time

import pytest

from tests.lab.installation import Installation, is_running, wait_until
from tests.lab.promises import IS_LONG, TIMEOUT_SEC, Promise, rounds

pytestmark = [pytest.mark.faults, pytest.mark.timeout(TIMEOUT_SEC)]

# Each leaves its process number in the file named by its last argument.
HOSTILE = {
    "ignores TERM": "trap '' TERM HUP INT; echo $$ >>{pids}; while :; do sleep 1; done",
    "setsid": "setsid sh -c 'trap \"\" TERM; echo $$ >>{pids}; while :; do sleep 1; done' & wait",
    "nohup": "nohup sh -c 'echo $$ >>{pids}; exec sleep 1000' >/dev/null 2>&1 & wait",
    "double fork": "( ( trap '' TERM HUP; echo $(exec sh -c 'echo $PPID') >>{pids}; "
    "exec setsid sleep 1000 ) & ) ; sleep 1000",
    "closed files": "exec </dev/null >/dev/null 2>&1; echo $$ >>{pids}; exec sleep 1000",
    "another folder": "cd /; umask 0; echo $$ >>{pids}; exec setsid sleep 1000",
}


def hostile(place: Installation, kind: str) -> str:
    script = HOSTILE[kind].replace("{pids}", str(place.folder / "pids"))
    return "command: " + json.dumps(["sh", "-c", script])


def pids(place: Installation) -> list[int]:
    path = place.folder / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_promise_14_a_time_out_ends_everything_of_hostile_projects(
    promise: Promise, place: Installation
):
    kinds = list(HOSTILE) * rounds(1, 10)
    place.environ["MAX_CONCURRENT_PROJECTS"] = str(len(HOSTILE))
    for number, kind in enumerate(kinds):
        place.enqueue(f"bad{number}", f"{hostile(place, kind)}\ntimeout_minutes: 0.02")

    place.run_daemon()
    wait_until(lambda: len(pids(place)) == len(kinds), 30 * len(kinds), place.daemon_log)
    place.wait_until_all_ended()
    wait_until(lambda: not place.query("select 1 from project_run where cleaned_at is null"))

    runs = place.query("select * from project_run")
    worst_sec = max(run["cleaned_at"] - run["ended_at"] for run in runs)
    promise.tell(f"{len(kinds)} hostile projects timed out: all gone {worst_sec:.1f} s later")
    assert {run["reason"] for run in runs} == {"timed out after 1s"}
    assert not any(map(is_running, pids(place)))
    assert not any(place.marked(run["token"]) for run in runs)
    assert worst_sec < 1 + 5


def test_promise_14_a_forking_tree_that_ignores_term_is_ended(promise: Promise, place):
    """It forks on while it is being ended; what was born between two looks is found as well."""
    script = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "end = time.monotonic() + 20\n"
        "while time.monotonic() < end:\n"
        "    if os.fork():\n"
        "        os._exit(0)\n"
        "    os.setsid()\n"
        "    time.sleep(0.02)\n"
    )
    command = json.dumps([sys.executable, "-c", script])
    project_id = place.enqueue("bad", f"command: {command}")
    place.run_daemon()
    place.wait_for_status(project_id, "completed")
    token = place.runs(project_id)[0]["token"]
    began = time.monotonic()
    wait_until(lambda: place.runs(project_id)[0]["cleaned_at"], 30, place.daemon_log)
    took_sec = time.monotonic() - began

    promise.tell(f"forking and leaving its session every 20 ms: ended in {took_sec:.1f} s")
    assert took_sec < 15
    assert place.marked(token) == []


def test_a_project_is_not_launched_again_before_all_of_its_last_run_is_gone(place):
    project_id = place.enqueue(
        "bad",
        "command: "
        + json.dumps(
            [
                "sh",
                "-c",
                f"trap '' TERM HUP; echo $$ >>{place.folder}/pids; "
                f"if [ $SCHEDULER_ATTEMPT = 2 ]; then exit 0; fi; while :; do sleep 1; done",
            ]
        )
        + "\ntimeout_minutes: 0.02\nretries: 1",
    )
    place.environ["KILL_GRACE_SEC"] = "1.5"
    place.run_daemon()

    place.wait_for_status(project_id, "completed")

    first, second = place.runs(project_id)
    assert second["claimed_at"] >= first["cleaned_at"] >= first["ended_at"] + 1.5


def test_a_reset_ends_a_hostile_project_before_it_runs_again(place):
    project_id = place.enqueue("bad", hostile(place, "ignores TERM"))
    place.run_daemon()
    wait_until(lambda: pids(place) != [])

    place.cli("reset", str(project_id), "--yes")
    wait_until(lambda: len(pids(place)) == 2, 20, place.daemon_log)

    first, second = place.runs(project_id)
    assert not is_running(pids(place)[0])
    assert second["claimed_at"] >= first["cleaned_at"]


def test_a_stopped_command_times_out_and_is_ended(place):
    project_id = place.enqueue(
        "stopped",
        "command: "
        + json.dumps(["sh", "-c", f"echo $$ >>{place.folder}/pids; kill -STOP $$"])
        + "\ntimeout_minutes: 0.02",
    )
    place.run_daemon()
    wait_until(lambda: pids(place) != [])

    place.wait_for_status(project_id, "failed")
    wait_until(lambda: place.runs(project_id)[0]["cleaned_at"], explain=place.daemon_log)

    assert not any(map(is_running, pids(place)))


def test_what_a_finished_project_left_in_the_background_is_ended_too(place):
    project_id = place.enqueue(
        "tidy",
        "command: "
        + json.dumps(["sh", "-c", f"setsid sleep 1000 & echo $! >>{place.folder}/pids"]),
    )
    place.run_daemon()

    place.wait_for_status(project_id, "completed")
    wait_until(lambda: place.runs(project_id)[0]["cleaned_at"])

    assert not any(map(is_running, pids(place)))


def test_promise_34_a_flood_of_output_stays_in_its_bounds_and_holds_nobody_up(
    promise: Promise, place
):
    place.environ |= {"MAX_CONCURRENT_PROJECTS": "3", "LOG_CAP_BYTES": "65536"}
    floods = [place.enqueue(f"flood{n}", "command: 'yes'") for n in range(2)]
    place.run_daemon()
    wait_until(lambda: len(place.sessions()) == 2)
    worst_sec = 0.0
    for number in range(rounds(3, 50)):
        began = time.monotonic()
        project_id = place.enqueue(f"small{number}", place.ledger_command())
        place.wait_for_status(project_id, "completed")
        worst_sec = max(worst_sec, time.monotonic() - began)
    sizes = {
        run["token"]: sum(
            file.stat().st_size for file in (place.home / "logs" / "runs" / run["token"]).iterdir()
        )
        for flood in floods
        for run in place.runs(flood)
    }

    promise.tell(
        f"`yes` in 2 windows: logs {max(sizes.values())} bytes at most, {number + 1} small projects"
        f" beside it took {worst_sec:.2f} s at worst"
    )
    assert max(sizes.values()) <= 3 * 65_536 + 65_536
    assert worst_sec < (2 if IS_LONG else 5)
    assert [place.status(flood) for flood in floods] == ["processing"] * 2


def test_a_project_that_kills_its_own_runner_is_told_apart_from_success(place):
    project_id = place.enqueue("p", "command: [sh, -c, 'kill -KILL $PPID; sleep 1']")
    place.run_daemon()

    place.wait_for_status(project_id, "failed")

    assert place.runs(project_id)[0]["reason"].startswith("killed by SIGKILL")


def test_a_project_cannot_take_the_daemon_with_it(place):
    """A command that signals everything of its own process group reaches nobody of ours."""
    project_id = place.enqueue("p", "command: [sh, -c, 'kill -TERM 0; exit 0']")
    daemon = place.run_daemon()

    place.wait_for_status(project_id, "completed", "failed")
    time.sleep(0.3)

    assert daemon.poll() is None
    assert place.tmux_pid() is not None


def test_a_daemon_started_inside_a_project_outlives_that_projects_end(place):
    """It carries the run's mark, and is nevertheless nothing of the run's."""
    place.environ |= {"SCHEDULER_RUN_ID": "f" * 32}
    first = place.enqueue("first", place.ledger_command())
    daemon = place.run_daemon()
    place.wait_for_status(first, "completed")
    second = place.enqueue("second", place.ledger_command())

    place.wait_for_status(second, "completed")

    assert daemon.poll() is None
    os.kill(daemon.pid, signal.SIGCONT)
