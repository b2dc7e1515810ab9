"""How long the daemon waits, and what it does not miss while it waits."""

import pytest

from scheduler_modules.core_scheduler import FIRST_LOOK_AGAIN_SEC, HEARTBEAT_SEC
from scheduler_modules.errors import DatabaseUnavailable
from scheduler_modules.model import Outcome

LOOK_SEC = 5.0


def pause(world) -> float:
    return world.daemon.pause_sec()


def test_with_nothing_to_do_it_looks_only_now_and_then(world):
    world.tick()

    assert pause(world) == LOOK_SEC


def test_with_projects_that_just_run_it_looks_only_now_and_then(world):
    world.add_running()
    world.tick()

    assert pause(world) == LOOK_SEC


def test_while_an_ended_run_is_cleared_up_it_looks_again_soon_and_then_less_often(make_world):
    world = make_world(kill_grace_sec=60)
    project_id = world.add_running()
    world.processes.start(world.run(project_id).token, ignores_term=True)
    world.finish(project_id)
    world.tick()

    pauses = [pause(world) for _ in range(7)]

    assert pauses[0] == FIRST_LOOK_AGAIN_SEC
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.5


def test_something_that_happens_makes_it_look_soon_again(make_world):
    world = make_world(kill_grace_sec=60)
    project_id = world.add_running()
    world.processes.start(world.run(project_id).token, ignores_term=True)
    world.finish(project_id)
    world.tick()
    for _ in range(7):
        pause(world)

    world.wakeup.poke()
    world.wakeup.send_after(0.001, "stop")
    world.daemon.run()

    assert pause(world) <= 2 * FIRST_LOOK_AGAIN_SEC


def test_a_run_that_looks_lost_is_looked_at_again_at_once(world):
    project_id = world.add_running()
    world.tmux.close_session(world.run(project_id).session_name)

    world.daemon.tick()

    assert pause(world) == FIRST_LOOK_AGAIN_SEC


def test_it_wakes_when_a_time_limit_is_reached(world):
    project_id = world.add_running(front="command: make\ntimeout_minutes: 1")
    world.locks.mode("default").try_acquire()
    world.wakeup.send_after(70, "stop")

    world.daemon.run()

    run = world.run(project_id)
    assert run.outcome is Outcome.TIMED_OUT
    assert run.ended_at - run.started_at == pytest.approx(60, abs=0.1)


def test_it_wakes_when_a_start_time_comes(world):
    world.add(not_before=world.clock.now() + 3.25)
    world.daemon.tick()

    assert pause(world) == pytest.approx(3.25)


def test_a_project_starts_when_its_time_has_come_and_not_before(world):
    project_id = world.add(not_before=world.clock.now() + 3.25)
    world.daemon.tick()
    before = world.status(project_id)

    world.clock.advance(pause(world))
    world.daemon.tick()

    assert (before, world.status(project_id)) == ("queued", "processing")


def test_it_wakes_for_its_heartbeat(make_world):
    world = make_world(look_sec=3600, process_monitor_interval_sec=3600)
    world.tick()

    assert pause(world) <= HEARTBEAT_SEC


def test_while_a_duty_is_held_by_another_it_asks_again_each_tick(world):
    other = world.make_container(process="other").duty_keeper()
    other.refresh()
    world.make_container()
    world.tick()

    assert pause(world) == 0.5


def test_while_something_is_wrong_it_tries_again_each_tick(world):
    world.tmux.goes_down()
    world.add()
    world.tick()

    assert pause(world) == 0.5


def test_a_database_that_is_away_is_asked_once_a_tick(world, monkeypatch):
    asked = []

    def away(*_args, **_kwargs):
        asked.append(1)
        raise DatabaseUnavailable("the server is away")

    for name in ("open_runs", "uncleaned_runs", "next_due", "next_claimable", "projects"):
        monkeypatch.setattr(world.store, name, away)

    world.daemon.tick()

    assert len(asked) == 1
    assert pause(world) == 0.5


def test_a_tick_asks_tmux_once_for_everything_it_follows(world, mocker):
    first = world.add_running("one")
    world.finish(first)
    look = mocker.spy(world.tmux, "snapshot")

    world.daemon.tick()

    assert look.call_count == 1


def test_a_new_daemon_tells_tmux_which_server_its_runs_are_on(world):
    world.add_running()
    server = world.tmux.server
    world.restart_daemon()

    world.tick()

    assert world.tmux.expected == {server}


def test_a_daemon_that_may_not_launch_does_not_spin_over_a_project_that_is_due(world):
    world.add(not_before=world.clock.now() + 1)
    world.restart_daemon("checkin")
    world.clock.advance(2)
    world.daemon.tick()

    assert pause(world) == LOOK_SEC


def test_a_daemon_that_lost_the_duty_to_launch_does_not_spin(world):
    world.add_running(front="command: make\ntimeout_minutes: 0.1")
    world.lock_table.seize("duty-launch", "a thief")
    world.clock.advance(20)
    world.daemon.tick()

    assert pause(world) == 0.5


def test_what_failed_is_tried_again_at_the_next_tick_however_seldom_it_is_done(make_world, mocker):
    world = make_world(process_monitor_interval_sec=10)
    world.tick()
    world.clock.advance(20)
    ask = mocker.patch.object(
        world.store, "projects", side_effect=DatabaseUnavailable("the server is away")
    )
    world.daemon.tick()
    mocker.stop(ask)

    world.daemon.tick()

    assert world.container.step_guard().in_words() is None
    assert pause(world) == LOOK_SEC
