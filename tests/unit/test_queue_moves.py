"""The guarded steps of one transaction, and when they are said on the log."""

import logging

import msgspec
import pytest

from scheduler_modules.errors import NotPossible, StaleToken
from scheduler_modules.model import FactName, Outcome
from scheduler_modules.queue_moves import QueueMoves
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore


@pytest.fixture
def moves():
    return QueueMoves(FakeStore(), FakeClock())


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_fact_is_said_once_it_is_committed(moves, said):
    with moves.transaction():
        moves.tell(FactName.PROJECT_QUEUED, 1)
        before = said()

    assert (before, said()) == ([], ["project_queued"])


def test_a_fact_that_is_rolled_back_is_neither_kept_nor_said(moves, said):
    with pytest.raises(RuntimeError), moves.transaction():
        moves.tell(FactName.PROJECT_QUEUED, 1)
        raise RuntimeError

    assert said() == []
    assert moves.store.facts() == []


def test_a_transaction_inside_another_waits_for_the_outer_one(moves, said):
    with moves.transaction():
        with moves.transaction():
            moves.tell(FactName.PROJECT_QUEUED, 1)
        before = said()

    assert (before, said()) == ([], ["project_queued"])


def test_a_later_transaction_does_not_repeat_what_an_earlier_one_said(moves, said):
    with pytest.raises(RuntimeError), moves.transaction():
        moves.tell(FactName.PROJECT_FAILED, 1)
        raise RuntimeError
    with moves.transaction():
        moves.tell(FactName.PROJECT_QUEUED, 1)

    assert said() == ["project_queued"]


def test_a_row_that_another_program_moved_meanwhile_is_not_written(moves):
    project_id = moves.store.insert_row(spec_path="a.md")
    before = moves.get(project_id)
    moves.store.save_project(before, msgspec.structs.replace(before, status="processing"))

    with pytest.raises(NotPossible, match="changed meanwhile"):
        moves.save(before, msgspec.structs.replace(before, priority=5))


def test_a_run_that_has_ended_is_not_written(world):
    project_id = world.add_running()
    before = world.run(project_id)
    world.queue.reset(project_id)

    with pytest.raises(StaleToken):
        world.container.moves().write(before)


def test_a_run_is_recorded_as_cleaned_once(world):
    project_id = world.add_running()
    run = world.run(project_id)
    ledger = world.container.run_ledger()
    ledger.end_run(run, Outcome.FAILED, "enough")

    ledger.record_cleaned([run])
    ledger.record_cleaned([run])

    assert world.facts(project_id).count("run_cleaned") == 1
