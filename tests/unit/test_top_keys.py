"""What a terminal sends, as keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_modules.cli.top_keys import KeyDecoder


def keys_of(content):
    decoder = KeyDecoder()
    return decoder.feed(content) + decoder.settle()


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        (b"\x1b[A", "up"),
        (b"\x1bOB", "down"),
        (b"\x1b[5~", "pgup"),
        (b"\x1b[6~", "pgdn"),
        (b"\x1b[1~", "home"),
        (b"\x1b[F", "end"),
        (b"\x1b[Z", "backtab"),
        (b"\t", "tab"),
        (b"\r", "enter"),
        (b"\n", "enter"),
        (b" ", "space"),
        (b"\x7f", "backspace"),
        (b"\x08", "backspace"),
        (b"\x0c", "ctrl-l"),
        (b"\x03", "ctrl-c"),
        (b"\x1b", "esc"),
        (b"q", "q"),
        ("ä".encode(), "ä"),
        ("語".encode(), "語"),
        ("😀".encode(), "😀"),
    ],
)
def test_each_key_has_its_name(sent, key):
    assert keys_of(sent) == [key]


@pytest.mark.parametrize("sent", [b"\x1b[11~", b"\x01", b"\x1b[<0;1;1M", b"\xff", b"\xc2\xa0"])
def test_what_is_no_key_of_ours_is_nothing(sent):
    assert keys_of(sent) == []


def test_a_stray_byte_takes_no_keys_with_it():
    assert keys_of(b"\xffjjjj") == ["j", "j", "j", "j"]


def test_several_at_once_come_one_by_one():
    assert keys_of(b"jj\x1b[Ax") == ["j", "j", "up", "x"]


@pytest.mark.parametrize("sent", [b"\x1b[A", "ä".encode(), b"\x1b[5~"])
def test_a_key_that_comes_in_pieces_is_one(sent):
    decoder = KeyDecoder()

    found = [key for number in range(len(sent)) for key in decoder.feed(sent[number : number + 1])]

    assert len(found) == 1


def test_an_escape_that_stays_alone_is_the_key():
    decoder = KeyDecoder()

    assert decoder.feed(b"\x1b") == []
    assert decoder.has_more_to_come
    assert decoder.settle() == ["esc"]
    assert not decoder.has_more_to_come


def test_an_escape_before_a_letter_is_both():
    assert keys_of(b"\x1bx") == ["esc", "x"]


def test_a_sequence_without_end_does_not_swallow_the_keyboard():
    assert keys_of(b"\x1b[" + b"1;" * 40)[0] == "esc"


def test_what_is_pasted_presses_nothing():
    assert keys_of(b"\x1b[200~xy\rqq\x1b[201~j") == ["j"]


def test_a_paste_in_pieces_presses_nothing_either():
    decoder = KeyDecoder()

    found = [*decoder.feed(b"\x1b[200~xy"), *decoder.feed(b"xy\x1b[2"), *decoder.feed(b"01~k")]

    assert found == ["k"]


def test_within_a_paste_nothing_is_waited_for():
    decoder = KeyDecoder()
    decoder.feed(b"\x1b[200~half")

    assert not decoder.has_more_to_come
    assert decoder.settle() == []


@given(st.binary(max_size=200))
def test_no_bytes_break_it_and_none_are_held_for_ever(content):
    decoder = KeyDecoder()

    decoder.feed(content)
    decoder.settle()

    assert not decoder.has_more_to_come
