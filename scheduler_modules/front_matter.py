"""Finds a spec's front matter and reads it into nodes that know their lines. Pure.

YAML is read as events: every scalar stays the text it is (`1:30` is no number), nothing is
built that an alias or a tag could blow up, and every node knows where it stands. Most front matter
is plainer than YAML can be: that is read without the YAML reader, whose import costs more than all
else that `add` does.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Union

import msgspec

from scheduler_modules.errors import SpecError
from scheduler_modules.utils import one_line

if TYPE_CHECKING:
    import yaml

MAX_FRONT_MATTER_BYTES = 65_536
MAX_DEPTH = 8

_BEGIN = re.compile(r"\ufeff?---[ \t]*(?=[\r\n]|\Z)")
_END = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE)
# Editors and YAML disagree on whether NEL, LS and PS end a line; refused, line numbers are true.
_UNREADABLE = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]"
_BROKEN = r"[\x00\ud800-\udfff]"
# Where `key: value` means in YAML what it looks like: no quotes, brackets, colons or comments that
# could make it more, on a line of its own.
_PLAIN_LINE = re.compile(r"([a-z_]+):(?: +(?:(-?[A-Za-z0-9_./][ -\"$-9;-~]*?)|\[([^\[\]]*)\]))? *")
_PLAIN_ITEM = re.compile(r" *([A-Za-z0-9_./][A-Za-z0-9_./-]*) *")
_FIRST_LINE = 2
"""Line of the file on which the text between the fences begins."""
_HINTS = (
    ("mapping values are not allowed", "align the keys, and quote a value that holds a colon"),
    ("cannot start any token", "indent with spaces, and quote a value that begins with @ ` % or {"),
    ("tab", "indent with spaces"),
    ("sequence entries", "begin a list on a line of its own"),
    ("flow", "close every bracket, and quote a value that holds { or ["),
    ("quoted scalar", "close the quote"),
    ("block mapping", "align the keys, and quote all of a value that begins with a quote, { or ["),
)


class Text(msgspec.Struct, frozen=True):
    """A scalar. `is_plain`: it was written without quotes."""

    line: int
    text: str
    is_plain: bool = True

    @property
    def is_null(self) -> bool:
        """Whether nothing stands there, or YAML's word for nothing."""
        return self.is_plain and self.text.lower() in {"", "~", "null"}


class Items(msgspec.Struct, frozen=True):
    """A sequence."""

    line: int
    nodes: tuple["Node", ...]


class Entry(msgspec.Struct, frozen=True):
    """One value of a mapping, and the line of its key."""

    key_line: int
    value: "Node"


class Section(msgspec.Struct, frozen=True):
    """A mapping, in the order of the file."""

    line: int
    entries: dict[str, Entry]


Node = Union[Text, Items, Section]  # noqa: UP007 - the names above are still strings to `|`


def read_front_matter(text: str, path: str) -> Section | None:
    """Return the front matter of a spec's text; None if it has none, empty if it says nothing.

    It begins if the first line is `---` and ends at the next `---` or `...`.

    Raises:
        SpecError: it is not closed, too large, or not YAML of the plain kind.
    """
    block = _block(text, path)
    if block is None:
        return None
    root = _read_plain(block) or _build(block, path)
    if root is None or (isinstance(root, Text) and root.is_null):
        return Section(_FIRST_LINE, {})
    if not isinstance(root, Section):
        raise SpecError(path, "front matter must be lines of the form key: value", root.line)
    return root


def _block(text: str, path: str) -> str | None:
    begin = _BEGIN.match(text)
    if begin is None:
        return None
    rest = text[begin.end() :].replace("\r\n", "\n").replace("\r", "\n").removeprefix("\n")
    end = _END.search(rest)
    if end is None:
        raise SpecError(
            path,
            "front matter begins here and never ends: close it with a line ---, "
            "or put an empty line first if none is meant",
            1,
        )
    block = rest[: end.start()]
    if len(block.encode("utf-8", "surrogatepass")) > MAX_FRONT_MATTER_BYTES:
        raise SpecError(path, "front matter is larger than 64 KiB: move its content into files", 1)
    is_plain = block.replace("\n", "").isprintable()
    unreadable = None if is_plain else re.search(_UNREADABLE, block)
    if unreadable:
        line = block.count("\n", 0, unreadable.start()) + _FIRST_LINE
        raise SpecError(path, f"invisible character {unreadable.group()!a}: remove it", line)
    return block


