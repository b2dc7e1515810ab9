"""The daemon as a whole, on fakes: the life of a project, and what goes wrong around it."""

import logging

import msgspec
import pytest

from scheduler_modules.container import base_environment
from scheduler_modules.errors import DiskFull, SchedulerError, TmuxUnavailable
from scheduler_modules.model import Outcome, RunPhase
from tests.fakes.lock import FakeLocks


def logged(caplog, event: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == event]


# -- one whole life -------------------------------------------------------------------------


def test_a_project_is_launched_followed_verified_and_cleared_up_after(world):
    project_id = world.add(
        "build", "command: make all\nverify: make test\nwindows: [{role: tester}]"
    )
    world.tick()
    world.finish(project_id, 0)
    world.tick()
    world.finish(project_id, 0, role="verify")
    world.tick(2)

    assert world.facts(project_id) == [
        "project_queued",
        "project_started",
        "project_running",
        "project_verifying",
        "project_completed",
        "run_cleaned",
    ]
    assert world.status(project_id) == "completed"
    assert not world.processes.living
    assert not world.tmux.sessions


def test_the_session_is_named_for_spec_and_token_and_carries_both_marks(world):
    project_id = world.add_running("my spec")

    run, session = world.run(project_id), world.session(project_id)

    assert session.name == f"my-spec-impl-{run.token[:8]}"
    assert (session.run_token, session.project_id) == (run.token, project_id)
    assert session.env["SCHEDULER_RUN_ID"] == run.token


def test_the_row_shows_the_session_a_person_may_attach_to(world):
    project_id = world.add_running()

    assert world.get(project_id).session_name == world.session(project_id).name


def test_a_failed_command_fails_the_project_with_code_and_last_line(world):
    project_id = world.add_running()

    world.finish(project_id, 3, said="building\nno such table: users\n")
    world.tick()

    assert world.status(project_id) == "failed"
    assert world.reason(project_id) == 'exit 3: "no such table: users"'


def test_a_failed_project_with_a_retry_runs_again_after_its_delay(make_world):
    world = make_world(retry_delay_sec=30)
    project_id = world.add_running("build", "command: make\nretries: 1")

    world.finish(project_id, 1)
    world.tick_for(20)
    waiting = world.status(project_id)
    world.tick_for(12)

    assert waiting == "queued"
    assert world.status(project_id) == "processing"
    assert world.run(project_id).attempt == 2


def test_a_retry_that_succeeds_completes_the_project_and_leaves_no_reason(make_world):
    world = make_world(retry_delay_sec=1)
    project_id = world.add_running("build", "command: make\nretries: 1")
    world.finish(project_id, 1)
    world.tick_for(3)

    world.finish(project_id, 0)
    world.tick()

    assert (world.status(project_id), world.reason(project_id)) == ("completed", None)


def test_programs_get_who_and_where_we_are_and_no_secrets():
    environ = {"PATH": "/bin", "LC_ALL": "C", "SMTP_PASSWORD": "x", "HOME": "/\udcff", "LANG": "C"}

    assert base_environment(environ) == {"PATH": "/bin", "LC_ALL": "C", "LANG": "C"}


# -- slots and order ------------------------------------------------------------------------


def test_no_more_projects_run_than_allowed(make_world):
    world = make_world(max_concurrent_projects=2)
    ids = [world.add(f"p{number}") for number in range(4)]

    world.tick(3)

    assert [world.status(project_id) for project_id in ids] == [
        "processing",
        "processing",
        "queued",
        "queued",
    ]


def test_a_slot_is_filled_in_the_tick_in_which_it_becomes_free(world):
    first, second = world.add("first"), world.add("second")
    world.tick()

    world.finish(first)
    world.tick()

    assert (world.status(first), world.status(second)) == ("completed", "processing")


def test_the_limit_counts_what_another_daemon_runs(world):
    world.add_running("first")
    waiting = world.add("second")
    other = world.make_container("queue", process="another")

    other.core_scheduler().tick()

    assert world.status(waiting) == "queued"


