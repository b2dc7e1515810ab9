"""What processes have used so far. One that has ended meanwhile counts for nothing.

Source: proc(5).
"""

import os
from pathlib import Path

_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")


def cpu_sec(pid: int) -> float:
    """Return CPU seconds of a process and of the children it has collected."""
    fields = _read(f"/proc/{pid}/stat").rpartition(") ")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS_PER_SEC


def tree_cpu_sec(pid: int) -> float:
    """The same, with its living children and theirs."""
    return sum(cpu_sec(one) for one in tree(pid))


def rss_mib(pid: int) -> float:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def tree(pid: int) -> list[int]:
    """Return a process and everything below it that lives."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*"):
        for child in _read(f"{task}/children").split():
            found += tree(int(child))
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
