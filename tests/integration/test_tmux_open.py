"""Which server a configuration names, and how people get to their sessions on it."""

import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from scheduler_modules.adapters.tmux import SubprocessTmux, open_tmux
from scheduler_modules.config import SchedulerConfig
from scheduler_modules.errors import ConfigError, TmuxUnavailable
from tests.full_disk import on_a_full_disk
from tests.tmux_server import TmuxServer, throwaway_server
from tests.tmux_world import NAME, TOKEN, World, own_world, person
from tests.waiting import wait_until


@pytest.fixture
def world(tmp_path):
    with own_world(tmp_path) as world:
        yield world


def config(home, **changes):
    return SchedulerConfig(home=home, scheduler_db_url="sqlite:////x", **changes)


@contextmanager
def opened(settings, socket):
    """The server a configuration names; ended afterwards."""
    server = TmuxServer(Path(settings.home))
    server.socket = Path(socket)
    try:
        yield open_tmux(settings), server
    finally:
        server.stop()


@pytest.fixture
def home(tmp_path):
    with throwaway_server() as server:
        yield server.folder


def test_by_default_the_server_is_our_own_in_a_private_folder(home, tmp_path):
    settings = config(home)
    with opened(settings, home / "run" / "tmux.sock") as (tmux, server):
        created = tmux.create_session(World(server, tmp_path, is_own=True).plan())

        assert server.pid() == created.server.pid
        assert (home / "run").stat().st_mode & 0o777 == 0o700


def test_our_own_server_stays_when_its_last_session_ends(home, tmp_path):
    with opened(config(home), home / "run" / "tmux.sock") as (tmux, server):
        created = tmux.create_session(World(server, tmp_path, is_own=True).plan())
        tmux.kill_session(NAME, TOKEN, created.server)

        assert tmux.snapshot().server == created.server


def test_nothing_of_the_first_session_is_in_the_command_line_of_our_server(home, tmp_path):
    with opened(config(home), home / "run" / "tmux.sock") as (tmux, server):
        plan = World(server, tmp_path, is_own=True).plan(env={"PASSWORD": "hunter2"})
        created = tmux.create_session(plan)

        shown = Path(f"/proc/{created.server.pid}/cmdline").read_bytes()
        assert b"start-server" in shown
        assert b"hunter2" not in shown


def test_our_configuration_has_no_mistake(home, tmp_path):
    with opened(config(home), home / "run" / "tmux.sock") as (tmux, server):
        tmux.create_session(World(server, tmp_path, is_own=True).plan())
        ours = Path(open_tmux.__code__.co_filename).with_name("tmux.conf")

        assert server.run("source-file", str(ours)) == ""
        assert server.run("show-options", "-sv", "exit-empty") == "off"


def test_a_person_who_attaches_sees_where_they_are_and_how_to_leave(home, tmp_path):
    with opened(config(home), home / "run" / "tmux.sock") as (tmux, server):
        window = World(server, tmp_path, is_own=True).window("main", "sh", "-c", "echo hello; cat")
        tmux.create_session(World(server, tmp_path, is_own=True).plan(window))

        with person(tmux.attach_argv(NAME)) as screen:
            screen.wait_for(b"hello")
            screen.wait_for(NAME.encode())
            screen.wait_for(b"project 42")
            screen.wait_for(b"C-b d")


def test_a_visit_changes_no_environment_of_later_windows(home, tmp_path):
    with opened(config(home), home / "run" / "tmux.sock") as (tmux, server):
        tmux.create_session(World(server, tmp_path, is_own=True).plan())
        os.environ["SSH_AUTH_SOCK"] = "/somebody/s/agent"
        with person(tmux.attach_argv(NAME)) as screen:
            screen.wait_for(NAME.encode())

        assert "somebody" not in server.run("show-environment", "-t", f"={NAME}:")


def test_a_server_is_born_with_a_clean_environment(home, tmp_path):
    os.environ |= {"SECRET": "x", "TMUX": "/elsewhere,1,0", "LC_ALL": "C", "TZ": "UTC"}
    with opened(config(home), home / "run" / "tmux.sock") as (tmux, server):
        tmux.create_session(World(server, tmp_path, is_own=True).plan())

        names = {
            line.partition("=")[0] for line in server.run("show-environment", "-g").splitlines()
        }

        assert {"PATH", "HOME", "TZ", "LC_ALL"} <= names
        assert not {"SECRET", "TMUX"} & names


def test_panes_have_path_and_home_of_whoever_launches_not_of_the_server(world):
    world.server.start()
    os.environ |= {"PATH": f"/launcher/bin:{os.environ['PATH']}", "HOME": "/launcher"}
    out = world.folder / "out"
    script = 'echo "$PATH|$HOME|$LANG" >"$0.tmp"; mv "$0.tmp" "$0"'

    world.tmux.create_session(
        world.plan(world.window("main", "sh", "-c", script, str(out)), env={"LANG": "de"})
    )

    wait_until(out.exists, "the environment")
    assert out.read_text() == f"{os.environ['PATH']}|/launcher|de\n"


