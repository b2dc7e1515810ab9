"""What processes have used so far. One that has ended meanwhile counts for nothing.

Source: proc(5).
"""

import os
from pathlib import Path

_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")


def cpu_sec(pid: int) -> float:
    """Return CPU seconds of a process and of the children it has collected."""
    fields = _read(f"/proc/{pid}/stat").rpartition(") ")[2].split()
    own, children = (sum(map(int, fields[at : at + 2])) / _TICKS_PER_SEC for at in (11, 13))
    # Ticks are coarse; the threads that live are known to the nanosecond.
    said = [_read(f"{task}/schedstat").split() for task in Path(f"/proc/{pid}/task").glob("*")]
    living = sum(int(words[0]) for words in said if words) / 1e9
    return max(own, living) + children


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
