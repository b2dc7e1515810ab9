"""How the end of a run is judged, from what tmux and the run's files show."""

import pytest

from scheduler_modules.errors import TmuxRefused
from scheduler_modules.model import (
    Outcome,
    RunPhase,
)
from scheduler_modules.tmux_values import (
    TmuxSnapshot,
)
from tests.world import TICK_SEC

VERIFIED = "command: make\nverify: make test"


def outcome(world, project_id: int):
    run = world.run(project_id)
    return run.outcome, run.reason


# -- the command ----------------------------------------------------------------------------


def test_the_exit_file_counts_before_the_pane(world):
    project_id = world.add_running()
    token = world.run(project_id).token

    world.files.write_exit(token, "main", 4)
    world.tick()

    assert outcome(world, project_id) == (Outcome.FAILED, "exit 4")


def test_an_end_that_nobody_saw_is_dated_when_it_was(world):
    project_id = world.add_running()
    ended_at = world.clock.now() + 10
    world.files.write_exit(world.run(project_id).token, "main", 0, at=ended_at)
    world.clock.advance(3600)

    world.tick()

    assert world.run(project_id).ended_at == ended_at
    assert world.queue.get(project_id).completed_at == ended_at


@pytest.mark.parametrize("skew_sec", [-99_999, 99_999])
def test_a_date_outside_the_run_is_not_believed(world, skew_sec):
    project_id = world.add_running()
    run = world.run(project_id)
    world.files.write_exit(run.token, "main", 3, at=world.clock.now() + skew_sec)

    world.tick()

    assert run.claimed_at <= world.run(project_id).ended_at <= world.clock.now()


def test_the_exit_code_is_kept_with_the_run(world):
    project_id = world.add_running()

    world.finish(project_id, 7)
    world.tick()

    assert world.run(project_id).exit_code == 7


def test_without_a_file_the_status_of_the_dead_pane_counts(world):
    project_id = world.add_running()

    world.die(project_id, status=5)
    world.tick()

    assert outcome(world, project_id) == (Outcome.FAILED, "exit 5")


def test_a_signal_that_took_the_runner_with_it_is_named(world):
    project_id = world.add_running()

    world.die(project_id, signal=9)
    world.tick()

    assert outcome(world, project_id) == (Outcome.FAILED, "killed by SIGKILL")


def test_a_pane_of_which_nobody_knows_how_it_ended_is_given_time(world):
    project_id = world.add_running()
    world.die(project_id)

    world.tick_for(9)
    in_doubt = world.status(project_id)
    world.tick_for(2)

    assert in_doubt == "processing"
    assert outcome(world, project_id) == (
        Outcome.LOST,
        "its program ended and tmux cannot say how",
    )


def test_a_doubt_that_was_cleared_does_not_count_later(world):
    project_id = world.add_running()
    pane = world.pane(project_id)
    for _ in range(3):
        pane.is_dead = True
        world.tick_for(6)
        pane.is_dead = False
        world.tick()

    assert world.status(project_id) == "processing"


def test_a_closed_main_window_is_a_loss_even_if_others_live(world):
    project_id = world.add_running("team", "command: make\nwindows: [{role: tester}]")

    world.tmux.close_window(world.pane(project_id).pane_id)
    world.tick(2)

    assert outcome(world, project_id) == (Outcome.LOST, "its window was closed")


def tick_blindly(world, mocker):
    """Tick once with a look at tmux that misses every session."""
    blind = TmuxSnapshot(world.tmux.server)
    patch = mocker.patch.object(world.tmux, "snapshot", return_value=blind)
    world.tick()
    mocker.stop(patch)


def test_one_look_that_misses_the_session_changes_nothing(world, mocker):
    project_id = world.add_running()

    tick_blindly(world, mocker)
    world.tick(2)

    assert world.status(project_id) == "processing"


def test_looks_that_miss_the_session_must_follow_each_other(world, mocker):
    project_id = world.add_running()

    for _ in range(3):
        tick_blindly(world, mocker)
        world.tick()

    assert world.status(project_id) == "processing"


def test_the_end_of_another_window_is_not_the_end_of_the_run(world):
    project_id = world.add_running("team", "command: make\nwindows: [{role: tester}]")

    world.finish(project_id, 1, role="tester")
    world.tick(3)

    assert world.status(project_id) == "processing"


def test_a_renamed_session_is_still_the_runs(world):
    project_id = world.add_running()
    session = world.session(project_id)
    del world.tmux.sessions[session.name]
    session.name = "mine"
    world.tmux.sessions["mine"] = session

    world.tick(3)

    assert world.status(project_id) == "processing"


# -- reports --------------------------------------------------------------------------------


