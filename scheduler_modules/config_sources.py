"""Where settings are written down: the environment, a `.env` file, a `config.toml`."""

import os
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from scheduler_modules.config_values import is_plain
from scheduler_modules.errors import ConfigFileError

_MAX_FILE_BYTES = 1 << 20
# Compiled when they are used: most calls use none.
_ASSIGNMENT = r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*)"
_SINGLE_QUOTED = r"'([^']*)'\s*(?:#.*)?"
_DOUBLE_QUOTED = r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?'
_COMMENT = r"(?:^|\s)#.*"
_ESCAPED = r"\\(.)"
_ESCAPES = {"n": "\n", "t": "\t"}


class Given(msgspec.Struct, frozen=True):
    """A value as some source has it."""

    name: str
    """As it is written there: what an error has to name."""
    text: str
    origin: str
    is_text: bool = True
    """False for numbers, true and false in config.toml."""

    def __repr__(self) -> str:
        return f"Given({self.name!r}, ***, {self.origin!r})"


def from_environment(environ: Mapping[str, str], variables: Collection[str]) -> dict[str, Given]:
    """Return what the environment says about these variables."""
    return {
        variable: Given(variable, environ[variable], "environment")
        for variable in variables
        if variable in environ
    }


def from_dotenv(path: Path) -> dict[str, Given]:
    """Return every assignment of a `.env` file; of two, the later. No file: nothing.

    One `NAME=value` a line, `export ` before it allowed. A value may stand in quotes: nothing is
    special in single ones; in double ones `\\n`, `\\t` and a backslash before any other
    character. Without quotes it ends at ` #` or at the end of the line. Nothing is expanded.

    Raises:
        ConfigFileError: it cannot be read, or a line is none of this.
    """
    values = {}
    for number, line in enumerate(_lines(path), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        assignment = re.fullmatch(_ASSIGNMENT, stripped)
        if assignment is None:
            raise ConfigFileError(path, "expected NAME=value", number)
        name, text = assignment.groups()
        value = _unquoted(text)
        if value is None:
            raise ConfigFileError(path, f"the quotes of {name} do not match", number)
        values[name] = Given(name, value, f"{path}:{number}")
    return values


def from_toml(path: Path, variables: Collection[str]) -> dict[str, Given]:
    """Return what a config.toml says: variables as keys, in lower or upper case. No file: nothing.

    Raises:
        ConfigFileError: it cannot be read, is no TOML, or has a key or a table that is no setting.
    """
    text = _read(path)
    if text is None:
        return {}
    values: dict[str, Given] = {}
    for key, value in _toml(path, text).items():
        variable = key.upper()
        if variable not in variables or key not in {variable, variable.lower()}:
            raise ConfigFileError(path, _unknown_key(key, variables))
        if variable in values:
            raise ConfigFileError(path, f"{key} is set twice")
        values[variable] = _given(path, key, value)
    return values


def _given(path: Path, key: str, value: object) -> Given:
    match value:
        case bool():
            return Given(key, str(value).lower(), str(path), is_text=False)
        case int():
            # Decimal digits of a huge number cannot be had; its hexadecimal ones are refused.
            return Given(key, str(value) if abs(value) < 1 << 90 else hex(value), str(path), False)
        case float():
            return Given(key, repr(value), str(path), is_text=False)
        case str():
            return Given(key, value, str(path))
        case _:
            raise ConfigFileError(path, f"{key}: expected a text, a number, true or false")


def _toml(path: Path, text: str) -> dict[str, object]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigFileError(path, f"not valid TOML: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigFileError(path, "not valid TOML: a number or a nesting is too large") from error


def _unknown_key(key: str, variables: Collection[str]) -> str:
    if key.lower() in {"home", "tmux_orchestrator_home"}:
        return f"{key}: the home folder is chosen by TMUX_ORCHESTRATOR_HOME in the environment"
    import difflib

    shown = key if is_plain(key) and len(key) <= 60 else ascii(key[:60]).strip("'")
    known = [variable.lower() for variable in variables]
    close = difflib.get_close_matches(key[:60].lower(), known, n=1)
    hint = f' (did you mean "{close[0]}"?)' if close else ""
    return f'unknown key "{shown}"{hint}'


def _unquoted(text: str) -> str | None:
    """Return the value meant by the right side of an assignment; None for unmatched quotes."""
    if text.startswith("'"):
        quoted = re.fullmatch(_SINGLE_QUOTED, text)
        return quoted[1] if quoted else None
    if text.startswith('"'):
        quoted = re.fullmatch(_DOUBLE_QUOTED, text)
        return re.sub(_ESCAPED, _unescaped, quoted[1]) if quoted else None
    return re.sub(_COMMENT, "", text).rstrip()


def _unescaped(escape: re.Match[str]) -> str:
    return _ESCAPES.get(escape[1], escape[1])


def _lines(path: Path) -> list[str]:
    text = _read(path)
    # Not splitlines(): that breaks at characters which are no line ends to anybody else.
    return [] if text is None else text.replace("\r\n", "\n").split("\n")


def _read(path: Path) -> str | None:
    """Return the text of a file of settings; None if there is no such file."""
    try:
        content = _content(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigFileError(path, f"cannot be read: {error.strerror}") from error
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigFileError(path, f"is larger than {_MAX_FILE_BYTES:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigFileError(path, "is not UTF-8 text", line) from error


def _content(path: Path) -> bytes:
    # A FIFO put in its place must not block us.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ConfigFileError(path, "is not a regular file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(_MAX_FILE_BYTES + 1)
    finally:
        os.close(handle)
