"""Phantoms: rows of old programs whose session is gone."""

import pytest

from scheduler_modules.errors import TmuxUnavailable
from scheduler_modules.session_monitor import SessionMonitor
from tests.fakes.queue_world import QueueWorld

GRACE_SEC = 1800
NAME = "web-impl-1a2b3c4d"


class World(QueueWorld):
    def __init__(self) -> None:
        super().__init__()
        self.monitor = SessionMonitor(
            self.queue, self.store, self.tmux, self.clock, GRACE_SEC, self.old_tmux
        )

    def running(self, **columns) -> int:
        values = {"status": "processing", "age_sec": GRACE_SEC + 1, "session_name": NAME}
        return self.old_row(**values | columns)

    def phantoms(self) -> list[int]:
        return [phantom.project.id for phantom in self.monitor.find_phantoms()]


@pytest.fixture
def world():
    return World()


def test_a_running_row_whose_session_is_gone_is_a_phantom(world):
    project_id = world.running()

    (phantom,) = world.monitor.find_phantoms()

    assert (phantom.project.id, phantom.reason) == (project_id, f"session {NAME} is gone")


def test_no_row_is_a_phantom_within_its_grace(world):
    world.running(age_sec=GRACE_SEC)

    assert world.phantoms() == []


def test_a_row_without_a_start_time_has_no_grace(world):
    project_id = world.old_row(status="processing", session_name=NAME)

    assert world.phantoms() == [project_id]


@pytest.mark.parametrize("server", ["tmux", "old_tmux"])
def test_a_session_on_either_server_keeps_the_row(world, server):
    world.running()
    getattr(world, server).add_foreign_session(NAME)

    assert world.phantoms() == []


def test_a_longer_name_does_not_keep_the_row(world):
    project_id = world.running(session_name="web-impl-1a2b")
    world.tmux.add_foreign_session(NAME)

    assert world.phantoms() == [project_id]


@pytest.mark.parametrize("name", [NAME, "web-1a2b3c4d", "WEB-impl-1A2B3C4D"])
def test_a_row_without_a_name_is_kept_by_a_session_of_its_form(world, name):
    world.running(session_name=None)
    world.old_tmux.add_foreign_session(name)

    assert world.phantoms() == []


@pytest.mark.parametrize(
    "name", ["web", "web-impl-12", "my-web-impl-1a2b3c4d", "web2-impl-1a2b3c4d"]
)
def test_a_row_without_a_name_is_not_kept_by_other_sessions(world, name):
    project_id = world.running(session_name=None)
    world.old_tmux.add_foreign_session(name)

    assert world.phantoms() == [project_id]


def test_a_row_that_no_session_can_be_named_after_is_a_phantom(world):
    project_id = world.running(spec_path="/specs/🙂.md", name="🙂", session_name=None)
    world.old_tmux.add_foreign_session("-impl-1a2b3c4d")

    assert world.phantoms() == [project_id]


def test_a_run_of_ours_is_not_judged_here(world):
    run = world.start()
    world.tmux.close_session(run.session_name)
    world.clock.advance(10 * GRACE_SEC)

    assert world.phantoms() == []


@pytest.mark.parametrize("status", ["queued", "failed", "completed", "credit_paused", "zombie"])
def test_only_running_rows_are_judged(world, status):
    world.running(status=status)

    assert world.phantoms() == []


@pytest.mark.parametrize("server", ["tmux", "old_tmux"])
def test_a_silent_tmux_resets_nothing(world, server):
    project_id = world.running()
    getattr(world, server).goes_down()

    with pytest.raises(TmuxUnavailable):
        world.monitor.reset_phantoms()

    assert world.status_of(project_id) == "processing"


def test_a_silent_tmux_is_not_asked_where_nobody_is_suspect(world):
    world.running(age_sec=1)
    world.tmux.goes_down()

    assert world.monitor.reset_phantoms() == []


def test_phantoms_fail_with_the_reason(world):
    project_id = world.running()

    (failed,) = world.monitor.reset_phantoms()

    assert failed.id == project_id
    assert failed.status == "failed"
    assert failed.error_message == f"Phantom project detected: session {NAME} is gone"
    assert failed.completed_at == world.clock.now()


def test_a_phantom_without_a_name_says_so(world):
    world.running(session_name=None)

    (failed,) = world.monitor.reset_phantoms()

    assert "no session was ever recorded" in failed.error_message


def test_a_row_that_its_owner_completes_meanwhile_stays_completed(world):
    project_id = world.running()

    class SlowTmux(type(world.tmux)):
        def snapshot(self):
            if world.status_of(project_id) == "processing":
                world.queue.finish(project_id, success=True)
            return super().snapshot()

    monitor = SessionMonitor(world.queue, world.store, SlowTmux(), world.clock, GRACE_SEC)

    assert monitor.reset_phantoms() == []
    assert world.status_of(project_id) == "completed"


def test_without_a_second_server_the_first_decides(world):
    world.running()
    world.old_tmux.add_foreign_session(NAME)
    monitor = SessionMonitor(world.queue, world.store, world.tmux, world.clock, GRACE_SEC)

    assert len(monitor.find_phantoms()) == 1
