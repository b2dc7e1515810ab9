"""A daemon's start, reload and end in this very process: real locks, signals and database."""

import contextlib
import io
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from scheduler_modules import compose, core_scheduler
from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.lock import FileLocks
from scheduler_modules.compose import host_name
from scheduler_modules.config import SchedulerConfig, ensure_home
from scheduler_modules.daemon_main import REFUSAL, run_daemon
from scheduler_modules.errors import ConfigError, DatabaseUnavailable, UnusableHome
from scheduler_modules.model import NewProject
from tests.waiting import wait_until


@pytest.fixture
def config(tmp_path):
    home = tmp_path / "home"
    return SchedulerConfig(
        home=home,
        scheduler_db_url=f"sqlite:///{home}/task_queue.db",
        # Far from any limit on the length of a socket's path, and started by nobody.
        tmux_socket="daemon-main-test",
        tick_sec=0.05,
    )


@pytest.fixture(autouse=True)
def own_logging():
    """Let a daemon set up logging, and put it back as the tests need it."""
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    root.handlers.clear()
    yield
    for handler in root.handlers[:]:
        handler.close()
    root.handlers[:], logging.raiseExceptions = handlers, raises
    root.setLevel(level)


def log_of(config: SchedulerConfig) -> str:
    path = config.home / config.log_file
    return path.read_text() if path.exists() else ""


def count(config: SchedulerConfig, event: str) -> int:
    return log_of(config).count(f"event='{event}'")


def meanwhile(*steps: Callable[[], object]) -> threading.Thread:
    """Do the steps in a thread, one after the other; each may wait."""

    def act() -> None:
        for step in steps:
            step()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def queue_spec(config: SchedulerConfig, spec: Path) -> None:
    queue = compose.open_queue(config)
    queue.enqueue(
        NewProject(
            spec_path=str(spec),
            spec_key=str(spec),
            name=spec.stem,
            project_path=str(spec.parent),
            enqueued_at=1.0,
        )
    )
    queue.store.close()


def after(config: SchedulerConfig, event: str, times: int = 1) -> Callable[[], None]:
    return lambda: wait_until(lambda: count(config, event) >= times, f"{times} x {event}")


def run_until_stopped(config: SchedulerConfig, *steps: Callable[[], object], **arguments) -> int:
    """Run a plain daemon, do the steps once it is at work, then stop it."""
    is_at_work = after(config, "daemon_started", count(config, "daemon_started") + 1)
    thread = meanwhile(is_at_work, *steps, send(signal.SIGTERM))
    try:
        return run_daemon(config, arguments.pop("mode", "default"), **arguments)
    finally:
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_ends_with_0_when_it_is_told_to(config, number):
    thread = meanwhile(after(config, "daemon_started"), send(number))

    code = run_daemon(config, "default")
    thread.join()

    assert code == 0
    assert count(config, "daemon_stopped") == 1


def test_its_locks_are_free_afterwards(config):
    run_until_stopped(config)

    locks = FileLocks(config.locks_dir, SystemClock())
    held = [locks.mode(mode) for mode in ("default", "queue", "checkin")]
    held += [locks.duty(duty) for duty in ("launch", "checkin", "notify", "plain")]

    assert all(lock.is_free() for lock in held)


def test_signals_are_handled_as_before_afterwards(config):
    before = signal.getsignal(signal.SIGTERM)

    run_until_stopped(config)

    assert signal.getsignal(signal.SIGTERM) is before


def test_a_plain_daemon_says_what_it_is_here_for(config):
    run_until_stopped(config)

    assert "mode='default' duties=['launch', 'checkin', 'notify']" in log_of(config)


def test_duties_may_be_fewer_than_the_modes(config):
    run_until_stopped(config, duties=frozenset({"launch", "notify"}))

    assert "mode='default' duties=['launch', 'notify']" in log_of(config)


def test_a_daemon_that_keeps_check_ins_says_that_it_does_not_type_them(config):
    run_until_stopped(config, mode="checkin")

    assert count(config, "checkins_not_delivered") == 1


def test_the_announcement_comes_once_the_lock_is_held(config, capsys):
    run_until_stopped(config, announce="Starting...")

    assert capsys.readouterr().out == "Starting...\n"


def test_nobody_reading_the_announcement_is_no_reason_not_to_work(config, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())

    assert run_until_stopped(config, announce="Starting...") == 0


def test_a_second_daemon_of_the_mode_is_refused_and_says_who_runs(config, capsys):
    ensure_home(config)
    other = FileLocks(config.locks_dir, SystemClock()).mode("default")
    other.try_acquire()

    code = run_daemon(config, "default", announce="Starting...")
    other.release()

    said = capsys.readouterr()
    assert (code, said.out) == (1, "")
    assert said.err.startswith(f"lock held by pid {os.getpid()}")
    assert said.err.endswith(f"{REFUSAL}\n")


