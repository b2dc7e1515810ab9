"""One connection to a tmux server: it carries every byte, hears what happens, and may be lost."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.control_client import ControlClient
from scheduler_modules.adapters.tmux_arguments import joined
from scheduler_modules.adapters.tmux_client import TmuxClient
from scheduler_modules.adapters.tmux_control import ControlTmux, open_control_tmux
from scheduler_modules.adapters.tmux_link import TmuxLink
from scheduler_modules.config import SchedulerConfig
from scheduler_modules.errors import ConfigError, TmuxRefused, TmuxUnavailable
from tests.fakes.clock import FakeClock
from tests.tmux_server import throwaway_server
from tests.tmux_world import NAME, TOKEN, World, foreign_world, own_world, person, tamper
from tests.waiting import wait_until


@pytest.fixture
def world(tmp_path):
    """A server of ours with one session of ours, and our connection to it."""
    with own_world(tmp_path, ControlTmux) as world:
        world.tmux.create_session(world.plan())
        world.tmux.drain()
        yield world


@pytest.fixture
def foreign(tmp_path):
    """A server of somebody else's, and our connection to it."""
    with foreign_world(tmp_path, adapter=ControlTmux) as world:
        world.tmux.snapshot()
        world.tmux.drain()
        yield world


def connections(world):
    """Return the process ids of control-mode clients."""
    lines = world.server.run("list-clients", "-F", "#{client_control_mode} #{client_pid}")
    return [int(line.split()[1]) for line in lines.splitlines() if line.startswith("1 ")]


def keepers(world):
    names = world.server.run("list-sessions", "-F", "#{session_name}", check=False).splitlines()
    return [name for name in names if name.startswith("_orchestrator-")]


def end_connection(world):
    """Kill our client as anybody might; return once the server has noticed."""
    (pid,) = connections(world)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in connections(world), "the client to be gone")


def heard(tmux, timeout_sec=5.0):
    """Wait for the file of a connection, as the daemon does; return what `drain` says."""
    poller = select.poll()
    poller.register(tmux.fileno(), select.POLLIN)
    deadline = time.monotonic() + timeout_sec
    while poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        if tmux.drain():
            return True
    return False


def hears_nothing(tmux):
    return not heard(tmux, timeout_sec=0.1)


@contextlib.contextmanager
def no_programs(world):
    """Within the block no program can be found, tmux included."""
    path = os.environ["PATH"]
    os.environ["PATH"] = str(world.folder)
    yield
    os.environ["PATH"] = path


@contextlib.contextmanager
def in_a_thread(action):
    """Run something at the side; its outcome (a value or an error) is in the list given."""
    outcome = []

    def run():
        try:
            outcome.append(action())
        except Exception as error:  # noqa: BLE001 - for the test to look at
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield outcome
    thread.join()


# -- what is said arrives -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def client():
    with throwaway_server() as server:
        server.start()
        client = ControlClient(["-S", str(server.socket)], dict(os.environ), SystemClock(), 5)
        yield client
        client.close(is_orderly=True)


BYTES = st.binary(min_size=1, max_size=60).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"x")))
SPECIAL = st.text("\\\"'$~#{}();%- \n\t\r&|<>*?=[]^`!u01é\x7f\x1b", min_size=1, max_size=20)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(BYTES, SPECIAL))
def test_every_argument_arrives_byte_for_byte(client, tmp_path_factory, text):
    out = tmp_path_factory.getbasetemp() / "buffer"

    reply = client.ask(
        joined([["set-buffer", "-b", "x", "--", text], ["save-buffer", "-b", "x", str(out)]])
    )

    assert reply.error is None
    assert out.read_bytes() == os.fsencode(text)


def test_a_line_longer_than_any_pipe_arrives(client):
    reply = client.ask(["set-environment", "-g", "LONG", "é" * 1_000_000])

    shown = client.ask(["show-environment", "-g", "LONG"])
    assert reply.error is None
    assert shown.stdout.decode() == f"LONG={'é' * 1_000_000}\n"


def test_as_many_arguments_as_a_command_line_takes_are_taken(client):
    reply = client.ask(["new-session", "-d", "--", "sleep", "1000", *["1"] * 7_900])

    assert reply.error is None


def test_what_runs_other_commands_answers_for_them(client):
    reply = client.ask(["if-shell", "-F", "1", "display-message -p a ; display-message -p b"])

    assert reply.stdout == b"a\nb\n"


