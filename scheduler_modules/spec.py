"""Turns a spec's text into a frozen `Spec`; every refusal has file, line and hint.

A spec is a file, usually Markdown, whose content is for whoever carries it out. Optional front
matter says how to run it; without one, and in `.json` files, all of it is content.
"""

import codecs
import os
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import Meta

from scheduler_modules.agents import AGENT_PROFILES
from scheduler_modules.argv_template import split_command
from scheduler_modules.errors import InvalidInput, SpecError
from scheduler_modules.front_matter import Items, Node, Section, Text, read_front_matter
from scheduler_modules.utils import DEFAULT_GROUP, GROUP_PATTERN, ROLE_PATTERN, one_line

MAX_SPEC_BYTES = 16 * 1_048_576
MAX_WINDOWS = 32
MAX_AFTER = 100
MAX_ENV_BYTES = 8192
MAIN_ROLE, LAUNCHER_ROLE, VERIFY_ROLE = "main", "launcher", "verify"

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OUR_ENV = frozenset({"TMUX_ORCHESTRATOR_HOME", "TMUX", "TMUX_PANE"})
_ELEMENT = re.compile(r"\[(\d+)\]")
_COMMAND = "a command line or a list of arguments; quote it if it begins with { or ["
_GROUP = "a name of at most 40 letters, digits, _, . and -"
_WINDOWS = "a list such as [{role: tester, command: make test}]"
_Keys = Mapping[str, tuple[Any, str]]
# Key: the type its value is converted to, and the same in words.
_SPEC_KEYS: _Keys = MappingProxyType(
    {
        "command": (str | list[str], _COMMAND),
        "agent": (str, "the name of an agent profile"),
        "windows": (list[Any], _WINDOWS),
        "priority": (
            Annotated[int, Meta(ge=-1000, le=1000)],
            "a whole number from -1000 to 1000 (higher runs first)",
        ),
        "timeout_minutes": (
            Annotated[float, Meta(ge=0, le=525_600)],
            "a number of minutes from 0 (none) to 525600",
        ),
        "after": (str | list[str], "a list of specs, such as [other-spec.md]"),
        "group": (str, _GROUP),
        "verify": (str | list[str], _COMMAND),
        "retries": (Annotated[int, Meta(ge=0, le=100)], "a whole number from 0 to 100"),
        "checkin_minutes": (
            Annotated[int, Meta(ge=0, le=10_080)],
            "a whole number of minutes from 0 (none) to 10080",
        ),
        "env": (dict[str, Any], "a mapping such as {NAME: value}"),
    }
)
_WINDOW_KEYS: _Keys = MappingProxyType(
    {"role": (str, "a name such as tester"), "command": (str | list[str], _COMMAND)}
)


class SpecWindow(msgspec.Struct, frozen=True):
    """A window a spec asks for. `command` None: what its place in the session implies."""

    role: str
    command: tuple[str, ...] | None = None


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a spec says about how it is to be run. None: it says nothing, a default applies.

    Commands are argument lists with placeholders still in them.
    """

    name: str
    command: tuple[str, ...] | None = None
    agent: str | None = None
    windows: tuple[SpecWindow, ...] = ()
    priority: int = 0
    """Higher runs first."""
    timeout_sec: float | None = None
    """0 means no limit."""
    after: tuple[str, ...] = ()
    """Paths of other specs, as written: relative ones are meant from the spec's folder."""
    group: str | None = None
    """Of the queue; empty is the default one."""
    verify: tuple[str, ...] | None = None
    retries: int | None = None
    checkin_minutes: int | None = None
    """0 means no check-ins."""
    env: Mapping[str, str] = msgspec.field(default_factory=dict)


def project_name(path: str | Path) -> str:
    """Return the project name of a spec: its stem in lower case, `_` as `-`; never empty."""
    return Path(path).stem.lower().replace("_", "-") or "project"


def read_spec(path: Path) -> Spec:
    """Read a spec file. Never hangs on a device or pipe, never reads more than 16 MiB.

    Raises:
        SpecError: the file cannot be used, or its front matter is wrong.
    """
    shown = shown_path(path)
    try:
        raw = _read_regular(path, shown)
        text = raw.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SpecError(shown, "not UTF-8 text: save it as UTF-8", line) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SpecError(shown, "no such file: check the path") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise SpecError(shown, f"cannot be read ({why}): check the path and its rights") from error
    except ValueError as error:
        raise SpecError(shown, "a path cannot hold a NUL or broken characters") from error
    return parse_spec(text, str(path))


