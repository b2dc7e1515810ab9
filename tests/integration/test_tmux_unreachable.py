"""A tmux that cannot be asked is never told as one without sessions."""

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from scheduler_modules.adapters.tmux import SubprocessTmux
from scheduler_modules.errors import SessionGone, TmuxUnavailable
from scheduler_modules.tmux_values import (
    ServerIdentity,
)
from tests.tmux_server import TmuxServer
from tests.tmux_world import TOKEN, World, own_world
from tests.waiting import wait_until


@pytest.fixture
def world(tmp_path):
    with own_world(tmp_path) as world:
        yield world


def stub(folder: Path, script: str) -> SubprocessTmux:
    """Return an adapter for which `tmux` is a shell script."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "tmux").write_text(f'#!/bin/sh\necho x >>"{folder}/calls"\n{script}\n')
    (programs / "tmux").chmod(0o755)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    return SubprocessTmux(str(folder / "s"), None, timeout_sec=5)


def calls(folder):
    return (folder / "calls").read_text().count("x")


SERVER_LINE = "echo server:12 34\n"
PANE_LINE = "echo 'pane:$1 @2 %3 1 0 11 1  42 abc demo:main'\n"


def test_a_hung_server_is_given_up_in_time(world):
    world.server.start()
    world.server.hang()
    tmux = SubprocessTmux(str(world.server.socket), None, timeout_sec=0.3)
    started = time.monotonic()

    with pytest.raises(TmuxUnavailable, match=r"did not answer within 0\.3 s"):
        tmux.snapshot()

    assert time.monotonic() - started < 2


def test_a_removed_socket_reads_as_no_server(world):
    world.server.start()
    world.server.socket.rename(world.folder / "moved")

    assert world.tmux.snapshot().server is None

    (world.folder / "moved").rename(world.server.socket)


def test_a_socket_that_is_none_cannot_be_asked(tmp_path):
    (tmp_path / "s").symlink_to(tmp_path / "s")

    with pytest.raises(TmuxUnavailable, match="could not be asked: error connecting"):
        SubprocessTmux(str(tmp_path / "s"), None, timeout_sec=5).snapshot()


def test_a_server_that_cannot_be_started_is_told_as_unavailable(tmp_path):
    world = World(TmuxServer(tmp_path), tmp_path, is_own=True)
    world.tmux = SubprocessTmux(str(tmp_path / "none" / "s"), None, timeout_sec=5)

    with pytest.raises(TmuxUnavailable):
        world.tmux.create_session(world.plan())


def test_without_tmux_that_is_what_is_said(tmp_path):
    os.environ["PATH"] = str(tmp_path)

    with pytest.raises(TmuxUnavailable, match="not installed"):
        SubprocessTmux(str(tmp_path / "s"), None, timeout_sec=5).snapshot()


def test_a_tmux_that_cannot_be_run_is_told(tmp_path):
    tmux = stub(tmp_path, "")
    (tmp_path / "programs" / "tmux").write_text("#!/no/such/shell\n")
    os.environ["PATH"] = str(tmp_path / "programs")
    (tmp_path / "programs" / "tmux").write_bytes(b"\0not a program")

    with pytest.raises(TmuxUnavailable, match="could not be run"):
        tmux.snapshot()


def test_another_version_of_the_server_cannot_be_asked(tmp_path):
    tmux = stub(tmp_path, "echo 'protocol version mismatch (client 8, server 7)' >&2; exit 1")

    with pytest.raises(TmuxUnavailable, match="version mismatch"):
        tmux.snapshot()


def test_a_question_is_asked_three_times_within_half_a_second(tmp_path):
    tmux = stub(tmp_path, "echo 'lost server' >&2; exit 1")
    started = time.monotonic()

    with pytest.raises(TmuxUnavailable, match="lost server"):
        tmux.snapshot()

    assert calls(tmp_path) == 3
    assert 0.3 < time.monotonic() - started < 1.5


def test_a_question_answered_the_second_time_is_answered(tmp_path):
    tmux = stub(
        tmp_path,
        f'[ -s "{tmp_path}/asked" ] || {{ echo x >"{tmp_path}/asked"; exit 1; }}\n'
        f"{SERVER_LINE}{PANE_LINE}",
    )

    assert len(tmux.snapshot().panes) == 1
    assert calls(tmp_path) == 2


def test_a_clear_answer_is_not_asked_for_again(tmp_path):
    tmux = stub(tmp_path, "echo 'no server running on /x' >&2; exit 1")

    assert tmux.snapshot().server is None
    assert calls(tmp_path) == 1


def test_a_question_that_took_too_long_is_not_asked_again(tmp_path):
    stub(tmp_path, "exec sleep 30")
    tmux = SubprocessTmux(str(tmp_path / "s"), None, timeout_sec=0.3)

    with pytest.raises(TmuxUnavailable):
        tmux.snapshot()

    assert calls(tmp_path) == 1


def test_a_server_that_is_just_going_makes_a_session_or_says_it_cannot(world):
    for _ in range(20):
        try:
            world.tmux.create_session(world.plan())
        except TmuxUnavailable:
            wait_until(lambda: world.tmux.snapshot().server is None, "the old server to go")
            world.tmux.create_session(world.plan())

        assert len(world.tmux.snapshot().of_run(TOKEN)) == 1
        world.server.run("kill-server")


def test_what_changes_something_is_never_repeated(tmp_path):
    world = World(TmuxServer(tmp_path), tmp_path, is_own=True)
    world.tmux = stub(tmp_path, "echo 'lost server' >&2; exit 1")

    with pytest.raises(TmuxUnavailable):
        world.tmux.create_session(world.plan())

    assert calls(tmp_path) == 1


def test_a_kill_that_tmux_refuses_is_not_told_as_gone(tmp_path):
    tmux = stub(tmp_path, "echo 'lost server' >&2; exit 1")

    with pytest.raises(TmuxUnavailable):
        tmux.kill_session("demo", TOKEN, ServerIdentity(1, 1))


@pytest.mark.parametrize("text", ["no server running on /x", "can't find session: demo"])
def test_a_kill_that_finds_nothing_killed_nothing(tmp_path, text):
    tmux = stub(tmp_path, f'echo "{text}" >&2; exit 1')

    assert not tmux.kill_session("demo", TOKEN, ServerIdentity(1, 1))


def test_panes_nobody_can_read_are_not_told_as_gone(tmp_path):
    tmux = stub(tmp_path, f"{SERVER_LINE}{PANE_LINE}echo 'pane:a later version'")

    with pytest.raises(TmuxUnavailable, match="nobody understands"):
        tmux.snapshot()


def test_an_answer_without_a_server_is_no_answer(tmp_path):
    tmux = stub(tmp_path, PANE_LINE)

    with pytest.raises(TmuxUnavailable, match="said nothing"):
        tmux.snapshot()


def test_a_window_whose_session_goes_before_it_is_made_has_no_session(tmp_path):
    world = World(TmuxServer(tmp_path), tmp_path, is_own=True)
    world.tmux = stub(
        tmp_path,
        'case "$*" in *new-window*) echo "can\'t find session: demo" >&2; exit 1;; esac\n'
        + PANE_LINE,
    )

    with pytest.raises(SessionGone, match="demo is gone"):
        world.tmux.add_window("$1", world.window("v", "sleep", "1"), str(tmp_path), {})


# -- how a pane ended, where tmux missed it -----------------------------------------------------


@contextmanager
def ended_child():
    """A child of ours that has ended and that nobody has collected."""
    child = subprocess.Popen(["true"])
    wait_until(lambda: " Z " in Path(f"/proc/{child.pid}/stat").read_text(), "the child to end")
    try:
        yield child.pid
    finally:
        child.wait()


def dead_pane(folder, pid, second_answer):
    """Return an adapter for a server (us) with a dead pane, and what it says if asked again."""
    first = PANE_LINE.replace(" 11 1  ", f" {pid} 1 [][] ")
    again = PANE_LINE.replace(" 11 1  ", f" {pid} 1 {second_answer} ")
    script = f"echo server:{os.getpid()} 34\n"
    script += f'[ "$(wc -l <"{folder}/calls")" = 1 ] && {{ {first.strip()}; exit; }}\n{again}'
    return stub(folder, script)


def test_a_server_that_missed_the_end_of_a_command_is_reminded_of_it(tmp_path):
    with ended_child() as pid:
        (pane,) = dead_pane(tmp_path, pid, "[7][]").snapshot().panes

    assert (pane.is_dead, pane.dead_status) == (True, 7)


def test_a_server_that_cannot_be_reminded_leaves_it_unknown(tmp_path):
    with ended_child() as pid:
        (pane,) = dead_pane(tmp_path, pid, "[][]").snapshot().panes

    assert (pane.is_dead, pane.dead_status, pane.dead_signal) == (True, None, None)
    assert calls(tmp_path) == 2


@pytest.mark.parametrize("pid", [1, 2**22 + 1], ids=["somebody else's", "gone"])
def test_nobody_is_reminded_of_what_is_no_dead_child_of_theirs(tmp_path, pid):
    (pane,) = dead_pane(tmp_path, pid, "[7][]").snapshot().panes

    assert (pane.is_dead, pane.dead_status) == (True, None)
    assert calls(tmp_path) == 1
