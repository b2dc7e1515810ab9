"""A window's log: its beginning, its end, and where something is missing between."""

import pytest

from scheduler_modules.adapters.run_log import RunLog

CAP = 10


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "main.log")


class Log:
    """Writes as `window_log.sh` does, with a cap of ten bytes."""

    def __init__(self, path) -> None:
        self.path = path
        self._written = 0

    def write(self, content: bytes) -> None:
        for byte in content:
            number = self._written // CAP
            if number >= 3 and self._written % CAP == 0:
                self._piece(number - 2).unlink()
            with self._piece(number).open("ab") as piece:
                piece.write(bytes([byte]))
            self._written += 1

    def begin_anew(self) -> None:
        for piece in self.path.parent.glob("main.log.*"):
            piece.unlink()
        self.path.write_bytes(b"")
        self._written = 0

    def _piece(self, number):
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path


def test_a_log_that_is_not_there_is_empty(log):
    assert RunLog(log.path).read_all() == b""
    assert RunLog(log.path).tail_lines(3) == b""


def test_a_log_in_a_folder_that_is_not_there_is_empty(tmp_path):
    assert RunLog(tmp_path / "none" / "main.log").read_new() == b""


def test_a_short_log_is_read_whole(log):
    log.write(b"abc\n")

    assert RunLog(log.path).read_all() == b"abc\n"


def test_pieces_are_read_in_the_order_they_were_written(log):
    log.write(b"0123456789abcdefghijABCDE")

    assert RunLog(log.path).read_all() == b"0123456789abcdefghijABCDE"


def test_where_bytes_were_cut_a_mark_says_how_many(log):
    log.write(b"0123456789" + b"x" * 20 + b"abcdefghijABCDE")

    assert RunLog(log.path).read_all() == b"".join(
        [b"0123456789", b"\n[... 20 bytes cut here ...]\n", b"abcdefghijABCDE"]
    )


def test_the_tenth_piece_comes_after_the_ninth(log):
    log.write(b"0123456789" + b"x" * 80 + b"9999999999" + b"10")

    assert RunLog(log.path).read_all().endswith(b"999999999910")


def test_files_of_other_windows_are_no_pieces(log):
    log.write(b"abc")
    log.path.with_name("main.log.old").write_bytes(b"no")
    log.path.with_name("main2.log.1").write_bytes(b"no")

    assert RunLog(log.path).read_all() == b"abc"


@pytest.mark.parametrize(
    "count, lines",
    [(1, b"three"), (2, b"two\nthree"), (9, b"one\ntwo\nthree"), (0, b""), (-1, b"")],
)
def test_the_last_lines_include_the_unfinished_one(log, count, lines):
    log.write(b"one\ntwo\nthree")

    assert RunLog(log.path).tail_lines(count) == lines


def test_the_end_of_a_line_makes_no_line(log):
    log.write(b"one\ntwo\n")

    assert RunLog(log.path).tail_lines(1) == b"two\n"


def test_the_last_lines_may_reach_over_pieces(log):
    log.write(b"a long line\nand another\nx\n")

    assert RunLog(log.path).tail_lines(2) == b"and another\nx\n"


def test_last_lines_that_are_far_from_the_end_are_found(tmp_path):
    path = tmp_path / "main.log"
    path.write_bytes(b"first\n" + b"x" * 200_000 + b"\nlast\n")

    assert RunLog(path).tail_lines(3)[:8] == b"first\nxx"


def test_the_last_bytes_reach_over_pieces(log):
    log.write(b"0123456789abcdefghijAB")

    assert RunLog(log.path).tail_bytes(5) == b"hijAB"


def test_a_tail_that_begins_in_what_was_cut_says_so(log):
    log.write(b"0123456789" + b"x" * 20 + b"abcdefghijABCDE")

    assert RunLog(log.path).tail_bytes(18) == b"\n[... 20 bytes cut here ...]\nabcdefghijABCDE"


def test_following_gives_each_byte_once(log):
    follower = RunLog(log.path)
    text = bytes(range(65, 91)) * 2

    seen = b""
    for byte in text:
        log.write(bytes([byte]))
        seen += follower.read_new()

    assert seen == text


def test_following_with_nothing_new_gives_nothing(log):
    follower = RunLog(log.path)
    log.write(b"abc")
    follower.read_new()

    assert follower.read_new() == b""


def test_following_goes_on_after_the_last_lines(log):
    follower = RunLog(log.path)
    log.write(b"one\ntwo\n")
    follower.tail_lines(1)

    log.write(b"three\n")

    assert follower.read_new() == b"three\n"


def test_following_goes_on_after_the_whole(log):
    follower = RunLog(log.path)
    log.write(b"one\n")
    follower.read_all()

    log.write(b"two\n")

    assert follower.read_new() == b"two\n"


def test_a_follower_that_was_too_slow_is_told_what_it_missed(log):
    follower = RunLog(log.path)
    log.write(b"0123456789abc")
    follower.read_new()

    log.write(b"x" * 27 + b"ABC")

    assert follower.read_new() == b"\n[... 17 bytes cut here ...]\n" + b"x" * 10 + b"ABC"


def test_a_follower_of_a_log_that_began_anew_reads_it_from_its_start(log):
    follower = RunLog(log.path)
    log.write(b"the first attempt")
    follower.read_new()

    log.begin_anew()
    log.write(b"new")

    assert follower.read_new() == b"new"


def test_a_piece_that_goes_between_listing_and_reading_is_told_as_cut(log):
    log.write(b"0123456789abcdefghijABC")
    vanished = log.path.with_name("main.log.1")
    vanished.unlink()
    vanished.symlink_to("nowhere")  # listed, but it cannot be opened

    assert RunLog(log.path).read_all() == b"0123456789\n[... 10 bytes cut here ...]\nABC"
