"""Our sessions on servers of other people, with settings that are against them."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from scheduler_modules.errors import TmuxRefused
from tests.tmux_server import throwaway_server
from tests.tmux_world import ADAPTERS, NAME, TOKEN, World, foreign_world, own_world, person, tamper
from tests.waiting import wait_until

HOSTILE = """
set -g base-index 1
setw -g pane-base-index 1
set -g renumber-windows on
set -g destroy-unattached on
set -g detach-on-destroy off
set -g default-command 'exec sleep 1'
setw -g remain-on-exit off
setw -g allow-rename on
setw -g automatic-rename on
set -g update-environment 'PATH HOME DISPLAY'
set -g mouse on
set -g prefix C-a
"""


@pytest.fixture(params=ADAPTERS)
def adapter(request):
    return request.param


@pytest.fixture
def world(tmp_path):
    with own_world(tmp_path) as world:
        yield world


def test_windows_are_numbered_from_zero_whatever_the_settings_are(tmp_path, adapter):
    with foreign_world(tmp_path, HOSTILE, adapter) as world:
        windows = [world.window(role, "sleep", "1000") for role in ("main", "1", "docs")]
        created = world.tmux.create_session(world.plan(*windows))
        added = world.tmux.add_window(
            created.session_id, world.window("0", "sleep", "1000"), str(tmp_path), {}
        )

        panes = world.tmux.snapshot().of_session(NAME)

        assert [(p.window_index, p.window_name) for p in panes] == [
            (0, "main"),
            (1, "1"),
            (2, "docs"),
            (3, "0"),
        ]
        assert panes[-1].pane_id == added.pane_id


def test_our_session_outlives_a_person_s_visit(tmp_path, adapter):
    with foreign_world(tmp_path, HOSTILE, adapter) as world:
        world.tmux.create_session(world.plan(world.window("main", "sh", "-c", "cat; sleep 9")))
        with person(world.tmux.attach_argv(NAME)) as screen:
            screen.wait_for(NAME[:8].encode())
            screen.type_until(b"\x01d", b"[detached")
        with person(world.tmux.attach_argv(NAME)) as screen:
            screen.wait_for(NAME[:8].encode())
        wait_until(lambda: not world.visitors(), "them to leave")

        panes = world.tmux.snapshot().of_session(NAME)

        assert [(p.window_index, p.is_dead) for p in panes] == [(0, False)]


def test_a_visitor_of_another_session_takes_ours_not_along(tmp_path, adapter):
    with foreign_world(tmp_path, HOSTILE, adapter) as world:
        world.tmux.create_session(world.plan())
        world.server.run("set-option", "-u", "-t", "=base:", "destroy-unattached")
        base = ["tmux", "-S", str(world.server.socket), "attach-session", "-t=base"]
        with person(base) as screen:
            screen.wait_for(b"base")
        wait_until(lambda: "base" not in world.tmux.snapshot().session_names(), "base to go")

        assert world.tmux.snapshot().session_names() == {NAME}


def test_a_closed_window_renumbers_no_other(tmp_path, adapter):
    with foreign_world(tmp_path, HOSTILE, adapter) as world:
        windows = [world.window(role, "sleep", "1000") for role in ("a", "b", "c")]
        created = world.tmux.create_session(world.plan(*windows))

        world.server.run("kill-window", "-t", created.panes[1].window_id)

        panes = world.tmux.snapshot().of_session(NAME)
        assert [(p.window_index, p.window_name) for p in panes] == [(0, "a"), (2, "c")]


def test_a_program_cannot_rename_its_window(tmp_path, adapter):
    with foreign_world(tmp_path, HOSTILE, adapter) as world:
        script = "printf '\\033kother\\033\\\\'; echo renamed; exec sleep 1000"
        windows = [world.window(role, "sh", "-c", script) for role in ("main", "tester")]
        created = world.tmux.create_session(world.plan(*windows))
        for ref in created.panes:
            wait_until(lambda ref=ref: "renamed" in world.tmux.capture(ref.pane_id), ref.role)

        names = [p.window_name for p in world.tmux.snapshot().of_session(NAME)]

        assert names == ["main", "tester"]


def test_a_command_that_ends_at_once_stays_whatever_the_settings_are(tmp_path, adapter):
    with foreign_world(tmp_path, HOSTILE, adapter) as world:
        windows = [world.window(role, "sh", "-c", "exit 7") for role in ("main", "tester")]

        created = world.tmux.create_session(world.plan(*windows))

        for ref in created.panes:
            world.until_dead(ref.pane_id)
            assert world.pane(ref.pane_id).dead_status == 7


def test_a_hook_that_opens_windows_changes_nothing_for_ours(tmp_path, adapter):
    with foreign_world(tmp_path, adapter=adapter) as world:
        world.server.run("set-hook", "-g", "after-new-session", "new-window -d 'sleep 1000'")

        created = world.tmux.create_session(world.plan(world.window("main", "sh", "-c", "exit 7")))

        world.until_dead(created.panes[0].pane_id)
        assert world.pane(created.panes[0].pane_id).window_index == 0


def test_nothing_of_the_server_s_own_settings_changes(tmp_path, adapter):
    with foreign_world(tmp_path, HOSTILE, adapter) as world:

        def settings():
            return [world.server.run("show-options", flags) for flags in ("-s", "-g", "-gw")]

        before = settings()

        created = world.tmux.create_session(world.plan())
        world.tmux.add_window(
            created.session_id, world.window("v", "sleep", "1000"), str(tmp_path), {}
        )
        world.tmux.adopt_session("base", 7, "f" * 32)
        world.tmux.kill_session(NAME, TOKEN, created.server)

        assert settings() == before


def test_an_adopted_session_outlives_a_person_s_visit(tmp_path, adapter):
    with foreign_world(tmp_path, HOSTILE, adapter) as world:
        world.tmux.adopt_session("base", 7, TOKEN)
        with person(world.tmux.attach_argv("base")) as screen:
            screen.wait_for(b"base")
        wait_until(lambda: not world.visitors(), "them to leave")

        assert len(world.tmux.snapshot().of_run(TOKEN)) == 1


def test_a_window_that_closes_while_its_session_is_adopted_is_no_obstacle(tmp_path):
    with foreign_world(tmp_path) as world:
        world.server.run("new-window", "-d", "-t", "=base:", "--", "sleep", "1000")
        vanish = f"{shutil.which('tmux')} -S {world.server.socket} kill-window -t =base:1"
        tamper(tmp_path, f'case "$*" in *remain-on-exit*) {vanish} 2>/dev/null;; esac')

        world.tmux.adopt_session("base", 7, TOKEN)

        assert len(world.tmux.snapshot().of_run(TOKEN)) == 1
        shown = world.server.run("show-options", "-p", "-t", "=base:0.0", "remain-on-exit")
        assert shown == "remain-on-exit on"


def test_where_exit_unattached_is_on_nothing_is_launched(tmp_path, adapter):
    with foreign_world(tmp_path, adapter=adapter) as world:
        world.server.run("new-session", "-d", "-s", "keeper", "--", "sleep", "1000")
        with person(["tmux", "-S", str(world.server.socket), "attach", "-t=keeper"]) as screen:
            screen.wait_for(b"keeper")
            world.server.run("set-option", "-s", "exit-unattached", "on")
            canary = tmp_path / "ran"

            with pytest.raises(TmuxRefused, match="exit-unattached"):
                world.tmux.create_session(world.plan(world.window("main", "touch", str(canary))))

            assert world.tmux.snapshot().session_names() == {"base", "keeper"}
            assert not canary.exists()


def test_where_the_configuration_turns_exit_unattached_on_nothing_is_launched_either(tmp_path):
    Path(os.environ["HOME"], ".tmux.conf").write_text("set -s exit-unattached on\n")
    with throwaway_server() as server:
        world = World(server, tmp_path, is_own=False)
        canary = tmp_path / "ran"

        with pytest.raises(TmuxRefused, match="exit-unattached"):
            world.tmux.create_session(world.plan(world.window("main", "touch", str(canary))))

        assert not canary.exists()


def test_names_and_options_of_other_people_are_no_riddle(tmp_path, adapter):
    with foreign_world(tmp_path, adapter=adapter) as world:
        world.server.run("rename-session", "-t=base", "my [x] %$1 session")
        world.server.run("rename-window", "-t", "=my [x] %$1 session:", "a:b ] #[c] %x é")
        for option in ("@scheduler_run", "@scheduler_project_id"):
            world.server.run("set-option", option, r"a b] [c\ # ")

        (pane,) = world.tmux.snapshot().panes

        assert pane.session_name == "my [x] %$1 session"
        assert pane.window_name == "a:b ] #[c] %x é"
        assert pane.run_token == r"a b] [c\ # "
        assert pane.project_id is None


def test_a_name_that_would_run_a_command_runs_none(tmp_path, adapter):
    with foreign_world(tmp_path, adapter=adapter) as world:
        canary = tmp_path / "CANARY"
        for name in (f"x#(touch {canary})", f"x;run touch {canary}", f"x'$(touch {canary})"):
            with pytest.raises(TmuxRefused):
                world.tmux.create_session(world.plan(name=name))
            with pytest.raises(TmuxRefused):
                world.tmux.adopt_session(name, 7, TOKEN)
            with pytest.raises(TmuxRefused):
                world.tmux.kill_session(name, TOKEN, world.tmux.snapshot().server)

        time.sleep(0.1)  # a job of tmux's would take a moment
        assert not canary.exists()


# -- half-way -----------------------------------------------------------------------------------


SPOIL = 'for a; do shift; [ "$a" != remain-on-exit ] || a=no-such-option; set -- "$@" "$a"; done'


def test_a_session_that_could_not_be_finished_is_taken_away_again(tmp_path):
    with foreign_world(tmp_path) as world:
        tamper(tmp_path, SPOIL)

        with pytest.raises(TmuxRefused, match="no-such-option"):
            world.tmux.create_session(world.plan())

        assert world.tmux.snapshot().session_names() == {"base"}


def test_a_window_that_could_not_be_finished_is_taken_away_again(world):
    created = world.tmux.create_session(world.plan())
    tamper(world.folder, SPOIL)

    with pytest.raises(TmuxRefused, match="no-such-option"):
        world.tmux.add_window(
            created.session_id, world.window("v", "sleep", "1000"), str(world.folder), {}
        )

    assert [p.window_name for p in world.tmux.snapshot().panes] == ["main"]


def test_an_adoption_that_tmux_refuses_is_told_in_its_words(tmp_path):
    with foreign_world(tmp_path) as world:
        tamper(tmp_path, SPOIL)

        with pytest.raises(TmuxRefused, match="no-such-option"):
            world.tmux.adopt_session("base", 7, TOKEN)


def test_what_could_not_be_taken_away_again_is_logged(tmp_path, caplog):
    with foreign_world(tmp_path) as world:
        tamper(tmp_path, SPOIL + '\ncase "$*" in *kill-session*) echo no >&2; exit 1;; esac')

        with pytest.raises(TmuxRefused, match="no-such-option"):
            world.tmux.create_session(world.plan())

        assert [record.message for record in caplog.records] == ["tmux_undo_failed"]


def test_eight_at_once_start_one_server_and_eight_sessions(world):
    failures = []

    def create(n):
        try:
            world.tmux.create_session(world.plan(name=f"demo-{n}"))
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(world.tmux.snapshot().session_names()) == 8
