"""`top` on a real terminal: a window of a tmux server of the test's own."""

import io
import json
import os
import pty
import re
import signal
import sys
import termios
from contextlib import contextmanager

import pytest

from scheduler_modules.cli.output import Terminal
from scheduler_modules.cli.top_terminal import Ended, RawTerminal
from tests.lab.installation import ROOT, installation
from tests.tmux_server import throwaway_server
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

PROMPT = "ready>"


class Screen:
    """A shell in a tmux window, and what a person sees there."""

    def __init__(self, server, place):
        self._server, self._place = server, place
        entry = f"{sys.executable} {ROOT / 'scheduler_entrypoint.py'}"
        self.command = f"{entry} top"
        environ = {**place.environ, "PS1": PROMPT, "TERM": "tmux-256color", "ENV": ""}
        words = [word for name, value in environ.items() for word in ("-e", f"{name}={value}")]
        server.run(
            *("new-session", "-d", "-s", "person", "-x", "100", "-y", "24", *words),
            *("--", "bash", "--norc", "--noprofile"),
        )
        self.until(PROMPT)

    def type(self, *keys):
        self._server.run("send-keys", "-t", "=person:", *keys)

    def enter(self, line):
        self._server.run("send-keys", "-t", "=person:", "-l", line)
        self.type("Enter")

    def resize(self, width, height):
        self._server.run("resize-window", "-t", "=person:", "-x", str(width), "-y", str(height))

    def text(self, *options):
        return self._server.run("capture-pane", "-p", *options, "-t", "=person:")

    def is_alternate(self):
        return self._server.run("display-message", "-p", "-t", "=person:", "#{alternate_on}") == "1"

    def until(self, text, *, gone=False):
        try:
            wait_until(lambda: (text in self.text()) != gone, f"{text!r}", timeout_sec=20)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()}") from None

    def open_top(self):
        self.enter(f"{self.command}; echo code $?")
        self.until("? help")

    def pid(self):
        """Return the process of `top`."""
        shell = self._server.run("display-message", "-p", "-t", "=person:", "#{pane_pid}")
        with open(f"/proc/{shell}/task/{shell}/children") as children:
            return int(children.read().split()[0])


@pytest.fixture
def place():
    with installation(MAX_CONCURRENT_PROJECTS="3") as made:
        yield made


@pytest.fixture
def screen(place):
    with throwaway_server() as server:
        yield Screen(server, place)


def ticking(place, name="site"):
    """Have a project running that prints a line each second."""
    script = "i=0; while :; do i=$((i+1)); echo page $i; sleep 0.2; done"
    place.run_daemon()
    number = place.add(name, f"command: {json.dumps(['sh', '-c', script])}")
    wait_until(lambda: "running" in place.cli("list"), "the project to run")
    return number


def test_it_shows_what_runs_and_its_log_goes_on(place, screen):
    ticking(place)

    screen.open_top()
    screen.until("● running")
    screen.until("page 5")

    screen.type("q")
    screen.until("code 0")
    assert not screen.is_alternate()


def test_a_change_by_somebody_else_is_seen(place, screen):
    place.cli("list")
    screen.open_top()
    screen.until("no projects yet")

    place.add("brand-new", "command: make")

    screen.until("brand-new")
    screen.type("q")


def test_one_can_attach_and_come_back(place, screen):
    ticking(place)
    screen.open_top()
    screen.until("▸   1  ● running")

    screen.type("Enter")
    screen.until("leave: C-b d")
    screen.type("C-b", "d")

    screen.until("? help")
    screen.type("q")
    screen.until("code 0")


def test_a_run_is_ended_once_that_is_affirmed(place, screen):
    ticking(place)
    screen.open_top()
    screen.until("● running")

    screen.type("x")
    screen.until("end the run of 1 (site) as failed? y/n")
    screen.type("y")

    screen.until("✗ failed")
    screen.until("ended by a person, in top")
    screen.type("q")


def test_ctrl_c_leaves_and_says_that_the_work_goes_on(place, screen):
    ticking(place)
    screen.open_top()

    screen.type("C-c")

    screen.until("the work goes on")
    screen.until("code 130")
    assert not screen.is_alternate()
    assert place.statuses() == {1: "processing"}


