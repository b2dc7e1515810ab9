"""Processes that do not want to end: a sweep with KILL leaves none of them."""

import os
import signal
import subprocess
import sys
import uuid

import pytest

from scheduler_modules.adapters.process import LinuxProcesses
from tests.waiting import wait_until

IGNORES_TERM = "trap '' TERM HUP INT; echo $$ >>{ledger}; while :; do sleep 1; done"
NOHUP = "nohup sh -c 'echo $$ >>{ledger}; exec sleep 60' >/dev/null 2>&1 & wait"
SETSID = "setsid sh -c 'echo $$ >>{ledger}; exec sleep 60' & wait"
OTHER_ARGV = "exec bash -c 'echo $$ >>{ledger}; exec -a innocent sleep 60'"
# The marker is gone, but not the pane.
NO_ENVIRONMENT = "echo $$ >>{ledger}; exec env -i sleep 60"
STOPPED = "echo $$ >>{ledger}; kill -STOP $$; sleep 60"

PRELUDE = """
import os, signal, sys, time
def note():
    with open({ledger!r}, "a") as ledger:
        ledger.write(f"{{os.getpid()}}\\n")
"""
DOUBLE_FORK = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.chdir("/")
        note()
        time.sleep(60)
    os._exit(0)
time.sleep(60)
"""
CLOSES_FILES = """
note()
os.closerange(0, 1024)
time.sleep(60)
"""
OTHER_NAME = """
with open("/proc/self/comm", "w") as comm:
    comm.write("[kworker/0:1]")
note()
time.sleep(60)
"""
FORKS_ON = """
for generation in range(300):
    if os.fork():
        os._exit(0)
    os.setsid()
    note()
    time.sleep(0.01)
time.sleep(60)
"""
FORKS_ON_TERM = """
generations = 0
def fork(number, frame):
    global generations
    generations += 1
    if generations < 20 and os.fork() == 0:
        os.setsid()
        note()
signal.signal(signal.SIGTERM, fork)
note()
while True:
    time.sleep(1)
"""
HEADLESS = """
import ctypes, platform, threading
def live_on():
    note()
    time.sleep(60)
threading.Thread(target=live_on).start()
exit_thread = {"x86_64": 60}.get(platform.machine(), 93)
ctypes.CDLL(None).syscall(exit_thread, 0)
"""

SHELL = {
    "ignores TERM": IGNORES_TERM,
    "nohup": NOHUP,
    "setsid": SETSID,
    "changes its argv": OTHER_ARGV,
    "clears its environment": NO_ENVIRONMENT,
    "is stopped": STOPPED,
}
PYTHON = {
    "forks twice": DOUBLE_FORK,
    "closes its files": CLOSES_FILES,
    "changes its name": OTHER_NAME,
    "forks on and on": FORKS_ON,
    "forks when told to end": FORKS_ON_TERM,
    "ends its first thread": HEADLESS,
}


class HostileRun:
    """A program in a process session of its own, marked as ours, as in a pane."""

    def __init__(self, folder, what) -> None:
        self.token = uuid.uuid4().hex
        self.processes = LinuxProcesses()
        self._ledger = folder / "ledger"
        self._ledger.touch()
        self._process = subprocess.Popen(
            self._argv(what),
            env={**os.environ, "SCHEDULER_RUN_ID": self.token},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self.hostile_pids, f"it {what}")

    def _argv(self, what):
        if what in SHELL:
            return ["sh", "-c", SHELL[what].format(ledger=self._ledger)]
        return [sys.executable, "-c", PRELUDE.format(ledger=str(self._ledger)) + PYTHON[what]]

    def hostile_pids(self):
        """Return everybody who has ever called itself hostile."""
        return [int(line) for line in self._ledger.read_text().split("\n")[:-1]]

    def found(self):
        return self.processes.of_run(self.token, [self._process.pid])

    def sweep(self, number):
        for process in self.found():
            self.processes.send(process, number)

    def end(self):
        """Kill until a sweep finds none."""

        def is_swept():
            self.sweep(signal.SIGKILL)
            return not self.found()

        wait_until(is_swept, "an empty sweep")

    def close(self):
        self.end()
        self._process.wait()


@pytest.fixture
def run(request, tmp_path):
    run = HostileRun(tmp_path, request.param)
    yield run
    run.close()


every_kind = pytest.mark.parametrize("run", [*SHELL, *PYTHON], indirect=True)


@every_kind
def test_whoever_it_is_it_is_found(run):
    wait_until(
        lambda: {process.pid for process in run.found()} & set(run.hostile_pids()),
        "the hostile process in a sweep",
    )


@every_kind
def test_whoever_it_is_nothing_of_it_is_left(run):
    run.sweep(signal.SIGTERM)

    run.end()

    assert [pid for pid in run.hostile_pids() if run.processes.identity(pid)] == []
    assert run.found() == []
