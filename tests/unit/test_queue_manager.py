"""The queue over its fake store: who gets in, who is next, which moves are legal."""

import itertools

import msgspec
import pytest

from scheduler_modules.errors import (
    IllegalTransition,
    InvalidInput,
    NotPossible,
    ProjectNotFound,
    StaleToken,
)
from scheduler_modules.model import (
    LEGAL_MOVES,
    LaunchPlan,
    NewProject,
    Outcome,
    ProjectState,
    RunPhase,
    WindowPlan,
)
from scheduler_modules.queue_manager import QueueManager
from scheduler_modules.queue_moves import QueueMoves
from scheduler_modules.run_ledger import RunLedger
from scheduler_modules.tmux_values import (
    CreatedSession,
    PaneRef,
    ServerIdentity,
)
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore

PLAN = LaunchPlan(cwd="/p", windows=(WindowPlan(role="main", argv=("true", "x")),))
CREATED = CreatedSession(
    session_id="$1",
    server=ServerIdentity(pid=1, started_at=2),
    panes=(PaneRef(role="main", window_id="@1", pane_id="%1"),),
)


class World:
    def __init__(self, max_concurrent: int = 1) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        tokens = (f"{number:08x}" + "0" * 24 for number in itertools.count(1))
        moves = QueueMoves(self.store, self.clock)
        self.queue = QueueManager(
            moves, host="here", max_concurrent=max_concurrent, new_token=lambda: next(tokens)
        )
        self.ledger = RunLedger(moves, retry_delay_sec=30)

    def new(self, stem: str, **fields) -> NewProject:
        values = {
            "spec_path": f"/specs/{stem}.md",
            "name": stem,
            "enqueued_at": self.clock.now(),
            "spec_key": f"/specs/{stem}.md",
        }
        return NewProject(**values | fields)

    def add(self, stem: str, **fields) -> int:
        self.clock.advance(1)
        return self.queue.enqueue(self.new(stem, **fields)).project_id

    def claim(self):
        return self.queue.claim_next("daemon")

    def force(self, project_id: int, status: str) -> None:
        """Put a row into any status, as another program might."""
        before = self.store.project(project_id)
        after = msgspec.structs.replace(before, status=status, completed_at=self.clock.now())
        assert self.store.save_project(before, after)

    def end_next(self, *, success: bool = True) -> None:
        """Claim a project and end it; nothing of its run is left."""
        claim = self.claim()
        self.queue.finish(claim.project.id, success=success)
        self.ledger.record_cleaned([claim.run])

    def status(self, project_id: int) -> str:
        return self.queue.get(project_id).status

    def fact_names(self, project_id: int) -> list[str]:
        return [fact.name for fact in self.store.facts(project_id=project_id)]


@pytest.fixture
def world() -> World:
    return World()


def ended(world, stem, *, success=True, **fields):
    """Queue a project and run it to its end; return its id."""
    project_id = world.queue.enqueue(world.new(stem, **fields), again=True).project_id
    world.end_next(success=success)
    return project_id


# -- getting in ---------------------------------------------------------------------------------


def test_a_new_spec_is_queued_and_told(world):
    project_id = world.add("web", priority=4)

    assert world.status(project_id) == "queued"
    assert world.fact_names(project_id) == ["project_queued"]


@pytest.mark.parametrize("is_running", [False, True])
def test_a_spec_that_is_queued_or_running_is_not_added_again(world, is_running):
    first = world.add("web")
    if is_running:
        world.claim()

    answer = world.queue.enqueue(world.new("web"), again=True)

    assert (answer.project_id, answer.is_new) == (first, False)


def test_the_same_spec_for_another_folder_is_another_project(world):
    first = world.add("web", project_path="/a", project_key="/a")

    second = world.add("web", project_path="/b", project_key="/b")

    assert first != second


