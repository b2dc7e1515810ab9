"""Many processes queueing at once, some of them killed: what was acknowledged is there."""

import contextlib
import json
import subprocess
import sys
import time

import pytest

from tests.lab.installation import ROOT, Installation, wait_until
from tests.lab.promises import IS_LONG, TIMEOUT_SEC, Promise, rounds

pytestmark = [pytest.mark.faults, pytest.mark.timeout(TIMEOUT_SEC)]

# Queues projects through the same code as the verbs, saying each id once it is committed.
_ADDER = """
import json, os, sys, time
from scheduler_modules.compose import open_queue
from scheduler_modules.config import ensure_home, load_config
from scheduler_modules.model import NewProject

who, count = sys.argv[1], int(sys.argv[2])
config = load_config(os.environ).config
ensure_home(config)
worst = 0.0
queue = open_queue(config)
for number in range(count):
    path = f"/specs/{who}-{number}.md"
    began = time.monotonic()
    done = queue.enqueue(
        NewProject(spec_path=path, spec_key=path, name="x", enqueued_at=time.time())
    )
    worst = max(worst, time.monotonic() - began)
    print(done.project_id, flush=True)
print(json.dumps({"worst_sec": worst}), flush=True)
"""


def start_adder(place: Installation, who: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _ADDER, who, str(count)],
        env=place.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("is_fresh", [True, False], ids=["first ever", "existing"])
def test_promise_16_sixteen_writers_never_see_a_locked_database(
    promise: Promise, place: Installation, is_fresh: bool
):
    if not is_fresh:
        place.queue()
    each = rounds(8, 100)

    adders = [start_adder(place, f"w{number}", each) for number in range(16)]
    ends = [adder.communicate(timeout=TIMEOUT_SEC) for adder in adders]
    reports = [out.splitlines() for out, _ in ends]
    worst_sec = max(json.loads(lines[-1])["worst_sec"] for lines in reports if lines)

    acknowledged = [int(line) for lines in reports for line in lines[:-1]]
    stored = [row[0] for row in place.query("select id from project_queue order by id")]
    promise.tell(
        f"16 processes x {each} projects: 0 errors, {len(stored)} rows, "
        f"worst wait {worst_sec:.2f} s"
    )
    assert [err for _, err in ends] == [""] * 16
    assert [adder.returncode for adder in adders] == [0] * 16
    assert sorted(acknowledged) == stored
    assert len(stored) == 16 * each
    assert worst_sec < (5 if IS_LONG else 15)


def test_verbs_at_once_on_a_fresh_home_all_succeed(place):
    specs = [place.write_spec(f"s{n}", "command: 'true'") for n in range(rounds(6, 16))]

    adders = [place.start_cli("add", str(spec)) for spec in specs]
    ends = [adder.communicate(timeout=60) for adder in adders]

    assert {adder.returncode for adder in adders} == {0}, [err for _, err in ends]
    assert len(place.statuses()) == len(specs)
    assert "locked" not in "".join(out + err for out, err in ends)


def test_the_same_spec_added_by_many_at_once_is_queued_once(place):
    spec = place.write_spec("same", "command: 'true'")

    adders = [place.start_cli("--queue-add", str(spec), str(place.project)) for _ in range(4)]
    ends = [adder.communicate(timeout=60) for adder in adders]

    assert {adder.returncode for adder in adders} == {0}
    assert {out for out, _ in ends} == {"Project 1 added to queue\n"}
    assert len(place.statuses()) == 1


def test_promise_3_an_acknowledged_enqueue_is_durable(promise: Promise, place: Installation):
    place.queue()
    kills = rounds(8, 200)
    acknowledged: list[int] = []
    for number in range(kills):
        adder = start_adder(place, f"k{number}", 100_000)
        assert adder.stdout is not None
        acknowledged.append(int(adder.stdout.readline()))
        time.sleep(promise.random.uniform(0, 0.15))
        adder.kill()
        out, _ = adder.communicate()
        # A last line cut short by the kill was not said in full.
        acknowledged += [int(line) for line in out.split("\n")[:-1]]

    stored = {row[0] for row in place.query("select id from project_queue")}
    missing = set(acknowledged) - stored
    promise.tell(
        f"adder killed {kills} times: {len(acknowledged)} ids acknowledged, {len(missing)} missing"
    )
    assert not missing
    assert place.query("pragma integrity_check")[0][0] == "ok"


def test_a_verb_says_the_id_only_after_its_row_is_there(place):
    adder = place.start_cli("add", str(place.write_spec("s", "command: 'true'")))
    assert adder.stdout is not None

    said = adder.stdout.read(1)
    stored = place.statuses()
    adder.communicate()

    assert said
    assert list(stored.values()) == ["queued"]


def test_a_daemon_at_work_does_not_lock_writers_out(place):
    place.environ["MAX_CONCURRENT_PROJECTS"] = "4"
    place.run_daemon()
    for number in range(8):
        place.enqueue(f"busy{number}", "command: 'true'")

    adders = [start_adder(place, f"w{number}", 10) for number in range(4)]
    ends = [adder.communicate(timeout=60) for adder in adders]

    assert [err for _, err in ends] == [""] * 4
    wait_until(lambda: all(place.status(i) == "completed" for i in range(1, 9)), 30)


def test_a_writer_that_holds_the_database_is_waited_for(place):
    place.queue()
    with contextlib.closing(place.database()) as other:
        other.isolation_level = None
        other.execute("begin immediate")
        adder = start_adder(place, "patient", 1)
        time.sleep(1.5)
        waited = adder.poll() is None
        other.execute("commit")
        _, err = adder.communicate(timeout=30)

    assert (waited, adder.returncode, err) == (True, 0, "")
