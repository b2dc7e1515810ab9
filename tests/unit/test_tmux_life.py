"""What is known of a server by its process."""

import subprocess

import pytest

from scheduler_modules.adapters.tmux_life import ServerLife
from scheduler_modules.tmux_values import ServerIdentity


@pytest.fixture
def life():
    return ServerLife(pause=lambda sec: None)


def test_of_a_server_never_seen_nothing_is_sure(life):
    assert not life.is_surely_alive()
    assert not life.is_surely_dead()


@pytest.mark.parametrize("pid", [1, 2**22 + 1], ids=["another program's", "none here"])
def test_of_a_server_in_another_container_nothing_is_sure(life, pid):
    life.remember(ServerIdentity(pid, 1))

    assert not life.is_surely_alive()
    assert not life.is_surely_dead()


def test_a_process_that_is_no_tmux_server_is_never_signalled(life):
    bystander = subprocess.Popen(["sleep", "60"])
    life.remember(ServerIdentity(bystander.pid, 1))

    life.ask_for_its_socket()

    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
