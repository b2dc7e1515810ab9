"""Folders watched by inotify: what wakes, what does not, and folders that come and go."""

import errno
import logging
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from inotify_simple import INotify

from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.folder_watch import FolderWatch
from scheduler_modules.adapters.run_files import DiskRunFiles
from scheduler_modules.adapters.wakeup import SelectorWakeup
from scheduler_modules.signal_files import SignalFolder

RENAMES = """
import os, sys, time
for number, _ in enumerate(sys.stdin):
    name = f"{sys.argv[1]}/{number}.main.exit"
    with open(name + ".tmp", "w") as file:
        file.write("0\\n")
    at = time.monotonic()
    os.rename(name + ".tmp", name)
    print(at, flush=True)
"""


@pytest.fixture
def runs(tmp_path):
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def make_watch():
    made = []

    def make(*folders):
        made.append(FolderWatch(folders))
        return made[-1]

    yield make
    for watch in made:
        watch.close()


@pytest.fixture
def watch(make_watch, runs):
    return make_watch(runs)


@pytest.fixture
def wakeup():
    wakeup = SelectorWakeup(SystemClock())
    yield wakeup
    wakeup.close()


def put(folder, name, text="0\n"):
    """Write a file as the runner does: whole or not at all."""
    (folder / f"{name}.tmp").write_text(text)
    (folder / f"{name}.tmp").rename(folder / name)


def events(caplog):
    return [record.getMessage() for record in caplog.records]


# -- what wakes ---------------------------------------------------------------------------------


def test_a_silent_folder_says_nothing(watch):
    assert (watch.drain(), watch.poll_sec) == (False, None)


@pytest.mark.parametrize("name", ["abc.main.exit", "abc.session", "reset_project_3.signal"])
def test_what_somebody_waits_for_wakes_once(watch, runs, name):
    put(runs, name)

    assert [watch.drain(), watch.drain()] == [True, False]


def test_a_file_written_in_place_wakes_when_it_is_whole(watch, runs):
    with open(runs / "abc.session", "w") as file:
        created = watch.drain()
        file.write("web\n")
        file.flush()
        written = watch.drain()

    assert (created, written, watch.drain()) == (False, False, True)


@pytest.mark.parametrize("name", ["abc.go", "abc.main.start", "abc.main.exit.tmp", "x.signal.bad"])
def test_what_nobody_waits_for_does_not_wake(watch, runs, name):
    put(runs, name)

    assert watch.drain() is False


def test_what_is_removed_does_not_wake(watch, runs):
    put(runs, "abc.main.exit")
    watch.drain()

    (runs / "abc.main.exit").unlink()

    assert watch.drain() is False


def test_a_request_to_reset_wakes_and_taking_it_away_does_not(make_watch, tmp_path):
    signals = tmp_path / "signals"
    signals.mkdir()
    watch = make_watch(signals)
    folder = SignalFolder(signals)
    folder.create(3, at=1_700_000_000)
    created = watch.drain()

    folder.remove("reset_project_3.signal")

    assert (created, watch.drain()) == (True, False)


def test_a_run_wakes_at_its_end_and_not_before(watch, runs, tmp_path):
    files = DiskRunFiles(runs, tmp_path / "logs")
    argv = files.runner_argv("abc", "main", ["sh", "-c", "read line"])
    leave_to_start = watch.drain()
    runner = subprocess.Popen(argv, stdin=subprocess.PIPE)
    while files.start("abc", "main") is None:
        time.sleep(0.005)
    started = watch.drain()

    runner.communicate(b"\n")

    assert (leave_to_start, started, watch.drain()) == (False, False, True)
    assert files.exit_code("abc", "main") == 0


def test_each_of_several_folders_is_heard(make_watch, tmp_path):
    folders = [tmp_path / name for name in ("runs", "signals")]
    for folder in folders:
        folder.mkdir()
    watch = make_watch(*folders)
    seen = []
    for folder in folders:
        put(folder, "abc.exit")
        seen.append(watch.drain())

    assert seen == [True, True]


def test_one_folder_under_two_names_is_heard_and_lost_once(make_watch, runs, tmp_path):
    (tmp_path / "link").symlink_to(runs)
    watch = make_watch(runs, tmp_path / "link")
    put(runs, "a.exit")
    heard = watch.drain()
    shutil.rmtree(runs)
    watch.drain()
    runs.mkdir()

    assert (heard, watch.drain(), watch.poll_sec) == (True, True, None)


def test_more_events_than_the_system_keeps_count_as_something(watch, runs):
    kept = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(kept + 100):
        # The system makes one of two equal events that follow each other.
        (runs / f"{number % 2}.tmp").write_bytes(b"")

    overflowed = watch.drain()

    assert (overflowed, watch.drain()) == (True, False)
    put(runs, "abc.exit")
    assert watch.drain() is True


# -- folders that come and go -------------------------------------------------------------------


def test_a_missing_folder_is_watched_once_it_is_there(make_watch, tmp_path):
    watch = make_watch(tmp_path / "runs")
    missing = (watch.drain(), watch.poll_sec)
    (tmp_path / "runs").mkdir()
    appeared = (watch.drain(), watch.poll_sec)
    put(tmp_path / "runs", "abc.exit")

    assert (missing, appeared, watch.drain()) == ((False, 1.0), (True, None), True)


