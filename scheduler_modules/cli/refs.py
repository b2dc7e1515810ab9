"""Which projects are meant: ids, ranges, names, beginnings of one name, `@last`, `-`."""

import re
from collections.abc import Iterable, Sequence
from typing import TextIO

from scheduler_modules.cli.words import state_word
from scheduler_modules.errors import InvalidInput, NotFound, ProjectNotFound
from scheduler_modules.model import Project, ProjectState
from scheduler_modules.store_port import QueueStore
from scheduler_modules.utils import one_line

LAST = "@last"
MAX_RANGE = 10_000
MAX_STDIN_CHARACTERS = 1_048_576

_MAX_ID = 2**63 - 1
_NUMBERS = r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*"
_SIGNED = r"[+-][0-9]+"
_SHOWN = 8
_NAMED_LOOKED_AT = 200


def find_one(store: QueueStore, token: str) -> Project:
    """Return the one project that is meant.

    Raises:
        NotFound: there is none.
        InvalidInput: several could be meant; they are listed.
    """
    if re.fullmatch(_NUMBERS, token) and not token.isdigit():
        raise InvalidInput(f'"{token}" names several projects; give one')
    return _find(store, token)


def expand(tokens: Sequence[str], stdin: TextIO | None) -> list[str]:
    """Return what each token stands for: ids of ranges one by one, the words of stdin for `-`.

    In a range (`40-42`) absent ids are skipped later: it comes back as it is. Doubles are dropped.

    Raises:
        InvalidInput: stdin is closed, too long, or not text.
    """
    found: dict[str, None] = {}
    for token in tokens:
        words = read_words(stdin) if token == "-" else [token]  # noqa: S105 - no password
        for word in words:
            parts = word.split(",") if re.fullmatch(_NUMBERS, word) else [word]
            found.update(dict.fromkeys(parts))
    return list(found)


def find_each(store: QueueStore, token: str) -> list[Project]:
    """Return the projects that one expanded token means: several for a range, else one.

    Raises:
        NotFound: there is none.
        InvalidInput: several could be meant, or the range is too large.
    """
    if not re.fullmatch(_NUMBERS, token) or "-" not in token:
        return [_find(store, token)]
    first, last = (_number(part) for part in token.split("-"))
    if first > _MAX_ID:
        raise NotFound(f"no project has an id in {one_line(token, 60)}")
    if last < first or last - first >= MAX_RANGE:
        raise InvalidInput(
            f"range {one_line(token, 60)}: give at most {MAX_RANGE} ids, the lower one first"
        )
    projects = [store.project(number) for number in range(first, last + 1)]
    found = [project for project in projects if project is not None]
    if not found:
        raise NotFound(f"no project has an id in {token}")
    return found


def read_words(stdin: TextIO | None) -> list[str]:
    """Return the words that stdin holds.

    Raises:
        InvalidInput: it is closed, too long, or not text.
    """
    return read_text(stdin).split()


def read_text(stdin: TextIO | None) -> str:
    """Return all of stdin.

    Raises:
        InvalidInput: it is closed, too long, or not text.
    """
    if stdin is None:
        raise InvalidInput("- reads from stdin, and stdin is closed")
    try:
        text = stdin.read(MAX_STDIN_CHARACTERS + 1)
    except (UnicodeDecodeError, OSError) as error:
        raise InvalidInput("what came from stdin is not text") from error
    if len(text) > MAX_STDIN_CHARACTERS:
        raise InvalidInput(f"stdin holds more than {MAX_STDIN_CHARACTERS:,} characters")
    return text


def _find(store: QueueStore, token: str) -> Project:
    if token.isascii() and token.isdigit():
        return _by_id(store, token)
    if re.fullmatch(_SIGNED, token):
        raise NotFound(f"project {token} not found: ids begin at 1")
    if token == LAST:
        newest = store.projects(limit=1, newest_first=True)
        if not newest:
            raise NotFound("@last: there is no project yet")
        return newest[0]
    return _by_name(store, token)


def _by_id(store: QueueStore, digits: str) -> Project:
    number = _number(digits)
    project = store.project(number) if 0 < number <= _MAX_ID else None
    if project is None:
        if len(digits) > 20:
            raise NotFound(f"project {one_line(digits, 20)} not found")
        raise ProjectNotFound(number)
    return project


def _number(digits: str) -> int:
    # int() refuses thousands of digits; an id that long belongs to nothing anyway.
    return int(digits) if len(digits) <= 20 else _MAX_ID + 1


def _by_name(store: QueueStore, token: str) -> Project:
    wanted = token.lower()
    if not wanted.strip():
        raise InvalidInput("an empty name means no project; give an id or a name")
    beginning = store.projects_named(token, _NAMED_LOOKED_AT)
    exact = [project for project in beginning if project.name.lower() == wanted]
    matches = exact or beginning
    if not matches:
        raise NotFound(f'no project is named "{one_line(token, 60)}" or begins so')
    meant = _likeliest(matches)
    if meant is None:
        raise InvalidInput(
            f'"{one_line(token, 60)}" could be {_listed(matches)}; give the id of one'
        )
    return meant


def _likeliest(matches: Sequence[Project]) -> Project | None:
    """Return the one of a name that runs, else that is queued, else the newest.

    None where several names, or different specs in that same state, could be meant. `matches`:
    the newest first.
    """
    if len({project.name.lower() for project in matches}) > 1:
        return None
    best = min(map(_rank, matches))
    equal = [project for project in matches if _rank(project) == best]
    is_one_spec = len({(project.spec_path, project.project_path) for project in equal}) == 1
    return equal[0] if is_one_spec else None


def _rank(project: Project) -> int:
    order = (ProjectState.PROCESSING, ProjectState.QUEUED)
    return order.index(project.state) if project.state in order else len(order)


def _listed(projects: Iterable[Project]) -> str:
    shown = [f"{p.id} ({one_line(p.name, 40)}, {state_word(p, None)})" for p in projects]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