def parse_spec(text: str, path: str) -> Spec:
    """Return what a spec's text says; `path` gives the project's name and stands in errors.

    Raises:
        SpecError: its front matter is wrong.
    """
    name = project_name(path)
    if path.lower().endswith(".json"):
        return Spec(name=name)
    shown = shown_path(path)
    root = read_front_matter(text, shown)
    return Spec(name=name) if root is None else _Reader(shown).spec(root, name)


def shown_path(path: str | Path) -> str:
    """Return a path as text for errors: one line, nothing a terminal would act on."""
    return str(path) if str(path).isprintable() else ascii(str(path))


def _read_regular(path: Path, shown: str) -> bytes:
    _check_regular(path.stat(), shown)
    # What the name stands for may have changed since: opening a pipe must not wait either.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        _check_regular(os.fstat(fd), shown)
        chunks, left = [], MAX_SPEC_BYTES + 1
        while left and (chunk := os.read(fd, left)):
            chunks.append(chunk)
            left -= len(chunk)
    finally:
        os.close(fd)
    if not left:
        _refuse_size(shown)
    return b"".join(chunks)


def _check_regular(found: os.stat_result, shown: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise SpecError(shown, "this is a folder: name the spec file in it")
    if not stat.S_ISREG(found.st_mode):
        raise SpecError(shown, "not a regular file: name a file with text")
    if found.st_size > MAX_SPEC_BYTES:
        _refuse_size(shown)


def _refuse_size(shown: str) -> NoReturn:
    raise SpecError(shown, "larger than 16 MiB: keep the spec short, point to data by path")


class _Value(msgspec.Struct, frozen=True):
    """A converted value and the node it came from."""

    node: Node
    value: Any


class _Reader:
    """Turns the nodes of one spec into values, or says where and why not."""

    def __init__(self, path: str) -> None:
        self._path = path

    def spec(self, root: Section, name: str) -> Spec:
        top = self._section(root, _SPEC_KEYS)
        numbers = {
            key: top[key].value for key in ("priority", "retries", "checkin_minutes") if key in top
        }
        command = self._command(top, "command")
        minutes = top.get("timeout_minutes")
        return Spec(
            name=name,
            command=command,
            agent=self._agent(top.get("agent")),
            windows=self._windows(top.get("windows"), command is not None),
            timeout_sec=None if minutes is None else minutes.value * 60,
            after=self._after(top.get("after")),
            group=self._group(top.get("group")),
            verify=self._command(top, "verify"),
            env=self._env(top.get("env")),
            **numbers,
        )

    def _section(self, section: Section, keys: _Keys) -> dict[str, _Value]:
        """Convert the values of a mapping to the types of `keys`, in the order of the file."""
        values = {}
        for key, entry in section.entries.items():
            if key not in keys:
                known = f"known: {', '.join(keys)}"
                self._fail(entry.key_line, f"unknown key {_quoted(key, keys, known)}")
            kind, allowed = keys[key]
            if isinstance(entry.value, Text) and entry.value.is_null:
                self._fail(entry.key_line, f"{key} has no value: give {allowed}; or drop the key")
            try:
                value = msgspec.convert(_plain(entry.value), kind, strict=False)
            except msgspec.ValidationError as error:
                wrong = _blamed(entry.value, str(error))
                self._fail(wrong.line, f"{key}: {_told(wrong)} is not allowed; give {allowed}")
            values[key] = _Value(entry.value, value)
        return values

    def _command(self, section: Mapping[str, _Value], key: str) -> tuple[str, ...] | None:
        found = section.get(key)
        if found is None:
            return None
        try:
            return split_command(found.value)
        except InvalidInput as error:
            raise SpecError(self._path, f"{key}: {error}", found.node.line) from error

    def _agent(self, found: _Value | None) -> str | None:
        if found is None:
            return None
        if found.value not in AGENT_PROFILES:
            known = f"known: {', '.join(AGENT_PROFILES)}"
            shown = _quoted(found.value, AGENT_PROFILES, known)
            self._fail(found.node.line, f"agent: unknown profile {shown}")
        return str(found.value)

    def _after(self, found: _Value | None) -> tuple[str, ...]:
        if found is None:
            return ()
        nodes = found.node.nodes if isinstance(found.node, Items) else (found.node,)
        if len(nodes) > MAX_AFTER:
            self._fail(nodes[MAX_AFTER].line, f"after: at most {MAX_AFTER} specs: chain them")
        for node in nodes:
            if isinstance(node, Text) and (node.is_null or not node.text.strip()):
                self._fail(node.line, "after: an entry is empty: name a spec, or drop it")
        names = found.value if isinstance(found.value, list) else [found.value]
        return tuple(dict.fromkeys(names))

    def _group(self, found: _Value | None) -> str | None:
        if found is None:
            return None
        if not GROUP_PATTERN.fullmatch(found.value):
            shown = _quoted(found.value)
            self._fail(found.node.line, f"group: {shown} is not allowed; give {_GROUP}")
        return "" if found.value.lower() == DEFAULT_GROUP else str(found.value)

    def _windows(self, found: _Value | None, has_command: bool) -> tuple[SpecWindow, ...]:
        if found is None or not isinstance(found.node, Items):
            return ()
        windows: dict[str, SpecWindow] = {}
        for node in found.node.nodes:
            if len(windows) == MAX_WINDOWS:
                self._fail(node.line, f"windows: at most {MAX_WINDOWS} are allowed: drop some")
            if not isinstance(node, Section):
                self._fail(node.line, f"windows: {_told(node)} is not allowed; give {_WINDOWS}")
            keys = self._section(node, _WINDOW_KEYS)
            if "role" not in keys:
                self._fail(node.line, "windows: a window has no role: add role: NAME")
            role = self._role(keys["role"], windows, has_command)
            windows[role] = SpecWindow(role, self._command(keys, "command"))
        return tuple(windows.values())

    def _role(self, found: _Value, taken: Collection[str], has_command: bool) -> str:
        role, line = str(found.value), found.node.line
        if not ROLE_PATTERN.fullmatch(role):
            self._fail(
                line,
                f"role {_quoted(role)} is not allowed; give at most 32 letters, digits, "
                "_ and -, beginning with a letter or digit",
            )
        if role in {LAUNCHER_ROLE, VERIFY_ROLE}:
            self._fail(line, f'role "{role}" is kept for the scheduler: choose another')
        if role == MAIN_ROLE and has_command:
            self._fail(line, f'role "{role}" is the window of command: choose another')
        if role in taken:
            self._fail(line, f'role "{role}" is there twice: choose another')
        return role

    def _env(self, found: _Value | None) -> dict[str, str]:
        if found is None or not isinstance(found.node, Section):
            return {}
        env, size = {}, 0
        for name, entry in found.node.entries.items():
            if not _ENV_NAME.fullmatch(name):
                self._fail(
                    entry.key_line,
                    f"env: name {_quoted(name)} is not allowed; give letters, digits and _, "
                    "not beginning with a digit",
                )
            if name.startswith("SCHEDULER_") or name in _OUR_ENV:
                self._fail(entry.key_line, f"env: {name} is set by the scheduler: rename it")
            if not isinstance(entry.value, Text):
                told = _told(entry.value)
                self._fail(entry.value.line, f"env: {name}: {told} is not allowed; give a text")
            env[name] = entry.value.text
            size += len(f"{name}={entry.value.text}".encode()) + 1
            if size > MAX_ENV_BYTES:
                self._fail(entry.key_line, "env: more than 8 KiB in all: put it into a file")
        return env

    def _fail(self, line: int, problem: str) -> NoReturn:
        raise SpecError(self._path, problem, line)


def _quoted(word: str, known: Collection[str] = (), otherwise: str = "") -> str:
    """Return a word in quotes, with the known word that was probably meant or the alternative."""
    import difflib

    close = difflib.get_close_matches(word[:64], known, n=1)
    hint = f'did you mean "{close[0]}"?' if close else otherwise
    return f'"{one_line(word, 40)}"' + (f" ({hint})" if hint else "")


def _plain(node: Node) -> Any:
    if isinstance(node, Text):
        return node.text
    if isinstance(node, Items):
        return [_plain(child) for child in node.nodes]
    return {key: _plain(entry.value) for key, entry in node.entries.items()}


def _blamed(node: Node, message: str) -> Node:
    """Return the element that msgspec's message points at (` - at `$[1]``), else the node."""
    element = _ELEMENT.search(message)
    if element and isinstance(node, Items):
        return node.nodes[int(element[1])]
    return node


def _told(node: Node) -> str:
    if isinstance(node, Text):
        return _quoted(node.text)
    return "a list" if isinstance(node, Items) else "a mapping"