def test_a_report_given_just_before_the_session_was_recorded_is_not_written_over(world, mocker):
    project_id = world.add()
    create = world.tmux.create_session

    def report_meanwhile(plan):
        created = create(plan)
        world.report(project_id, Outcome.COMPLETED)
        return created

    mocker.patch.object(world.tmux, "create_session", side_effect=report_meanwhile)
    world.tick(2)

    assert world.status(project_id) == "completed"


def test_a_failure_without_a_reason_says_so(world):
    project_id = world.add_running()

    world.report(project_id, Outcome.FAILED)
    world.tick()

    assert world.reason(project_id) == "reported failed: no reason given"


def test_a_completion_marker_newer_than_the_run_completes_it(world):
    project_id = world.add_running()
    marker = world.project.with_name("project-tmux-worktrees") / "orchestrator" / "COMPLETED"
    marker.parent.mkdir(parents=True)
    marker.write_text("all done")

    world.tick()

    assert world.status(project_id) == "completed"


def test_a_report_of_failure_counts_during_verification_too(world):
    project_id = world.add_running("build", VERIFIED)
    world.finish(project_id)
    world.tick()

    world.report(project_id, Outcome.FAILED, "I was wrong")
    world.tick()

    assert world.reason(project_id) == "reported failed: I was wrong"


def test_a_second_report_of_success_does_not_skip_verification(world):
    project_id = world.add_running("build", VERIFIED)
    world.report(project_id, Outcome.COMPLETED)
    world.tick()
    world.report(project_id, Outcome.COMPLETED)
    world.tick()

    assert world.run(project_id).phase is RunPhase.VERIFYING


# -- verification ---------------------------------------------------------------------------


def test_verification_runs_in_a_window_of_the_same_session_in_the_projects_folder(world):
    project_id = world.add_running("build", VERIFIED)

    world.finish(project_id)
    world.tick()

    pane = world.pane(project_id, "verify")
    assert pane.command.argv[-2:] == ("make", "test")
    assert world.run(project_id).verify_pane_id == pane.pane_id


def test_a_failed_verification_fails_the_run_and_says_that_it_was_verify(world):
    project_id = world.add_running("build", VERIFIED)
    world.finish(project_id)
    world.tick()

    world.finish(project_id, 2, role="verify", said="1 test failed\n")
    world.tick()

    assert world.reason(project_id) == 'verify failed: exit 2: "1 test failed"'


def test_a_verification_that_fails_once_and_passes_at_the_retry_completes(make_world):
    world = make_world(retry_delay_sec=1)
    project_id = world.add_running("build", VERIFIED + "\nretries: 1")
    world.finish(project_id)
    world.tick()
    world.finish(project_id, 2, role="verify")
    world.tick_for(3)
    world.finish(project_id)
    world.tick()
    world.finish(project_id, 0, role="verify")
    world.tick()

    assert world.status(project_id) == "completed"
    assert world.run(project_id).attempt == 2


def test_a_done_from_inside_the_session_is_verified_while_its_command_runs_on(world):
    project_id = world.add_running("build", VERIFIED)

    world.report(project_id, Outcome.COMPLETED)
    world.tick()

    assert world.run(project_id).phase is RunPhase.VERIFYING
    assert world.has_program(project_id)


def test_a_closed_verification_window_is_a_loss(world):
    project_id = world.add_running("build", VERIFIED)
    world.finish(project_id)
    world.tick()

    world.tmux.close_window(world.pane(project_id, "verify").pane_id)
    world.tick(2)

    assert outcome(world, project_id) == (Outcome.LOST, "its window was closed")


def test_a_session_killed_during_verification_is_a_loss(world):
    project_id = world.add_running("build", VERIFIED)
    world.tmux.add_foreign_session("somebody")
    world.finish(project_id)
    world.tick()

    world.tmux.close_session(world.session(project_id).name)
    world.tick(2)

    assert outcome(world, project_id) == (Outcome.LOST, "its tmux session was killed")


def test_a_session_that_is_gone_before_verification_is_a_loss(world):
    project_id = world.add_running("build", VERIFIED)
    world.tmux.add_foreign_session("somebody")
    world.finish(project_id)
    world.tmux.close_session(world.session(project_id).name)

    world.tick(2)

    assert outcome(world, project_id) == (
        Outcome.LOST,
        "its session went away before verification",
    )


def test_a_server_that_died_before_verification_is_a_loss(world):
    project_id = world.add_running("build", VERIFIED)
    world.finish(project_id)
    world.tmux.server_dies()

    world.tick(2)

    assert outcome(world, project_id) == (
        Outcome.LOST,
        "its session went away before verification",
    )


