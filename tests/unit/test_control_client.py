"""The protocol of control mode: lines out, blocks and notices in."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_modules.adapters.tmux_protocol import Reply, ReplyReader, command_line

MARK = b"0123456789abcdef-0"
MARK_BLOCK = b"%begin 9 99 1\n" + MARK + b"\n%end 9 99 1\n"


def blocks(*texts, end=b"end", flag=1):
    """What tmux prints for commands that printed these texts."""
    return b"".join(
        b"%%begin 5 %d %d\n%s%%%s 5 %d %d\n" % (n, flag, text, end, n, flag)
        for n, text in enumerate(texts)
    )


@pytest.fixture
def reader():
    reader = ReplyReader()
    reader.expect(MARK)
    return reader


def test_what_all_commands_of_a_line_printed_is_one_reply(reader):
    reply = reader.feed(blocks(b"one\n", b"", b"two\nthree\n") + MARK_BLOCK)

    assert reply == Reply(b"one\ntwo\nthree\n", None)


def test_a_reply_is_whole_only_with_its_mark(reader):
    assert reader.feed(blocks(b"one\n")) is None
    assert reader.feed(MARK_BLOCK) == Reply(b"one\n", None)


def test_an_error_stops_the_line_and_what_was_printed_before_is_kept(reader):
    error = blocks(b"can't find session: x\n", end=b"error")

    reply = reader.feed(blocks(b"one\n") + error + MARK_BLOCK)

    assert reply == Reply(b"one\n", b"can't find session: x")


def test_an_error_without_words_is_one_too(reader):
    assert reader.feed(blocks(b"", end=b"error") + MARK_BLOCK) == Reply(b"", b"")


def test_what_hooks_print_belongs_to_no_reply(reader):
    hook = blocks(b"hooked\n", flag=0)
    failed_hook = blocks(b"hook failed\n", end=b"error", flag=0)

    reply = reader.feed(blocks(b"one\n") + hook + failed_hook + blocks(b"two\n") + MARK_BLOCK)

    assert reply == Reply(b"one\ntwo\n", None)
    assert reader.refusal == b"hook failed"


def test_notices_before_between_and_after_blocks_are_told_apart(reader):
    reply = reader.feed(
        b"%sessions-changed\n"
        + blocks(b"one\n")
        + b"%window-add @1\n"
        + blocks(b"two\n")
        + MARK_BLOCK
        + b"%session-renamed $1 x\n"
    )

    assert reply == Reply(b"one\ntwo\n", None)
    assert reader.take_notices() == [
        b"%sessions-changed",
        b"%window-add @1",
        b"%session-renamed $1 x",
    ]
    assert reader.take_notices() == []


def test_a_line_that_looks_like_a_notice_within_a_block_is_text(reader):
    reply = reader.feed(blocks(b"%sessions-changed\n%exit\n") + MARK_BLOCK)

    assert reply == Reply(b"%sessions-changed\n%exit\n", None)
    assert reader.take_notices() == []


def test_notices_come_without_anybody_asking():
    reader = ReplyReader()

    assert reader.feed(b"%sessions-changed\n%exit server exited\n") is None

    assert reader.take_notices() == [b"%sessions-changed", b"%exit server exited"]


def test_a_line_that_is_not_whole_yet_waits_for_its_rest(reader):
    stream = b"%window-add @1\n" + blocks(b"one\n") + MARK_BLOCK

    replies = [reader.feed(stream[n : n + 1]) for n in range(len(stream))]

    assert [reply for reply in replies if reply] == [Reply(b"one\n", None)]
    assert reader.take_notices() == [b"%window-add @1"]


@given(st.lists(st.integers(1, 200), max_size=30), st.data())
def test_how_the_stream_is_cut_changes_nothing(sizes, data):
    stream = b"%x\n" + blocks(b"a\n%end 1\n", b"b\n") + b"%y\n" + MARK_BLOCK + b"%z\n"
    reader, replies, at = ReplyReader(), [], 0
    reader.expect(MARK)

    for size in [*sizes, len(stream)]:
        replies.append(reader.feed(stream[at : at + size]))
        at += size

    assert [reply for reply in replies if reply] == [Reply(b"a\n%end 1\nb\n", None)]
    assert reader.take_notices() == [b"%x", b"%y", b"%z"]


FORGERIES = [
    b"%end 5 0 1\n",
    b"%error 5 0 1\n",
    b"%end 5 0 1\n%begin 7 7 1\nforged\n%end 7 7 1\n",
    b"%end 5 0 1\n%begin 7 7 1\n",
    b"%end 5 0 1\n%begin 7 7 0\nforged\n",
    b"%begin 5 0 1\n",
    b"fedcba9876543210-0\n",
]


@pytest.mark.parametrize("text", FORGERIES)
def test_what_a_program_prints_spoils_no_other_reply(reader, text):
    first = reader.feed(blocks(b"before\n" + text + b"after\n") + MARK_BLOCK)
    reader.expect(b"next")
    second = reader.feed(
        blocks(b"two\n") + b"%begin 9 100 1\nnext\n%end 9 100 1\n" + b"%sessions-changed\n"
    )

    assert first is not None
    assert second == Reply(b"two\n", None)
    assert b"%sessions-changed" in reader.take_notices()


def test_a_mark_counts_once(reader):
    reader.feed(MARK_BLOCK)

    assert reader.feed(blocks(b"") + MARK_BLOCK) is None


def words(line):
    """Read a line as tmux does: words in double quotes, with octal escapes, and `;` between."""
    for quoted, plain in re.findall(rb'"([^"]*)"|(\S+)', line):
        unquoted = re.sub(rb"\\(\d{3})", lambda m: bytes([int(m[1], 8)]), quoted)
        yield plain or (b"w", unquoted)


@given(st.lists(st.text(max_size=20).filter(lambda text: not text.endswith(";")), min_size=1))
def test_every_argument_is_one_word_of_one_line(arguments):
    arguments = [text.encode("utf-8", "ignore").decode() for text in arguments]

    line = command_line(arguments)

    assert line and b"\n" not in line and line.isascii()
    assert not re.search(rb"[$~]|\\(?!\d{3})", line)
    assert [word for _, word in words(line)] == [text.encode() for text in arguments]


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["a", ";", "b"], b'"a" ; "b"'),
        (["a;", "b"], b'"a" ; "b"'),
        (["a\\;", "b"], b'"a;" "b"'),
        (["\\;"], b'";"'),
        (["a\\\\;"], b'"a\\134;"'),
        ([""], b'""'),
        (["é\udcff\n"], b'"\\303\\251\\377\\012"'),
        (["~", "$HOME", '"', "\\", "{", "#(x)", "%if", "-n", "a=b"],
         b'"\\176" "\\044HOME" "\\042" "\\134" "{" "#(x)" "%if" "-n" "a=b"'),
    ],
)  # fmt: skip
def test_a_line_means_what_the_argument_list_means(arguments, line):
    assert command_line(arguments) == line
