"""Stuck projects: the verdicts, and what an operator's reset does."""

import pytest

from scheduler_modules.errors import IllegalTransition, ProjectNotFound
from scheduler_modules.recovery_manager import RecoveryManager, StuckLimits
from tests.fakes.queue_world import QueueWorld, with_timeout

NAME = "web-impl-1a2b3c4d"
HOUR_SEC = 3600


class World(QueueWorld):
    def __init__(self) -> None:
        super().__init__()
        self.recovery = RecoveryManager(
            self.queue, self.store, self.tmux, self.clock, StuckLimits(), self.old_tmux
        )

    def running(self, **columns) -> int:
        values = {"status": "processing", "age_sec": HOUR_SEC, "session_name": NAME}
        return self.old_row(**values | columns)

    def verdict(self, project_id: int) -> tuple[bool | None, str]:
        verdict = self.recovery.is_stuck_or_zombie(project_id)
        return verdict.is_stuck, verdict.reason


@pytest.fixture
def world():
    return World()


# -- verdicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["zombie", "timing_out", "ZOMBIE"])
def test_some_states_are_stuck_by_themselves(world, status):
    project_id = world.running(status=status)
    world.tmux.goes_down()

    assert world.verdict(project_id) == (True, f"state is {status.lower()}")


@pytest.mark.parametrize("status", ["queued", "completed", "recovered", "credit_paused", "gone"])
def test_states_that_wait_for_nothing_are_not_stuck(world, status):
    project_id = world.old_row(status=status)

    assert world.verdict(project_id) == (False, f"state is {status}")


def test_an_unknown_project_has_no_verdict(world):
    with pytest.raises(ProjectNotFound):
        world.recovery.is_stuck_or_zombie(99)


def test_an_old_row_without_its_session_is_stuck(world):
    project_id = world.running()

    assert world.verdict(project_id) == (True, f"session {NAME} is gone")


def test_an_old_row_that_never_had_a_session_is_stuck(world):
    project_id = world.running(session_name=None)

    assert world.verdict(project_id) == (True, "it has no session")


@pytest.mark.parametrize("server", ["tmux", "old_tmux"])
def test_an_old_row_with_its_session_is_not_stuck(world, server):
    project_id = world.running()
    getattr(world, server).add_foreign_session(NAME)

    assert world.verdict(project_id)[0] is False


@pytest.mark.parametrize(("age_sec", "is_stuck"), [(1800, False), (1801, True)])
def test_an_old_row_is_spared_while_its_launcher_may_be_at_work(world, age_sec, is_stuck):
    project_id = world.running(age_sec=age_sec)

    assert world.verdict(project_id)[0] is is_stuck


@pytest.mark.parametrize(("age_sec", "is_stuck"), [(10_800, False), (10_801, True)])
def test_an_old_row_is_stuck_after_three_hours(world, age_sec, is_stuck):
    project_id = world.running(age_sec=age_sec)
    world.old_tmux.add_foreign_session(NAME)

    assert world.verdict(project_id)[0] is is_stuck


def test_a_row_without_a_start_time_is_judged_by_its_session(world):
    project_id = world.old_row(status="processing", session_name=NAME)
    world.old_tmux.add_foreign_session(NAME)

    assert world.verdict(project_id)[0] is False


@pytest.mark.parametrize("server", ["tmux", "old_tmux"])
@pytest.mark.parametrize("status", ["processing", "failed"])
def test_a_silent_tmux_makes_nothing_stuck(world, server, status):
    project_id = world.running(status=status, age_sec=100 * HOUR_SEC)
    getattr(world, server).goes_down()

    is_stuck, reason = world.verdict(project_id)

    assert is_stuck is None
    assert reason.startswith("unknown: tmux did not answer")


def test_a_failed_project_whose_session_still_works_is_stuck(world):
    project_id = world.running(status="failed")
    world.tmux.add_foreign_session(NAME)

    assert world.verdict(project_id) == (True, f"session {NAME} still runs")


def test_a_failed_project_whose_session_is_only_kept_to_be_seen_is_not_stuck(world):
    run = world.start()
    world.queue.finish(run.project_id, success=False, reason="no")
    pane = world.tmux.sessions[run.session_name].panes[0]
    world.tmux.end_pane(pane.pane_id, status=1)

    assert world.verdict(run.project_id)[0] is False


def test_a_run_with_its_session_is_not_stuck_however_old(world):
    run = world.start()
    world.clock.advance(100 * HOUR_SEC)

    assert world.verdict(run.project_id)[0] is False


def test_a_run_without_its_session_is_stuck(world):
    run = world.start()
    world.tmux.close_session(run.session_name)

    assert world.verdict(run.project_id) == (True, f"session {run.session_name} is gone")


def test_a_run_is_stuck_when_its_own_time_is_over(world):
    run = world.start(plan=with_timeout(600))
    world.clock.advance(601)

    assert world.verdict(run.project_id) == (True, "running for 10m, limit 10m")


@pytest.mark.parametrize(("waited_sec", "is_stuck"), [(60, False), (61, True)])
def test_a_run_may_take_a_minute_to_show_its_session(world, waited_sec, is_stuck):
    run = world.claim()
    world.clock.advance(waited_sec)

    assert world.verdict(run.project_id)[0] is is_stuck