def test_a_file_where_the_folder_should_be_is_no_error(make_watch, tmp_path):
    (tmp_path / "runs").write_text("x")
    watch = make_watch(tmp_path / "runs")
    watch.drain()

    assert (watch.drain(), watch.poll_sec) == (False, 1.0)


@pytest.mark.parametrize("how", ["removed", "moved"])
def test_a_folder_made_anew_is_watched_again(watch, runs, tmp_path, how):
    if how == "removed":
        runs.rmdir()
    else:
        runs.rename(tmp_path / "old")
    gone = (watch.drain(), watch.poll_sec)
    runs.mkdir()
    back = (watch.drain(), watch.poll_sec)
    put(runs, "abc.exit")

    assert (gone, back, watch.drain()) == ((True, 1.0), (True, None), True)


def test_a_folder_replaced_between_two_looks_is_watched_at_once(watch, runs):
    runs.rmdir()
    runs.mkdir()
    replaced = (watch.drain(), watch.poll_sec)
    put(runs, "abc.exit")

    assert (replaced, watch.drain()) == ((True, None), True)


def test_a_folder_that_was_moved_away_is_not_heard_any_more(watch, runs, tmp_path):
    runs.rename(tmp_path / "old")
    watch.drain()
    put(tmp_path / "old", "abc.exit")

    assert watch.drain() is False


def test_a_folder_whose_parent_was_replaced_is_watched_anew(make_watch, tmp_path):
    home = tmp_path / "home"
    (home / "runs").mkdir(parents=True)
    watch = make_watch(home / "runs")
    home.rename(tmp_path / "old")
    (home / "runs").mkdir(parents=True)

    replaced = watch.drain()

    put(home / "runs", "abc.exit")
    heard = watch.drain()
    put(tmp_path / "old" / "runs", "abc.exit")
    assert (replaced, heard, watch.drain()) == (True, True, False)


def test_a_folder_that_comes_back_wakes_a_waiting_daemon(make_watch, tmp_path, wakeup):
    wakeup.add(make_watch(tmp_path / "runs"))
    wakeup.wait(0)
    making = subprocess.Popen(["sh", "-c", 'sleep 0.2; mkdir "$1"', "sh", tmp_path / "runs"])

    assert wakeup.wait(20) == {"files"}

    making.wait()


def test_closing_leaves_no_open_file_and_hears_nothing(make_watch, runs):
    before = len(os.listdir("/proc/self/fd"))
    watch = make_watch(runs)

    watch.close()
    watch.close()

    put(runs, "abc.exit")
    assert (watch.fileno(), watch.drain(), watch.poll_sec) == (-1, False, None)
    assert len(os.listdir("/proc/self/fd")) == before


def test_children_do_not_inherit_the_watch(watch):
    assert os.get_inheritable(watch.fileno()) is False


# -- a system that allows no more watches -------------------------------------------------------


@pytest.fixture
def no_watches(monkeypatch):
    """The system refuses every watch; call the result to let it allow them again."""

    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(INotify, "add_watch", refuse)
    return monkeypatch.undo


def test_without_watches_the_folders_are_looked_at_each_second(no_watches, make_watch, runs):
    watch = make_watch(runs)
    silent = (watch.drain(), watch.poll_sec)
    put(runs, "abc.exit")

    assert (silent, watch.drain(), watch.drain()) == ((False, 1.0), True, False)


def test_that_there_are_no_watches_is_said_once_and_so_is_their_return(
    no_watches, make_watch, runs, caplog
):
    caplog.set_level(logging.INFO)
    watch = make_watch(runs)
    for _ in range(3):
        watch.drain()
    no_watches()
    watch.drain()

    assert events(caplog) == ["folder_watch_degraded", "folder_watch_healed"]
    assert "No space left" in caplog.records[0].error


def test_watches_that_are_allowed_again_are_used(no_watches, make_watch, runs):
    watch = make_watch(runs)
    no_watches()

    healed = (watch.drain(), watch.poll_sec)

    put(runs, "abc.exit")
    assert (healed, watch.drain()) == ((True, None), True)


def test_without_a_free_file_number_the_folders_are_looked_at(make_watch, runs):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(number) for number in os.listdir("/proc/self/fd"))
    hogs = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                hogs.append(os.dup(0))
        watch = make_watch(runs)
        put_without_a_file(runs / "abc.exit")
        seen = (watch.fileno(), watch.drain(), watch.poll_sec)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for hog in hogs:
            os.close(hog)

    assert seen == (-1, True, 1.0)


def put_without_a_file(path):
    os.symlink("x", path)


# -- with everything else -----------------------------------------------------------------------


def test_a_renamed_file_wakes_within_milliseconds(watch, runs, wakeup, capsys):
    wakeup.add(watch)
    process = subprocess.Popen(
        [sys.executable, "-c", RENAMES, str(runs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    took_ms = []
    for _ in range(200):
        process.stdin.write("\n")
        assert wakeup.wait(20) == {"files"}
        heard = time.monotonic()
        took_ms.append((heard - float(process.stdout.readline())) * 1000)
    process.communicate()

    with capsys.disabled():
        print(f"\nrename: {statistics.median(took_ms):.2f} / {max(took_ms):.2f} ms")
    assert statistics.median(took_ms) < 20
