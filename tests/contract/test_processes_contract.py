"""What every view of processes does."""

import os
import signal
import subprocess
import uuid

import pytest

from scheduler_modules.adapters.process import LinuxProcesses
from scheduler_modules.model import ProcessIdentity
from tests.fakes.processes import FakeProcesses
from tests.waiting import wait_until

TOKEN = uuid.uuid4().hex
OTHER_TOKEN = uuid.uuid4().hex
NO_PID = 2**22 + 1


class FakeWorld:
    def __init__(self) -> None:
        self.processes = FakeProcesses()

    def start(self, token=None, ignores_term=False):
        return self.processes.start(token, ignores_term=ignores_term)

    def start_pane(self):
        leader = self.processes.start()
        return leader, self.processes.start(session=leader.pid)

    def end(self, process):
        self.processes.end(process)


class RealWorld:
    def __init__(self) -> None:
        self.processes = LinuxProcesses()
        self._started: dict[int, subprocess.Popen[str]] = {}

    def _popen(self, script, environ):
        process = subprocess.Popen(
            ["sh", "-c", script],
            env={"PATH": os.environ["PATH"], **environ},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started[process.pid] = process
        return process

    def start(self, token=None, ignores_term=False):
        environ = {} if token is None else {"SCHEDULER_RUN_ID": token}
        trap = "trap '' TERM; " if ignores_term else ""
        process = self._popen(f"{trap}echo up; exec sleep 60", environ)
        assert process.stdout.readline() == "up\n"
        return self.processes.identity(process.pid)

    def start_pane(self):
        leader = self._popen("env -i sleep 60 & echo $!; wait", {})
        member = int(leader.stdout.readline())
        return self.processes.identity(leader.pid), self.processes.identity(member)

    def end(self, process):
        os.kill(process.pid, signal.SIGKILL)
        # It stays a zombie until `close`: nobody has asked for its end yet.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    def close(self):
        for process in self._started.values():
            for member in self.processes.of_run("", [process.pid]):
                self.processes.send(member, signal.SIGKILL)
            process.communicate()


@pytest.fixture(params=["fake", "real"])
def world(request):
    if request.param == "fake":
        yield FakeWorld()
        return
    world = RealWorld()
    yield world
    world.close()


@pytest.fixture
def processes(world):
    return world.processes


def test_a_living_process_has_an_identity(world, processes):
    process = world.start()

    assert processes.identity(process.pid) == process
    assert processes.is_alive(process)


@pytest.mark.parametrize("pid", [NO_PID, 0, -1])
def test_no_process_has_no_identity(processes, pid):
    assert processes.identity(pid) is None


def test_an_ended_process_is_not_alive(world, processes):
    process = world.start()

    world.end(process)

    assert not processes.is_alive(process)
    assert processes.identity(process.pid) is None


def test_an_earlier_process_of_that_number_is_not_alive(world, processes):
    process = world.start()

    assert not processes.is_alive(ProcessIdentity(process.pid, process.started_ticks - 1))


def test_the_marker_tells_whose_a_process_is(world, processes):
    ours = world.start(TOKEN)
    world.start(OTHER_TOKEN)
    world.start()

    assert processes.of_run(TOKEN) == [ours]


def test_part_of_a_token_is_no_token(world, processes):
    world.start(TOKEN)

    assert processes.of_run(TOKEN[:-1]) == []
    assert processes.of_run(TOKEN + "0") == []


@pytest.mark.parametrize("token", ["", TOKEN], ids=["without a token", "with a token"])
def test_members_of_a_panes_process_session_belong_to_the_run(world, processes, token):
    leader, member = world.start_pane()

    assert processes.of_run(token, [leader.pid]) == sorted([leader, member])


def test_a_pane_whose_first_process_ended_still_has_its_session(world, processes):
    leader, member = world.start_pane()
    world.end(leader)

    assert processes.of_run(TOKEN, [leader.pid]) == [member]


def test_what_is_no_first_process_of_a_pane_names_no_session(world, processes):
    _, member = world.start_pane()

    assert processes.of_run(TOKEN, [member.pid, NO_PID]) == []


def test_a_process_found_both_ways_is_told_once(world, processes):
    process = world.start(TOKEN)

    assert processes.of_run(TOKEN, [process.pid]) == [process]


def test_no_token_and_no_pane_means_no_process(world, processes):
    world.start("")
    world.start()

    assert processes.of_run("") == []


def test_processes_are_told_in_the_order_of_their_numbers(world, processes):
    started = [world.start(TOKEN) for _ in range(5)]

    assert processes.of_run(TOKEN) == sorted(started)


def test_an_ended_process_belongs_to_no_run(world, processes):
    process = world.start(TOKEN)

    world.end(process)

    assert processes.of_run(TOKEN, [process.pid]) == []


def test_a_signal_ends_a_process(world, processes):
    process = world.start(TOKEN)

    assert processes.send(process, signal.SIGTERM) is True

    wait_until(lambda: not processes.is_alive(process), "its end")


def test_one_that_ignores_term_needs_kill(world, processes):
    process = world.start(TOKEN, ignores_term=True)
    assert processes.send(process, signal.SIGTERM) is True
    assert processes.is_alive(process)

    assert processes.send(process, signal.SIGKILL) is True

    wait_until(lambda: not processes.is_alive(process), "its end")


def test_a_signal_to_one_that_is_gone_is_told(world, processes):
    process = world.start()
    world.end(process)

    assert processes.send(process, signal.SIGTERM) is False


def test_a_later_process_of_that_number_gets_no_signal(world, processes):
    process = world.start()
    earlier = ProcessIdentity(process.pid, process.started_ticks - 1)

    assert processes.send(earlier, signal.SIGKILL) is False

    assert processes.is_alive(process)


@pytest.mark.parametrize("pid", [NO_PID, 0, -1])
def test_a_number_nobody_has_gets_no_signal(processes, pid):
    assert processes.send(ProcessIdentity(pid, 1), signal.SIGKILL) is False


def test_a_fake_process_leaves_an_heir():
    processes = FakeProcesses()
    first = processes.start(TOKEN, heirs=1)

    processes.send(first, signal.SIGKILL)
    heirs = processes.of_run(TOKEN)
    for heir in heirs:
        processes.send(heir, signal.SIGKILL)

    assert len(heirs) == 1 and heirs != [first]
    assert processes.of_run(TOKEN) == []


def test_a_fake_number_can_be_used_again():
    processes = FakeProcesses()
    first = processes.start(pid=7)
    with pytest.raises(ValueError, match="lives already"):
        processes.start(pid=7)

    processes.send(first, signal.SIGKILL)
    second = processes.start(pid=7)

    assert processes.identity(7) == second != first


def test_a_harmless_signal_does_not_end_a_fake_process():
    processes = FakeProcesses()
    process = processes.start()

    assert processes.send(process, signal.SIGCONT) is True

    assert processes.is_alive(process)