def _read_plain(block: str) -> Section | None:
    """Return front matter of which every line is a key and plain words, or a list of such.

    None: it is something else, and YAML's business.
    """
    entries: dict[str, Entry] = {}
    for line, content in enumerate(block.split("\n"), _FIRST_LINE):
        if not content:
            continue
        match = _PLAIN_LINE.fullmatch(content)
        if match is None or match[1] in entries:
            return None
        node = _plain_node(line, match[2], match[3])
        if node is None:
            return None
        entries[match[1]] = Entry(line, node)
    first = next(iter(entries.values()), None)
    return None if first is None else Section(first.key_line, entries)


def _plain_node(line: int, words: str | None, items: str | None) -> Node | None:
    if words is not None:
        return Text(line, words)
    if items is None:
        return None
    found = [_PLAIN_ITEM.fullmatch(item) for item in items.split(",")]
    return Items(line, tuple(Text(line, item[1]) for item in found if item)) if all(found) else None


def _events(block: str, path: str) -> Iterator["yaml.Event"]:
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        yield from yaml.parse(block, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        last = block.rstrip("\n").count("\n")
        line = min(mark.line, last) if mark else 0
        raise SpecError(path, _explain(error), line + _FIRST_LINE) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The pure Python reader lets impossible escapes such as "\UFFFFFFFF" through to chr().
        problem = f"not valid YAML: {one_line(str(error))}; write it without escapes"
        raise SpecError(path, problem, _FIRST_LINE) from error


def _explain(error: "yaml.MarkedYAMLError") -> str:
    said = one_line(" ".join(filter(None, (error.context, error.problem))))
    hints = (hint for sign, hint in _HINTS if sign in said)
    return f"not valid YAML: {said}; {next(hints, 'check quotes, brackets and indentation')}"


class _Open(msgspec.Struct):
    """A collection whose end was not seen yet; a mapping's nodes are key, value, key, value."""

    line: int
    is_mapping: bool
    nodes: list[Node]


def _build(block: str, path: str) -> Node | None:
    import yaml

    top = _Open(_FIRST_LINE, False, [])
    stack = [top]
    for event in _events(block, path):
        line = _FIRST_LINE + (event.start_mark.line if event.start_mark else 0)
        if isinstance(event, yaml.NodeEvent):
            _refuse_marks(event, path, line)
        if isinstance(event, yaml.ScalarEvent):
            stack[-1].nodes.append(_text(event, path, line))
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(stack) > MAX_DEPTH:
                raise SpecError(path, f"nested deeper than {MAX_DEPTH} levels: flatten it", line)
            stack.append(_Open(line, isinstance(event, yaml.MappingStartEvent), []))
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = stack.pop()
            stack[-1].nodes.append(_close(closed, path))
        elif isinstance(event, yaml.DocumentStartEvent) and top.nodes:
            raise SpecError(path, "a second YAML document begins here: remove it", line)
    return top.nodes[0] if top.nodes else None


def _refuse_marks(event: "yaml.NodeEvent", path: str, line: int) -> None:
    if event.anchor is not None:
        raise SpecError(path, "anchors and aliases (& and *) are refused: write it out", line)
    if getattr(event, "tag", None) is not None:
        raise SpecError(path, "tags (!) are refused: quote the value if it begins with !", line)


def _text(event: "yaml.ScalarEvent", path: str, line: int) -> Text:
    if re.search(_BROKEN, event.value):
        raise SpecError(path, "a value holds a NUL or half a character: remove the escape", line)
    return Text(line, event.value, not event.style)


def _close(closed: _Open, path: str) -> Node:
    if not closed.is_mapping:
        return Items(closed.line, tuple(closed.nodes))
    entries: dict[str, Entry] = {}
    for key, value in zip(closed.nodes[::2], closed.nodes[1::2], strict=True):
        if not isinstance(key, Text):
            raise SpecError(path, "a key must be a word: quote what begins with { or [", key.line)
        if key.text in entries:
            first = entries[key.text].key_line
            shown = one_line(key.text, 40)
            raise SpecError(
                path, f'"{shown}" stands already on line {first}: keep one of the two', key.line
            )
        entries[key.text] = Entry(key.line, value)
    return Section(closed.line, entries)