def test_a_database_that_is_none_is_an_error_and_frees_the_lock(config):
    ensure_home(config)
    (config.home / "task_queue.db").write_text("this is no database, and never was one" * 100)

    with pytest.raises(DatabaseUnavailable):
        run_daemon(config, "default")

    assert FileLocks(config.locks_dir, SystemClock()).mode("default").is_free()


def test_a_home_that_cannot_be_trusted_is_refused(config):
    config.home.mkdir()
    config.home.chmod(0o777)

    with pytest.raises(UnusableHome):
        run_daemon(config, "default")


def test_a_daemon_whose_lock_was_taken_ends_with_1(config, monkeypatch):
    monkeypatch.setattr(core_scheduler, "HEARTBEAT_SEC", 0)
    thief = FileLocks(config.locks_dir, SystemClock()).mode("default")

    def steal() -> None:
        (config.locks_dir / "scheduler-default.lock").unlink()
        # The daemon may have made and taken it again in between: then there is nothing to steal.
        with contextlib.suppress(FileNotFoundError):
            while not thief.try_acquire():
                (config.locks_dir / "scheduler-default.lock").unlink()

    thread = meanwhile(after(config, "daemon_started"), steal)
    code = run_daemon(config, "default")
    thread.join()
    thief.release()

    assert code == 1
    assert count(config, "daemon_evicted") == 1


def test_a_daemon_that_hangs_in_tmux_ends_in_two_seconds(config, tmp_path, monkeypatch):
    hanging = tmp_path / "bin" / "tmux"
    hanging.parent.mkdir()
    hanging.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexec sleep 100\n")
    hanging.chmod(0o700)
    monkeypatch.setenv("PATH", f"{hanging.parent}:{os.environ['PATH']}")
    asked = tmp_path / "asked"
    spec = tmp_path / "build.md"
    spec.write_text("---\ncommand: make\n---\n")
    ensure_home(config)
    queue_spec(config, spec)
    thread = meanwhile(lambda: wait_until(asked.exists, "a call of tmux"), send(signal.SIGTERM))
    began = time.monotonic()

    code = run_daemon(config, "default")
    took_sec = time.monotonic() - began
    thread.join()

    assert code == 0
    assert took_sec < 3
    assert count(config, "daemon_stopped") == 1


def test_a_machine_that_is_given_another_name_keeps_its_runs(config, monkeypatch):
    """As a container is at each start."""
    before = host_name(config)
    run_until_stopped(config)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename="another"))

    run_until_stopped(config)

    assert host_name(config) == before != "another"


def test_the_configured_name_of_a_machine_wins(config):
    run_until_stopped(config)

    assert host_name(msgspec.structs.replace(config, host_name="mine")) == "mine"


# -- reload ---------------------------------------------------------------------------------


def test_a_reload_goes_on_with_the_new_configuration(config):
    quiet = msgspec.structs.replace(config, log_file="other.log")
    steps = (send(signal.SIGHUP), after(quiet, "daemon_started"))

    code = run_until_stopped(config, *steps, load=lambda: quiet)

    assert code == 0
    assert count(quiet, "daemon_stopped") == 1


def test_a_reload_with_a_bad_configuration_keeps_the_old_one(config):
    def load() -> SchedulerConfig:
        raise ConfigError("TICK_SEC", "soon", "a number of seconds", ".env:1")

    run_until_stopped(config, send(signal.SIGHUP), after(config, "daemon_started", 2), load=load)

    assert count(config, "reload_refused") == 1
    assert "TICK_SEC='soon'" in log_of(config)


@pytest.mark.parametrize(
    "change",
    [
        {"tmux_socket": "other"},
        {"home": None},
        {"scheduler_db_url": "sqlite:////nowhere/other.db"},
        {"host_name": "other"},
    ],
)
def test_a_reload_cannot_move_the_house(config, tmp_path, change):
    change = {name: value or tmp_path / "elsewhere" for name, value in change.items()}
    moved = msgspec.structs.replace(config, **change)

    run_until_stopped(
        config,
        send(signal.SIGHUP),
        after(config, "daemon_started", 2),
        load=lambda: moved,
    )

    assert "home, SCHEDULER_DB_URL, TMUX_SOCKET and HOST_NAME need a restart" in log_of(config)


def test_a_reload_without_a_source_of_settings_starts_afresh_with_the_same(config):
    run_until_stopped(config, send(signal.SIGHUP), after(config, "daemon_started", 2))

    assert count(config, "daemon_started") == 2


def test_a_reload_keeps_the_lock_of_the_mode(config):
    lock = FileLocks(config.locks_dir, SystemClock()).mode("default")
    seen = []

    def load() -> SchedulerConfig:
        seen.append(lock.is_free())
        return config

    run_until_stopped(config, send(signal.SIGHUP), after(config, "daemon_reloaded"), load=load)

    assert seen == [False]


def test_the_database_is_closed_at_the_end(config):
    run_until_stopped(config)

    # Only the last connection to close takes the log away.
    assert not (config.home / "task_queue.db-wal").exists()
    with contextlib.closing(sqlite3.connect(config.home / "task_queue.db")) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
