"""From a claimed row to a running session, and back to it after a crash at any step."""

import os

import pytest

from scheduler_modules.errors import DiskFull, SessionExists, TmuxRefused, TmuxUnavailable
from scheduler_modules.model import (
    Outcome,
    RunPhase,
)
from scheduler_modules.tmux_values import (
    TmuxSnapshot,
)


def die_before_recording(world, project_id: int) -> None:
    """Launch and let the daemon die after tmux made the session, before that was recorded."""
    world.tmux.lose_next_answer()
    world.tick()
    assert world.run(project_id).phase is RunPhase.STARTING
    world.restart_daemon()


def late_client(world, *, then) -> None:
    """Let the second daemon ask for a session that the first one's client makes just before."""
    world.tmux.refuse_next(TmuxUnavailable("silent"))
    world.tick()
    real = world.tmux.create_session

    def create_session(plan):
        world.tmux.create_session = real
        real(plan)
        world.settle_machine()
        then()
        return real(plan)

    world.tmux.create_session = create_session


# -- launching ------------------------------------------------------------------------------


def test_the_recorded_plan_says_what_is_run_where(world):
    project_id = world.add_running("build", "command: make all\nenv: {MODE: fast}")

    plan = world.session(project_id).plan

    assert plan.cwd == str(world.project)
    assert plan.env["MODE"] == "fast"
    assert plan.windows[0].argv[-2:] == ("make", "all")


def test_every_window_of_the_spec_is_opened_under_the_runner(world):
    project_id = world.add_running(
        "team", "command: make\nwindows: [{role: tester, command: pytest}, {role: docs}]"
    )

    panes = world.session(project_id).panes

    assert [pane.window_name for pane in panes] == ["main", "tester", "docs"]
    assert all(pane.command.argv[1].endswith("runner.sh") for pane in panes)


def test_the_run_remembers_the_server_and_the_main_pane(world):
    project_id = world.add_running()

    run = world.run(project_id)

    assert (run.server_pid, run.server_started_at) == (
        world.tmux.server.pid,
        world.tmux.server.started_at,
    )
    assert run.main_pane_id == world.pane(project_id).pane_id


def test_the_spec_is_read_when_it_is_launched_not_when_it_was_queued(world):
    project_id = world.add("build", "command: make old")
    world.write_spec("build", "command: make new")

    world.tick()

    assert world.pane(project_id).command.argv[-1] == "new"


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("command: make\ncolour: red", "colour"),
        ("retries: many", "retries"),
        ("", "nothing says what to run"),
    ],
)
def test_a_spec_that_cannot_be_used_fails_in_plain_words(make_world, front, said):
    world = make_world(project_agent="claude")
    project_id = world.add("build", front)
    world.container.project_launcher.add_kwargs(which=lambda program: None)

    world.tick()

    assert world.status(project_id) == "failed"
    assert said in world.reason(project_id)
    assert world.run(project_id).cleaned_at is not None


def test_a_spec_that_is_gone_fails_in_plain_words(world):
    project_id = world.add()
    (world.specs / "build.md").unlink()

    world.tick()

    assert "no such file" in world.reason(project_id)


def test_a_project_folder_that_is_gone_fails_in_plain_words(world):
    project_id = world.add(project_path="/nowhere/at/all")

    world.tick()

    assert "the project folder /nowhere/at/all does not exist" in world.reason(project_id)


@pytest.mark.parametrize("folder", ["/" + "x" * 300, "/a\0b"])
def test_a_project_folder_no_system_can_have_fails_and_blocks_nobody(world, folder):
    project_id, other = world.add("bad", project_path=folder), world.add("good")

    world.tick()

    assert world.status(project_id) == "failed"
    assert world.status(other) == "processing"


def test_surroundings_that_are_not_text_fail_a_project_and_block_nobody(world):
    from dependency_injector import providers

    world.container.base_env.override(providers.Object({"PATH": "/bin:/\udcff"}))
    project_id = world.add()

    world.tick(3)

    assert world.status(project_id) == "failed"