def test_a_verification_that_its_daemon_died_upon_is_taken_up_not_repeated(world, mocker):
    project_id = world.add_running("build", VERIFIED)
    world.finish(project_id)
    world.store.is_full = True
    world.tick()
    world.store.is_full = False
    world.restart_daemon()
    world.tick()

    panes = [pane.window_name for pane in world.session(project_id).panes]
    assert panes == ["main", "verify"]
    assert world.run(project_id).verify_pane_id == world.pane(project_id, "verify").pane_id


def test_a_verification_that_ended_while_no_daemon_ran_counts(world):
    project_id = world.add_running("build", VERIFIED)
    world.finish(project_id)
    world.store.is_full = True
    world.tick()
    world.store.is_full = False
    world.finish(project_id, 0, role="verify")
    world.tmux.close_window(world.pane(project_id, "verify").pane_id)
    world.restart_daemon()

    world.tick(2)

    assert world.status(project_id) == "completed"


def test_a_verification_closed_while_no_daemon_ran_is_a_loss_not_repeated(world):
    project_id = world.add_running("build", VERIFIED)
    world.finish(project_id)
    world.store.is_full = True
    world.tick()
    world.store.is_full = False
    world.tmux.close_window(world.pane(project_id, "verify").pane_id)
    world.restart_daemon()

    world.tick(4)

    assert outcome(world, project_id) == (Outcome.LOST, "its window was closed")


def test_a_reset_during_verification_ends_it(world):
    project_id = world.add_running("build", VERIFIED)
    world.finish(project_id)
    world.tick()
    process = world.process(project_id, "verify")

    world.queue.reset(project_id)
    world.tick(3)

    assert not world.processes.is_alive(process)
    assert world.run(project_id).attempt == 2


# -- time -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "said"), [(0.5, "30s"), (3, "3m")])
def test_a_run_that_takes_too_long_is_ended_and_says_how_long_it_had(world, minutes, said):
    project_id = world.add_running("slow", f"command: make\ntimeout_minutes: {minutes}")

    world.tick_for(minutes * 60 + 1)

    assert outcome(world, project_id) == (Outcome.TIMED_OUT, f"timed out after {said}")
    assert not world.processes.living


def test_a_run_without_a_limit_is_never_timed_out(world):
    project_id = world.add_running("slow", "command: make\ntimeout_minutes: 0")

    world.clock.advance(10 * 86_400)
    world.tick()

    assert world.status(project_id) == "processing"


def test_a_project_whose_spec_names_no_limit_gets_the_configured_one(make_world):
    world = make_world(max_process_runtime_sec=60)
    project_id = world.add_running()

    world.tick_for(62)

    assert outcome(world, project_id)[0] is Outcome.TIMED_OUT


def test_a_result_that_came_before_the_limit_was_noticed_counts(world):
    project_id = world.add_running("slow", "command: make\ntimeout_minutes: 1")

    world.finish(project_id)
    world.clock.advance(3600)
    world.tick()

    assert world.status(project_id) == "completed"


def test_verification_has_no_more_time_than_the_run(world):
    project_id = world.add_running("slow", VERIFIED + "\ntimeout_minutes: 1")
    world.tick_for(50)
    world.finish(project_id)

    world.tick_for(12)

    assert outcome(world, project_id) == (Outcome.TIMED_OUT, "timed out after 1m")


def test_the_limit_is_kept_across_a_restart_of_the_daemon(world):
    project_id = world.add_running("slow", "command: make\ntimeout_minutes: 1")
    world.tick_for(40)

    world.restart_daemon()
    world.tick_for(20 + TICK_SEC)

    assert outcome(world, project_id)[0] is Outcome.TIMED_OUT


def test_a_timed_out_run_may_be_retried(make_world):
    world = make_world(retry_delay_sec=1)
    project_id = world.add_running("slow", "command: make\ntimeout_minutes: 1\nretries: 1")

    world.tick_for(64)

    assert (world.status(project_id), world.run(project_id).attempt) == ("processing", 2)


def test_a_verification_that_cannot_be_started_fails_the_project(world, monkeypatch):
    project_id = world.add_running("build", VERIFIED)

    def refuse(*_arguments):
        raise TmuxRefused("/p: no folder that a command could be started in")

    monkeypatch.setattr(world.tmux, "add_window", refuse)
    world.finish(project_id)
    world.tick()

    assert outcome(world, project_id) == (
        Outcome.FAILED,
        "verify could not be started: /p: no folder that a command could be started in",
    )


def test_a_doubt_about_a_run_that_somebody_else_ended_is_forgotten(world):
    first, _ = world.add_running("first"), world.add_running("second")
    world.tmux.close_session(world.run(first).session_name)
    world.daemon.tick()

    world.queue.finish(first, success=False, reason="given up")
    world.tick(20)

    assert world.daemon.pause_sec() == 5.0