def test_a_project_is_not_run_again_while_a_process_of_its_last_run_lives(make_world):
    world = make_world(retry_delay_sec=0, kill_grace_sec=10)
    project_id = world.add_running("build", "command: make\nretries: 1")
    stubborn = world.processes.start(world.run(project_id).token, ignores_term=True)

    world.finish(project_id, 1)
    world.tick_for(8)
    before_kill = (world.status(project_id), world.processes.is_alive(stubborn))
    world.tick_for(4)

    assert before_kill == ("queued", True)
    assert not world.processes.is_alive(stubborn)
    assert world.status(project_id) == "processing"


def test_a_stubborn_process_of_one_run_holds_up_no_other_project(world):
    first, second = world.add("first"), world.add("second")
    world.tick()
    world.processes.start(world.run(first).token, ignores_term=True)

    world.finish(first)
    world.tick()

    assert world.status(second) == "processing"


# -- tmux cannot be asked -------------------------------------------------------------------


def test_nothing_is_claimed_while_tmux_is_silent(world):
    project_id = world.add()
    world.tmux.goes_down()

    world.tick(3)

    assert world.status(project_id) == "queued"
    assert world.store.runs_of(project_id) == []


def test_a_silent_tmux_changes_nothing_for_a_running_project(world):
    project_id = world.add_running()
    before = world.run(project_id)

    world.tmux.goes_down()
    world.tick_for(3600)

    assert world.run(project_id) == before
    assert world.status(project_id) == "processing"


def test_a_silent_tmux_is_said_once_and_so_is_its_return(world, caplog):
    world.add_running()
    caplog.set_level(logging.INFO)
    world.tmux.goes_down()
    world.tick(5)
    said_while_down = [record.step for record in logged(caplog, "step_failed")]

    world.tmux.comes_back()
    world.tick(2)

    assert said_while_down.count("runs") == 1
    assert [record.step for record in logged(caplog, "step_healed")].count("runs") == 1


def test_a_project_is_followed_again_once_tmux_is_back(world):
    project_id = world.add_running()
    world.tmux.goes_down()
    world.finish(project_id)
    world.tick(3)

    world.tmux.comes_back()
    world.tick()

    assert world.status(project_id) == "completed"


# -- what dies ------------------------------------------------------------------------------


def test_the_death_of_the_tmux_server_fails_a_project_without_retries(world):
    project_id = world.add_running()

    world.tmux.server_dies()
    world.tick(2)

    assert world.status(project_id) == "failed"
    assert world.reason(project_id) == "the tmux server died while it ran"


def test_the_death_of_the_tmux_server_requeues_a_project_with_a_retry(make_world):
    world = make_world(retry_delay_sec=5)
    project_id = world.add_running("build", "command: make\nretries: 1")

    world.tmux.server_dies()
    world.tick(2)
    status = world.status(project_id)
    world.tick_for(6)
    world.finish(project_id)
    world.tick(2)

    assert status == "queued"
    assert world.status(project_id) == "completed"
    assert [run.outcome for run in world.store.runs_of(project_id)] == ["lost", "completed"]


def test_a_server_that_was_replaced_meanwhile_is_a_death_too(world):
    project_id = world.add_running()

    world.tmux.server_dies()
    world.tmux.add_foreign_session("somebody")
    world.tick(2)

    assert world.reason(project_id) == "the tmux server died while it ran"


def test_a_killed_session_is_a_loss_with_its_own_reason(world):
    project_id = world.add_running()
    world.tmux.add_foreign_session("somebody")

    world.tmux.close_session(world.session(project_id).name)
    world.tick(2)

    assert world.reason(project_id) == "its tmux session was killed"


def test_a_restart_of_the_machine_is_a_loss_with_its_own_reason(world):
    project_id = world.add_running()

    world.clock.reboot()
    world.tmux.server_dies()
    world.restart_daemon()
    world.tick(2)

    assert world.reason(project_id) == "the machine was restarted while it ran"