def test_a_folder_of_null_is_detected_from_the_spec(world):
    (world.specs / ".git").mkdir()
    project_id = world.add("build", project_path=None, project_key=None)

    world.tick()

    assert world.session(project_id).plan.cwd == str(world.specs)


def test_relative_paths_of_a_row_are_meant_from_its_base_folder(world):
    project_id = world.add(
        "build",
        spec_path="specs/build.md",
        project_path="project",
        base_dir=str(world.specs.parent),
    )

    world.tick()

    assert world.session(project_id).plan.cwd == str(world.project)


def test_relative_paths_of_old_rows_are_meant_from_home(world):
    (world.home / "old.md").write_text("---\ncommand: make\n---\n")
    project_id = world.store.insert_row(spec_path="old.md")

    world.tick()

    assert world.session(project_id).plan.cwd == str(world.home)


# -- dependencies that came up since it was queued ------------------------------------------


def test_a_spec_that_has_come_to_wait_for_another_is_put_back(world):
    project_id = world.add("second", "command: make\nafter: [first.md]")

    world.tick()

    assert world.status(project_id) == "queued"
    assert world.run(project_id).outcome is Outcome.RESET


def test_an_old_row_whose_spec_waits_for_another_is_put_back_too(world):
    (world.home / "old.md").write_text("---\ncommand: make\nafter: [first.md]\n---\n")
    project_id = world.store.insert_row(spec_path="old.md")

    world.tick()

    assert world.status(project_id) == "queued"


def test_it_runs_once_what_it_waits_for_is_done_and_that_is_attempt_one(world):
    second = world.add("second", "command: make\nafter: [first.md]")
    world.tick()
    first = world.add("first")
    world.tick()
    world.finish(first)
    world.tick(2)

    assert world.status(second) == "processing"
    assert world.run(second).attempt == 1


def test_a_name_given_twice_defers_once(world):
    first = world.add("first")
    world.tick()
    world.finish(first)
    world.tick()
    second = world.add("second", "command: make\nafter: [first.md, ./first.md]")

    world.tick()

    assert world.status(second) == "processing"


def test_what_a_person_made_it_wait_for_besides_defers_nothing(world):
    first = world.add("first")
    world.tick()
    world.finish(first)
    world.tick()
    second = world.add("second", after_keys=(str(world.specs / "first.md"),))

    world.tick()

    assert "project_deferred" not in world.facts(second)
    assert [entry.project_id for entry in world.store.dependencies(second)] == [first]


def test_what_a_person_made_it_wait_for_stays_beside_what_the_spec_has_come_to_name(world):
    first = world.add("first")
    world.tick()
    world.finish(first)
    world.tick()
    front = "command: make\nafter: [third.md]"
    second = world.add("second", front, after_keys=(str(world.specs / "first.md"),))

    world.tick()

    assert world.status(second) == "queued"
    assert [entry.project_id for entry in world.store.dependencies(second)] == [first, None]


def test_a_spec_that_has_come_to_wait_for_itself_fails(world):
    project_id = world.add("build", "command: make\nafter: [build.md]")

    world.tick()

    assert world.status(project_id) == "failed"
    assert "waits for" in world.reason(project_id)


# -- tmux says no ---------------------------------------------------------------------------


def test_what_tmux_refuses_fails_in_its_own_words(world):
    project_id = world.add()
    world.tmux.refuse_next(TmuxRefused("tmux refused: no space for new window"))

    world.tick()

    assert world.reason(project_id) == "tmux refused: no space for new window"
    assert world.run(project_id).cleaned_at is not None


def test_what_tmux_refuses_uses_up_a_retry(make_world):
    world = make_world(retry_delay_sec=1)
    project_id = world.add("build", "command: make\nretries: 1")
    world.tmux.refuse_next(TmuxRefused("tmux refused: no"))

    world.tick_for(3)

    assert (world.status(project_id), world.run(project_id).attempt) == ("processing", 2)


def test_a_foreign_session_under_the_same_name_is_left_alone(world):
    project_id = world.add()
    world.tmux.refuse_next(SessionExists("build-impl-12345678"))

    world.tick()

    assert world.reason(project_id) == (
        "a tmux session named 'build-impl-12345678' exists already, and it is not this run's"
    )