def test_it_can_be_stopped_and_taken_up_again(place, screen):
    place.cli("list")
    screen.enter(screen.command)
    screen.until("? help")

    screen.type("C-z")
    screen.until("Stopped")
    assert not screen.is_alternate()
    screen.enter("echo typed | tr a-z A-Z")
    screen.until("TYPED")

    screen.enter("fg")
    screen.until("? help")
    assert screen.is_alternate()
    screen.type("q")
    screen.until("? help", gone=True)


def test_sigterm_gives_the_terminal_back(place, screen):
    place.cli("list")
    screen.open_top()

    os.kill(screen.pid(), signal.SIGTERM)

    screen.until("code 143")
    assert not screen.is_alternate()
    screen.enter("echo typed | tr a-z A-Z")
    screen.until("TYPED")


def test_it_follows_the_size_of_its_window(place, screen):
    ticking(place)
    screen.open_top()
    screen.until("page 3")

    screen.resize(200, 50)
    screen.until("│ ── 1 site")
    screen.resize(40, 8)
    screen.until("│ ── 1 site", gone=True)
    wait_until(lambda: "? help" in screen.text().splitlines()[-1], "the foot at the lower edge")
    screen.type("q")


def test_without_colours_there_are_none(place, screen):
    ticking(place)
    screen.enter("export NO_COLOR=1")
    screen.open_top()
    screen.until("● running")

    shown = screen.text("-e")

    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", shown)
    assert re.search(r"\x1b\[([0-9;]*;)?7m", shown)
    screen.type("q")


def test_a_database_that_cannot_be_opened_is_told_on_the_terminal_as_it_is(place, screen):
    (place.home / "task_queue.db").write_bytes(b"no database" * 100)

    screen.enter(f"{screen.command}; echo code $?")

    screen.until("code 6")
    assert "is not an SQLite database" in screen.text().replace("\n", "")
    assert not screen.is_alternate()


# -- the terminal itself ------------------------------------------------------------------------


@contextmanager
def pseudo_terminal():
    master, slave = pty.openpty()
    with open(slave, "r+b", buffering=0, closefd=True) as raw:
        stream = io.TextIOWrapper(raw, write_through=True)
        try:
            yield master, stream, Terminal(stream, stream, stream, {})
        finally:
            os.close(master)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Ended])
def test_whatever_is_raised_the_terminal_is_given_back(error):
    with pseudo_terminal() as (_, stream, terminal):
        before = termios.tcgetattr(stream.fileno())
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGTSTP)}

        with pytest.raises(error), RawTerminal(stream, terminal):
            assert termios.tcgetattr(stream.fileno()) != before
            raise error(signal.SIGTERM)

        assert termios.tcgetattr(stream.fileno()) == before
        assert {number: signal.getsignal(number) for number in handlers} == handlers


def test_a_signal_that_ends_it_comes_as_an_error_that_names_it():
    with (
        pseudo_terminal() as (_, stream, terminal),
        pytest.raises(Ended) as found,
        RawTerminal(stream, terminal) as screen,
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        screen.keys(5)

    assert found.value.number == signal.SIGTERM


def test_keys_come_as_they_are_typed():
    with pseudo_terminal() as (master, stream, terminal), RawTerminal(stream, terminal) as screen:
        os.write(master, b"j\x1b[A")

        assert screen.keys(5) == ["j", "up"]


def test_a_lone_escape_is_not_waited_for_long():
    with pseudo_terminal() as (master, stream, terminal), RawTerminal(stream, terminal) as screen:
        os.write(master, b"\x1b")

        assert screen.keys(5) == ["esc"]


def test_a_file_that_becomes_ready_ends_the_wait():
    reader, writer = os.pipe()
    os.write(writer, b"x")
    with pseudo_terminal() as (_, stream, terminal), RawTerminal(stream, terminal) as screen:
        assert screen.keys(30, [reader, -1]) == []
    os.close(reader)
    os.close(writer)


def test_a_terminal_that_is_gone_ends_it():
    master, slave = pty.openpty()
    with open(slave, "r+b", buffering=0) as raw:
        stream = io.TextIOWrapper(raw, write_through=True)
        with pytest.raises(Ended), RawTerminal(stream, Terminal(stream, stream, stream, {})) as s:
            os.close(master)
            s.keys(5)
