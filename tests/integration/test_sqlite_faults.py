"""The store under SIGKILL, failing disks, full disks and many writers, with real processes."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from scheduler_modules.adapters.database_check import Standing, check
from scheduler_modules.adapters.store_sqlite import open_sqlite_store
from scheduler_modules.errors import EXIT_DATABASE, EXIT_DISK_FULL
from tests.lab.promises import TIMEOUT_SEC, rounds
from tests.legacy.old_databases import with_18_columns, with_swallowing_constraint

pytestmark = [pytest.mark.faults, pytest.mark.timeout(TIMEOUT_SEC)]

ROOT = Path(__file__).resolve().parents[2]
WRITES = "pwrite64,ftruncate,fdatasync,fsync,unlink,link,rename"


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "task_queue.db"


def command(path: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.integration.store_worker", str(path), *arguments]


def environment() -> dict[str, str]:
    """Return an environment in which only the store writes: no measuring, no compiled files."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"}


def work(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(path, *arguments),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def ids(output: str) -> set[int]:
    """Return the ids that were acknowledged; half a line is no acknowledgement."""
    return {int(line) for line in re.findall(r"^(\d+)\n", output, re.MULTILINE)}


def stored_ids(path: Path) -> set[int]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        return {row[0] for row in connection.execute("select id from project_queue")}


# -- many writers -------------------------------------------------------------------------------


def test_promise_16_sixteen_writers_never_see_a_locked_database(path, promise):
    transactions = rounds(10, 100)
    open_sqlite_store(path).close()

    writers = [
        subprocess.Popen(
            command(path, "add", str(transactions), f"w{n}"),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(16)
    ]
    results = [writer.communicate() for writer in writers]

    assert [error for _, error in results] == [""] * 16
    longest = max(float(re.findall(r"longest (.*)", output)[0]) for output, _ in results)
    assert len(stored_ids(path)) == 16 * transactions
    promise.tell(f"16 x {transactions} transactions, 0 errors, longest {longest:.2f} s")
    assert longest < 5


# -- kill -9 ------------------------------------------------------------------------------------


def test_promise_3_what_was_acknowledged_is_there_after_a_kill(path, promise):
    kills, acknowledged = rounds(5, 200), set()
    open_sqlite_store(path).close()

    for _ in range(kills):
        worker = subprocess.Popen(
            command(path, "add", "100000"),
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(promise.random.randrange(1, 40)):
            acknowledged |= ids(worker.stdout.readline())
        worker.send_signal(signal.SIGKILL)
        acknowledged |= ids(worker.communicate()[0])

    missing = acknowledged - stored_ids(path)
    promise.tell(f"{kills} kills, {len(acknowledged)} acknowledged, {len(missing)} missing")
    assert missing == set()
    assert len(acknowledged) >= kills


def test_nothing_is_acknowledged_before_it_is_on_the_disk(path, tmp_path, strace):
    open_sqlite_store(path).close()
    log = tmp_path / "calls"

    strace(path, "trace=fdatasync,fsync,write", log, "add", "3")

    calls = re.findall(r"(fdatasync|fsync|write\(1, \"\d+)", log.read_text())
    for place, call in enumerate(calls):
        if call.startswith("write"):
            assert calls[place - 1] in {"fdatasync", "fsync"}
    assert sum(call.startswith("write") for call in calls) == 3


@pytest.fixture
def strace():
    """Run the worker under strace with these options of `-e`."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trial = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    if trial.returncode != 0:
        pytest.skip("processes may not be traced here")

    def run(path, option, log, *arguments):
        options = [part for one in option.split(" ") for part in ("-e", one)]
        return subprocess.run(
            ["strace", "-f", "-o", str(log), *options, *command(path, *arguments)],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def kill_points(strace, promise, short: int, path: Path, *arguments: str) -> list[str]:
    """Return the options of strace that kill the worker at one of its writes, each once."""
    log = path.parent / "calls"
    assert strace(path, f"trace={WRITES}", log, *arguments).returncode == 0
    calls = Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))
    every = [f"{call}:signal=KILL:when={n + 1}" for call in calls for n in range(calls[call])]
    points = promise.random.sample(every, min(len(every), rounds(short, len(every))))
    return [f"trace={WRITES} inject={point}" for point in points]


def nothing(path: Path) -> None:
    """Leave the folder empty."""


@pytest.mark.parametrize("make", [nothing, with_18_columns, with_swallowing_constraint])
def test_promise_21_a_killed_migration_leaves_the_old_version_or_the_new(
    make, tmp_path, promise, strace
):
    def fresh() -> Path:
        folder = tmp_path / "place"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        make(folder / "task_queue.db")
        return folder / "task_queue.db"

    before = stored_ids(fresh()) if make is not nothing else set()
    points = kill_points(strace, promise, 6, fresh(), "open")

    for point in points:
        path = fresh()
        killed = strace(path, point, "/dev/null", "open")
        assert killed.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}, point
        old = Standing.MISSING if make is nothing else Standing.BEHIND
        assert check(path) in {old, Standing.CURRENT}, point
        open_sqlite_store(path).close()
        assert check(path) is Standing.CURRENT, point
        assert stored_ids(path) == before, point

    promise.tell(f"{make.__name__}: killed at {len(points)} calls, old or new each time")


def test_promise_2_a_killed_enqueue_happened_wholly_or_not_at_all(path, promise, strace):
    open_sqlite_store(path).close()
    points = kill_points(strace, promise, 4, path, "add", "1")
    known = stored_ids(path)

    for point in points:
        acknowledged = ids(strace(path, point, "/dev/null", "add", "1").stdout)
        found = stored_ids(path)
        with closing(sqlite3.connect(path)) as connection:
            told = {row[0] for row in connection.execute("select project_id from event_log")}
            planned = {row[0] for row in connection.execute("select project_id from project_plan")}
        assert known | acknowledged <= found, point
        assert found == told == planned, point
        known = found

    promise.tell(f"killed at {len(points)} calls: row, plan and fact agree each time")


# -- disks that fail or are full ----------------------------------------------------------------


def test_promise_19_a_failed_sync_is_told_and_not_acknowledged(path, tmp_path, promise, strace):
    open_sqlite_store(path).close()
    assert work(path, "add", "2").returncode == 0
    known = stored_ids(path)

    for place in range(1, rounds(3, 8)):
        failing = "fdatasync,fsync"
        result = strace(
            path,
            f"trace={failing} inject={failing}:error=EIO:when={place}",
            tmp_path / "log",
            "add",
            "4",
        )
        acknowledged = ids(result.stdout)
        if result.returncode:
            assert result.returncode == EXIT_DATABASE
            assert result.stderr.startswith(f"error: {path} cannot be read or written (disk I/O")
            assert len(result.stderr.splitlines()) == 1
        assert known | acknowledged <= stored_ids(path)
        assert result.returncode or len(acknowledged) == 4
        known = stored_ids(path)

    promise.tell(f"sync number 1 to {place} failed: told, nothing acknowledged is missing")


def test_promise_18_no_space_for_a_write_is_told_by_name(path, tmp_path, promise, strace):
    open_sqlite_store(path).close()

    for first in range(1, rounds(3, 12)):
        result = strace(
            path,
            f"trace=pwrite64 inject=pwrite64:error=ENOSPC:when={first}+",
            tmp_path / "log",
            "add",
            "50",
        )
        assert (result.returncode, len(result.stderr.splitlines())) == (EXIT_DISK_FULL, 1)
        assert result.stderr.startswith(f"error: {path.parent}: no space left on the disk")
        assert ids(result.stdout) <= stored_ids(path)

    assert work(path, "add", "1").returncode == 0
    promise.tell(f"no space from write 1 to {first} on: told, and the next one works")


def private_mount() -> list[str]:
    """Return the start of a command that may mount things nobody else sees."""
    alone = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        alone[1:1] = ["--user", "--map-root-user"]
    trial = [*alone, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if shutil.which("unshare") is None or subprocess.call(trial, stderr=subprocess.DEVNULL):
        pytest.skip("private mounts are not permitted here")
    return alone


def on_small_disk(folder: Path, script: str, size: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *private_mount(),
            "sh",
            "-ec",
            f'mount -t tmpfs -o size={size} tmpfs "$1"; shift\n{script}',
            "sh",
            str(folder),
            str(folder / "task_queue.db"),
            sys.executable,
            "-m",
            "tests.integration.store_worker",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_promise_18_a_full_disk_is_told_and_work_goes_on_when_there_is_space(tmp_path, promise):
    script = """
    database=$1; shift
    head -c 500000 /dev/zero >"${database%/*}/filler"
    "$@" "$database" fill "${database%/*}/filler"
    """

    result = on_small_disk(tmp_path, script, size="6M")

    assert (result.returncode, result.stderr) == (0, "")
    assert f"full: {tmp_path}: no space left on the disk" in result.stdout
    acknowledged = ids(result.stdout)
    assert result.stdout.splitlines()[-1].isdigit()
    promise.tell(f"{len(acknowledged)} acknowledged on a 6 MiB disk, one of them after it was full")


@pytest.mark.parametrize("make", [nothing, with_18_columns])
def test_promise_18_no_space_for_a_migration_changes_nothing(make, tmp_path):
    old, disk = tmp_path / "old", tmp_path / "disk"
    old.mkdir()
    disk.mkdir()
    make(old / "task_queue.db")
    script = f"""
    database=$1; shift
    cp {old}/* "${{database%/*}}" 2>/dev/null || :
    head -c 1000000 /dev/zero >"${{database%/*}}/filler" 2>/dev/null || :
    before=$(cat "$database" 2>/dev/null | md5sum)
    "$@" "$database" open && exit 99
    code=$?
    [ "$(cat "$database" 2>/dev/null | md5sum)" = "$before" ] || exit 98
    rm "${{database%/*}}/filler"
    "$@" "$database" open && exit $code
    """

    result = on_small_disk(disk, script, size="400k")

    assert result.returncode == EXIT_DISK_FULL, result
    assert re.fullmatch(r"error: \S+: no space left on the disk; .*\n", result.stderr)