def test_a_disk_that_is_full_at_the_launch_only_delays_it_and_counts_no_launch(world, mocker):
    project_id = world.add()
    mocker.patch.object(world.files, "runner_argv", side_effect=DiskFull("no space left"))
    world.tick(3)
    while_full = world.status(project_id)

    mocker.stopall()
    world.tick()

    run = world.run(project_id)
    assert (while_full, run.phase, run.launches) == ("processing", RunPhase.RUNNING, 1)


def test_a_full_disk_between_plan_and_session_only_delays(world):
    project_id = world.add()
    world.tmux.refuse_next(DiskFull("no space left"))

    world.tick(2)

    assert world.status(project_id) == "processing"
    assert world.run(project_id).phase is RunPhase.RUNNING


# -- after a crash --------------------------------------------------------------------------


def test_a_session_made_and_not_recorded_is_adopted(world):
    project_id = world.add()
    die_before_recording(world, project_id)

    world.tick()

    run = world.run(project_id)
    assert (run.phase, run.launches) == (RunPhase.RUNNING, 1)
    assert run.main_pane_id == world.pane(project_id).pane_id
    assert "run_adopted" in world.facts(project_id)


def test_a_session_whose_runner_has_not_begun_yet_is_adopted_by_its_first_window(world):
    project_id = world.add("team", "command: make\nwindows: [{role: tester, command: pytest}]")
    world.tmux.lose_next_answer()
    world.daemon.tick()
    world.restart_daemon()

    world.daemon.tick()

    assert world.run(project_id).main_pane_id == world.pane(project_id, "main").pane_id


def test_the_adopted_main_pane_is_the_one_of_the_main_role_wherever_it_stands(world):
    project_id = world.add("team", "command: make\nwindows: [{role: tester, command: pytest}]")
    die_before_recording(world, project_id)
    for number, pane in enumerate(reversed(world.session(project_id).panes)):
        pane.window_index = number

    world.tick()

    assert world.run(project_id).main_pane_id == world.pane(project_id, "main").pane_id


def test_a_main_window_closed_before_adoption_is_a_loss(world):
    project_id = world.add("team", "command: make\nwindows: [{role: tester, command: pytest}]")
    die_before_recording(world, project_id)
    world.tmux.close_window(world.pane(project_id, "main").pane_id)

    world.tick(3)

    assert world.reason(project_id) == "its window was closed"


def test_a_claim_that_was_never_planned_is_launched(world):
    project_id = world.add()
    world.queue.claim_next("a daemon that died")

    world.tick()

    run = world.run(project_id)
    assert (run.phase, run.launches, run.attempt) == (RunPhase.RUNNING, 1, 1)


def test_a_plan_of_which_nothing_was_started_is_launched_again_and_says_so(world):
    project_id = world.add()
    world.tmux.refuse_next(TmuxUnavailable("silent"))
    world.tick()
    world.restart_daemon()

    world.tick()

    run = world.run(project_id)
    assert (run.phase, run.launches, run.attempt) == (RunPhase.RUNNING, 2, 1)
    assert "run_relaunched" in world.facts(project_id)


def test_a_session_that_came_up_between_look_and_second_launch_is_adopted(world):
    """A tmux client can outlive the daemon that started it."""
    project_id = world.add()
    late_client(world, then=lambda: None)
    world.tick()

    assert len(world.tmux.sessions) == 1
    assert world.run(project_id).phase is RunPhase.RUNNING


def test_a_main_window_closed_before_the_second_launch_is_a_loss(world):
    project_id = world.add("team", "command: make\nwindows: [{role: tester, command: pytest}]")
    late_client(
        world,
        then=lambda: world.tmux.close_window(world.pane(project_id, "main").pane_id),
    )

    world.tick(3)

    assert world.reason(project_id) == "its window was closed"
    assert not world.processes.living


def test_one_look_that_misses_the_existing_session_is_not_believed(world, mocker):
    project_id = world.add()
    look = world.tmux.snapshot

    def miss_it_once():
        blind = TmuxSnapshot(world.tmux.server)
        mocker.patch.object(world.tmux, "snapshot", side_effect=[blind, look(), look(), look()])

    late_client(world, then=miss_it_once)
    world.daemon.tick()

    assert world.run(project_id).phase is RunPhase.RUNNING


