"""Named statements as PostgreSQL takes them, and their parameters on the way there."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from scheduler_modules.adapters.named_sql import Statements
from scheduler_modules.errors import InvalidInput

_MAX_INTEGER = 2**63 - 1
# By their numbers in pg_type, which never change. Text is left open: it fits wherever it stands.
_INT8, _FLOAT8, _OPEN = 20, 701, 0
# What is no parameter although a colon stands in it, then parameters.
_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | \$(\w*)\$.*?\$\1\$ | ::
        | :(?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)
_WRITES = re.compile(r"\b(insert\s+into|update\s+\w+\s+set|delete\s+from)\b", re.IGNORECASE)
_KEYED = re.compile(r"(insert\s+into|update)\s+project_(queue|run)\b", re.IGNORECASE)


class Unstorable(InvalidInput):
    """A parameter that no column can hold."""


class Statement(msgspec.Struct, frozen=True):
    """One statement. Its parameters are numbered in the order of `names`."""

    text: bytes
    names: tuple[str, ...] = ()
    is_write: bool = False
    may_clash: bool = False
    """It writes a table with unique indexes that say something to people."""


class PostgresStatements(msgspec.Struct, frozen=True):
    """Statements by name, one table for each kind of answer, as `named_sql.Statements`."""

    rows: dict[str, Statement]
    changes: dict[str, Statement]
    inserts: dict[str, Statement]

    def all(self) -> dict[str, Statement]:
        return self.rows | self.changes | self.inserts


def for_postgres(statements: Statements) -> PostgresStatements:
    """Return the statements with `$1` for the first `:name`, and so on."""
    return PostgresStatements(
        rows={name: rewrite(text) for name, text in statements.rows.items()},
        changes={name: rewrite(text) for name, text in statements.changes.items()},
        inserts={name: rewrite(text) for name, text in statements.inserts.items()},
    )


def rewrite(text: str) -> Statement:
    """Number the parameters of one statement; quoted text, comments and `::` stay as they are."""
    names: dict[str, int] = {}

    def numbered(match: re.Match[str]) -> str:
        name = match["name"]
        return match[0] if name is None else f"${names.setdefault(name, len(names) + 1)}"

    rewritten = _TOKEN.sub(numbered, text)
    return Statement(
        text=rewritten.encode(),
        names=tuple(names),
        is_write=_WRITES.search(text) is not None,
        may_clash=_KEYED.match(rewritten) is not None,
    )


def bind(
    statement: Statement, parameters: Mapping[str, Any]
) -> tuple[list[bytes | None], tuple[int, ...]]:
    """Return the statement's parameters in its order: their texts and their types.

    Raises:
        Unstorable: no column can hold one of them. The server has not been asked.
        KeyError: one is missing.
    """
    bound = [_bound(parameters[name]) for name in statement.names]
    return [value for value, _ in bound], tuple([kind for _, kind in bound])


def _bound(value: Any) -> tuple[bytes | None, int]:
    if value is None:
        return None, _OPEN
    if isinstance(value, str):
        return _bound_text(value), _OPEN
    if isinstance(value, float):
        return repr(value).encode(), _FLOAT8
    if isinstance(value, int):
        if abs(value) > _MAX_INTEGER:
            raise Unstorable("the database cannot hold this: a number over 64 bits")
        return b"%d" % value, _INT8
    raise TypeError(f"no column holds {type(value).__name__}")


def _bound_text(value: str) -> bytes:
    if "\0" in value:
        raise Unstorable("the database cannot hold this: text with a NUL character")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise Unstorable(f"the database cannot hold this: {error}") from error
