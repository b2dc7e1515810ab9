"""Bells as real pipes between real processes, and what else may lie in their folder."""

import errno
import os
import resource
import signal
import socket
import stat
import statistics
import subprocess
import sys
import threading
import time

import pytest

from scheduler_modules.adapters import doorbell as module
from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.doorbell import Bells, Doorbell, bells_folder
from scheduler_modules.adapters.store_sqlite import open_sqlite_store
from scheduler_modules.adapters.wakeup import SelectorWakeup
from scheduler_modules.errors import DiskFull, SchedulerError

COMMITS = """
import sys
from pathlib import Path
from scheduler_modules.adapters.doorbell import Bells, bells_folder
from scheduler_modules.adapters.store_sqlite import open_sqlite_store
from tests.integration.store_worker import new_project

path = Path(sys.argv[1])
store = open_sqlite_store(path)
for line in sys.stdin:
    store.add_project(new_project(line.strip()))
    Bells(bells_folder(path)).ring()
"""
LISTENS = """
import sys, time
from pathlib import Path
from scheduler_modules.adapters.doorbell import Doorbell

bell = Doorbell(Path(sys.argv[1]))
print(bell.name, flush=True)
time.sleep(60)
"""
RINGS = """
import sys, time
from pathlib import Path
from scheduler_modules.adapters.doorbell import Bells

bells = Bells(Path(sys.argv[1]))
for _ in sys.stdin:
    at = time.monotonic()
    bells.ring()
    print(at, flush=True)
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "task_queue.db.bells"


@pytest.fixture
def hear(folder):
    """Hang up bells; all are taken down at the end."""
    bells = []

    def start():
        bells.append(Doorbell(folder))
        return bells[-1]

    yield start
    for bell in bells:
        bell.close()


@pytest.fixture
def program():
    running = []

    def start(text, *args):
        process = subprocess.Popen(
            [sys.executable, "-c", text, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def wakeup():
    wakeup = SelectorWakeup(SystemClock())
    yield wakeup
    wakeup.close()


@pytest.fixture
def become_another_user(monkeypatch):
    """Let what was made until now belong to somebody else."""
    other = os.geteuid() + 1
    return lambda: monkeypatch.setattr(os, "geteuid", lambda: other)


# -- ringing and hearing ------------------------------------------------------------------------


def test_every_bell_in_the_folder_hears_a_ring_once(folder, hear):
    bells = [hear(), hear()]

    Bells(folder).ring()

    assert [bell.drain() for bell in bells] == [True, True]
    assert [bell.drain() for bell in bells] == [False, False]


def test_a_bell_that_nobody_rang_hears_nothing(hear):
    assert hear().drain() is False


def test_a_ring_before_anybody_listened_is_not_heard(folder, hear):
    Bells(folder).ring()

    assert hear().drain() is False


def test_many_rings_are_heard_as_one(folder, hear):
    bell = hear()

    for _ in range(1000):
        Bells(folder).ring()

    assert [bell.drain(), bell.drain()] == [True, False]


def test_a_pipe_full_of_rings_neither_blocks_nor_fails(folder, hear):
    bell = hear()
    os.write(bell.fileno(), b"\n" * 65_536)

    Bells(folder).ring()

    assert [bell.drain(), bell.drain()] == [True, False]


def test_what_we_did_ourselves_wakes_the_others_only(folder, hear):
    bells = Bells(folder)
    own, other = bells.listen(), hear()

    bells.ring()

    assert [own.drain(), other.drain()] == [False, True]
    own.close()


def test_the_rings_of_others_reach_our_own_bell(folder):
    own = Bells(folder).listen()

    Bells(folder).ring()

    assert own.drain() is True
    own.close()


def test_without_a_folder_a_ring_does_nothing(folder):
    Bells(folder).ring()

    assert not folder.exists()


def test_a_file_in_place_of_the_folder_stops_no_ring(folder):
    folder.write_text("x")

    Bells(folder).ring()

    assert folder.read_text() == "x"


def test_several_threads_may_ring_while_bells_come_and_go(folder, hear):
    bells = Bells(folder)
    failures = []
    bell = hear()

    def ring():
        try:
            for _ in range(200):
                bells.ring()
        except Exception as error:  # noqa: BLE001 - none may come
            failures.append(error)

    threads = [threading.Thread(target=ring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        Doorbell(folder).close()
    for thread in threads:
        thread.join()

    assert failures == []
    assert bell.drain() is True
    assert os.listdir(folder) == [bell.name]


# -- names and folder ---------------------------------------------------------------------------


def test_the_bells_of_a_database_hang_beside_the_file_itself(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "queue.db").touch()
    (tmp_path / "link.db").symlink_to("real/queue.db")

    assert bells_folder(tmp_path / "link.db") == tmp_path.resolve() / "real" / "queue.db.bells"


def test_folder_and_pipe_are_for_nobody_but_us(folder, hear):
    before = os.umask(0)
    try:
        bell = hear()
    finally:
        os.umask(before)

    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / bell.name)]
    assert modes == [0o700, 0o600]


def test_a_folder_of_ours_that_others_may_use_is_closed_to_them(folder, hear):
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)

    hear()

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_closed_bell_leaves_nothing_and_hears_nothing(folder):
    before = len(os.listdir("/proc/self/fd"))
    bell = Doorbell(folder)

    bell.close()
    bell.close()

    assert (os.listdir(folder), bell.fileno(), bell.drain()) == ([], -1, False)
    assert len(os.listdir("/proc/self/fd")) == before


def test_children_do_not_inherit_a_bell(hear):
    assert os.get_inheritable(hear().fileno()) is False


def test_a_bell_whose_name_was_taken_away_gets_another(folder, hear):
    bell = hear()
    first = bell.name
    (folder / first).unlink()

    assert bell.drain() is True

    Bells(folder).ring()
    assert (bell.drain(), bell.name != first) == (True, True)


def test_a_bell_survives_the_loss_of_its_folder(folder, hear):
    bell = hear()
    (folder / bell.name).unlink()
    folder.rmdir()

    assert bell.drain() is True

    Bells(folder).ring()
    assert bell.drain() is True


def test_a_bell_that_cannot_come_back_says_so_until_it_can(folder, hear):
    bell = hear()
    (folder / bell.name).unlink()
    folder.rmdir()
    folder.write_text("in the way")

    for _ in range(2):
        with pytest.raises(SchedulerError, match=r"task_queue\.db\.bells"):
            bell.drain()
    assert bell.fileno() == -1

    folder.unlink()
    assert (bell.drain(), bell.fileno() >= 0) == (True, True)


# -- what cannot be trusted ---------------------------------------------------------------------


def test_a_symbolic_link_in_place_of_the_folder_is_refused(tmp_path, folder):
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to("elsewhere")

    with pytest.raises(SchedulerError, match=r"task_queue\.db\.bells"):
        Doorbell(folder)

    assert os.listdir(tmp_path / "elsewhere") == []


def test_the_folder_of_somebody_else_is_refused(folder, become_another_user):
    folder.mkdir()
    before = len(os.listdir("/proc/self/fd"))
    become_another_user()

    with pytest.raises(SchedulerError, match=f"belongs to uid {os.getuid()}"):
        Doorbell(folder)

    assert (os.listdir(folder), len(os.listdir("/proc/self/fd"))) == ([], before)


def test_a_file_in_place_of_the_folder_is_refused(folder):
    folder.write_text("x")

    with pytest.raises(SchedulerError, match=r"task_queue\.db\.bells"):
        Doorbell(folder)


def test_what_is_no_bell_of_ours_is_left_as_it_is(tmp_path, folder, hear):
    bell = hear()
    target = tmp_path / "target"
    target.write_text("precious")
    (folder / "file.bell").write_text("precious")
    (folder / "link.bell").symlink_to(target)
    (folder / "dangling.bell").symlink_to(tmp_path / "nothing")
    (folder / "folder.bell").mkdir()
    os.mkfifo(folder / "other.pipe")
    os.mkfifo(folder / ".abc.bell.tmp")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket.bell"))
    before = sorted(os.listdir(folder))

    Bells(folder).ring()

    assert sorted(os.listdir(folder)) == before
    assert ((folder / "file.bell").read_text(), target.read_text()) == ("precious", "precious")
    assert not (tmp_path / "nothing").exists()
    assert bell.drain() is True
    listener.close()


def test_the_pipes_of_somebody_else_are_neither_rung_nor_removed(folder, hear, become_another_user):
    bell = hear()
    os.mkfifo(folder / "dead.bell")
    before = sorted(os.listdir(folder))
    become_another_user()

    Bells(folder).ring()

    assert (bell.drain(), sorted(os.listdir(folder))) == (False, before)


def test_a_link_to_a_bell_elsewhere_is_not_rung(tmp_path, folder, hear):
    hear()
    elsewhere = Doorbell(tmp_path / "elsewhere")
    (folder / "link.bell").symlink_to(tmp_path / "elsewhere" / elsewhere.name)

    Bells(folder).ring()

    assert elsewhere.drain() is False
    elsewhere.close()


def test_a_name_changed_between_look_and_opening_gets_nothing(folder, hear, monkeypatch):
    own = os.lstat(folder / hear().name)
    victim = folder / "x.bell"
    victim.write_text("precious")
    # The look sees our pipe, the opening finds a file.
    monkeypatch.setattr(os, "lstat", lambda path: own)

    module._ring(str(victim))

    assert victim.read_text() == "precious"


# -- processes that die -------------------------------------------------------------------------


def test_the_bell_of_a_killed_process_is_removed_by_the_next_ring(folder, program, hear):
    process = program(LISTENS, folder)
    dead = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.wait()
    bell = hear()
    assert (folder / dead).exists()

    Bells(folder).ring()

    assert os.listdir(folder) == [bell.name]
    assert bell.drain() is True


def test_a_listener_that_dies_while_it_is_rung_harms_nobody(folder, monkeypatch):
    bell = Doorbell(folder)
    opened = os.open

    def open_and_lose(*args, **kwargs):
        file = opened(*args, **kwargs)
        bell.close()
        return file

    monkeypatch.setattr(os, "open", open_and_lose)

    Bells(folder).ring()

    assert os.listdir(folder) == []


def test_a_bell_that_went_away_while_the_others_were_rung_harms_nobody(folder, hear, monkeypatch):
    bell = hear()
    monkeypatch.setattr(os, "listdir", lambda path: ["gone.bell", bell.name])

    Bells(folder).ring()

    assert bell.drain() is True


def test_a_bell_that_cannot_be_removed_stops_no_ring(folder, hear, monkeypatch):
    os.mkdir(folder)
    os.mkfifo(folder / "0dead.bell")
    bell = hear()

    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(os, "unlink", refuse)
    Bells(folder).ring()
    monkeypatch.undo()

    assert bell.drain() is True


# -- a system that refuses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EPERM, SchedulerError)],
)
def test_a_file_system_without_room_or_pipes_is_an_error_of_ours(folder, monkeypatch, number, kind):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkfifo", refuse)
    before = len(os.listdir("/proc/self/fd"))

    with pytest.raises(kind) as caught:
        Doorbell(folder)

    assert type(caught.value) is kind
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("step", ["open", "rename"])
def test_a_bell_that_cannot_be_hung_up_leaves_nothing(folder, monkeypatch, step):
    folder.mkdir()
    real = getattr(os, step)

    def refuse(path, *args, **kwargs):
        if str(path).startswith("."):
            raise OSError(errno.EIO, "I/O error")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, step, refuse)
    before = len(os.listdir("/proc/self/fd"))

    with pytest.raises(SchedulerError):
        Doorbell(folder)

    assert (os.listdir(folder), len(os.listdir("/proc/self/fd"))) == ([], before)


# -- with everything else -----------------------------------------------------------------------


def test_a_commit_of_another_process_wakes_us_and_can_be_seen(tmp_path, program, wakeup):
    path = tmp_path / "task_queue.db"
    store = open_sqlite_store(path)
    bell = Bells(bells_folder(path)).listen()
    wakeup.add(bell)
    process = program(COMMITS, path)
    for number in range(20):
        process.stdin.write(f"{number}.md\n")

        assert wakeup.wait(20) == {"database"}

        assert store.project(number + 1) is not None
    bell.close()
    store.close()


def test_a_bell_wakes_within_milliseconds(folder, program, hear, wakeup, capsys):
    wakeup.add(hear())
    process = program(RINGS, folder)
    took_ms = []
    for _ in range(200):
        process.stdin.write("\n")
        assert wakeup.wait(20) == {"database"}
        heard = time.monotonic()
        took_ms.append((heard - float(process.stdout.readline())) * 1000)

    with capsys.disabled():
        print(f"\ndoorbell: {statistics.median(took_ms):.2f} / {max(took_ms):.2f} ms")
    assert statistics.median(took_ms) < 20


def test_a_ring_costs_microseconds(folder, hear):
    hear()
    bells = Bells(folder)
    before = resource.getrusage(resource.RUSAGE_SELF)

    for _ in range(2000):
        bells.ring()

    after = resource.getrusage(resource.RUSAGE_SELF)
    used_sec = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    assert used_sec / 2000 < 0.000_200


def test_ringing_imports_nothing_that_costs_time():
    loads = "import sys, pathlib, contextlib; before = set(sys.modules); "
    shows = "import scheduler_modules.adapters.doorbell; print(*set(sys.modules) - before)"

    said = subprocess.run(
        [sys.executable, "-c", loads + shows], check=True, capture_output=True, text=True
    ).stdout

    assert set(said.split()) == {
        "scheduler_modules",
        "scheduler_modules.adapters",
        "scheduler_modules.adapters.doorbell",
        "scheduler_modules.errors",
    }
