"""The rules of the queue: legal moves, back-off, names."""

import itertools

import pytest

from scheduler_modules import queue_rules
from scheduler_modules.errors import IllegalTransition
from scheduler_modules.model import LEGAL_MOVES, Outcome, Project, ProjectState, canonical_status
from scheduler_modules.utils import SESSION_PATTERN


def make_project(status: str, **fields: object) -> Project:
    return Project(
        id=7,
        spec_path="/specs/web.md",
        status=canonical_status(status),
        stored_status=status,
        enqueued_at=1.0,
        name="web",
        **fields,
    )


@pytest.mark.parametrize(("old", "new"), list(itertools.product(ProjectState, repeat=2)))
def test_exactly_the_moves_of_the_table_are_let_pass(old, new):
    project = make_project(old)

    if new in LEGAL_MOVES[old]:
        queue_rules.check_move(project, new)
    else:
        with pytest.raises(IllegalTransition):
            queue_rules.check_move(project, new)


def test_the_table_is_that_of_the_contract_and_the_moves_back_to_the_queue():
    words = {old.value: {new.value for new in moves} for old, moves in LEGAL_MOVES.items()}

    assert words == {
        "queued": {"processing"},
        "processing": {"timing_out", "zombie", "failed", "completed", "recovered", "queued"},
        "timing_out": {"failed", "completed", "recovered", "queued"},
        "zombie": {"failed", "recovered", "queued"},
        "failed": {"recovered", "queued"},
        "completed": set(),
        "recovered": {"processing", "completed", "failed", "queued"},
    }


@pytest.mark.parametrize("word", ["credit_paused", "retried", "archived", "", "banana"])
def test_a_word_that_is_no_state_allows_no_move(word):
    with pytest.raises(IllegalTransition):
        queue_rules.check_move(make_project(word), ProjectState.PROCESSING)


@pytest.mark.parametrize(
    ("stored", "canonical"),
    [
        ("FAILED", "failed"),
        ("ProjectState.RECOVERED", "recovered"),
        (" Completed ", "completed"),
        (None, ""),
        ("credit_paused", "credit_paused"),
    ],
)
def test_old_spellings_are_read_as_the_plain_word(stored, canonical):
    assert canonical_status(stored) == canonical


def test_the_delay_doubles_up_to_ten_minutes():
    delays = [queue_rules.retry_delay_sec(30, used) for used in (0, 1, 2, 3, 4, 5, 1000)]

    assert delays == [30, 60, 120, 240, 480, 600, 600]


@pytest.mark.parametrize(
    "path",
    ["/a/web.md", "§§§.md", "-rf.md", "a b;c#(x).md", "x" * 300 + ".md", "$(id).md", ".", ""],
)
def test_every_session_name_is_one_that_tmux_takes_literally(path):
    name = queue_rules.session_name(path, "0123456789abcdef")

    assert SESSION_PATTERN.fullmatch(name)
    assert name.endswith("-impl-01234567")
    assert not name.startswith("-")


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.LOST, Outcome.TIMED_OUT])
def test_a_retry_that_is_left_queues_the_project_again_after_the_delay(outcome):
    project = make_project("processing", retries_used=1, started_at=50.0)

    after = queue_rules.after_run(
        project, outcome, "why", now=100.0, ended_at=90.0, retries=2, first_delay_sec=10
    )

    assert (after.status, after.not_before, after.retries_used) == ("queued", 120.0, 2)
    assert (after.started_at, after.error_message) == (None, "why")


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.LOST, Outcome.TIMED_OUT])
def test_without_a_retry_left_the_project_fails_with_its_reason(outcome):
    project = make_project("processing", retries_used=2)

    after = queue_rules.after_run(
        project, outcome, "why", now=100.0, ended_at=90.0, retries=2, first_delay_sec=10
    )

    assert (after.status, after.completed_at, after.error_message) == ("failed", 90.0, "why")


def test_a_circle_is_found_directly_and_through_others():
    assert queue_rules.find_cycle("/a", ["/a"], []) == "/a"
    assert queue_rules.find_cycle("/a", ["/x", "/c"], ["/b", "/c"]) == "/c"
    assert queue_rules.find_cycle("/a", ["/x"], ["/b"]) is None
