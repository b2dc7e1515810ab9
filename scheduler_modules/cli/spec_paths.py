"""Paths of specs as people give them: files, folders, patterns a shell has filled in, stdin.

And where the file of a project's spec is.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.output import Terminal
from scheduler_modules.cli.refs import read_text
from scheduler_modules.errors import InvalidInput, SpecError
from scheduler_modules.model import Project

SUFFIX = ".md"


def expand_paths(
    given: Sequence[str], terminal: Terminal, *, is_recursive: bool
) -> list[str | InvalidInput]:
    """Return the paths of all specs: those in a folder by name, those of stdin for `-`.

    Of each folder it is said how many specs it holds; one that holds none comes as the error.

    Raises:
        InvalidInput: stdin names none.
    """
    paths: list[str | InvalidInput] = []
    for word in given:
        for path in _lines(terminal) if word == "-" else [word]:
            try:
                paths.extend(_expanded(path, terminal, is_recursive))
            except InvalidInput as error:
                paths.append(error)
    if not paths:
        raise InvalidInput("stdin names no spec")
    return paths


def resolved(path: str) -> str:
    """Return the path as the queue keeps it: absolute, without symbolic links.

    Raises:
        InvalidInput: it is empty.
        SpecError: it cannot be kept, or cannot be resolved.
    """
    from scheduler_modules.spec import shown_path

    if not path:
        raise InvalidInput("an empty path names no spec")
    try:
        found = os.path.realpath(path)
        found.encode()
    except (UnicodeEncodeError, ValueError) as error:
        raise SpecError(shown_path(path), "the path is not UTF-8 text: rename it") from error
    except OSError as error:
        raise SpecError(shown_path(path), f"cannot be found: {error.strerror}") from error
    return found


def _lines(terminal: Terminal) -> list[str]:
    lines = read_text(terminal.stdin).split("\n")
    return [line.removesuffix("\r") for line in lines if line.strip()]


def _expanded(path: str, terminal: Terminal, is_recursive: bool) -> list[str]:
    if not path or not Path(path).is_dir():
        return [path]
    found = _specs_in(path, is_recursive)
    terminal.talk(f"{path}: {len(found)} spec{'s' if len(found) > 1 else ''}")
    return found


def _specs_in(folder: str, is_recursive: bool) -> list[str]:
    found = sorted(_walk(folder)) if is_recursive else sorted(_specs_of(folder))
    if not found:
        more = "" if is_recursive else "; --recursive looks into its folders, too"
        raise InvalidInput(f"{folder}: no *{SUFFIX} in this folder{more}")
    return found


def _walk(folder: str) -> Iterator[str]:
    """Give the specs in a folder and below; hidden folders and links to folders are left out."""
    for place, folders, _ in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from _specs_of(place)


def _specs_of(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_spec = entry.name.endswith(SUFFIX) and not entry.name.startswith(".")
                if is_spec and not entry.is_dir():
                    yield entry.path
    except OSError as error:
        _refuse(error)


def _refuse(error: OSError) -> None:
    raise InvalidInput(f"{error.filename}: cannot be read: {error.strerror}") from error


def spec_file(cli: Cli, project: Project) -> Path:
    """Return where the daemon looks for a spec: old rows are meant from the folder of the queue."""
    return Path(project.base_dir or cli.config.home, project.spec_path).absolute()
