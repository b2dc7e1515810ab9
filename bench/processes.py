"""What processes have used so far. Source: proc(5)."""

import os
from pathlib import Path

_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")


def cpu_sec(pid: int) -> float:
    """Return CPU seconds of a process and of the children it has collected."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS_PER_SEC


def tree_cpu_sec(pid: int) -> float:
    """The same, with its living children and theirs."""
    return sum(cpu_sec(one) for one in tree(pid))


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def tree(pid: int) -> list[int]:
    """Return a process and everything below it that lives."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += tree(int(child))
    return found