def test_the_default_server_is_the_user_s_own_whatever_tmux_says(home, tmp_path):
    with throwaway_server() as other:
        other.start()
        os.environ["TMUX"] = f"{other.socket},{other.pid()},0"
        os.environ["TMUX_TMPDIR"] = str(home)
        socket = home / f"tmux-{os.getuid()}" / "default"
        with opened(config(home, tmux_socket="default"), socket) as (tmux, server):
            tmux.create_session(World(server, tmp_path, is_own=False).plan())

            assert server.run("list-sessions", "-F", "#{session_name}") == NAME
            assert other.run("list-sessions", "-F", "#{session_name}") == "base"


def test_a_plain_name_is_a_server_of_that_name(home, tmp_path):
    os.environ["TMUX_TMPDIR"] = str(home)
    socket = home / f"tmux-{os.getuid()}" / "work"
    with opened(config(home, tmux_socket="work"), socket) as (tmux, server):
        tmux.create_session(World(server, tmp_path, is_own=False).plan())

        assert server.run("list-sessions", "-F", "#{session_name}") == NAME


def test_a_path_is_a_server_at_that_path(home, tmp_path):
    os.environ["HOME"] = str(home)
    with opened(config(home, tmux_socket="~/s2"), home / "s2") as (tmux, server):
        tmux.create_session(World(server, tmp_path, is_own=False).plan())

        assert server.run("list-sessions", "-F", "#{session_name}") == NAME


@pytest.mark.parametrize("name", ["a b", "#(x)", "..", "x" * 65, "run/tmux.sock", "é"])
def test_a_name_no_socket_can_have_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="TMUX_SOCKET"):
        open_tmux(config(tmp_path, tmux_socket=name))


def test_a_home_too_deep_for_a_socket_says_what_to_set(tmp_path):
    home = tmp_path / ("x" * 100)

    with pytest.raises(ConfigError, match="set TMUX_SOCKET to a shorter path"):
        open_tmux(config(home))

    assert not home.exists()


def test_a_socket_path_of_just_the_limit_works(home, tmp_path):
    deep = home / ("x" * (107 - len(str(home)) - len("//y/run/tmux.sock"))) / "y"
    assert len(str(deep / "run" / "tmux.sock")) == 107
    deep.mkdir(parents=True)

    with opened(config(deep), deep / "run" / "tmux.sock") as (tmux, server):
        tmux.create_session(World(server, tmp_path, is_own=True).plan())

        assert len(tmux.snapshot().panes) == 1


def test_a_home_that_is_a_file_cannot_hold_a_socket(tmp_path):
    (tmp_path / "home").write_text("")

    with pytest.raises(TmuxUnavailable, match="cannot be made"):
        open_tmux(config(tmp_path / "home"))


def test_on_a_full_disk_that_is_what_is_said(tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        "from scheduler_modules.adapters.tmux import open_tmux\n"
        "from scheduler_modules.config import SchedulerConfig\n"
        "try:\n  [open_tmux(SchedulerConfig(home=Path(sys.argv[1]) / str(n),"
        " scheduler_db_url='x')) for n in range(99)]\n"
        "except Exception as error:\n  print(type(error).__name__)\n"
    )

    done = on_a_full_disk(
        tmp_path,
        'mount -t tmpfs -o size=64k,nr_inodes=20 tmpfs "$0"; "$@"',
        *(sys.executable, "-c", program, str(tmp_path)),
    )

    assert done.stdout == "DiskFull\n", done.stderr


# -- attaching ----------------------------------------------------------------------------------


def test_attaching_from_inside_another_tmux_leaves_that_one_out(world):
    os.environ["TMUX"] = "/elsewhere/s,1,0"

    argv = world.tmux.attach_argv(NAME)

    assert argv[:4] == ["env", "-u", "TMUX", "tmux"]
    assert argv[-2:] == ["attach-session", f"-t={NAME}"]


def test_attaching_from_inside_the_same_tmux_switches_to_the_session(world):
    os.environ["TMUX"] = f"{world.server.socket},1,0"

    assert world.tmux.attach_argv(NAME)[-2:] == ["switch-client", f"-t={NAME}"]


def test_the_same_tmux_is_known_by_its_name_too(tmp_path):
    os.environ["TMUX_TMPDIR"] = str(tmp_path)
    os.environ["TMUX"] = f"{tmp_path}/tmux-{os.getuid()}/default,1,0"

    argv = SubprocessTmux("default", None, 5).attach_argv(NAME)

    assert argv == ["tmux", "-N", "-L", "default", "switch-client", f"-t={NAME}"]


def test_attaching_starts_no_server(world):
    done = subprocess.run(world.tmux.attach_argv(NAME), check=False, capture_output=True)

    assert done.returncode == 1
    assert world.tmux.snapshot().server is None


def test_a_person_inside_our_server_is_switched(world):
    world.server.start()
    world.tmux.create_session(world.plan(world.window("main", "sh", "-c", "echo arrived; cat")))
    with person(["tmux", "-S", str(world.server.socket), "attach-session", "-t=base"]) as screen:
        screen.wait_for(b"base")
        os.environ["TMUX"] = f"{world.server.socket},{world.server.pid()},0"
        switch = shlex.join(world.tmux.attach_argv(NAME))

        world.server.run("new-window", "-t", "=base:", switch)

        screen.wait_for(b"arrived")