def test_the_answers_of_a_user_s_hooks_are_not_ours(client):
    client.ask(["set-hook", "-g", "after-list-sessions", "display-message -p hooked"])

    reply = client.ask(["list-sessions", "-F", "listed", ";", "display-message", "-p", "last"])

    client.ask(["set-hook", "-gu", "after-list-sessions"])
    assert set(reply.stdout.split()) == {b"listed", b"last"}


def test_after_an_error_the_next_answer_is_the_next_one(client):
    replies = [
        client.ask(command)
        for command in (
            ["has-session", "-t", "=none", ";", "display-message", "-p", "never"],
            ["no-such-command"],
            ["display-message", "-p", "now"],
        )
    ]

    assert [reply.stdout for reply in replies] == [b"", b"", b"now\n"]
    assert [reply.error is None for reply in replies] == [False, False, True]


def test_a_window_that_shows_the_protocol_s_own_words_is_text(world):
    shown = ["%end 1 2 1", "%sessions-changed", "%exit", "%begin 1 3 1", "done"]
    script = 'printf "%s\\n" "$@"; exec sleep 1000'
    window = world.window("main", "sh", "-c", script, "sh", *shown)
    (ref,) = world.tmux.create_session(world.plan(window, name="liar")).panes
    wait_until(lambda: "done" in world.tmux.capture(ref.pane_id), "the output")

    assert world.tmux.capture(ref.pane_id).split("\n") == shown
    assert hears_nothing(world.tmux)


# -- one connection, in a session nobody sees ---------------------------------------------------


def test_all_calls_go_over_one_connection(world):
    (pid,) = connections(world)

    with no_programs(world):
        made = world.tmux.create_session(world.plan(name="demo-2"))
        world.tmux.add_window(made.session_id, world.window("v", "x", "y"), str(world.folder), {})
        world.tmux.capture(made.panes[0].pane_id)
        world.tmux.adopt_session("demo-2", 7, TOKEN)
        assert world.tmux.kill_session("demo-2", TOKEN, made.server)
        assert world.tmux.snapshot().session_names() == {NAME}

    assert connections(world) == [pid]


def test_the_keeper_is_shown_to_nobody(world):
    plain = World(world.server, world.folder, is_own=True).tmux

    assert len(keepers(world)) == 1
    assert world.tmux.snapshot().session_names() == {NAME}
    assert plain.snapshot().session_names() == {NAME}


def test_the_keeper_makes_no_window_small(world):
    size = world.server.run("display-message", "-p", "-t", f"={NAME}:", "#{window_width}")

    assert size == "200"


def test_a_server_with_nothing_but_our_keeper_has_no_sessions(foreign):
    foreign.server.run("kill-session", "-t", "=base")

    seen = foreign.tmux.snapshot()

    assert seen.panes == ()
    assert seen.server is not None


def test_closing_takes_the_keeper_along(world):
    world.tmux.close()

    wait_until(lambda: keepers(world) == [], "the keeper to go")
    assert connections(world) == []
    assert world.tmux.fileno() == -1
    assert not world.tmux.drain()


def test_closing_twice_or_unused_is_no_mistake(world):
    world.tmux.close()
    world.tmux.close()
    unused = ControlTmux(str(world.server.socket), None, timeout_sec=5)
    unused.close()

    assert unused.fileno() == -1


def test_what_was_closed_still_answers_without_a_connection(world):
    world.tmux.close()

    assert world.tmux.snapshot().session_names() == {NAME}
    assert connections(world) == []


