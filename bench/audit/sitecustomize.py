"""Found first on the path of a daemon that is watched: notes what it starts and heavy imports.

One word a line goes to the file that BENCH_AUDIT names. Source: the documentation of Python,
"Audit events table".
"""

import os
import sys
from typing import Any

_HEAVY = ("sqlalchemy", "alembic")
_STARTS = frozenset({"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.system"})


def _watch(path: str) -> None:
    told = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    last = ""

    def hear(event: str, args: tuple[Any, ...]) -> None:
        nonlocal last
        if event in _STARTS:
            # Popen may start by posix_spawn: that is one process, not two.
            if (last, event) != ("subprocess.Popen", "os.posix_spawn"):
                os.write(told, b"spawned\n")
            last = event
        elif event == "import" and args[0] in _HEAVY:
            os.write(told, b"heavy\n")

    sys.addaudithook(hear)


if "BENCH_AUDIT" in os.environ:
    _watch(os.environ["BENCH_AUDIT"])