def test_the_report_covers_what_is_not_over_by_id(world):
    ids = [
        world.old_row(f"/specs/{status}.md", status=status, age_sec=HOUR_SEC)
        for status in ("failed", "processing", "completed", "zombie", "queued", "timing_out")
    ]

    report = world.recovery.stuck_report()

    assert [verdict.project.id for verdict in report] == [ids[0], ids[1], ids[3], ids[5]]
    assert [verdict.is_stuck for verdict in report] == [False, True, True, True]


# -- resetting ----------------------------------------------------------------------------------


def test_by_hand_a_row_without_a_session_gets_no_grace(world):
    project_id = world.running(age_sec=1)

    reset = world.recovery.check_and_reset_specific_project(project_id)

    assert reset.is_done
    assert world.project(project_id).status == "failed"
    assert world.project(project_id).error_message == (
        f"reset by an operator: session {NAME} is gone"
    )


@pytest.mark.parametrize(("age_sec", "is_done"), [(7200, False), (7201, True)])
def test_by_hand_an_old_row_is_too_old_after_two_hours(world, age_sec, is_done):
    project_id = world.running(age_sec=age_sec)
    world.old_tmux.add_foreign_session(NAME)

    assert world.recovery.check_and_reset_specific_project(project_id).is_done is is_done


def test_by_hand_a_healthy_run_is_left_alone_however_old(world):
    run = world.start()
    world.clock.advance(10 * HOUR_SEC)

    reset = world.recovery.check_and_reset_specific_project(run.project_id)

    assert not reset.is_done
    assert world.status_of(run.project_id) == "processing"


def test_a_silent_tmux_leaves_the_project_alone(world):
    project_id = world.running(age_sec=10 * HOUR_SEC)
    world.tmux.goes_down()

    reset = world.recovery.check_and_reset_specific_project(project_id)

    assert (reset.is_done, world.status_of(project_id)) == (False, "processing")


@pytest.mark.parametrize("status", ["queued", "failed", "completed", "zombie"])
def test_without_force_only_a_running_project_is_reset(world, status):
    project_id = world.old_row(status=status)

    reset = world.recovery.check_and_reset_specific_project(project_id)

    assert (reset.is_done, reset.reason) == (False, f"it is {status}, not processing")


def test_force_queues_a_running_project_again(world):
    run = world.start()

    reset = world.recovery.check_and_reset_specific_project(run.project_id, force=True)

    assert reset.is_done
    assert world.status_of(run.project_id) == "queued"
    assert world.queue.open_run_of(run.project_id) is None


def test_force_does_not_touch_a_completed_project(world):
    project_id = world.old_row(status="completed")

    with pytest.raises(IllegalTransition):
        world.recovery.check_and_reset_specific_project(project_id, force=True)


@pytest.mark.parametrize("force", [False, True])
def test_an_unknown_project_cannot_be_reset(world, force):
    with pytest.raises(ProjectNotFound):
        world.recovery.check_and_reset_specific_project(99, force=force)


def test_no_session_is_ended_by_a_reset(world):
    run = world.start(plan=with_timeout(600))
    world.clock.advance(601)

    world.recovery.check_and_reset_specific_project(run.project_id)

    assert run.session_name in world.tmux.sessions


def test_failing_a_stuck_project_records_why_it_was_stuck(world):
    project_id = world.old_row(status="zombie")

    world.recovery.fail_stuck(project_id, "state is zombie")

    project = world.project(project_id)
    assert (project.status, project.error_message) == (
        "failed",
        "reset by an operator: state is zombie",
    )


# -- diagnostics --------------------------------------------------------------------------------


def test_diagnostics_show_runs_stuck_projects_and_sessions(world):
    run = world.start()
    stuck = world.old_row("/specs/z.md", status="zombie")
    world.old_tmux.add_foreign_session("mine", ("one", "two"))

    found = world.recovery.get_recovery_diagnostics()

    assert found == {
        "timestamp": "2023-11-14T22:13:20+00:00",
        "process_manager": {"running": 1},
        "stuck_projects": [{"project_id": stuck, "reason": "state is zombie"}],
        "tmux_sessions": {
            "is_available": True,
            "trouble": None,
            "sessions": [
                {"name": "mine", "windows": 2},
                {"name": run.session_name, "windows": 1},
            ],
        },
        "active_orchestrations": [
            {
                "project_id": run.project_id,
                "session": run.session_name,
                "phase": "running",
                "attempt": 1,
            }
        ],
    }


def test_diagnostics_say_that_tmux_is_silent(world):
    world.tmux.goes_down()

    found = world.recovery.get_recovery_diagnostics()

    assert found["tmux_sessions"]["is_available"] is False
    assert "did not answer" in found["tmux_sessions"]["trouble"]


def test_limits_have_defaults(world):
    recovery = RecoveryManager(world.queue, world.store, world.tmux, world.clock)
    project_id = world.running(age_sec=10_801)
    world.tmux.add_foreign_session(NAME)

    assert recovery.is_stuck_or_zombie(project_id).is_stuck
