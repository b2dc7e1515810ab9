"""The files settings are written in: `.env` and `config.toml`."""

import errno
import os

import pytest

from scheduler_modules.config_sources import Given, from_dotenv, from_toml
from scheduler_modules.errors import ConfigError, ConfigFileError

VARIABLES = ("TICK_SEC", "LOG_FILE", "SMTP_USE_TLS")


@pytest.fixture
def dotenv(tmp_path):
    path = tmp_path / ".env"

    def read(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return {name: given.text for name, given in from_dotenv(path).items()}

    return read


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "config.toml"

    def read(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return from_toml(path, VARIABLES)

    return read


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("  A = 1  ", "1"),
        ("export A=1", "1"),
        ("export\tA=1", "1"),
        ("A=", ""),
        ("A= # nothing", ""),
        ("A=#1", ""),
        ("A=1 # one", "1"),
        ("A=1#2", "1#2"),
        ("A=b=c", "b=c"),
        ("A=two words", "two words"),
        ("A='single # $HOME \\n'", "single # $HOME \\n"),
        ("A='x'   # comment", "x"),
        ('A="double # \\"quoted\\" \\\\ \\n\\t\\$"', 'double # "quoted" \\ \n\t$'),
        ('A=""', ""),
        ("A=it's", "it's"),
        ("A=ä\u2028ö", "ä\u2028ö"),
        ("A=1\r", "1"),
    ],
)
def test_an_assignment_is_read(dotenv, line, value):
    assert dotenv(f"{line}\n") == {"A": value}


def test_comments_and_empty_lines_are_nothing(dotenv):
    assert dotenv("\n   \n# A=1\n  # B=2\n\t\n") == {}


def test_of_two_assignments_the_later_counts(dotenv):
    assert dotenv("A=1\nA=2\n") == {"A": "2"}


def test_names_of_other_programs_may_have_dots_and_hyphens(dotenv):
    assert dotenv("spring.url=x\nmy-key=y\n") == {"spring.url": "x", "my-key": "y"}


def test_a_byte_order_mark_and_a_missing_last_newline_do_no_harm(dotenv):
    assert dotenv(b"\xef\xbb\xbfA=1\r\nB=2") == {"A": "1", "B": "2"}


def test_the_line_is_remembered(tmp_path):
    path = tmp_path / ".env"
    path.write_text("# one\n\nA=1\n")

    assert from_dotenv(path)["A"] == Given("A", "1", f"{path}:3")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("A=1\nnonsense\n", ".env:2: expected NAME=value"),
        ("export A\n", ".env:1: expected NAME=value"),
        ("=1\n", ".env:1: expected NAME=value"),
        ("1A=1\n", ".env:1: expected NAME=value"),
        ("A='open\n", ".env:1: the quotes of A do not match"),
        ('\nA="open\n', ".env:2: the quotes of A do not match"),
        ('A="x" y\n', ".env:1: the quotes of A do not match"),
        ("A='x'y\n", ".env:1: the quotes of A do not match"),
        ('A="x\\"\n', ".env:1: the quotes of A do not match"),
        (b"A=1\nB=\xff\n", ".env:2: is not UTF-8 text"),
        (b"A" * (1 << 20) + b"A", ".env: is larger than 1,048,576 bytes"),
    ],
)
def test_a_malformed_file_is_told_with_its_line(dotenv, tmp_path, content, problem):
    with pytest.raises(ConfigError) as caught:
        dotenv(content)

    assert str(caught.value) == f"{tmp_path}/{problem}"


@pytest.mark.parametrize("put", [os.mkdir, os.mkfifo])
@pytest.mark.parametrize("read", [from_dotenv, lambda path: from_toml(path, VARIABLES)])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, put, read):
    path = tmp_path / "settings"
    put(path)

    with pytest.raises(ConfigFileError, match=r"settings: is not a regular file$"):
        read(path)


def test_a_file_that_cannot_be_opened_is_told(tmp_path, monkeypatch):
    path = tmp_path / ".env"

    def fail(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", fail)

    with pytest.raises(ConfigFileError, match=r"\.env: cannot be read: Permission denied$"):
        from_dotenv(path)


@pytest.mark.parametrize("read", [from_dotenv, lambda path: from_toml(path, VARIABLES)])
def test_no_file_says_nothing(tmp_path, read):
    assert read(tmp_path / "none") == {}


def test_reading_leaves_no_open_file(dotenv):
    before = len(os.listdir("/proc/self/fd"))

    dotenv("A=1\n")

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_given_value_is_not_in_its_printed_form():
    assert "secret" not in repr(Given("A", "secret", "environment"))


@pytest.mark.parametrize(
    ("content", "name", "text", "is_text"),
    [
        ("tick_sec = 2", "tick_sec", "2", False),
        ("TICK_SEC = 2.5", "TICK_SEC", "2.5", False),
        ('tick_sec = "2"', "tick_sec", "2", True),
        ("tick_sec = nan", "tick_sec", "nan", False),
        ("tick_sec = -inf", "tick_sec", "-inf", False),
    ],
)
def test_a_key_of_toml_is_a_variable(toml, tmp_path, content, name, text, is_text):
    assert toml(content) == {"TICK_SEC": Given(name, text, f"{tmp_path}/config.toml", is_text)}


def test_true_and_false_of_toml_are_words(toml):
    assert toml("smtp_use_tls = false")["SMTP_USE_TLS"].text == "false"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("tick_secs = 1", 'unknown key "tick_secs" (did you mean "tick_sec"?)'),
        ("Tick_Sec = 1", 'unknown key "Tick_Sec" (did you mean "tick_sec"?)'),
        ("zzz = 1", 'unknown key "zzz"'),
        ('"\\u001b[2J" = 1', 'unknown key "\\x1b[2J"'),
        ("tick_sec = 1\nTICK_SEC = 2", "TICK_SEC is set twice"),
        ("tick_sec = 1\ntick_sec = 2", "not valid TOML: Cannot overwrite a value"),
        ("tick_sec = ", "not valid TOML: Invalid value"),
        ("tick_sec = [1]", "tick_sec: expected a text, a number, true or false"),
        ("[tick_sec]", "tick_sec: expected a text, a number, true or false"),
        ("tick_sec = 2024-01-01", "tick_sec: expected a text, a number, true or false"),
        ("tick_sec = " + "[" * 100_000, "not valid TOML: a number or a nesting is too large"),
        ("tick_sec = " + "9" * 10_000, "not valid TOML: a number or a nesting is too large"),
        (b"\xff", "is not UTF-8 text"),
        ("home = '/x'", "home: the home folder is chosen by TMUX_ORCHESTRATOR_HOME"),
        ("TMUX_ORCHESTRATOR_HOME = '/x'", "the home folder is chosen by"),
    ],
)
def test_a_toml_file_that_cannot_be_used_is_told_in_one_line(toml, tmp_path, content, problem):
    with pytest.raises(ConfigFileError) as caught:
        toml(content)

    assert str(caught.value).startswith(f"{tmp_path}/config.toml:")
    assert problem in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_huge_hexadecimal_number_is_left_to_the_rules(toml):
    assert toml("tick_sec = 0x" + "f" * 10_000)["TICK_SEC"].text.startswith("0xfff")
