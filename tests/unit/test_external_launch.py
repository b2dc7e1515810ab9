"""Sessions that an external launcher makes: found, marked as ours, followed to their end."""

import msgspec
import pytest

from scheduler_modules.model import LaunchPlan, Outcome, RunPhase

LAUNCHER = {"launcher_command": "/opt/launch {spec}", "launcher_session_wait_sec": 30}


@pytest.fixture
def world(make_world):
    return make_world(**LAUNCHER)


def launched(world, stem: str = "web_shop") -> int:
    """Have a launcher run; return its project's id."""
    return world.add_running(stem, "")


def made(world, name: str) -> None:
    """Let a session appear that carries no mark of ours."""
    world.tmux.add_foreign_session(name, ("orchestrator", "developer"))


def finish_launcher(world, project_id: int, code: int = 0, said: str = "") -> None:
    world.finish(project_id, code, role="launcher", said=said)


def followed(world, project_id: int) -> str | None:
    """Return the session the run follows now, if it is not the launcher's own."""
    run = world.run(project_id)
    return run.session_name if run.main_pane_id is None else None


# -- which session --------------------------------------------------------------------------


def test_a_session_named_in_the_file_is_followed(world):
    project_id = launched(world)
    made(world, "any-name")
    world.files.write_session(world.run(project_id).token, "any-name\n")

    finish_launcher(world, project_id)
    world.tick()

    assert followed(world, project_id) == "any-name"


@pytest.mark.parametrize("line", ["SESSION=any-name", "session: any-name", "Session=any-name  "])
def test_a_session_named_on_the_last_line_is_followed(world, line):
    project_id = launched(world)
    made(world, "any-name")

    finish_launcher(world, project_id, said=f"creating windows\n{line}\n")
    world.tick()

    assert followed(world, project_id) == "any-name"


@pytest.mark.parametrize(
    "name", ["web-shop-impl-0a1b2c3d", "web_shop-0A1B2C3D", "web-shop-12345678"]
)
def test_a_new_session_of_the_projects_name_is_found(world, name):
    project_id = launched(world)
    made(world, name)

    finish_launcher(world, project_id)
    world.tick()

    assert followed(world, project_id) == name


@pytest.mark.parametrize(
    "name", ["web-shop", "web-shop-impl-xyz", "my-web-shop-impl-0a1b2c3d", "web-shop-0a1b2c3d9"]
)
def test_a_session_of_another_name_is_not_taken(world, name):
    project_id = launched(world)
    made(world, name)

    finish_launcher(world, project_id)
    world.tick_for(31)

    assert followed(world, project_id) is None


def test_a_session_older_than_the_run_is_not_taken(world):
    made(world, "web-shop-impl-0a1b2c3d")
    world.clock.advance(60)
    project_id = launched(world)

    finish_launcher(world, project_id)
    world.tick_for(31)

    assert world.status(project_id) == "failed"


def test_of_two_candidates_none_is_taken(world):
    project_id = launched(world)
    made(world, "web-shop-impl-0a1b2c3d")
    made(world, "web-shop-impl-11111111")

    finish_launcher(world, project_id)
    world.tick_for(31)

    assert world.status(project_id) == "failed"


def test_a_session_of_another_run_is_not_taken(world):
    project_id = launched(world)
    made(world, "any-name")
    world.tmux.sessions["any-name"].run_token = "f" * 32

    finish_launcher(world, project_id, said="SESSION=any-name\n")
    world.tick_for(31)

    assert world.status(project_id) == "failed"
    assert world.tmux.sessions["any-name"].run_token == "f" * 32


@pytest.mark.parametrize("said", ["SESSION=no such", "SESSION=../etc", "SESSION=", "done"])
def test_a_name_that_is_none_is_not_looked_for(world, said):
    project_id = launched(world)

    finish_launcher(world, project_id, said=f"{said}\n")
    world.tick_for(31)

    assert world.status(project_id) == "failed"


# -- when -----------------------------------------------------------------------------------


def test_the_launcher_is_waited_for(world):
    project_id = launched(world)
    made(world, "web-shop-impl-0a1b2c3d")

    world.tick(3)

    assert followed(world, project_id) is None
    assert world.status(project_id) == "processing"


def test_a_session_that_comes_up_a_little_later_is_followed(world):
    project_id = launched(world)
    finish_launcher(world, project_id)
    world.tick_for(20)

    made(world, "web-shop-impl-0a1b2c3d")
    world.tick()

    assert followed(world, project_id) == "web-shop-impl-0a1b2c3d"


def test_a_launcher_that_ended_with_0_and_made_no_session_has_failed(world):
    project_id = launched(world)
    finish_launcher(world, project_id)

    world.tick_for(29)
    while_waiting = world.status(project_id)
    world.tick_for(2)

    assert while_waiting == "processing"
    assert world.reason(project_id) == "the launcher ended with 0 but no session was created"


def test_a_session_in_which_all_is_dead_is_not_alive(world):
    project_id = launched(world)
    made(world, "any-name")
    for pane in world.tmux.sessions["any-name"].panes:
        pane.is_dead = True

    finish_launcher(world, project_id, said="SESSION=any-name\n")
    world.tick_for(31)

    assert world.status(project_id) == "failed"


