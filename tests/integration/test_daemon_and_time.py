"""Somebody sets the clock of the machine while projects run, wait and time out."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.installation import Installation, wait_until

SHIM = Path(__file__).parents[1] / "lab" / "clock_shim.c"


@pytest.fixture
def shifted(place, tmp_path):
    """Set the clock of every program of the installation, the daemon's first of all."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library, shift = tmp_path / "clock_shim.so", tmp_path / "shift"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SHIM)], check=True)
    shift.write_text("0\n")
    place.environ |= {"LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(shift)}

    def set_clock(sec: int) -> None:
        fresh = shift.with_name("shift.new")
        fresh.write_text(f"{sec}\n")
        fresh.rename(shift)

    return set_clock


def is_up(place: Installation, project_id: int) -> bool:
    runs = place.runs(project_id)
    return bool(runs) and runs[-1]["phase"] == "running"


@pytest.mark.faults
@pytest.mark.parametrize("jump_sec", [-3600, 86_400])
def test_promise_23_setting_the_clock_ends_and_repeats_nothing(place, promise, shifted, jump_sec):
    place.environ["MAX_CONCURRENT_PROJECTS"] = "4"
    front = f"{place.ledger_command('sleep 4')}\ntimeout_minutes: 5\nretries: 3"
    ids = [place.enqueue(f"p{number}", front) for number in range(6)]
    daemon = place.run_daemon()
    wait_until(lambda: all(is_up(place, project_id) for project_id in ids[:4]))

    shifted(jump_sec)
    time.sleep(1.5)
    while_running = {place.status(project_id) for project_id in ids[:4]}
    statuses = place.wait_until_all_ended()

    assert while_running == {"processing"}
    assert set(statuses.values()) == {"completed"}
    assert sorted(project for project, _, _ in place.ledger_lines()) == ids
    assert place.stop_daemon(daemon) == 0
    promise.tell(f"clock set by {jump_sec} s under 6 projects: each ran once, none timed out")


@pytest.mark.faults
def test_promise_23_a_time_limit_counts_real_seconds_whatever_the_clock_says(place, shifted):
    front = f"{place.ledger_command('sleep 1000')}\ntimeout_minutes: 0.05"
    project_id = place.enqueue("p", front)
    place.run_daemon()
    wait_until(lambda: is_up(place, project_id))

    shifted(-3600)
    place.wait_for_status(project_id, "failed", timeout_sec=15)

    assert place.runs(project_id)[0]["outcome"] == "timed_out"


@pytest.mark.faults
def test_promise_23_a_clock_set_back_delays_a_start_time_and_loses_it_not(place, shifted):
    """A start time is a wall-clock time: it comes when the clock says so, once."""
    project_id = place.enqueue("p", place.ledger_command(), not_before=time.time() + 2)
    place.run_daemon()

    shifted(-5)
    time.sleep(3)
    early = place.status(project_id)
    place.wait_for_status(project_id, "completed")

    assert early == "queued"
    assert len(place.ledger_lines()) == 1


@pytest.mark.faults
def test_promise_23_a_restarted_daemon_under_another_clock_adopts_what_runs(place, shifted):
    project_id = place.enqueue("p", place.ledger_command("sleep 3"))
    daemon = place.run_daemon()
    wait_until(lambda: is_up(place, project_id))
    place.stop_daemon(daemon, signal.SIGKILL)

    shifted(86_400)
    place.run_daemon()
    place.wait_for_status(project_id, "completed")

    assert len(place.ledger_lines()) == 1
    assert len(place.runs(project_id)) == 1
