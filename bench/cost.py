"""Runs one command and tells what it cost: `python -S -E cost.py FD COMMAND...`.

Stands alone and imports next to nothing: the peak memory of a child counts from its parent's, so
the parent must be small. Writes `exit-code wall-sec cpu-sec peak-MiB` to the file descriptor.

Source: getrusage(2), wait4(2).
"""

import os
import sys
import time


def main() -> None:
    told, argv = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(told, False)
    started = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, os.environ)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    line = f"{code} {wall} {used.ru_utime + used.ru_stime} {used.ru_maxrss / 1024}"
    os.write(told, line.encode())


main()