def test_a_restarted_daemon_follows_the_same_session_to_its_end(world):
    project_id = world.add_running()
    before = world.run(project_id)

    world.restart_daemon()
    world.tick()
    followed = world.run(project_id)
    world.finish(project_id)
    world.tick()

    assert msgspec.structs.replace(followed, daemon_id=before.daemon_id) == before
    assert world.status(project_id) == "completed"


def test_a_row_that_an_old_program_moved_ends_its_run(world):
    project_id = world.add_running()
    before = world.get(project_id)
    world.store.save_project(before, _with_status(before, "failed"))

    world.tick(2)

    run = world.run(project_id)
    assert (run.outcome, run.reason) == (
        Outcome.RESET,
        "another program set the project to failed",
    )
    assert world.status(project_id) == "failed"
    assert not world.tmux.sessions


def test_a_row_that_an_old_program_removed_ends_its_run(world):
    project_id = world.add_running()
    token = world.run(project_id).token
    world.store.forget_row(project_id)

    world.tick(2)

    assert world.store.run(token).reason == "another program set the project to removed"
    assert not world.processes.living


def test_an_old_row_without_a_run_is_found_to_be_a_phantom(make_world):
    world = make_world(phantom_grace_period_sec=1800)
    project_id = world.add()
    before = world.get(project_id)
    world.store.save_project(before, _with_status(before, "processing", world.clock.now()))

    world.tick()
    during_grace = world.status(project_id)
    world.clock.advance(1801)
    world.tick()

    assert (during_grace, world.status(project_id)) == ("processing", "failed")


# -- operator's moves while it runs ---------------------------------------------------------


def test_a_reset_ends_everything_of_the_run_before_the_next_one_starts(world):
    project_id = world.add_running()
    old = world.run(project_id)
    child = world.processes.start(old.token, ignores_term=True)

    world.queue.reset(project_id)
    world.tick(2)
    while_alive = len(world.store.runs_of(project_id))
    world.tick_for(12)

    assert while_alive == 1
    assert not world.processes.is_alive(child)
    assert world.run(project_id).attempt == 2
    assert world.run(project_id).token != old.token


def test_a_reset_signal_file_resets_a_running_project(world):
    project_id = world.add_running()
    signal = world.home / "signals" / f"reset_project_{project_id}.signal"
    signal.write_text(f'{{"project_id": {project_id}, "force": true}}')

    world.tick()

    assert not signal.exists()
    assert "project_reset" in world.facts(project_id)


def test_done_from_inside_the_session_completes_the_project_and_ends_its_command(world):
    project_id = world.add_running()

    world.report(project_id, Outcome.COMPLETED)
    world.tick(2)

    assert world.status(project_id) == "completed"
    assert not world.processes.living


def test_fail_from_inside_the_session_gives_the_reason(world):
    project_id = world.add_running()

    world.report(project_id, Outcome.FAILED, "no licence")
    world.tick()

    assert world.reason(project_id) == "reported failed: no licence"


def test_a_reset_between_look_and_verdict_stands(world, mocker, caplog):
    caplog.set_level(logging.INFO)
    project_id = world.add_running()
    world.finish(project_id)
    look = world.tmux.snapshot

    def reset_meanwhile():
        mocker.stopall()
        world.queue.reset(project_id)
        return look()

    mocker.patch.object(world.tmux, "snapshot", side_effect=reset_meanwhile)
    world.tick()

    assert world.store.runs_of(project_id)[0].outcome is Outcome.RESET
    assert "project_completed" not in world.facts(project_id)


# -- steps that fail ------------------------------------------------------------------------


def test_a_full_disk_stops_nothing_for_good(world, caplog):
    project_id = world.add_running()
    world.finish(project_id)
    world.store.is_full = True
    world.tick(3)
    while_full = world.status(project_id)

    world.store.is_full = False
    world.tick()

    assert (while_full, world.status(project_id)) == ("processing", "completed")
    assert any("no space left" in record.error for record in logged(caplog, "step_failed"))


def test_what_could_not_be_committed_is_not_said_to_have_happened(world, caplog):
    caplog.set_level(logging.INFO)
    world.add()
    world.store.is_full = True
    world.tick(3)
    while_full = logged(caplog, "project_started")

    world.store.is_full = False
    world.tick()

    assert while_full == []
    assert len(logged(caplog, "project_started")) == 1