def test_a_session_that_came_up_right_after_the_look_is_adopted_not_lost(world, mocker):
    project_id = world.add()
    die_before_recording(world, project_id)
    look = world.tmux.snapshot
    stale = type(look())(look().server)
    mocker.patch.object(world.tmux, "snapshot", side_effect=[stale, look(), look(), look()])

    world.daemon.tick()

    assert world.run(project_id).phase is RunPhase.RUNNING


def test_a_session_made_late_for_a_run_that_is_over_runs_nothing_and_is_removed(world):
    """A tmux client can outlive the daemon that started it, and be very slow."""
    project_id = world.add_running()
    late = world.session(project_id).plan
    world.finish(project_id)
    world.tick(2)

    world.tmux.create_session(late)
    world.settle_machine()
    ran = bool(world.processes.living)
    world.tick_for(62)

    assert not ran
    assert not world.tmux.sessions
    assert world.status(project_id) == "completed"


def test_a_session_made_late_for_a_run_in_progress_runs_nothing_again(world):
    project_id = world.add_running()
    plan = world.session(project_id).plan
    world.tmux.close_session(plan.name)
    world.settle_machine()

    world.tmux.create_session(plan)
    world.settle_machine()

    assert not world.processes.living


def test_what_was_started_and_is_gone_is_a_loss(world):
    project_id = world.add()
    die_before_recording(world, project_id)
    world.tmux.close_session(world.session(project_id).name)

    world.tick(2)

    assert world.run(project_id).outcome is Outcome.LOST
    assert world.reason(project_id) == "its session went away before it could be recorded"


def test_what_was_started_and_is_gone_may_be_retried(make_world):
    world = make_world(retry_delay_sec=1)
    project_id = world.add("build", "command: make\nretries: 1")
    die_before_recording(world, project_id)
    world.tmux.server_dies()
    world.settle_machine()

    world.tick_for(4)

    assert (world.status(project_id), world.run(project_id).attempt) == ("processing", 2)


def test_what_succeeded_and_is_gone_is_complete(world):
    project_id = world.add()
    die_before_recording(world, project_id)
    world.finish(project_id, 0)
    world.tmux.server_dies()

    world.tick()

    assert world.status(project_id) == "completed"


def test_what_failed_and_is_gone_failed_with_its_code(world):
    project_id = world.add()
    die_before_recording(world, project_id)
    world.finish(project_id, 3, said="no such table: users\n")
    world.tmux.server_dies()

    world.tick()

    assert world.run(project_id).outcome is Outcome.FAILED
    assert world.reason(project_id) == 'exit 3: "no such table: users"'


def test_what_succeeded_and_is_gone_is_a_loss_if_it_was_to_be_verified(world):
    project_id = world.add("build", "command: make\nverify: make test")
    die_before_recording(world, project_id)
    world.finish(project_id, 0)
    world.tmux.server_dies()

    world.tick()

    assert world.run(project_id).outcome is Outcome.LOST


def test_a_run_reset_while_it_is_launched_is_cleared_up_after(world, mocker):
    project_id = world.add()
    create = world.tmux.create_session

    def reset_meanwhile(plan):
        created = create(plan)
        world.queue.reset(project_id)
        return created

    mocker.patch.object(world.tmux, "create_session", side_effect=reset_meanwhile)
    world.tick()
    mocker.stopall()
    world.tick(3)

    first = world.store.runs_of(project_id)[0]
    assert (first.outcome, first.cleaned_at is not None) == (Outcome.RESET, True)
    assert [session.run_token for session in world.tmux.sessions.values()] == [
        world.run(project_id).token
    ]


def test_the_plan_reaches_the_programs_as_environment(world):
    project_id = world.add_running()

    env = world.session(project_id).env

    assert env["SCHEDULER_PROJECT_ID"] == str(project_id)
    assert env["SCHEDULER_ATTEMPT"] == "1"
    assert env["TMUX_ORCHESTRATOR_HOME"] == os.fspath(world.home)