OWNER = """
import sys, time
from pathlib import Path
from scheduler_modules.adapters.tmux_control import ControlTmux
tmux = ControlTmux(sys.argv[1], Path(sys.argv[2]) if sys.argv[2] else None, 5)
tmux.snapshot()
print("connected", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("is_own", [True, False])
def test_a_killed_owner_leaves_no_keeper_and_takes_no_session_along(tmp_path, is_own):
    with throwaway_server("set -s exit-empty off\n") as server:
        server.start()
        world = World(server, tmp_path, is_own=is_own)
        config = str(server.config_file) if is_own else ""
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(server.socket), config], stdout=subprocess.PIPE
        )
        assert owner.stdout.readline() == b"connected\n"
        assert len(keepers(world)) == 1

        owner.kill()
        owner.wait()
        owner.stdout.close()

        wait_until(lambda: keepers(world) == [], "the keeper to go")
        assert world.tmux.snapshot().session_names() == {"base"}


# -- what is not there is not made --------------------------------------------------------------


def test_looking_where_no_server_runs_starts_nothing_at_all(tmp_path):
    with own_world(tmp_path, ControlTmux) as world:
        with no_programs(world):
            assert world.tmux.snapshot().server is None

        assert not world.server.socket.exists()


def test_a_socket_left_by_a_dead_server_is_no_server(world):
    world.server.kill()
    assert world.server.socket.exists()

    assert world.tmux.snapshot().server is None


def test_our_server_is_born_without_the_spec_s_environment(tmp_path):
    with own_world(tmp_path, ControlTmux) as world:
        created = world.tmux.create_session(world.plan(env={"PASSWORD": "hunter2"}))

        assert b"hunter2" not in Path(f"/proc/{created.server.pid}/cmdline").read_bytes()


def test_the_configured_server_is_the_one_opened(tmp_path):
    with throwaway_server() as server:
        settings_ = SchedulerConfig(
            home=tmp_path, scheduler_db_url="x", tmux_socket=str(server.socket)
        )
        pid = server.start()
        tmux = open_control_tmux(settings_)

        assert tmux.snapshot().server.pid == pid

        tmux.close()


def test_a_socket_no_server_can_have_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="TMUX_SOCKET"):
        open_control_tmux(
            SchedulerConfig(home=tmp_path, scheduler_db_url="x", tmux_socket="no name")
        )


# -- what happens there is heard ----------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["new-session", "-d", "-s", "new", "--", "sleep", "1000"],
        ["kill-session", "-t", "=base"],
        ["rename-session", "-t", "=base", "renamed"],
        ["new-window", "-d", "-t", "=base:", "--", "sleep", "1000"],
        ["kill-window", "-t", "=base:second"],
    ],
    ids=lambda command: command[0],
)
def test_what_others_do_to_sessions_and_windows_wakes(foreign, command):
    foreign.server.run("new-window", "-d", "-t", "=base:", "-n", "second", "--", "sleep", "1000")
    assert heard(foreign.tmux)
    assert hears_nothing(foreign.tmux)

    foreign.server.run(*command)

    assert heard(foreign.tmux)
    assert hears_nothing(foreign.tmux)


def test_what_changes_no_session_wakes_nobody(world):
    world.server.run("rename-window", "-t", f"={NAME}:", "other")
    world.server.run("set-option", "-t", f"={NAME}:", "status", "off")
    world.server.run("send-keys", "-t", f"={NAME}:", "x")

    assert hears_nothing(world.tmux)


def test_our_own_doings_wake_nobody(world):
    windows = [world.window(role, "sleep", "1000") for role in ("a", "b")]
    created = world.tmux.create_session(world.plan(*windows, name="demo-2"))
    world.tmux.kill_session("demo-2", TOKEN, created.server)
    world.tmux.kill_session("demo-2", TOKEN, created.server)

    assert hears_nothing(world.tmux)


def test_what_others_did_before_our_own_doings_is_not_forgotten(world):
    world.server.run("new-session", "-d", "-s", "theirs", "--", "sleep", "1000")

    world.tmux.create_session(world.plan(name="demo-2"))

    assert heard(world.tmux)


def test_what_others_do_while_we_make_a_session_is_not_forgotten(foreign):
    link = TmuxLink(TmuxClient(str(foreign.server.socket), None, 5), SystemClock())
    link.read(["list-sessions"])
    link.drain()

    with link.quietly() as forgive:
        link.call(["new-session", "-d", "-s", "ours", "--", "sleep", "1000"])
        foreign.server.run("new-session", "-d", "-s", "theirs", "--", "sleep", "1000")
        forgive()

    assert heard(link)
    link.close()


def test_a_session_that_could_not_be_made_forgives_nothing(world):
    world.server.run("new-session", "-d", "-s", "theirs", "--", "sleep", "1000")

    with pytest.raises(TmuxRefused):
        world.tmux.create_session(world.plan(name="theirs"))

    assert heard(world.tmux)


def test_a_change_that_was_heard_while_asking_wakes_too(world):
    world.server.run("new-session", "-d", "-s", "theirs", "--", "sleep", "1000")
    assert "theirs" in world.tmux.snapshot().session_names()

    assert heard(world.tmux)
    assert hears_nothing(world.tmux)


def test_a_change_that_another_thread_heard_wakes_whoever_waits(world):
    def look():
        world.server.run("new-session", "-d", "-s", "theirs", "--", "sleep", "1000")
        return world.tmux.snapshot()

    with in_a_thread(look):
        assert heard(world.tmux)


def test_while_another_thread_asks_nobody_waits_for_it_nor_misses_anything(world):
    world.server.run("new-session", "-d", "-s", "theirs", "--", "sleep", "1000")
    world.tmux.snapshot()
    world.server.hang()
    with in_a_thread(world.tmux.snapshot) as outcome:
        time.sleep(0.1)
        started = time.monotonic()

        said = [world.tmux.drain() for _ in range(100)]

        assert time.monotonic() - started < 1
        world.server.wake()

    assert said == [True] + 99 * [False]
    assert outcome[0].session_names() == {NAME, "theirs"}


def test_answers_are_right_while_sessions_come_and_go(world):
    def disturb():
        for n in range(60):
            world.server.run("new-session", "-d", "-s", f"x{n}", "--", "sleep", "1000")
            world.server.run("kill-session", "-t", f"=x{n}")

    with in_a_thread(disturb):
        for n in range(100):
            created = world.tmux.create_session(world.plan(name=f"demo-{n}"))
            assert len(world.tmux.snapshot().of_session(f"demo-{n}")) == 1
            assert world.tmux.kill_session(f"demo-{n}", TOKEN, created.server)

    assert heard(world.tmux)
    assert world.tmux.snapshot().session_names() == {NAME}


def test_many_threads_share_the_connection(world):
    def create(n):
        return world.tmux.create_session(world.plan(name=f"demo-{n}"))

    with contextlib.ExitStack() as threads:
        outcomes = [threads.enter_context(in_a_thread(lambda n=n: create(n))) for n in range(8)]

    assert len({outcome[0].session_id for outcome in outcomes}) == 8
    assert len(connections(world)) == 1


# -- what can go wrong --------------------------------------------------------------------------


def test_a_client_that_was_killed_is_replaced_and_no_session_is_lost(world):
    before = world.tmux.snapshot()
    end_connection(world)
    assert heard(world.tmux)

    assert world.tmux.snapshot() == before

    wait_until(lambda: len(keepers(world)) == 1, "one keeper")
    assert len(connections(world)) == 1


def test_a_client_that_does_not_live_long_is_not_replaced_at_every_call(world, caplog):
    clock = FakeClock()
    world.tmux.close()
    world.tmux = ControlTmux(str(world.server.socket), None, 5, clock=clock)
    world.tmux.snapshot()
    end_connection(world)
    world.tmux.snapshot()
    end_connection(world)

    assert world.tmux.snapshot().session_names() == {NAME}
    assert connections(world) == []
    clock.advance(2)
    assert world.tmux.snapshot().session_names() == {NAME}
    assert len(connections(world)) == 1


DIES_WHEN_ASKED = """
case " $* " in *" -C "*)
  for a; do case $a in _orchestrator-*) name=$a;; esac; done
  printf '%%session-changed $1 %s\n' "$name"
  read -r command; read -r command; mark=$(echo "$command" | tr -d '"' | sed 's/.* //')
  printf '%%begin 1 1 1\nserver:%s 1\n%%end 1 1 1\n%%begin 1 2 1\n%s\n' "$PID" "$mark"
  echo x >>"$0.tries"; read -r command; exit;;