@pytest.mark.parametrize("status", ["completed", "failed", "recovered", "FAILED"])
@pytest.mark.parametrize(("age_sec", "is_new"), [(0, False), (299, False), (301, True)])
def test_a_spec_that_ended_less_than_five_minutes_ago_is_not_added(world, status, age_sec, is_new):
    first = world.add("web")
    world.force(first, status)
    world.clock.advance(age_sec)

    answer = world.queue.enqueue(world.new("web"))

    assert answer.is_new == is_new
    assert answer.duplicate_of is None or answer.duplicate_of.id == first


@pytest.mark.parametrize(("again", "retry_count"), [(True, 0), (False, 1)])
def test_a_recent_end_is_no_hindrance_for_again_or_a_retry(world, again, retry_count):
    world.force(world.add("web"), "completed")

    answer = world.queue.enqueue(world.new("web", retry_count=retry_count), again=again)

    assert answer.is_new


def test_a_circle_of_dependencies_is_refused(world):
    world.add("a", after_keys=("/specs/b.md",))
    world.add("b", after_keys=("/specs/c.md",))

    with pytest.raises(InvalidInput, match="neither would ever run"):
        world.add("c", after_keys=("/specs/a.md",))


def test_a_diamond_of_dependencies_is_no_circle(world):
    world.add("b", after_keys=("/specs/a.md",))
    world.add("c", after_keys=("/specs/a.md",))

    project_id = world.add("d", after_keys=("/specs/b.md", "/specs/c.md"))

    assert world.status(project_id) == "queued"


# -- claiming -----------------------------------------------------------------------------------


def test_higher_priority_goes_first_then_age(world):
    old, urgent = world.add("old"), world.add("urgent", priority=9)
    world.add("young")

    first = world.claim()
    world.ledger.end_run(first.run, Outcome.COMPLETED)
    world.ledger.record_cleaned([first.run])
    second = world.claim()

    assert (first.project.id, second.project.id) == (urgent, old)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_more_run_than_the_limit(limit):
    world = World(max_concurrent=limit)
    for number in range(4):
        world.add(f"p{number}")

    claims = [world.claim() for _ in range(4)]

    assert sum(claim is not None for claim in claims) == limit


def test_a_claim_writes_run_session_and_fact(world):
    project_id = world.add("web")

    claim = world.claim()

    project = world.queue.get(project_id)
    assert (project.status, project.started_at) == ("processing", world.clock.now())
    assert project.session_name == claim.run.session_name == "web-impl-00000001"
    assert (claim.run.attempt, claim.run.phase, claim.run.host) == (1, RunPhase.STARTING, "here")
    assert world.fact_names(project_id) == ["project_queued", "project_started"]


def test_a_dependency_that_is_not_met_is_waited_for(world):
    first = world.add("first")
    second = world.add("second", priority=9, after_keys=("/specs/first.md",))
    claim = world.claim()
    assert claim.project.id == first
    world.ledger.end_run(claim.run, Outcome.COMPLETED)
    world.ledger.record_cleaned([claim.run])

    assert world.claim().project.id == second


def test_a_dependency_that_failed_keeps_its_dependent_queued(world):
    world.force(world.add("first"), "failed")
    world.add("second", after_keys=("/specs/first.md",))

    assert world.claim() is None


def test_a_project_is_not_claimed_while_its_last_run_still_lives(world):
    project_id = world.add("web")
    claim = world.claim()
    world.ledger.record_plan(claim.run, PLAN)
    world.queue.reset(project_id)

    blocked = world.claim()
    world.ledger.record_cleaned([claim.run])

    assert blocked is None
    assert world.claim().run.attempt == 2


def test_peek_shows_what_would_be_claimed_and_changes_nothing(world):
    project_id = world.add("web")

    assert world.queue.peek().id == project_id
    assert world.status(project_id) == "queued"


# -- the end of a run ---------------------------------------------------------------------------


