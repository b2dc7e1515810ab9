"""An installation whose home is a small disk of its own, to be filled and emptied."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.installation import Installation

_MOUNT = 'mount -t tmpfs -o "size=$1,mode=0700" tmpfs "$2" && echo mounted && exec sleep 100000'


# SQLite follows the links of a path itself, and /proc/PID/root leads it back out of the namespace.
_QUERY = """
import json, sqlite3, sys
cursor = sqlite3.connect(sys.argv[1], timeout=30).execute(sys.argv[2], json.loads(sys.argv[3]))
print(json.dumps([[name for name, *_ in cursor.description], cursor.fetchall()]))
"""


class SmallDisk(Installation):
    """Its programs live in a mount namespace; this process looks in through /proc."""

    def __init__(self, folder: Path, holder: int, **settings: str) -> None:
        super().__init__(folder, **settings)
        self.home = Path(f"/proc/{holder}/root{folder}/home")
        self.prefix = ("nsenter", "--mount", f"--target={holder}", "--")

    def query(self, sql: str, *values: object) -> list[sqlite3.Row]:
        database = f"{self.environ['TMUX_ORCHESTRATOR_HOME']}/task_queue.db"
        done = subprocess.run(
            [*self.prefix, sys.executable, "-c", _QUERY, database, sql, json.dumps(values)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        names, rows = json.loads(done.stdout)
        with contextlib.closing(sqlite3.connect(":memory:")) as database:
            database.row_factory = sqlite3.Row
            columns = ", ".join(f'? as "{name}"' for name in names)
            return [database.execute(f"select {columns}", row).fetchone() for row in rows]

    def fill(self) -> None:
        """Take all space there is."""
        with contextlib.suppress(OSError), (self.home / "filler").open("ab") as filler:
            while True:
                filler.write(bytes(4096))
                filler.flush()

    def empty(self) -> None:
        """Give the space back."""
        (self.home / "filler").unlink()


@contextlib.contextmanager
def small_disk(size: str = "2M", **settings: str) -> Iterator[SmallDisk]:
    """Give an installation on a disk of that size. Skips where there is no mount namespace."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("private mounts are not permitted here: unshare or nsenter is missing")
    folder = Path(tempfile.mkdtemp(prefix="to-"))
    (folder / "home").mkdir()
    unshare = ("unshare", "--mount", "--propagation", "private")
    holder = subprocess.Popen(
        [*unshare, "sh", "-c", _MOUNT, "mount", size, str(folder / "home")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "mounted\n":
            why = holder.communicate()[1].strip()
            pytest.skip(f"private mounts are not permitted here: {why}")
        place = SmallDisk(folder, holder.pid, **settings)
        try:
            yield place
        finally:
            place.close()
    finally:
        holder.kill()
        holder.communicate()
        shutil.rmtree(folder, ignore_errors=True)
