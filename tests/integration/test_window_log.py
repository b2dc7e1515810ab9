"""The keeper of a window's log: capped, live, and no trouble to anybody."""

import subprocess
import threading
from pathlib import Path

import pytest

from scheduler_modules import adapters
from scheduler_modules.adapters.run_log import RunLog
from tests.full_disk import on_a_full_disk
from tests.waiting import wait_until

WINDOW_LOG = str(Path(adapters.__file__).with_name("window_log.sh"))


class Keeper:
    """`window_log.sh` on a pipe."""

    def __init__(self, path: Path, cap: int) -> None:
        self.path = path
        self._process = subprocess.Popen(
            ["/bin/sh", WINDOW_LOG, str(cap), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def write(self, content: bytes) -> None:
        self._process.stdin.write(content)
        self._process.stdin.flush()

    def end(self) -> tuple[int, bytes]:
        said, _ = self._process.communicate(timeout=20)
        return self._process.returncode, said

    def sizes(self):
        pieces = self.path.parent.glob(f"{self.path.name}*")
        return {piece.name: piece.stat().st_size for piece in pieces}


def text_of(size: int) -> bytes:
    return b"".join(b"%09d\n" % n for n in range(size // 10 + 1))[:size]


def test_a_short_log_is_one_file(tmp_path):
    keeper = Keeper(tmp_path / "main.log", 1000)
    keeper.write(b"hello\n")

    assert keeper.end() == (0, b"")
    assert (tmp_path / "main.log").read_bytes() == b"hello\n"
    assert list(keeper.sizes()) == ["main.log"]


def test_a_log_of_exactly_the_cap_is_one_file(tmp_path):
    keeper = Keeper(tmp_path / "main.log", 1000)
    keeper.write(text_of(1000))
    keeper.end()

    assert keeper.sizes() == {"main.log": 1000}


@pytest.mark.parametrize("cap", [1, 100, 512, 1000, 1536])
def test_the_beginning_is_kept_for_good_and_the_newest_end(tmp_path, cap):
    text = text_of(cap * 7 + cap // 2)
    keeper = Keeper(tmp_path / "main.log", cap)
    keeper.write(text)
    keeper.end()

    kept = RunLog(tmp_path / "main.log").read_all()

    assert kept.startswith(text[:cap])
    assert kept.endswith(text[-cap:])
    assert b" bytes cut here " in kept


def test_never_more_than_two_pieces_follow_the_first(tmp_path):
    keeper = Keeper(tmp_path / "main.log", 2000)
    writer = threading.Thread(target=keeper.write, args=(text_of(150_000),))
    writer.start()
    most = 0
    while writer.is_alive():
        most = max(most, len(list(tmp_path.glob("main.log*"))))
    keeper.end()

    assert 1 <= most <= 3
    assert all(size <= 2000 for size in keeper.sizes().values())


def test_bytes_can_be_seen_as_they_come(tmp_path):
    keeper = Keeper(tmp_path / "main.log", 1000)
    log = RunLog(tmp_path / "main.log")

    keeper.write(b"no end of line yet")

    wait_until(lambda: log.read_new() == b"no end of line yet", "the bytes to be seen")
    keeper.write(b"x" * 1500 + b"!")
    wait_until(lambda: RunLog(tmp_path / "main.log").read_all().endswith(b"!"), "the last byte")
    keeper.end()


def test_bytes_that_come_one_by_one_are_all_kept(tmp_path):
    text = text_of(700)
    keeper = Keeper(tmp_path / "main.log", 300)
    log = RunLog(tmp_path / "main.log")
    seen = b""
    for n in range(0, 700, 7):
        keeper.write(text[n : n + 7])
        seen += log.read_new()
    keeper.end()

    assert seen + log.read_new() == text


def test_a_log_that_is_begun_anew_has_nothing_of_the_old_one(tmp_path):
    first = Keeper(tmp_path / "main.log", 10)
    first.write(text_of(1000))
    first.end()

    second = Keeper(tmp_path / "main.log", 10)
    second.write(b"new")
    second.end()

    assert second.sizes() == {"main.log": 3}


def test_a_log_is_for_its_owner_only(tmp_path):
    keeper = Keeper(tmp_path / "main.log", 10)
    keeper.write(text_of(50))
    keeper.end()

    assert all(piece.stat().st_mode & 0o077 == 0 for piece in tmp_path.glob("main.log*"))


def test_a_log_in_a_folder_that_is_gone_ends_quietly(tmp_path):
    keeper = Keeper(tmp_path / "none" / "main.log", 10)

    _, said = keeper.end()

    assert said == b""


def test_on_a_full_disk_the_log_ends_quietly(tmp_path):
    script = 'yes | /bin/sh "$1" 20000 "$0/main.log"; echo "code $?"; rm "$0/filler"; ls "$0"'

    done = on_a_full_disk(tmp_path, "fill;" + script, WINDOW_LOG)

    assert done.stderr == ""
    assert "code" in done.stdout