def test_a_completed_run_completes_its_project(world):
    project_id = world.add("web")
    claim = world.claim()

    world.ledger.end_run(claim.run, Outcome.COMPLETED, exit_code=0)

    project, (run,) = world.queue.get(project_id), world.store.runs_of(project_id)
    assert (project.status, project.completed_at) == ("completed", world.clock.now())
    assert (run.outcome, run.exit_code, run.phase) == (Outcome.COMPLETED, 0, RunPhase.ENDED)
    assert world.fact_names(project_id)[-1] == "project_completed"


def test_a_failed_run_with_a_retry_left_runs_again_after_its_delay(world):
    project_id = world.add("web")
    claim = world.claim()
    run = world.ledger.record_plan(claim.run, PLAN)
    world.ledger.end_run(run, Outcome.FAILED, "exit 1", retries=1)
    world.ledger.record_cleaned([run])
    too_early = world.claim()
    world.clock.advance(31)

    second = world.claim()
    world.ledger.end_run(second.run, Outcome.FAILED, "exit 1", retries=1)

    assert too_early is None
    assert second.run.attempt == 2
    assert world.status(project_id) == "failed"


def test_an_ended_run_can_write_nothing_any_more(world):
    project_id = world.add("web")
    claim = world.claim()
    world.queue.reset(project_id)

    for write in (
        lambda: world.ledger.record_plan(claim.run, PLAN),
        lambda: world.ledger.record_session(claim.run, CREATED, adopted=False),
        lambda: world.ledger.record_verifying(claim.run, "%2", 0),
        lambda: world.ledger.end_run(claim.run, Outcome.COMPLETED),
    ):
        with pytest.raises(StaleToken):
            write()
    assert world.status(project_id) == "queued"


def test_a_run_whose_row_was_deleted_by_another_program_still_ends(world):
    claim_project = world.add("web")
    claim = world.claim()
    world.force(claim_project, "archived")

    assert world.ledger.end_run(claim.run, Outcome.FAILED, "x") is None
    assert world.status(claim_project) == "archived"


def test_the_second_launch_of_a_run_is_told(world):
    project_id = world.add("web")
    run = world.ledger.record_plan(world.claim().run, PLAN)
    first = world.fact_names(project_id)

    world.ledger.record_plan(run, PLAN)

    assert "run_relaunched" not in first
    assert world.fact_names(project_id)[-1] == "run_relaunched"


def test_a_session_is_recorded_with_its_server_and_the_boot_it_started_in(world):
    world.add("web")
    run = world.ledger.record_session(world.claim().run, CREATED, adopted=False)

    assert (run.session_id, run.main_pane_id, run.server_pid) == ("$1", "%1", 1)
    assert (run.boot_id, run.started_boot_sec) == ("boot-1", world.clock.since_boot_sec())


def test_an_adopted_session_keeps_the_time_the_run_started(world):
    world.add("web")
    run = world.ledger.record_session(world.claim().run, CREATED, adopted=False)
    world.clock.advance(50)

    again = world.ledger.record_session(run, CREATED, adopted=True)

    assert again.started_at == run.started_at


def test_deferring_puts_the_project_back_without_spending_a_retry(world):
    project_id = world.add("web")
    claim = world.claim()

    world.ledger.defer(claim.run, "waits", ["/specs/other.md"])

    assert world.status(project_id) == "queued"
    assert [known.spec_key for known in world.store.dependencies(project_id)] == ["/specs/other.md"]
    assert world.claim() is None


def test_a_claim_that_was_put_back_is_no_attempt(world):
    world.add("web")
    claim = world.claim()
    world.ledger.defer(claim.run, "waits", [])

    assert world.claim().run.attempt == 1


def test_deferring_into_a_circle_is_refused_and_changes_nothing(world):
    project_id = world.add("a")
    world.add("b", after_keys=("/specs/a.md",))
    claim = world.claim()

    with pytest.raises(InvalidInput):
        world.ledger.defer(claim.run, "waits", ["/specs/b.md"])

    assert world.status(project_id) == "processing"