def test_a_bug_in_one_run_holds_up_no_other(make_world, monkeypatch, caplog):
    world = make_world(max_concurrent_projects=2)
    broken, sound = world.add("broken"), world.add("sound")
    world.tick()
    token = world.run(broken).token
    exit_code = world.files.exit_code

    def broken_exit_code(asked, role):
        if asked == token:
            raise RuntimeError("a bug")
        return exit_code(asked, role)

    monkeypatch.setattr(world.files, "exit_code", broken_exit_code)
    world.finish(sound)
    world.tick(2)

    assert world.status(sound) == "completed"
    assert len(logged(caplog, "step_crashed")) == 1


def test_nothing_is_done_while_the_locks_are_out_of_reach(world, caplog):
    project_id = world.add()
    daemon = world.daemon
    world.locks.trouble = DiskFull("no space left for a lock")

    daemon.tick()
    daemon.tick()
    while_broken = world.status(project_id)
    world.locks.trouble = None
    daemon.tick()

    assert (while_broken, world.status(project_id)) == ("queued", "processing")
    assert len(logged(caplog, "step_failed")) == 1


# -- the loop -------------------------------------------------------------------------------


def test_the_loop_ends_when_told_to_stop_and_leaves_the_project_running(world):
    project_id = world.add()
    world.wakeup.send_after(3, "stop")

    reason = world.daemon.run()

    assert reason == "stop"
    assert world.run(project_id).phase is RunPhase.RUNNING
    assert world.tmux.sessions


def test_the_loop_ends_for_a_reload(world):
    world.wakeup.send_after(1, "reload")

    assert world.daemon.run() == "reload"


def test_a_stop_wins_over_a_reload_that_came_with_it(world):
    world.wakeup.send("reload")
    world.wakeup.send("stop")

    assert world.daemon.run() == "stop"


def test_a_poke_makes_the_daemon_look_at_once(world):
    scheduler = world.daemon
    world.wakeup.send_after(0.1, "poke")
    world.wakeup.send_after(0.2, "stop")
    before = world.clock.now()

    scheduler.run()

    assert world.clock.now() - before == pytest.approx(0.2)


def test_a_daemon_whose_lock_was_taken_goes(world):
    scheduler = world.daemon
    FakeLocks(world.lock_table, "daemon").mode("default").try_acquire()
    world.lock_table.seize("scheduler-default", "a thief")
    world.wakeup.send_after(120, "stop")

    assert scheduler.run() == "evicted"


def test_a_daemon_that_keeps_its_lock_stays(world):
    FakeLocks(world.lock_table, "daemon").mode("default").try_acquire()
    world.wakeup.send_after(120, "stop")

    assert world.daemon.run() == "stop"


def test_locks_out_of_reach_at_a_heartbeat_do_not_end_the_daemon(world):
    world.locks.trouble = DiskFull("no space left for a lock")
    world.wakeup.send_after(120, "stop")

    assert world.daemon.run() == "stop"


def test_a_checkin_daemon_launches_nothing(world):
    project_id = world.add()
    world.restart_daemon("checkin")

    world.tick(2)

    assert world.status(project_id) == "queued"


def test_kept_sessions_are_swept_once_a_minute_only(world, mocker):
    sweep = mocker.spy(world.container.run_cleaner(), "sweep_kept")

    world.tick_for(125)

    assert sweep.call_count == 3


# -- clocks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("jump_sec", [-3600, 86_400])
def test_setting_the_clock_times_nothing_out_early_or_late(world, jump_sec):
    project_id = world.add_running("build", "command: make\ntimeout_minutes: 10")

    world.clock.set_wall(world.clock.now() + jump_sec)
    world.tick_for(590)
    before = world.status(project_id)
    world.tick_for(15)

    assert before == "processing"
    assert world.reason(project_id) == "timed out after 10m"


