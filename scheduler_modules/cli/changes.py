"""Changes many things, each on its own: one line about each, the exit code of the worst."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.refs import expand, find_each
from scheduler_modules.errors import EXIT_DONE, InvalidInput, NotFound, NotPossible
from scheduler_modules.model import Project
from scheduler_modules.utils import one_line

ABOUT_ONE = (InvalidInput, NotFound, NotPossible)
"""What says something of one thing only. Without a database nothing else works either."""

Change = Callable[[Project], str]
"""Changes one project; returns what has become of it, in words."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of one project, or of a word that means none."""

    given: str
    id: int | None = None
    name: str | None = None
    outcome: str | None = None
    """None where it was refused; then `error` says why."""
    error: str | None = None
    exit_code: int = EXIT_DONE


def projects_argument(*, is_required: bool = True) -> Callable[[Callable[..., int]], Any]:
    """Return the argument of verbs that take many projects."""
    shown = "PROJECT..." if is_required else "[PROJECT]..."
    return click.argument("projects", metavar=shown, nargs=-1, required=is_required)


def change_each(cli: Cli, tokens: Sequence[str], change: Change) -> int:
    """Change what each token means; return the exit code of the worst.

    One that cannot be changed does not keep the others from being.
    """
    return answer_all(cli, change_meant(cli, tokens, change))


def change_meant(cli: Cli, tokens: Sequence[str], change: Change) -> Iterator[Result]:
    """Change what each token means, one after the other, and give what has become of each."""
    for token in expand(tokens, cli.terminal.stdin):
        try:
            projects = find_each(cli.store, token)
        except ABOUT_ONE as error:
            yield Result(given=one_line(token), error=str(error), exit_code=error.exit_code)
            continue
        for project in projects:
            yield change_one(project, change, token)


def change_one(project: Project, change: Change, given: str | None = None) -> Result:
    """Change a project and return what has become of it."""
    about: dict[str, Any] = {
        "given": str(project.id) if given is None else one_line(given),
        "id": project.id,
        "name": project.name,
    }
    try:
        return Result(**about, outcome=change(project))
    except ABOUT_ONE as error:
        return Result(**about, error=str(error), exit_code=error.exit_code)


def answer_all(cli: Cli, results: Iterator[Result]) -> int:
    """Say what has become of each as it comes; return the exit code of the worst."""
    told = list(said_one_by_one(cli, results))
    if cli.terminal.is_json:
        cli.terminal.json({"projects": results_json(told)})
    return worst_of(told)


def said_one_by_one(cli: Cli, results: Iterator[Result]) -> Iterator[Result]:
    """Pass results on, each after a line about it; with `--quiet` that is its id."""
    for result in results:
        if result.error is not None:
            cli.terminal.error(result.error)
        elif cli.terminal.is_quiet and not cli.terminal.is_json:
            cli.terminal.line(str(result.id))
        elif not cli.terminal.is_json:
            name = one_line(result.name or "", 60)
            cli.terminal.line(f"{result.id}  {name}  {result.outcome}")
        yield result


def results_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return results as JSON knows them."""
    return [msgspec.to_builtins(result) for result in results]


def worst_of(results: Sequence[Result]) -> int:
    """Return the highest exit code."""
    return max((result.exit_code for result in results), default=EXIT_DONE)
