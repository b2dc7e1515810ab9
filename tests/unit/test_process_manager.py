"""Ending everything a run started, step by step."""

import logging
import signal

import pytest

from scheduler_modules.process_manager_wrapper import ProcessManager
from tests.fakes.clock import FakeClock
from tests.fakes.processes import FakeProcesses

TOKEN = "a" * 32
GRACE_SEC = 10


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def processes():
    return FakeProcesses()


@pytest.fixture
def manager(processes, clock):
    return ProcessManager(processes, clock, kill_grace_sec=GRACE_SEC)


def is_over(manager):
    """Do one step; return whether nothing of the run was left."""
    return manager.end_step({TOKEN: []}) == {TOKEN}


def test_a_run_without_processes_is_over_at_once(manager):
    assert is_over(manager)


def test_an_obedient_process_gets_term_and_is_gone_at_the_next_step(manager, processes):
    processes.start(TOKEN)

    steps = [is_over(manager), is_over(manager)]

    assert steps == [False, True]


def test_processes_of_the_panes_are_ended_though_they_carry_no_mark(manager, processes):
    pane = processes.start(None)
    child = processes.start(None, session=pane.pid)

    manager.end_step({TOKEN: [pane.pid]})

    assert not processes.is_alive(pane)
    assert not processes.is_alive(child)


def test_processes_of_other_runs_are_spared(manager, processes):
    other = processes.start("b" * 32, ignores_term=False)
    processes.start(TOKEN)

    manager.end_step({TOKEN: []})

    assert processes.is_alive(other)


def test_a_process_that_ignores_term_is_killed_after_the_grace_not_before(
    manager, processes, clock
):
    stubborn = processes.start(TOKEN, ignores_term=True)

    manager.end_step({TOKEN: []})
    clock.advance(GRACE_SEC - 0.1)
    manager.end_step({TOKEN: []})
    before = processes.is_alive(stubborn)
    clock.advance(0.1)
    manager.end_step({TOKEN: []})

    assert before
    assert not processes.is_alive(stubborn)


def test_a_process_is_asked_to_end_only_once(manager, processes, clock, caplog):
    caplog.set_level(logging.INFO)
    processes.start(TOKEN, ignores_term=True)

    for _ in range(5):
        manager.end_step({TOKEN: []})
        clock.advance(1)

    assert [record.signal for record in caplog.records] == ["SIGTERM"]


def test_a_child_born_while_its_parent_is_ended_is_asked_too(manager, processes):
    processes.start(TOKEN, heirs=1)

    steps = [is_over(manager) for _ in range(3)]

    assert steps == [False, False, True]


def test_a_tree_that_keeps_forking_is_killed_until_none_is_left(manager, processes, clock):
    processes.start(TOKEN, ignores_term=True, heirs=5)
    manager.end_step({TOKEN: []})
    clock.advance(GRACE_SEC)

    steps = [is_over(manager) for _ in range(7)]

    assert steps == [False] * 6 + [True]


def test_after_a_restart_ending_begins_with_term_again(processes, clock, caplog):
    caplog.set_level(logging.INFO)
    processes.start(TOKEN, ignores_term=True)
    ProcessManager(processes, clock, kill_grace_sec=GRACE_SEC).end_step({TOKEN: []})
    clock.advance(GRACE_SEC)

    ProcessManager(processes, clock, kill_grace_sec=GRACE_SEC).end_step({TOKEN: []})

    assert [record.signal for record in caplog.records] == ["SIGTERM", "SIGTERM"]


def test_an_ending_that_is_over_is_forgotten(manager, processes, clock):
    processes.start(TOKEN)
    manager.end_step({TOKEN: []})
    manager.end_step({TOKEN: []})
    clock.advance(GRACE_SEC)
    late = processes.start(TOKEN, ignores_term=True)

    manager.end_step({TOKEN: []})

    assert processes.is_alive(late)


def test_a_process_that_took_a_number_over_is_asked_by_its_own_right(manager, processes, caplog):
    caplog.set_level(logging.INFO)
    first = processes.start(TOKEN, pid=77, ignores_term=True)
    manager.end_step({TOKEN: []})
    processes.end(first)
    processes.start(TOKEN, pid=77, ignores_term=True)

    manager.end_step({TOKEN: []})

    assert [(record.signal, record.pids) for record in caplog.records] == [
        (signal.SIGTERM.name, [77]),
        (signal.SIGTERM.name, [77]),
    ]
