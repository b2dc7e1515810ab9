"""Loads the named statements of `sql/`.

A statement begins with `-- name: NAME` and runs to the next such line. A suffix says what it gives
back: none - rows; `!` - the number of rows changed; `<!` - the id of the row inserted.
`-- part: NAME` is a piece of a statement, put in wherever `{NAME}` stands; it may hold others.
Other lines that begin with `--` are for readers. Parameters are written `:name`, the way sqlite3
takes them.
"""

import functools
import re
from pathlib import Path

import msgspec

_SQL_DIR = Path(__file__).parent / "sql"
_HEAD = re.compile(r"^-- (name|part): (\w+)(<!|!|)[ \t]*\n", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)
_PART = re.compile(r"\{(\w+)\}")


class Statements(msgspec.Struct, frozen=True):
    """Statements by name, one table for each kind of answer: a wrong use is a KeyError."""

    rows: dict[str, str]
    changes: dict[str, str]
    inserts: dict[str, str]

    def all(self) -> dict[str, str]:
        return self.rows | self.changes | self.inserts


@functools.cache
def load_statements(dialect: str) -> Statements:
    """Return the statements of `sql/common` and `sql/<dialect>`."""
    folders = (_SQL_DIR / "common", _SQL_DIR / dialect)
    files = [file for folder in folders for file in sorted(folder.glob("*.sql"))]
    return parse_statements("\n".join(file.read_text("utf-8") for file in files))


def parse_statements(text: str) -> Statements:
    """Split a text into its statements.

    Raises:
        ValueError: a name stands twice.
        KeyError: a statement uses a part that is not there.
    """
    pieces = _HEAD.split(text)[1:]
    heads = list(zip(pieces[0::4], pieces[1::4], pieces[2::4], pieces[3::4], strict=True))
    names = [name for _, name, _, _ in heads]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"named twice: {', '.join(sorted(twice))}")
    bodies = {name: _COMMENT.sub("", body).strip().rstrip(";") for _, name, _, body in heads}
    parts = {name: bodies[name] for kind, name, _, _ in heads if kind == "part"}
    found: dict[str, dict[str, str]] = {"": {}, "!": {}, "<!": {}}
    for kind, name, suffix, _ in heads:
        if kind == "name":
            found[suffix][name] = _whole(bodies[name], parts)
    return Statements(rows=found[""], changes=found["!"], inserts=found["<!"])


def _whole(text: str, parts: dict[str, str]) -> str:
    """Return the text with its parts put in, and theirs."""
    return _PART.sub(lambda match: _whole(parts[match[1]], parts), text)
