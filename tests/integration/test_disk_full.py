"""A disk that fills up under the daemon: it says so, loses nothing, and goes on afterwards."""

import json
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab.installation import wait_until
from tests.lab.promises import TIMEOUT_SEC, Promise, rounds
from tests.lab.small_disk import SmallDisk, small_disk

pytestmark = [pytest.mark.faults, pytest.mark.timeout(TIMEOUT_SEC)]


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk("8M") as place:
        yield place


def add(disk: SmallDisk, name: str, front: str) -> int:
    spec = disk.write_spec(name, front)
    return json.loads(disk.cli("add", str(spec), "--project", str(disk.project), "--json"))[
        "projects"
    ][0]["id"]


def test_promise_18_what_ends_while_the_disk_is_full_is_recorded_once_there_is_space(disk):
    gate = disk.folder / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.05; done"
    project_id = add(disk, "p", disk.ledger_command(wait))
    disk.run_daemon()
    wait_until(lambda: len(disk.ledger_lines()) == 1)

    disk.fill()
    gate.touch()
    wait_until(lambda: disk.count_events("step_failed") > 0, explain=disk.daemon_log)
    time.sleep(0.5)
    while_full = disk.status(project_id)
    disk.empty()
    disk.wait_for_status(project_id, "completed")

    assert while_full == "processing"
    assert "no space left" in disk.daemon_log()
    assert disk.count_events("step_failed") <= 4
    assert disk.count_events("step_healed") >= 1
    assert "Traceback" not in disk.daemon_log()
    assert len(disk.ledger_lines()) == 1


def test_promise_18_nothing_acknowledged_is_lost_however_often_the_disk_is_full(
    promise: Promise, disk
):
    disk.environ["MAX_CONCURRENT_PROJECTS"] = "3"
    disk.run_daemon()
    acknowledged, refused = [], Counter()
    for number in range(rounds(3, 40)):
        front = f"{disk.ledger_command('sleep 0.1')}\nretries: 3"
        acknowledged += [add(disk, f"p{number}-{n}", front) for n in range(3)]
        time.sleep(promise.random.uniform(0, 0.3))
        disk.fill()
        done = disk.try_cli("add", str(disk.write_spec(f"full{number}", "command: 'true'")))
        refused[done.returncode] += 1
        if done.returncode == 0:
            acknowledged.append(max(disk.statuses()))
        else:
            assert "no space left" in done.stderr
            assert "Traceback" not in done.stderr
        time.sleep(promise.random.uniform(0.1, 0.5))
        disk.empty()
    statuses = disk.wait_until_all_ended(60)

    promise.tell(
        f"disk filled {rounds(3, 40)} times: {len(acknowledged)} projects acknowledged, 0 lost; "
        f"`add` while full ended with {dict(refused)}"
    )
    reasons = {run["reason"] for i in statuses for run in disk.runs(i)}
    assert {statuses[i] for i in acknowledged} == {"completed"}, reasons
    assert set(refused) <= {0, 8}
    assert set(Counter(disk.ledger_lines()).values()) == {1}
    assert disk.query("pragma integrity_check")[0][0] == "ok"


def test_promise_18_a_project_is_not_failed_for_want_of_space(disk):
    """What cannot even record that it began is not begun."""
    project_id = add(disk, "p", disk.ledger_command())
    disk.fill()
    disk.run_daemon()
    time.sleep(1)

    disk.empty()
    status = disk.wait_for_status(project_id, "completed", "failed")

    assert status == "completed"
    assert len(disk.ledger_lines()) == 1


def test_promise_18_a_daemon_that_starts_on_a_full_disk_says_so_or_works(disk):
    disk.fill()

    daemon = disk.start_daemon()
    wait_until(
        lambda: daemon.poll() is not None or disk.count_events("daemon_started") > 0,
        explain=disk.daemon_log,
    )
    time.sleep(0.5)
    disk.daemon_log()

    assert daemon.poll() in {None, 8}
    assert "Traceback" not in disk.daemon_log()
    assert "no space left" in disk.daemon_log()
