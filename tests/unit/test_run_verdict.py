"""What the evidence says of a run's window."""

import msgspec
import pytest

from scheduler_modules.model import (
    Run,
    RunPhase,
)
from scheduler_modules.run_verdict import (
    Alive,
    Ended,
    Lost,
    Unknown,
    describe_end,
    judge_session,
    judge_window,
)
from scheduler_modules.tmux_values import (
    PaneState,
    ServerIdentity,
    TmuxSnapshot,
)

SERVER = ServerIdentity(pid=100, started_at=1000)
RUN = Run(
    id=1,
    project_id=7,
    attempt=1,
    token="t" * 32,
    host="here",
    daemon_id="d",
    session_name="web-impl-tttttttt",
    phase=RunPhase.RUNNING,
    claimed_at=1.0,
    session_id="$1",
    main_pane_id="%1",
    server_pid=100,
    server_started_at=1000,
    boot_id="boot",
)


def pane(pane_id: str = "%1", **fields: object) -> PaneState:
    return msgspec.structs.replace(
        PaneState(
            session_id="$1",
            session_name=RUN.session_name,
            session_created_at=1,
            window_id="@1",
            window_index=0,
            window_name="main",
            pane_id=pane_id,
            pid=4242,
            activity_at=1,
            run_token=RUN.token,
        ),
        **fields,
    )


def judge(*panes: PaneState, code: int | None = None, server=SERVER, boot: str = "boot"):
    return judge_window(RUN, "%1", code, TmuxSnapshot(server, panes), boot)


def test_a_living_pane_is_alive():
    assert judge(pane()) == Alive()


@pytest.mark.parametrize("server", [SERVER, None, ServerIdentity(100, 2000)])
def test_the_recorded_code_is_the_truth_whatever_became_of_the_server(server):
    assert judge(code=3, server=server, boot="another") == Ended(3)


def test_a_dead_pane_tells_its_own_status():
    assert judge(pane(is_dead=True, dead_status=2)) == Ended(2)


def test_a_dead_pane_tells_its_own_signal():
    assert judge(pane(is_dead=True, dead_signal=9)) == Ended(None, 9)


def test_a_dead_pane_without_either_is_not_known():
    assert judge(pane(is_dead=True)) == Unknown()


def test_a_missing_session_on_the_same_server_was_killed():
    assert judge() == Lost("its tmux session was killed")


def test_a_missing_window_in_a_living_session_was_closed():
    assert judge(pane("%2")) == Lost("its window was closed")


@pytest.mark.parametrize("server", [None, ServerIdentity(101, 1000), ServerIdentity(100, 1001)])
def test_another_server_means_ours_died_even_if_a_pane_looks_the_same(server):
    assert judge(pane(), server=server) == Lost("the tmux server died while it ran")


def test_another_boot_means_the_machine_was_restarted():
    assert judge(pane(), boot="another") == Lost("the machine was restarted while it ran")


def test_a_session_of_a_launcher_lives_while_one_pane_does():
    snapshot = TmuxSnapshot(SERVER, (pane("%1", is_dead=True), pane("%2")))

    assert judge_session(RUN, snapshot, "boot") == Alive()


def test_a_session_of_a_launcher_is_lost_when_every_pane_is_dead():
    snapshot = TmuxSnapshot(SERVER, (pane("%1", is_dead=True), pane("%2", is_dead=True)))

    verdict = judge_session(RUN, snapshot, "boot")

    assert verdict == Lost("every program in its session ended without reporting done")


@pytest.mark.parametrize(
    ("snapshot", "boot", "reason"),
    [
        (TmuxSnapshot(SERVER), "boot", "its tmux session was killed"),
        (TmuxSnapshot(None), "boot", "the tmux server died while it ran"),
        (TmuxSnapshot(SERVER), "other", "the machine was restarted while it ran"),
    ],
)
def test_a_session_of_a_launcher_that_is_gone_is_lost(snapshot, boot, reason):
    assert judge_session(RUN, snapshot, boot) == Lost(reason)


@pytest.mark.parametrize(
    ("end", "line", "words"),
    [
        (Ended(3), "no such table: users", 'exit 3: "no such table: users"'),
        (Ended(1), None, "exit 1"),
        (Ended(127), None, "exit 127 (the command was not found)"),
        (Ended(126), "x", 'exit 126 (the command cannot be executed): "x"'),
        (Ended(137), None, "exit 137 (killed by SIGKILL)"),
        (Ended(255), None, "exit 255"),
        (Ended(None, 15), None, "killed by SIGTERM"),
        (Ended(None, 99), None, "killed by signal 99"),
    ],
)
def test_an_end_is_told_in_words(end, line, words):
    assert describe_end(end, line) == words
