"""Whatever is set, the answer is a configuration or one line that says what is wrong."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_modules.config import LoadedConfig, SchedulerConfig, load_config
from scheduler_modules.config_values import ALIASES, RULES
from scheduler_modules.errors import ConfigError

VARIABLES = sorted(
    {field.upper() for field in RULES}
    | {alias for aliases in ALIASES.values() for alias, _ in aliases}
    | {"TMUX_ORCHESTRATOR_HOME", "XDG_STATE_HOME", "HOME"}
)
# What an environment can hold: no NUL, bytes that are no UTF-8 as surrogates.
texts = st.binary(max_size=60).map(
    lambda content: content.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
tricky = st.sampled_from(
    [
        "",
        " ",
        "~",
        "~~",
        "~\udcff",
        "-1",
        "0",
        "1e309",
        "nan",
        "-inf",
        "1_000",
        "0x10",
        "٣",
        "true\n",
        "'",
        '"',
        "\\",
        "sqlite:///",
        "sqlite:////",
        "sqlite:////a/../b",
        "postgresql://u:p@h/d",
        "://@",
        "\x1b[2J",
        "a" * 5000,
        "/" * 5000,
        "9" * 5000,
    ]
)
environs = st.dictionaries(st.sampled_from(VARIABLES), texts | tricky, max_size=4)
toml_values = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(["true", "[]", "{}", '"x"', "''", "1979-05-27", "0xff", '"\\u0000"', "?"]),
)
toml_lines = st.builds(
    "{} = {}".format, st.sampled_from([name.lower() for name in VARIABLES]), toml_values
)


@pytest.fixture(scope="module")
def home():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def load(environ):
    """Return the configuration, or None if it was refused in one printable line."""
    try:
        loaded = load_config(environ)
    except ConfigError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1000
        return None
    assert isinstance(loaded, LoadedConfig)
    assert isinstance(loaded.config, SchedulerConfig)
    assert loaded.config.home.is_absolute()
    return loaded


def load_with(home, name, content):
    for other in (".env", "config.toml"):
        (home / other).write_bytes(content if other == name else b"")
    return load({"TMUX_ORCHESTRATOR_HOME": str(home)})


@given(environs)
def test_no_environment_brings_anything_but_a_refusal(environ):
    load(environ)


@given(st.binary(max_size=200))
def test_no_dotenv_file_brings_anything_but_a_refusal(home, content):
    load_with(home, ".env", content)


@given(st.sampled_from(VARIABLES), texts | tricky)
def test_no_assignment_in_dotenv_brings_anything_but_a_refusal(home, variable, text):
    content = f"{variable}={text}\n".encode("utf-8", "surrogateescape")
    load_with(home, ".env", content)


@given(st.binary(max_size=200))
def test_no_toml_file_brings_anything_but_a_refusal(home, content):
    load_with(home, "config.toml", content)


@given(st.lists(toml_lines, max_size=4))
def test_no_setting_in_toml_brings_anything_but_a_refusal(home, lines):
    load_with(home, "config.toml", "\n".join(lines).encode())


@given(st.text(st.characters(exclude_characters="'", exclude_categories=["Cc", "Cs"])))
def test_a_text_in_single_quotes_arrives_as_it_is(home, text):
    loaded = load_with(home, ".env", f"SMTP_PASSWORD='{text}'".encode())

    assert loaded is not None
    assert loaded.config.smtp_password == text


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_a_text_in_double_quotes_arrives_as_it_is(home, text):
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')

    loaded = load_with(home, ".env", f'SMTP_PASSWORD="{quoted}"'.encode())

    assert loaded is not None
    assert loaded.config.smtp_password == text


@given(st.integers(1, 1_000_000))
def test_every_count_in_range_is_taken(count):
    loaded = load({"MAX_CONCURRENT_PROJECTS": str(count), "HOME": "/nowhere"})

    assert loaded is not None
    assert loaded.config.max_concurrent_projects == count


@given(st.floats(0, 1_000_000_000))
def test_every_length_of_time_in_range_is_taken(seconds):
    loaded = load({"RETRY_DELAY_SEC": repr(seconds), "HOME": "/nowhere"})

    assert loaded is not None
    assert loaded.config.retry_delay_sec == seconds