esac
"""


def test_a_client_that_always_dies_is_done_without(tmp_path):
    with foreign_world(tmp_path) as world:
        tamper(tmp_path, DIES_WHEN_ASKED.replace("$PID", str(world.server.pid())))
        world.tmux = ControlTmux(str(world.server.socket), None, 5)

        assert world.tmux.snapshot().session_names() == {"base"}

        assert (tmp_path / "programs" / "tmux.tries").read_text().count("x") == 2
        world.close()


def test_a_client_that_a_person_detaches_is_replaced(foreign):
    (keeper,) = keepers(foreign)
    foreign.server.run("detach-client", "-s", f"={keeper}")
    assert heard(foreign.tmux)

    assert foreign.tmux.snapshot().session_names() == {"base"}

    wait_until(lambda: len(keepers(foreign)) == 1, "the old keeper to go")
    assert keepers(foreign) != [keeper]


def test_a_client_that_is_killed_while_it_asks_leaves_a_change_unknown(world):
    (pid,) = connections(world)
    world.server.hang()
    with in_a_thread(lambda: world.tmux.create_session(world.plan(name="demo-2"))) as outcome:
        wait_until(lambda: not world.tmux.drain(), "the thread to ask")
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
        world.server.wake()

    assert isinstance(outcome[0], TmuxUnavailable)
    assert NAME in world.tmux.snapshot().session_names()


def test_a_question_whose_client_is_killed_is_asked_again(world):
    (pid,) = connections(world)
    world.server.hang()
    with in_a_thread(world.tmux.snapshot) as outcome:
        wait_until(lambda: not world.tmux.drain(), "the thread to ask")
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
        world.server.wake()

    assert outcome[0].session_names() == {NAME}


def test_a_server_that_dies_while_asked_for_a_session_makes_none(world):
    pid = world.server.pid()
    world.server.hang()
    with in_a_thread(lambda: world.tmux.create_session(world.plan(name="demo-2"))) as outcome:
        wait_until(lambda: not world.tmux.drain(), "the thread to ask")
        os.kill(pid, signal.SIGKILL)

    made = isinstance(outcome[0], TmuxUnavailable) or outcome[0].server.pid != pid
    assert made
    names = world.tmux.snapshot().session_names()
    assert names == (set() if isinstance(outcome[0], TmuxUnavailable) else {"demo-2"})


def test_a_server_that_died_is_heard_and_told(world):
    world.server.kill()

    assert heard(world.tmux)
    assert world.tmux.snapshot().server is None
    assert hears_nothing(world.tmux)


def test_a_server_that_ended_in_good_order_is_heard_and_told(world):
    world.server.run("kill-server")

    assert heard(world.tmux)
    wait_until(lambda: _is_told_gone(world.tmux), "no server")


def _is_told_gone(tmux):
    try:
        return tmux.snapshot().server is None
    except TmuxUnavailable:
        return False


def test_after_a_new_server_was_started_its_sessions_are_seen(foreign):
    before = foreign.tmux.snapshot().server
    foreign.server.kill()
    foreign.server.start()

    seen = foreign.tmux.snapshot()

    assert seen.session_names() == {"base"}
    assert seen.server != before
    assert len(connections(foreign)) == 1


def test_a_server_that_hangs_is_given_up_in_time_and_asked_again_later(world):
    world.tmux.close()
    world.tmux = ControlTmux(str(world.server.socket), None, timeout_sec=0.3)
    before = world.tmux.snapshot()
    world.server.hang()
    started = time.monotonic()

    for _ in range(3):
        with pytest.raises(TmuxUnavailable, match=r"did not answer within 0\.3 s"):
            world.tmux.snapshot()

    assert 0.9 <= time.monotonic() - started < 3
    world.server.wake()
    assert world.tmux.snapshot() == before
    wait_until(lambda: len(keepers(world)) <= 1, "the old keepers to go")


def test_a_server_that_hangs_before_a_long_line_is_out_is_given_up_too(foreign):
    client = ControlClient(
        ["-S", str(foreign.server.socket)], dict(os.environ), SystemClock(), timeout_sec=0.3
    )
    client.ask(["list-sessions"])
    foreign.server.hang()

    with pytest.raises(TmuxUnavailable, match="did not answer"):
        client.ask(["set-environment", "-g", "LONG", "x" * 2_000_000])

    client.close()
    foreign.server.wake()


def test_closing_does_not_wait_for_a_server_that_hangs(world):
    world.server.hang()
    started = time.monotonic()

    world.tmux.close()

    assert time.monotonic() - started < 3
    world.server.wake()


def test_a_removed_socket_does_not_matter_to_a_connection(world):
    world.server.socket.rename(world.folder / "moved")

    world.tmux.create_session(world.plan(name="demo-2"))

    assert world.tmux.snapshot().session_names() == {NAME, "demo-2"}
    wait_until(world.server.socket.exists, "the socket to be made anew for others")


def test_our_server_without_a_socket_is_not_told_as_gone_and_makes_it_anew(world):
    before = world.tmux.snapshot()
    (pid,) = connections(world)
    world.server.socket.unlink()
    os.kill(pid, signal.SIGKILL)
    assert heard(world.tmux)

    with pytest.raises(TmuxUnavailable, match="socket is gone"):
        world.tmux.snapshot()

    wait_until(world.server.socket.exists, "the socket to be made anew")
    wait_until(lambda: world.tmux.snapshot() == before, "the sessions")


def test_somebody_s_server_without_a_socket_is_not_told_as_gone_either(foreign):
    (pid,) = connections(foreign)
    foreign.server.socket.rename(foreign.folder / "moved")
    os.kill(pid, signal.SIGKILL)
    assert heard(foreign.tmux)

    for _ in range(2):
        with pytest.raises(TmuxUnavailable, match="socket is gone"):
            foreign.tmux.snapshot()

    (foreign.folder / "moved").rename(foreign.server.socket)
    assert foreign.tmux.snapshot().session_names() == {"base"}


def test_two_servers_at_one_address_are_reported(foreign, caplog):
    (pid,) = connections(foreign)
    first = foreign.server.pid()
    foreign.server.socket.unlink()
    second = foreign.server.start()
    os.kill(pid, signal.SIGKILL)
    assert heard(foreign.tmux)

    assert foreign.tmux.snapshot().server.pid == second

    (record,) = [r for r in caplog.records if r.message == "tmux_second_server"]
    assert (record.old_pid, record.new_pid) == (first, second)
    os.kill(first, signal.SIGKILL)


def test_whoever_moves_our_client_elsewhere_loses_it_there(foreign):
    (before,) = connections(foreign)
    client = foreign.server.run("list-clients", "-F", "#{client_name}")
    foreign.server.run("switch-client", "-c", client, "-t", "=base")

    foreign.tmux.snapshot()

    wait_until(lambda: before not in connections(foreign), "the old client to go")
    attached = foreign.server.run("display-message", "-p", "-t", "=base:", "#{session_attached}")
    assert attached == "0"
    assert len(keepers(foreign)) == 1


def test_whoever_visits_the_keeper_and_leaves_does_not_end_it(foreign):
    (keeper,) = keepers(foreign)
    (pid,) = connections(foreign)
    with person(["tmux", "-S", str(foreign.server.socket), "attach", f"-t={keeper}"]) as screen:
        screen.wait_for(keeper[:8].encode())
    wait_until(lambda: not foreign.visitors(), "them to leave")

    foreign.tmux.snapshot()

    assert (connections(foreign), keepers(foreign)) == ([pid], [keeper])


def test_our_leaving_does_not_crash_a_busy_server(foreign):
    """With `destroy-unattached on` for the keeper, tmux 3.3a died of 1 leaving in 5."""
    pid = foreign.server.pid()
    address, env = ["-S", str(foreign.server.socket)], dict(os.environ)
    done = threading.Event()

    def make_noise():
        while not done.is_set():
            foreign.server.run("list-sessions")

    with in_a_thread(make_noise), in_a_thread(make_noise):
        for n in range(30):
            client = ControlClient(address, env, SystemClock(), 5)
            client.ask(["list-sessions"])
            client.close(is_orderly=n % 2 == 0)
        done.set()

    assert foreign.server.pid() == pid
    wait_until(lambda: len(keepers(foreign)) == 1, "the keepers to go")


def test_a_keeper_that_a_person_ends_is_replaced(foreign):
    (keeper,) = keepers(foreign)
    foreign.server.run("kill-session", "-t", f"={keeper}")
    assert heard(foreign.tmux)

    assert foreign.tmux.snapshot().session_names() == {"base"}

    assert len(keepers(foreign)) == 1


# -- where control mode cannot be had -----------------------------------------------------------


def test_where_exit_unattached_is_on_our_leaving_ends_nothing(tmp_path, caplog):
    clock = FakeClock()
    with foreign_world(tmp_path) as world:
        world.tmux = ControlTmux(str(world.server.socket), None, 5, clock=clock)
        with person(["tmux", "-S", str(world.server.socket), "attach", "-t=base"]) as screen:
            screen.wait_for(b"base")
            world.server.run("set-option", "-s", "exit-unattached", "on")

            for _ in range(3):
                assert world.tmux.snapshot().session_names() == {"base"}
            with pytest.raises(TmuxRefused, match="exit-unattached"):
                world.tmux.create_session(world.plan())

            assert connections(world) == []
            assert keepers(world) == []
            (record,) = [r for r in caplog.records if r.message == "tmux_control_unavailable"]
            assert "exit-unattached" in record.reason

            world.server.run("set-option", "-s", "exit-unattached", "off")
            clock.advance(60)
            assert world.tmux.snapshot().session_names() == {"base"}
            assert len(connections(world)) == 1
        world.close()


REFUSES_CONTROL = (
    'case " $* " in *" -C "*) echo "protocol version mismatch (client 8, server 7)" >&2;'
    ' echo x >>"$0.tries"; exit 1;; esac'
)


def test_where_tmux_refuses_control_mode_processes_do(tmp_path, caplog):
    clock = FakeClock()
    with foreign_world(tmp_path) as world:
        tamper(tmp_path, REFUSES_CONTROL)
        world.tmux = ControlTmux(str(world.server.socket), None, 5, clock=clock)

        created = world.tmux.create_session(world.plan())
        assert world.tmux.snapshot().session_names() == {"base", NAME}
        assert world.tmux.kill_session(NAME, TOKEN, created.server)
        assert hears_nothing(world.tmux)

        (record,) = [r for r in caplog.records if r.message == "tmux_control_unavailable"]
        assert "version mismatch" in record.reason
        tries = tmp_path / "programs" / "tmux.tries"
        assert tries.read_text().count("x") == 1
        for _ in range(20):
            clock.advance(10)
            world.tmux.snapshot()
        assert 3 < tries.read_text().count("x") < 10
        world.close()


def test_without_tmux_that_is_what_is_said(foreign):
    end_connection(foreign)

    with no_programs(foreign), pytest.raises(TmuxUnavailable, match="not installed"):
        foreign.tmux.snapshot()


def test_a_socket_that_is_none_cannot_be_asked(tmp_path):
    (tmp_path / "s").symlink_to(tmp_path / "s")
    tmux = ControlTmux(str(tmp_path / "s"), None, timeout_sec=5)

    with pytest.raises(TmuxUnavailable, match="could not be asked: error connecting"):
        tmux.snapshot()

    tmux.close()


def test_a_client_that_never_answers_is_given_up(tmp_path):
    with foreign_world(tmp_path) as world:
        tamper(tmp_path, 'case " $* " in *" -C "*) exec sleep 30;; esac')
        world.tmux = ControlTmux(str(world.server.socket), None, timeout_sec=0.3)

        with pytest.raises(TmuxUnavailable, match="did not answer"):
            world.tmux.snapshot()

        world.close()


# -- a server of somebody else's with settings against us ---------------------------------------

HOSTILE = """
set -g base-index 1
set -g renumber-windows on
set -g destroy-unattached on
set -g detach-on-destroy off
set -g exit-empty on
set -g prefix C-a
set-hook -g after-new-session 'display-message -p hooked ; new-window -d "sleep 1000"'
set-hook -g client-attached 'display-message -p attached'
set-hook -g client-session-changed 'display-message -p moved'
"""


def test_a_connection_and_its_keeper_bear_hostile_settings(tmp_path):
    with foreign_world(tmp_path, HOSTILE, ControlTmux) as world:
        created = world.tmux.create_session(world.plan())
        (pid,) = connections(world)
        with person(world.tmux.attach_argv(NAME)) as screen:
            screen.wait_for(NAME[:8].encode())
            screen.type_until(b"\x01d", b"[detached")
        wait_until(lambda: not world.visitors(), "them to leave")

        seen = world.tmux.snapshot()

        assert seen.of_session(NAME)[0].pane_id == created.panes[0].pane_id
        assert seen.of_session(NAME)[0].window_index == 0
        assert connections(world) == [pid]
        assert world.tmux.kill_session(NAME, TOKEN, created.server)
        assert world.tmux.snapshot().session_names() == {"base"}
        assert connections(world) == [pid]


def test_our_leaving_ends_no_session_of_anybody(tmp_path):
    with foreign_world(tmp_path, HOSTILE, ControlTmux) as world:
        world.tmux.create_session(world.plan())

        world.tmux.close()

        wait_until(lambda: keepers(world) == [], "the keeper to go")
        names = set(world.server.run("list-sessions", "-F", "#{session_name}").splitlines())
        assert names == {"base", NAME}


def test_every_program_of_ours_is_gone_with_the_connection(world):
    (pid,) = connections(world)
    assert shutil.which("tmux")

    world.tmux.close()

    assert not Path(f"/proc/{pid}").exists()
