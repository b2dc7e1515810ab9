"""task-spooler with a server of our own: the nearest tool to compare a queue of commands with.

Source: tsp(1).
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Self

from bench.lib import Absent, wait_until


class Spooler:
    """Ended by `close`, with everything in it."""

    def __init__(self, folder: Path, slots: int) -> None:
        if shutil.which("tsp") is None:
            raise Absent("task-spooler is not installed (Debian: task-spooler)")
        self._environ = {
            **os.environ,
            "TS_SOCKET": str(folder / "tsp.sock"),
            "TMPDIR": str(folder),
            "TS_MAXFINISHED": "10",
        }
        self.run("-S", str(slots))

    def run(self, *args: str) -> str:
        return subprocess.run(
            ["tsp", *args], env=self._environ, capture_output=True, text=True, check=True
        ).stdout

    def drain(self, count: int) -> None:
        """Add so many tasks that do nothing, and wait for the last."""
        for _ in range(count):
            self.run("-n", "true")
        wait_until(lambda: not self._is_busy(), "task-spooler to be done")

    def _is_busy(self) -> bool:
        states = {line.split()[1] for line in self.run().splitlines()[1:]}
        return not states <= {"finished"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["tsp", "-K"], env=self._environ, check=False, capture_output=True)