# -- what a person may do -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", ["processing", "failed", "zombie", "timing_out", "recovered", "credit_paused", "??"]
)
def test_reset_queues_again_from_everything_but_queued_and_completed(world, status):
    project_id = world.add("web")
    world.force(project_id, status)

    world.queue.reset(project_id)

    project = world.queue.get(project_id)
    assert (project.status, project.started_at, project.completed_at) == ("queued", None, None)
    assert world.fact_names(project_id)[-1] == "project_reset"


@pytest.mark.parametrize("status", ["queued", "completed"])
def test_reset_of_a_queued_or_completed_project_is_refused(world, status):
    project_id = world.add("web")
    if status != "queued":
        world.force(project_id, status)

    with pytest.raises(IllegalTransition):
        world.queue.reset(project_id)
    assert world.status(project_id) == status


def test_reset_of_a_running_project_ends_its_run(world):
    project_id = world.add("web")
    claim = world.claim()

    world.queue.reset(project_id)

    ended = world.store.run(claim.run.token)
    assert (ended.outcome, ended.cleaned_at) == (Outcome.RESET, None)


def test_retry_refuses_what_is_running(world):
    project_id = world.add("web")
    world.claim()

    with pytest.raises(NotPossible):
        world.queue.retry(project_id)


def test_retry_gives_all_retries_back(world):
    project_id = world.add("web")
    claim = world.claim()
    world.ledger.end_run(claim.run, Outcome.FAILED, "x", retries=0)

    assert world.queue.retry(project_id).retries_used == 0
    assert world.status(project_id) == "queued"


@pytest.mark.parametrize("status", ["failed", "zombie", "timing_out"])
def test_mark_recovered_takes_failed_zombie_and_timing_out(world, status):
    project_id = world.add("web")
    world.force(project_id, status)

    project = world.queue.mark_recovered(project_id)

    assert (project.status, project.error_message) == ("recovered", "Manually recovered")
    assert project.started_at == world.clock.now()


@pytest.mark.parametrize("status", ["queued", "processing", "completed", "recovered", "retried"])
def test_mark_recovered_refuses_the_rest(world, status):
    project_id = world.add("web")
    if status != "queued":
        world.force(project_id, status)

    with pytest.raises(IllegalTransition):
        world.queue.mark_recovered(project_id)


@pytest.mark.parametrize(("old", "success"), list(itertools.product(ProjectState, [True, False])))
def test_finish_follows_the_table(world, old, success):
    project_id = world.add("web")
    if old != "queued":
        world.force(project_id, old)
    new = ProjectState.COMPLETED if success else ProjectState.FAILED
    is_legal = new in LEGAL_MOVES[old] or new is old

    if is_legal:
        assert world.queue.finish(project_id, success=success, reason="why").status == new
    else:
        with pytest.raises(IllegalTransition):
            world.queue.finish(project_id, success=success)
    assert world.status(project_id) == (new if is_legal else old)


def test_finish_ends_the_run_too(world):
    project_id = world.add("web")
    claim = world.claim()

    world.queue.finish(project_id, success=False, reason="enough")

    assert world.store.run(claim.run.token).outcome is Outcome.FAILED


def test_remove_refuses_what_is_running(world):
    project_id = world.add("web")
    world.claim()

    with pytest.raises(NotPossible):
        world.queue.remove(project_id)
    assert world.status(project_id) == "processing"


def test_remove_waits_for_the_last_processes(world):
    project_id = world.add("web")
    claim = world.claim()
    world.ledger.end_run(claim.run, Outcome.FAILED)

    with pytest.raises(NotPossible, match="has not been ended yet"):
        world.queue.remove(project_id)
    world.ledger.record_cleaned([claim.run])
    world.queue.remove(project_id)

    with pytest.raises(ProjectNotFound):
        world.queue.get(project_id)
    assert world.fact_names(project_id)[-1] == "project_removed"


def test_remove_tells_whose_logs_nobody_needs(world):
    project_id = ended(world, "web")
    tokens = [run.token for run in world.store.runs_of(project_id)]

    assert (len(tokens), world.queue.remove(project_id)) == (1, tokens)


