"""What is left of a run after its end: processes, sessions, files."""

import pytest

from scheduler_modules.errors import TmuxUnavailable
from scheduler_modules.model import (
    Outcome,
)
from scheduler_modules.tmux_values import (
    TmuxSnapshot,
)

HOUR_SEC = 3600


def ended(world, code: int = 0, front: str = "command: make") -> int:
    """Have a project run and end with a code; return its id."""
    project_id = world.add_running("build", front)
    world.finish(project_id, code)
    world.tick(2)
    return project_id


# -- clearing up ----------------------------------------------------------------------------


def test_the_programs_of_all_windows_are_ended(world):
    project_id = world.add_running("team", "command: make\nwindows: [{role: tester}]")

    world.finish(project_id)
    world.tick(2)

    assert not world.processes.living


def test_a_process_that_left_the_session_is_found_by_its_mark(world):
    project_id = world.add_running()
    stray = world.processes.start(world.run(project_id).token)

    world.finish(project_id)
    world.tick(2)

    assert not world.processes.is_alive(stray)


def test_processes_of_other_people_are_left_alone(world):
    world.add_running()
    stranger = world.processes.start(None)

    world.finish(1)
    world.tick(2)

    assert world.processes.is_alive(stranger)


def test_a_run_is_cleaned_only_when_nothing_of_it_lives(make_world):
    world = make_world(kill_grace_sec=10)
    project_id = world.add_running()
    world.processes.start(world.run(project_id).token, ignores_term=True)
    world.finish(project_id)

    world.tick_for(5)
    during_grace = world.run(project_id).cleaned_at
    world.tick_for(7)

    assert during_grace is None
    assert world.run(project_id).cleaned_at is not None


def test_the_files_of_a_cleaned_run_are_removed(world):
    project_id = ended(world)

    token = world.run(project_id).token

    assert world.files.start(token, "main") is None
    assert world.files.exit_code(token, "main") is None


def test_nothing_of_a_run_can_begin_once_its_end_is_recorded(world):
    project_id = world.add_running()
    token = world.run(project_id).token
    world.processes.start(token, ignores_term=True)
    world.finish(project_id)

    world.tick()

    assert world.run(project_id).cleaned_at is None
    assert not world.files.may_start(token, "verify")


def test_the_files_stay_until_the_end_is_recorded(world):
    project_id = world.add_running()
    world.finish(project_id)
    world.store.is_full = True

    world.tick(3)

    assert world.files.exit_code(world.run(project_id).token, "main") == 0


def test_clearing_up_goes_on_after_a_restart_of_the_daemon(make_world):
    world = make_world(kill_grace_sec=10)
    project_id = world.add_running()
    world.processes.start(world.run(project_id).token, ignores_term=True)
    world.finish(project_id)
    world.tick()

    world.restart_daemon()
    world.tick_for(12)

    assert not world.processes.living
    assert world.run(project_id).cleaned_at is not None


def test_runs_of_another_host_are_not_ours_to_clear_up(world):
    project_id = world.add_running()
    world.finish(project_id)

    world.restart_daemon(host_name="elsewhere")
    world.tick(3)

    assert world.status(project_id) == "processing"


def test_a_tmux_that_falls_silent_delays_the_clearing_up(world, mocker):
    project_id = world.add_running()
    world.finish(project_id)
    refusal = mocker.patch.object(world.tmux, "kill_session", side_effect=TmuxUnavailable("silent"))
    world.tick(2)
    while_silent = world.run(project_id).cleaned_at

    mocker.stop(refusal)
    world.tick()

    assert while_silent is None
    assert world.run(project_id).cleaned_at is not None


# -- sessions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "code", "is_kept"),
    [
        ("none", 0, False),
        ("none", 1, False),
        ("failed", 0, False),
        ("failed", 1, True),
        ("all", 0, True),
        ("all", 1, True),
    ],
)
def test_sessions_are_kept_as_configured(make_world, keep, code, is_kept):
    world = make_world(keep_sessions=keep)

    ended(world, code)

    assert bool(world.tmux.sessions) is is_kept


def test_nothing_runs_in_a_kept_session(world):
    project_id = world.add_running("team", "command: make\nwindows: [{role: tester}]")

    world.finish(project_id, 1)
    world.tick(3)

    assert world.tmux.sessions
    assert not world.processes.living


def test_a_timed_out_session_is_kept_like_a_failed_one(world):
    world.add_running("slow", "command: make\ntimeout_minutes: 1")

    world.tick_for(62)

    assert world.tmux.sessions


def test_a_kept_session_goes_when_its_time_is_over(make_world):
    world = make_world(keep_sessions_hours=24)
    ended(world, 1)
    world.clock.advance(24 * HOUR_SEC - 120)
    world.tick()
    before = bool(world.tmux.sessions)

    world.clock.advance(240)
    world.tick()

    assert before
    assert not world.tmux.sessions


def test_a_kept_session_goes_when_its_project_runs_again(make_world):
    world = make_world(retry_delay_sec=1)
    project_id = ended(world, 1, "command: make\nretries: 1")

    world.tick_for(64)

    assert [session.run_token for session in world.tmux.sessions.values()] == [
        world.run(project_id).token
    ]


def test_a_kept_session_of_the_last_run_stays_beside_other_projects(world):
    project_id = ended(world, 1)
    world.add_running("other")

    world.tick_for(64)

    assert world.run(project_id).session_name in world.tmux.sessions


def test_a_session_that_a_look_had_missed_is_removed_later(world, mocker):
    project_id = world.add_running()
    world.report(project_id, Outcome.COMPLETED)
    mocker.patch.object(world.tmux, "snapshot", return_value=TmuxSnapshot(world.tmux.server))
    world.tick()
    mocker.stopall()
    while_missed = bool(world.tmux.sessions)

    world.tick_for(62)

    assert while_missed
    assert not world.tmux.sessions


def test_sessions_kept_so_far_go_when_none_is_to_be_kept(world):
    ended(world, 1)

    world.restart_daemon(keep_sessions="none")
    world.tick()

    assert not world.tmux.sessions


def test_sessions_of_other_people_stay_whatever_their_name(world):
    project_id = world.add_running()
    name = f"{world.run(project_id).session_name}x"
    world.tmux.add_foreign_session(name)

    world.finish(project_id)
    world.tick_for(64)

    assert list(world.tmux.sessions) == [name]


def test_a_session_with_a_token_nobody_knows_belongs_to_another_installation(make_world):
    world = make_world(tmux_socket="default")
    world.tmux.add_foreign_session("theirs")
    world.tmux.sessions["theirs"].run_token = "f" * 32

    world.tick_for(64)

    assert "theirs" in world.tmux.sessions


def test_a_session_that_took_the_name_over_is_left_alone(world):
    project_id = world.add_running()
    name = world.run(project_id).session_name
    world.tmux.close_session(name)
    world.tmux.add_foreign_session(name)

    world.tick(3)

    assert world.run(project_id).outcome is Outcome.LOST
    assert name in world.tmux.sessions


def test_the_kept_session_of_a_removed_project_goes_too(world):
    project_id = ended(world, 1)
    world.queue.remove(project_id)

    world.tick_for(64)

    assert not world.tmux.sessions


def test_a_living_session_on_our_own_server_is_never_removed_for_being_unknown(world):
    """Somebody may have put an older copy of the database in place."""
    project_id = world.add_running()
    world.store.forget_run(world.run(project_id).token)

    world.tick_for(64)

    assert world.processes.living
