"""Text made harmless: what is kept of it, and what a carriage return leaves of a line."""

import pytest

from scheduler_modules.utils import one_line, plain_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("10%\r20%\r\n", "20%\n"),
        ("10%\r\x1b[K20%\r\r\nend", "20%\nend"),
        ("\r\rone\n\rtwo\r", "one\ntwo"),
        ("one\r\n\r\ntwo", "one\n\ntwo"),
        ("\r", ""),
    ],
)
def test_of_a_line_written_over_the_last_writing_is_kept(text, plain):
    assert plain_text(text) == plain


def test_nothing_of_a_name_is_hidden_by_a_return():
    assert one_line("rm -rf\rharmless") == "rm -rf harmless"
