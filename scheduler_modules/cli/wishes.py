"""When, where and after what a project is to run, as options say it; which groups there are."""

import re
from collections.abc import Sequence
from pathlib import Path

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.refs import LAST, find_one
from scheduler_modules.errors import InvalidInput, NotFound, NotPossible
from scheduler_modules.utils import one_line

AT_ONCE = frozenset({"now", "none"})
"""What `--start-at` calls no start time."""

_HOST = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}"


def host_name(word: str) -> str:
    """Let the name of a machine pass.

    Raises:
        InvalidInput: no machine can be called so.
    """
    if not re.fullmatch(_HOST, word):
        raise InvalidInput("--host: give a machine's name: letters, digits, '_', '.' and '-'")
    return word


def start_time(cli: Cli, text: str) -> float | None:
    """Return the moment that `--start-at` means; None: at once.

    Raises:
        InvalidInput: it is none, or it is past.
    """
    from scheduler_modules.cli.moments import parse_moment

    if text.strip().lower() in AT_ONCE:
        return None
    try:
        return parse_moment(text, cli.clock.now())
    except InvalidInput as error:
        raise InvalidInput(f"--start-at: {error}") from error


def after_keys(cli: Cli, given: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of the specs that `--after` means: ids, names, or paths of specs.

    Raises:
        InvalidInput, NotFound: one means none, or may mean several.
        NotPossible: it was queued by a program that kept no key.
    """
    return tuple(dict.fromkeys(_key(cli, word) for word in given))


def _key(cli: Cli, word: str) -> str:
    is_number = word.isascii() and word.isdigit()
    if not is_number and word != LAST and Path(word).is_file():
        from scheduler_modules.cli.spec_paths import resolved

        return resolved(word)
    try:
        project = find_one(cli.store, word)
    except NotFound as error:
        if is_number or word == LAST:
            raise NotFound(f"--after: {error}") from error
        raise NotFound(f'--after "{word}": no spec file and no project is called so') from error
    except InvalidInput as error:
        raise InvalidInput(f"--after: {error}") from error
    key = cli.store.spec_key_of(project.id)
    if key is None:
        raise NotPossible(
            f"--after: project {project.id} was queued by another program; give its spec's path"
        )
    return key


def known_group(cli: Cli, name: str | None) -> None:
    """Let the name of a group pass that was made, or that projects still belong to; None, too.

    Raises:
        NotFound: there is no such group.
    """
    if name is not None and not cli.store.projects(group=name, limit=1):
        cli.control.group(name)


def known_batch(cli: Cli, name: str | None) -> None:
    """Let the name of a batch pass that projects are of; None, too.

    Raises:
        NotFound: no project is.
    """
    if name is not None and not cli.store.projects(batch_id=name, limit=1):
        raise NotFound(f'no project is of batch "{one_line(name, 60)}"')