def test_remove_leaves_what_is_not_as_it_was_shown(world):
    project_id = ended(world, "web", success=False)
    shown = world.queue.get(project_id)
    world.queue.retry(project_id)

    with pytest.raises(NotPossible, match="changed meanwhile; it was left"):
        world.queue.remove(project_id, only=shown)
    assert world.status(project_id) == "queued"


def test_remove_leaves_what_has_ended_anew_since_it_was_shown(world):
    project_id = ended(world, "web", success=False)
    shown = world.queue.get(project_id)
    world.queue.retry(project_id)
    world.clock.advance(1)
    world.end_next(success=False)

    with pytest.raises(NotPossible, match="changed meanwhile"):
        world.queue.remove(project_id, only=shown)


@pytest.mark.parametrize("state", [s for s in ProjectState if s is not ProjectState.COMPLETED])
def test_remove_leaves_what_lets_another_run_again(world, state):
    needed = ended(world, "lint")
    waiting = world.add("web", after_keys=(world.store.spec_key_of(needed),))
    before = world.queue.get(waiting)
    world.store.save_project(before, msgspec.structs.replace(before, status=state))

    with pytest.raises(NotPossible, match=rf"needed by project {waiting} \(web\)"):
        world.queue.remove(needed)
    assert world.status(needed) == "completed"


def test_remove_lets_go_what_was_needed_only_by_what_is_done(world):
    needed = ended(world, "lint")
    ended(world, "web", after_keys=(world.store.spec_key_of(needed),))

    world.queue.remove(needed)

    assert world.store.project(needed) is None


def test_remove_lets_go_what_a_newer_project_of_its_spec_stands_for(world):
    older, newer = ended(world, "lint"), ended(world, "lint")
    world.add("web", after_keys=(world.store.spec_key_of(newer),))

    world.queue.remove(older)

    assert world.store.project(older) is None


def test_remove_lets_go_what_others_wait_for_in_vain(world):
    failed = ended(world, "lint", success=False)
    world.add("web", after_keys=(world.store.spec_key_of(failed),))

    world.queue.remove(failed)

    assert world.store.project(failed) is None


def test_a_report_is_kept_for_the_daemon(world):
    project_id = world.add("web")
    claim = world.claim()

    world.queue.report(project_id, Outcome.FAILED, "no", token=claim.run.token)

    run = world.store.run(claim.run.token)
    assert (run.reported, run.reported_note) == (Outcome.FAILED, "no")
    assert world.status(project_id) == "processing"


def test_a_report_with_an_old_token_is_refused(world):
    project_id = world.add("web")
    old = world.claim().run
    world.queue.reset(project_id)
    world.ledger.record_cleaned([old])
    new = world.claim().run

    with pytest.raises(StaleToken):
        world.queue.report(project_id, Outcome.COMPLETED, token=old.token)
    assert world.store.run(new.token).reported is None


def test_a_report_about_what_does_not_run_is_refused(world):
    project_id = world.add("web")

    with pytest.raises(NotPossible):
        world.queue.report(project_id, Outcome.COMPLETED)
    with pytest.raises(StaleToken):
        world.queue.report(project_id, Outcome.COMPLETED, token="x")


@pytest.mark.parametrize("project_id", [0, -1, 999, 2**70])
def test_an_unknown_id_is_not_found(world, project_id):
    for act in (world.queue.get, world.queue.reset, world.queue.remove, world.queue.retry):
        with pytest.raises(ProjectNotFound):
            act(project_id)


def test_the_fact_is_written_with_the_change_or_not_at_all(world, mocker):
    project_id = world.add("web")
    mocker.patch.object(world.store, "add_fact", side_effect=RuntimeError("killed here"))

    with pytest.raises(RuntimeError):
        world.claim()

    assert world.status(project_id) == "queued"
    assert world.store.runs_of(project_id) == []