def test_a_launcher_that_failed_fails_the_project(world):
    project_id = launched(world)

    finish_launcher(world, project_id, 7, said="no agents left\n")
    world.tick()

    assert world.reason(project_id) == 'exit 7: "no agents left"'


def test_a_session_that_goes_away_while_it_is_marked_is_looked_for_again(world, mocker):
    project_id = launched(world)
    made(world, "any-name")
    adopt = world.tmux.adopt_session
    finish_launcher(world, project_id, said="SESSION=any-name\n")

    def gone_meanwhile(*args):
        world.tmux.close_session("any-name")
        return adopt(*args)

    mocker.patch.object(world.tmux, "adopt_session", side_effect=gone_meanwhile)
    world.tick_for(31)

    assert world.reason(project_id) == "the launcher ended with 0 but no session was created"


# -- from then on ---------------------------------------------------------------------------


@pytest.fixture
def handed_over(world):
    """A world and a project whose launcher has made `any-name`."""
    project_id = launched(world)
    made(world, "any-name")
    finish_launcher(world, project_id, said="SESSION=any-name\n")
    world.tick()
    return world, project_id


def test_the_session_is_marked_as_ours_and_shown_on_the_row(handed_over):
    world, project_id = handed_over

    session = world.tmux.sessions["any-name"]

    assert (session.run_token, session.project_id) == (world.run(project_id).token, project_id)
    assert world.get(project_id).session_name == "any-name"
    assert "run_adopted" in world.facts(project_id)


def test_it_runs_on_while_one_of_its_panes_lives(handed_over):
    world, project_id = handed_over
    world.tmux.sessions["any-name"].panes[0].is_dead = True

    world.tick_for(60)

    assert world.status(project_id) == "processing"


def test_when_all_of_it_ended_without_a_report_that_is_a_loss(handed_over):
    world, project_id = handed_over
    for pane in world.tmux.sessions["any-name"].panes:
        pane.is_dead = True

    world.tick(2)

    run = world.run(project_id)
    assert (run.outcome, run.reason) == (
        Outcome.LOST,
        "every program in its session ended without reporting done",
    )


def test_a_killed_session_is_a_loss(handed_over):
    world, project_id = handed_over
    world.tmux.close_session("any-name")

    world.tick(2)

    assert world.run(project_id).reason == "its tmux session was killed"


def test_a_report_completes_it_and_both_sessions_go(handed_over):
    world, project_id = handed_over

    world.report(project_id, Outcome.COMPLETED)
    world.tick(2)

    assert world.status(project_id) == "completed"
    assert not world.tmux.sessions


def test_it_is_followed_across_a_restart_of_the_daemon(handed_over):
    world, project_id = handed_over

    world.restart_daemon()
    world.tick(3)

    assert followed(world, project_id) == "any-name"
    assert world.run(project_id).phase is RunPhase.RUNNING


def test_it_is_verified_in_a_window_of_the_session_it_made(make_world):
    world = make_world(**LAUNCHER)
    project_id = world.add_running("web", "verify: make test")
    made(world, "any-name")
    finish_launcher(world, project_id, said="SESSION=any-name\n")
    world.tick()

    world.report(project_id, Outcome.COMPLETED)
    world.tick()

    windows = [pane.window_name for pane in world.tmux.sessions["any-name"].panes]
    assert windows == ["orchestrator", "developer", "verify"]


def test_it_times_out_like_any_other(make_world):
    world = make_world(**LAUNCHER, max_process_runtime_sec=60)
    project_id = launched(world)
    made(world, "any-name")
    finish_launcher(world, project_id, said="SESSION=any-name\n")

    world.tick_for(62)

    assert world.reason(project_id) == "timed out after 1m"


def test_a_project_removed_by_an_old_program_is_no_longer_looked_for(world):
    project_id = launched(world)
    made(world, "web-shop-impl-0a1b2c3d")
    token = world.run(project_id).token
    finish_launcher(world, project_id)
    world.store.forget_row(project_id)

    world.tick()

    assert world.store.run(token).outcome is Outcome.RESET


def test_a_project_removed_at_that_very_moment_has_no_session(world):
    project_id = launched(world)
    made(world, "web-shop-impl-0a1b2c3d")
    run = world.run(project_id)
    plan = msgspec.json.decode(run.plan, type=LaunchPlan)
    world.store.forget_row(project_id)

    found = world.container.external_launch().take_over(run, plan, world.tmux.snapshot())

    assert found is None


def test_a_second_launcher_is_told_to_resume(make_world):
    world = make_world(launcher_command="/opt/launch {spec} {resume}", retry_delay_sec=1)
    project_id = world.add_running("web", "retries: 1")
    first = world.pane(project_id, "launcher").command.argv
    finish_launcher(world, project_id, 1)
    world.tick_for(3)

    second = world.pane(project_id, "launcher").command.argv

    assert "--resume" not in first
    assert second[-1] == "--resume"
