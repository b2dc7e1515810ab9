"""`daemon start` and `daemon run` where the process they start is not a real one."""

import importlib.util
import os
import subprocess

import pytest

PID = 5151


class Child:
    """A started process: it does at its first look what a test wants."""

    pid = PID

    def __init__(self, act):
        self._act = act
        self.returncode = None

    def poll(self):
        self._act(self)
        return self.returncode


@pytest.fixture
def started(monkeypatch):
    """Let `daemon start` start this; return what it was started with."""

    def start(act=lambda child: None):
        calls = []

        def popen(argv, **options):
            calls.append((argv, options))
            return Child(act)

        monkeypatch.setattr(subprocess, "Popen", popen)
        return calls

    return start


def at_work(cli):
    """Return what a daemon does that starts well."""

    def act(child):
        cli.lock_table.pids["new"] = PID
        for name in ("scheduler-default", "duty-launch", "duty-checkin", "duty-notify"):
            cli.lock_table.seize(name, "new")

    return act


def test_the_answer_comes_when_it_is_at_work(cli, started):
    calls = started(at_work(cli))

    answer = cli.call("daemon", "start", is_tty=True)

    assert (answer.code, answer.out) == (0, f"daemon started (pid {PID})\n")
    assert "next: tmux-orchestrator status" in answer.err
    ((argv, options),) = calls
    assert argv[2:] == ["--daemon"]
    assert options["start_new_session"] is True
    assert options["env"]["TMUX_ORCHESTRATOR_HOME"] == str(cli.home)


def test_the_mode_is_passed_on(cli, started):
    def act(child):
        cli.lock_table.pids["new"] = PID
        for name in ("scheduler-queue", "duty-launch", "duty-notify"):
            cli.lock_table.seize(name, "new")

    calls = started(act)

    assert cli.call("daemon", "start", "--mode", "queue").code == 0
    assert calls[0][0][2:] == ["--daemon", "--mode", "queue"]


def test_a_daemon_that_does_not_take_its_lock_is_said_after_ten_seconds(cli, started):
    started()

    answer = cli.call("daemon", "start")

    assert answer.code == 1
    assert answer.err.splitlines() == [
        "waiting until the daemon starts (at most 10 s)",
        f"error: the daemon (pid {PID}) does not hold its lock after 10 s; "
        f"see {cli.home}/logs/daemon.out",
    ]


def test_a_daemon_whose_duty_stays_free_has_started_all_the_same(cli, started):
    def act(child):
        cli.lock_table.pids["new"] = PID
        cli.lock_table.seize("scheduler-default", "new")

    started(act)

    assert cli.call("daemon", "start", "--json").json == {
        "mode": "default",
        "pid": PID,
        "was_running": False,
    }


def end(child):
    child.returncode = 1


def ending(cli, code, said):
    """Return what a daemon does that says something and ends."""

    def act(child):
        with (cli.home / "logs" / "daemon.out").open("a") as output:
            output.write(said)
        child.returncode = code

    return act


def test_what_a_daemon_said_last_is_told_in_full_with_its_exit_code(cli, started):
    advice = "set it " * 60 + "to this"
    started(ending(cli, 2, f"error: TMUX_SOCKET is too long; {advice}\n"))

    answer = cli.call("daemon", "start")

    assert (answer.code, answer.err) == (
        2,
        f"error: the daemon ended at once (exit 2): TMUX_SOCKET is too long; {advice}\n",
    )


def test_of_all_a_daemon_said_the_error_is_told(cli, started):
    log = "timestamp='x' event='daemon_started'\n"
    started(ending(cli, 6, f"{log}error: the database is damaged\n{log}"))

    answer = cli.call("daemon", "start")

    assert answer.err == "error: the daemon ended at once (exit 6): the database is damaged\n"


def test_what_an_earlier_daemon_said_is_not_told(cli, started):
    started(ending(cli, 6, "error: the database is damaged\n"))
    cli.call("daemon", "start")
    started(ending(cli, 1, "one\ntwo\nthree\n"))

    answer = cli.call("daemon", "start")

    assert answer.err == "error: the daemon ended at once (exit 1): two; three\n"


def test_a_daemon_that_was_killed_has_failed(cli, started):
    started(ending(cli, -9, "hello\n"))

    answer = cli.call("daemon", "start")

    assert (answer.code, answer.err) == (1, "error: the daemon ended at once (signal 9): hello\n")


def test_without_tmux_a_warning_says_so(cli, started):
    started(at_work(cli))

    answer = cli.call("daemon", "start", PATH=str(cli.specs))

    assert (answer.code, answer.err) == (
        0,
        "warning: tmux is not installed, or not on PATH: the daemon can start no project\n",
    )


def test_a_daemon_that_ends_without_a_word_is_said_to_have(cli, started):
    started(end)

    answer = cli.call("daemon", "start")

    assert (answer.code, answer.err) == (
        1,
        "error: the daemon ended at once (exit 1): it said nothing; "
        f"see {cli.home}/logs/daemon.out\n",
    )


def test_losing_against_another_daemon_is_fine(cli, started):
    def act(child):
        end(child)
        cli.lock_table.pids["other"] = 6161
        cli.lock_table.seize("scheduler-default", "other")

    started(act)

    answer = cli.call("daemon", "start")

    assert (answer.code, answer.out) == (0, "daemon runs already (pid 6161)\n")


def test_quietly_started_says_nothing(cli, started):
    started(at_work(cli))

    assert cli.call("daemon", "start", "-q").out == ""


def test_without_the_old_file_no_daemon_can_be_started(cli, started, monkeypatch):
    started()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    answer = cli.call("daemon", "start")

    assert (answer.code, "scheduler.py is not installed" in answer.err) == (1, True)


def test_in_the_foreground_we_become_the_daemon(cli, monkeypatch):
    became = []
    monkeypatch.setattr(os, "execve", lambda *arguments: became.append(arguments))
    monkeypatch.setattr(os, "chdir", became.append)

    assert cli.call("daemon", "run", "--mode", "checkin", SCHEDULER_RUN_ID="x").code == 0

    folder, (_, argv, environ) = became
    assert folder == cli.home
    assert argv[2:] == ["--daemon", "--mode", "checkin"]
    assert "SCHEDULER_RUN_ID" not in environ
