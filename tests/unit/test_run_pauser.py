"""Pausing a running project: its processes stand still, and so does its time."""

import signal

import pytest

from scheduler_modules.model import FactName, Outcome


@pytest.fixture
def signals(world, monkeypatch):
    """Every signal that is sent, as (pid, number)."""
    sent = []
    send = world.processes.send

    def note(process, number):
        sent.append((process.pid, number))
        return send(process, number)

    monkeypatch.setattr(world.processes, "send", note)
    return sent


def a_child(world, project_id):
    """Start a program below the runner of the project's main window."""
    return world.processes.start(
        world.run(project_id).token, session=world.process(project_id).pid
    ).pid


def test_the_processes_of_a_paused_project_are_stopped_but_its_runner_is_not(world, signals):
    project_id = world.add_running()
    child = a_child(world, project_id)

    world.container.queue_control().want_pause(project_id)
    world.tick()

    assert signals == [(child, signal.SIGSTOP)]
    assert FactName.RUN_PAUSED in world.facts(project_id)


def test_what_is_started_in_a_paused_project_is_stopped_too(world, signals):
    project_id = world.add_running()
    world.container.queue_control().want_pause(project_id)
    world.tick()

    child = a_child(world, project_id)
    world.tick(2)

    assert signals == [(child, signal.SIGSTOP)]


def test_a_resumed_project_goes_on(world, signals):
    project_id = world.add_running()
    child = a_child(world, project_id)
    world.container.queue_control().want_pause(project_id)
    world.tick()
    signals.clear()

    world.container.queue_control().want_resume(project_id)
    world.tick(2)

    assert (child, signal.SIGCONT) in signals
    assert world.run(project_id).paused_boot_sec is None
    assert world.facts(project_id).count(FactName.RUN_RESUMED) == 1


def test_the_time_a_project_stands_still_is_not_counted(world):
    project_id = world.add_running(front="command: make\ntimeout_minutes: 1")
    world.container.queue_control().want_pause(project_id)
    world.tick()

    world.clock.advance(3600)
    world.tick()
    world.container.queue_control().want_resume(project_id)
    world.tick(2)

    assert world.status(project_id) == "processing"
    assert world.run(project_id).paused_sec >= 3600


def test_a_time_limit_goes_on_where_it_stood_after_a_pause(world):
    project_id = world.add_running(front="command: make\ntimeout_minutes: 1")
    world.container.queue_control().want_pause(project_id)
    world.tick()
    world.clock.advance(3600)
    world.container.queue_control().want_resume(project_id)
    world.tick()

    world.clock.advance(61)
    world.tick()

    assert world.run(project_id).outcome is Outcome.TIMED_OUT


def test_a_pause_outlives_the_daemon(world, signals):
    project_id = world.add_running()
    child = a_child(world, project_id)
    world.container.queue_control().want_pause(project_id)
    world.tick()
    paused_at = world.run(project_id).paused_boot_sec

    world.restart_daemon()
    world.tick()

    assert world.run(project_id).paused_boot_sec == paused_at
    assert set(signals) == {(child, signal.SIGSTOP)}


def test_a_paused_project_that_is_ended_hears_of_it(world, signals):
    project_id = world.add_running()
    child = a_child(world, project_id)
    world.container.queue_control().want_pause(project_id)
    world.tick()

    world.queue.finish(project_id, success=False, reason="enough")
    world.tick(2)

    told = [number for pid, number in signals if pid == child]
    assert told == [signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT]


def test_projects_that_are_not_paused_get_no_signal(world, signals):
    world.add_running()

    world.tick(3)

    assert signals == []


def test_what_is_started_while_the_others_are_stopped_is_looked_for_at_once(world, monkeypatch):
    project_id = world.add_running()
    a_child(world, project_id)
    world.container.queue_control().want_pause(project_id)
    send, late = world.processes.send, []

    def fork_meanwhile(process, number):
        if not late:
            late.append(a_child(world, project_id))
        return send(process, number)

    monkeypatch.setattr(world.processes, "send", fork_meanwhile)
    world.daemon.tick()

    assert world.daemon.pause_sec() < 0.1


def test_nobody_is_stopped_in_the_middle_of_a_change_of_the_queue(world, monkeypatch):
    """A process that held the right to write would keep it from everybody else."""
    project_id = world.add_running()
    a_child(world, project_id)
    world.container.queue_control().want_pause(project_id)
    moves, send, inside = world.queue.moves, world.processes.send, []

    def note(process, number):
        inside.append(moves.is_in_transaction)
        return send(process, number)

    monkeypatch.setattr(world.processes, "send", note)
    world.tick()

    assert inside == [True]
