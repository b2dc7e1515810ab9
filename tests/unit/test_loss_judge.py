"""When a run that looks lost is believed to be."""

import pytest

from scheduler_modules.loss_judge import MANY, MASS_DEATH_SEC, LossJudge
from scheduler_modules.model import Run, RunPhase
from scheduler_modules.tmux_values import PaneState, ServerIdentity, TmuxSnapshot
from tests.fakes.clock import FakeClock

SERVER = ServerIdentity(7, 1000)


def a_run(token: str, server: ServerIdentity = SERVER) -> Run:
    return Run(
        id=1,
        project_id=1,
        attempt=1,
        token=token,
        host="here",
        daemon_id="d",
        session_name=f"s-{token}",
        phase=RunPhase.RUNNING,
        claimed_at=1.0,
        server_pid=server.pid,
        server_started_at=server.started_at,
    )


def a_look(*tokens: str) -> TmuxSnapshot:
    panes = tuple(
        PaneState(
            session_id=f"${number}",
            session_name=f"s-{token}",
            session_created_at=1,
            window_id=f"@{number}",
            window_index=0,
            window_name="main",
            pane_id=f"%{number}",
            pid=number + 100,
            activity_at=1,
            run_token=token,
            project_id=1,
        )
        for number, token in enumerate(tokens)
    )
    return TmuxSnapshot(SERVER, panes)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def judge(clock):
    return LossJudge(clock)


RUNS = [a_run(f"t{number}") for number in range(MANY)]


def test_one_look_is_not_believed_and_the_second_is(judge):
    judge.look(RUNS[:1], a_look())

    assert [judge.is_believed("t0"), judge.is_believed("t0")] == [False, True]


def test_a_run_that_was_seen_again_starts_anew(judge):
    judge.is_believed("t0")
    judge.forget("t0")

    assert not judge.is_believed("t0")


def test_while_a_loss_is_open_somebody_should_look_again(judge):
    assert not judge.is_doubting()
    judge.is_believed("t0")
    assert judge.is_doubting()
    judge.forget("t0")
    assert not judge.is_doubting()


def test_when_most_sessions_look_dead_at_once_that_is_doubted_for_two_seconds(judge, clock, caplog):
    for _ in range(2):
        judge.look(RUNS, a_look("t4"))
        assert not judge.is_believed("t0")
    clock.advance(MASS_DEATH_SEC)
    judge.look(RUNS, a_look("t4"))

    assert judge.is_believed("t0")
    assert [record.msg for record in caplog.records] == ["mass_death_doubted"]


def test_half_of_them_is_no_mass_death(judge):
    runs = [*RUNS, a_run("t5")]
    judge.look(runs, a_look("t3", "t4", "t5"))

    assert [judge.is_believed("t0"), judge.is_believed("t0")] == [False, True]


def test_few_sessions_that_are_all_gone_are_no_mass_death(judge):
    judge.look(RUNS[: MANY - 1], a_look())

    assert [judge.is_believed("t0"), judge.is_believed("t0")] == [False, True]


def test_a_dead_server_takes_all_sessions_along_and_that_is_no_wonder(judge):
    judge.look(RUNS, TmuxSnapshot(None))

    assert [judge.is_believed("t0"), judge.is_believed("t0")] == [False, True]


def test_a_look_that_finds_them_again_ends_the_doubt(judge):
    judge.look(RUNS, a_look())
    judge.is_believed("t0")
    judge.look(RUNS, a_look("t1", "t2", "t3", "t4"))

    assert judge.is_believed("t0")
