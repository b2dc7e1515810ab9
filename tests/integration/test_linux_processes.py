"""What only real processes can show: who is spared, what cannot be read or signalled."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

from scheduler_modules.adapters import process as process_module
from scheduler_modules.adapters.process import LinuxProcesses
from scheduler_modules.errors import SchedulerError
from tests.waiting import wait_until

TOKEN = uuid.uuid4().hex
MARKED = {**os.environ, "SCHEDULER_RUN_ID": TOKEN}

SWEEPS_ITS_OWN_RUN = """
import os, subprocess
from scheduler_modules.adapters.process import LinuxProcesses
child = subprocess.Popen(["sleep", "60"])
found = LinuxProcesses().of_run(os.environ["SCHEDULER_RUN_ID"], [os.getsid(0), 1])
print(os.getpid() in [process.pid for process in found], child.pid in
      [process.pid for process in found], 1 in [process.pid for process in found])
child.kill()
"""
PRETENDS = """
import time
with open("/proc/self/comm", "w") as comm:
    comm.write("tmux: server")
print("up", flush=True)
time.sleep(60)
"""
ODD_NAME = PRETENDS.replace("tmux: server", "a) R 1 (b")
HEADLESS = """
import ctypes, platform, threading, time
threading.Thread(target=time.sleep, args=[60]).start()
print("up", flush=True)
exit_thread = {"x86_64": 60}.get(platform.machine(), 93)
ctypes.CDLL(None).syscall(exit_thread, 0)
"""


@pytest.fixture
def processes():
    return LinuxProcesses()


@pytest.fixture
def start():
    running = []

    def start(*argv, **options):
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, **options)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def pids(found):
    return {process.pid for process in found}


def test_a_sweep_spares_whoever_sweeps_and_process_1(start):
    sweeper = start(sys.executable, "-c", SWEEPS_ITS_OWN_RUN, env=MARKED, start_new_session=True)

    assert sweeper.communicate(timeout=20)[0] == "False True False\n"


def test_a_tmux_server_that_a_run_started_is_spared_but_its_panes_are_not(processes):
    folder = tempfile.mkdtemp(prefix="to-")
    tmux = ["tmux", "-S", f"{folder}/s", "-f", "/dev/null"]
    try:
        subprocess.run([*tmux, "new-session", "-d", "sleep 60"], env=MARKED, check=True)
        server, pane = (
            int(number)
            for number in subprocess.run(
                [*tmux, "display-message", "-p", "#{pid} #{pane_pid}"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
        )

        assert pids(processes.of_run(TOKEN, [pane])) & {server, pane} == {pane}
        assert server not in pids(processes.of_run(TOKEN, [server]))
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("named", "is_found"), [("home", True), ("link", True), ("elsewhere", False), (None, True)]
)
def test_a_process_that_names_another_home_is_no_run_of_ours(start, tmp_path, named, is_found):
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    environ = {} if named is None else {"TMUX_ORCHESTRATOR_HOME": str(tmp_path / named)}
    process = start("sleep", "60", env={**MARKED, **environ})
    wait_until(lambda: process.pid in pids(LinuxProcesses().of_run(TOKEN)), "it to be marked")

    found = LinuxProcesses(tmp_path / "home").of_run(TOKEN)

    assert (process.pid in pids(found)) == is_found


def test_calling_oneself_a_tmux_server_spares_nobody(start, processes):
    process = start(sys.executable, "-c", PRETENDS, env=MARKED)
    process.stdout.readline()

    assert process.pid in pids(processes.of_run(TOKEN))


def test_a_tmux_server_that_cannot_be_looked_at_is_spared(start, processes, monkeypatch):
    process = start(sys.executable, "-c", PRETENDS, env=MARKED)
    process.stdout.readline()

    def fail(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(process_module.Path, "readlink", fail)

    assert process.pid not in pids(processes.of_run(TOKEN))


def test_a_name_full_of_brackets_hides_nothing(start, processes):
    process = start(sys.executable, "-c", ODD_NAME, env=MARKED, start_new_session=True)
    process.stdout.readline()

    found = processes.of_run(TOKEN)

    assert process.pid in pids(found)
    assert processes.of_run("", [process.pid]) == [processes.identity(process.pid)]


def test_the_marker_inside_another_variable_is_no_marker(start, processes):
    environ = {"PATH": os.environ["PATH"], "NOTE": f"SCHEDULER_RUN_ID={TOKEN}"}
    process = start("sh", "-c", "echo up; exec sleep 60", env=environ)
    process.stdout.readline()

    assert process.pid not in pids(processes.of_run(TOKEN))


def test_the_marker_is_found_behind_a_huge_environment(start, processes):
    environ = {**{f"FILLER_{n}": "x" * 100_000 for n in range(5)}, **MARKED}
    process = start("sleep", "60", env=environ)

    assert process.pid in pids(processes.of_run(TOKEN))


@pytest.mark.parametrize("pane", [False, True])
def test_a_process_whose_first_thread_ended_is_alive_and_found(start, processes, pane):
    process = start(sys.executable, "-c", HEADLESS, env=MARKED, start_new_session=True)
    process.stdout.readline()
    stat = Path(f"/proc/{process.pid}/stat")
    wait_until(lambda: ") Z " in stat.read_text(), "the end of the first thread")

    found = processes.of_run("", [process.pid]) if pane else processes.of_run(TOKEN)

    assert process.pid in pids(found)
    assert processes.send(processes.identity(process.pid), signal.SIGKILL) is True


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_process_whose_first_thread_ended_belongs_to_no_other_run(
    start, processes, monkeypatch, is_gone
):
    process = start(sys.executable, "-c", HEADLESS, env=MARKED)
    process.stdout.readline()
    stat = Path(f"/proc/{process.pid}/stat")
    wait_until(lambda: ") Z " in stat.read_text(), "the end of the first thread")
    really = os.listdir

    def listdir(folder):
        if is_gone and folder == f"/proc/{process.pid}/task":
            raise ProcessLookupError(errno.ESRCH, "No such process")
        return really(folder)

    monkeypatch.setattr(os, "listdir", listdir)

    assert process.pid not in pids(processes.of_run(uuid.uuid4().hex))


def test_a_process_whose_environment_is_not_for_us_is_not_found(start, processes, monkeypatch):
    process = start("sleep", "60", env=MARKED)
    really = os.open

    def refuse_environ(path, *args):
        if str(path).endswith("/environ"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return really(path, *args)

    monkeypatch.setattr(os, "open", refuse_environ)

    assert process.pid not in pids(processes.of_run(TOKEN))


def test_what_may_not_be_signalled_in_a_pane_is_not_found(start, processes, monkeypatch):
    process = start("sleep", "60", start_new_session=True)

    def refuse(pid, number):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refuse)

    assert processes.of_run("", [process.pid]) == []


def test_a_number_that_went_to_another_process_during_the_look_is_not_taken(
    start, processes, monkeypatch
):
    process = start("sleep", "60", env=MARKED)
    really = process_module._read

    def read(path):
        content = really(path)
        if path == f"/proc/{process.pid}/environ":
            process.kill()
            process.wait()
        return content

    monkeypatch.setattr(process_module, "_read", read)

    assert process.pid not in pids(processes.of_run(TOKEN))


@pytest.mark.parametrize("name", ["open", "listdir"])
def test_running_out_of_file_handles_is_not_taken_for_nobody_lives(processes, monkeypatch, name):
    def fail(*args):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, name, fail)

    with pytest.raises(SchedulerError, match="cannot be read: Too many open files"):
        processes.of_run(TOKEN)


def refuse_handles(monkeypatch, number):
    def fail(pid):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", fail)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EMFILE])
def test_without_handles_signals_go_by_number(start, processes, monkeypatch, number):
    process = start("sleep", "60")
    refuse_handles(monkeypatch, number)

    assert processes.send(processes.identity(process.pid), signal.SIGTERM) is True

    assert process.wait(timeout=10) == -signal.SIGTERM


def test_a_python_without_handles_signals_by_number(start, processes, monkeypatch):
    process = start("sleep", "60")
    monkeypatch.setattr(process_module, "_HAS_PIDFD", False)

    assert processes.send(processes.identity(process.pid), signal.SIGTERM) is True

    assert process.wait(timeout=10) == -signal.SIGTERM


def test_one_that_ends_before_the_signal_is_gone(start, processes, monkeypatch):
    process = start("sleep", "60")
    identity = processes.identity(process.pid)
    refuse_handles(monkeypatch, errno.ENOSYS)

    def fail(pid, number):
        raise ProcessLookupError(errno.ESRCH, "No such process")

    monkeypatch.setattr(os, "kill", fail)

    assert processes.send(identity, signal.SIGTERM) is False


def test_one_that_is_not_ours_gets_no_signal_and_a_line_in_the_log(
    start, processes, monkeypatch, caplog
):
    process = start("sleep", "60")

    def refuse(handle, number):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)

    assert processes.send(processes.identity(process.pid), signal.SIGTERM) is False

    assert [record.message for record in caplog.records] == ["process_not_ours"]


def test_sending_leaves_no_open_file(start, processes):
    process = start("sleep", "60")
    identity = processes.identity(process.pid)
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(10):
        processes.send(identity, signal.SIGCONT)

    assert len(os.listdir("/proc/self/fd")) == before
    process.kill()
    wait_until(lambda: not processes.is_alive(identity), "its end")