@pytest.mark.parametrize("jump_sec", [-3600, 86_400])
def test_setting_the_clock_runs_nothing_twice(world, jump_sec):
    project_id = world.add_running()

    world.clock.set_wall(world.clock.now() + jump_sec)
    world.finish(project_id)
    world.tick_for(30)

    assert len(world.store.runs_of(project_id)) == 1


def test_setting_the_clock_forward_does_not_kill_what_was_asked_to_end_just_now(make_world):
    world = make_world(kill_grace_sec=10)
    project_id = world.add_running()
    stubborn = world.processes.start(world.run(project_id).token, ignores_term=True)
    world.finish(project_id)
    world.tick()

    world.clock.set_wall(world.clock.now() + 86_400)
    world.tick(4)

    assert world.processes.is_alive(stubborn)


def test_tmux_going_silent_in_the_middle_of_a_launch_launches_once(world):
    project_id = world.add()
    world.tmux.lose_next_answer()

    world.tick(3)

    run = world.run(project_id)
    assert (run.phase, run.attempt, len(world.tmux.sessions)) == (RunPhase.RUNNING, 1, 1)
    assert "run_adopted" in world.facts(project_id)


def test_a_tmux_that_falls_silent_between_look_and_launch_loses_nothing(world):
    project_id = world.add()
    world.tmux.refuse_next(TmuxUnavailable("silent"))
    world.tick()
    while_silent = world.run(project_id).phase

    world.tick()

    assert while_silent is RunPhase.STARTING
    assert world.run(project_id).phase is RunPhase.RUNNING


def _with_status(project, status: str, started_at: float | None = None):
    return msgspec.structs.replace(
        project, status=status, started_at=started_at or project.started_at
    )


def test_a_daemon_that_takes_over_says_so_once(world):
    project_id = world.add_running()
    run = world.run(project_id)
    before = msgspec.structs.replace(run, daemon_id="another")
    assert world.store.save_run(before)

    world.tick(3)

    names = [fact.name for fact in world.store.facts(project_id=project_id)]
    assert names.count("run_adopted") == 1
    assert world.run(project_id).daemon_id != "another"


def test_what_is_in_the_way_is_told_with_the_lock_and_taken_back_when_it_heals(world):
    world.locks.mode("default").try_acquire()
    world.add_running()
    world.tmux.goes_down()
    world.tick()
    told = world.locks.mode("default").trouble()
    world.tmux.comes_back()

    world.tick()

    assert told is not None
    assert world.locks.mode("default").trouble() is None


def test_trouble_with_a_run_that_is_over_is_forgotten(world, mocker):
    world.locks.mode("default").try_acquire()
    project_id = world.add_running()
    mocker.patch.object(world.files, "exit_code", side_effect=SchedulerError("disk cannot be read"))
    world.tick()
    told = world.locks.mode("default").trouble()

    world.queue.finish(project_id, success=True)
    world.tick_for(12)

    assert told == "disk cannot be read"
    assert world.locks.mode("default").trouble() is None


def test_what_stays_wrong_while_clearing_up_is_said_once(world, caplog, monkeypatch):
    project_id = world.add_running()
    world.finish(project_id)

    def unreadable(*_arguments):
        raise SchedulerError("/proc cannot be read")

    monkeypatch.setattr(world.processes, "of_runs", unreadable)
    world.tick(20)

    assert len(logged(caplog, "step_healed")) == 0
    assert len(logged(caplog, "step_failed")) == 2


def test_a_silent_tmux_is_asked_once_a_tick(make_world, monkeypatch):
    """Each question may take seconds to stay unanswered."""
    world = make_world(max_concurrent_projects=3, kill_grace_sec=600)
    running, ended = world.add_running("running"), world.add_running("ended")
    world.processes.start(world.run(ended).token, ignores_term=True)
    world.finish(ended)
    world.daemon.tick()
    world.add("waiting")
    world.clock.advance(100)
    asked = []

    def silence():
        asked.append(1)
        raise TmuxUnavailable("tmux did not answer within 5 s")

    monkeypatch.setattr(world.tmux, "snapshot", silence)
    world.daemon.tick()

    assert len(asked) == 1
    assert world.status(running) == "processing"
