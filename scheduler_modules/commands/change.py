"""`retry`, `reset`, `remove`, `priority`: change projects, each on its own."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.daemons import why_nothing_launches
from scheduler_modules.cli.refs import expand, find_each
from scheduler_modules.cli.verb import PRIORITY, pass_cli, verb
from scheduler_modules.errors import EXIT_DONE, InvalidInput, NotFound, NotPossible
from scheduler_modules.model import Project, ProjectState
from scheduler_modules.utils import one_line

PROJECTS = "PROJECT..."
_YES = click.option("-y", "--yes", is_flag=True, help="Do not ask about a running project.")

_ABOUT_ONE = (InvalidInput, NotFound, NotPossible)

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


def _projects_argument() -> Callable[[Callable[..., int]], Callable[..., int]]:
    return click.argument("projects", metavar=PROJECTS, nargs=-1, required=True)


@verb(examples=("retry 38", "retry 40-42,45"), name="retry")
@_projects_argument()
@pass_cli
def retry_verb(cli: Cli, projects: tuple[str, ...]) -> int:
    """Queue ended projects again, with all their retries.

    PROJECT: an id, a range (40-42,45), a name or its beginning, @last, or - for stdin.
    """

    def change(project: Project) -> str:
        _refuse_in_words(project)
        cli.queue.retry(project.id)
        return "queued again"

    return change_each(cli, projects, change)


@verb(examples=("reset 42", "reset 40-42 --yes"), name="reset")
@_projects_argument()
@_YES
@pass_cli
def reset_verb(cli: Cli, projects: tuple[str, ...], yes: bool) -> int:
    """Queue projects again that are not completed; the run of a running one is ended first.

    PROJECT: an id, a range (40-42,45), a name or its beginning, @last, or - for stdin.
    """

    def change(project: Project) -> str:
        _refuse_in_words(project)
        _confirm(cli, project, yes)
        cli.queue.reset(project.id)
        if project.state is ProjectState.PROCESSING:
            if why_nothing_launches(cli.locks) is None:
                return "queued again; its run is being ended"
            return "queued again; a daemon ends its run first, once one is started"
        return "queued again"

    return change_each(cli, projects, change)


@verb(examples=("remove 38", "list --state failed -q | tmux-orchestrator remove -"), name="remove")
@_projects_argument()
@pass_cli
def remove_verb(cli: Cli, projects: tuple[str, ...]) -> int:
    """Forget projects that are not running. Their specs and logs stay where they are.

    PROJECT: an id, a range (40-42,45), a name or its beginning, @last, or - for stdin.
    """

    def change(project: Project) -> str:
        cli.queue.remove(project.id)
        return "removed"

    return change_each(cli, projects, change)


@verb(examples=("priority 10 42", "priority -- -5 parser"), name="priority")
@click.argument("priority", metavar="N", type=PRIORITY)
@_projects_argument()
@pass_cli
def priority_verb(cli: Cli, priority: int, projects: tuple[str, ...]) -> int:
    """Change the priority of queued projects; higher runs first.

    PROJECT: an id, a range (40-42,45), a name or its beginning, @last, or - for stdin.
    """

    def change(project: Project) -> str:
        cli.queue.set_priority(project.id, priority)
        return f"priority {priority}"

    return change_each(cli, projects, change)


def change_each(cli: Cli, tokens: Sequence[str], change: Change) -> int:
    """Change what each token means, one line each; return the exit code of the worst.

    One that cannot be changed does not keep the others from being.
    """
    codes, results = [EXIT_DONE], []
    for token in expand(tokens, cli.terminal.stdin):
        for result in _change_meant(cli, token, change):
            results.append(result)
            codes.append(result.exit_code)
            _say(cli, result)
    if cli.terminal.is_json:
        cli.terminal.json({"projects": [msgspec.to_builtins(result) for result in results]})
    return max(codes)


def _change_meant(cli: Cli, token: str, change: Change) -> Iterator[Result]:
    """Change what one token means and give what has become of each project.

    Only what says something of that project is caught: without a database nothing else works.
    """
    try:
        projects = find_each(cli.store, token)
    except _ABOUT_ONE as error:
        given = one_line(token)
        yield Result(given=given, error=str(error), exit_code=error.exit_code)
        return
    for project in projects:
        about: dict[str, Any] = {"given": one_line(token), "id": project.id, "name": project.name}
        try:
            yield Result(**about, outcome=change(project))
        except _ABOUT_ONE as error:
            yield Result(**about, error=str(error), exit_code=error.exit_code)


def _say(cli: Cli, result: Result) -> None:
    if result.error is not None:
        cli.terminal.error(result.error)
    elif not cli.terminal.is_json and not cli.terminal.is_quiet:
        name = one_line(result.name or "", 60)
        cli.terminal.line(f"{result.id}  {name}  {result.outcome}")


def _refuse_in_words(project: Project) -> None:
    """Let pass what may be queued again.

    Raises:
        NotPossible: it waits already, or it is done.
    """
    about = f"project {project.id} ({one_line(project.name, 60)})"
    if project.state is ProjectState.QUEUED:
        raise NotPossible(f"{about} is queued already")
    if project.state is ProjectState.COMPLETED:
        raise NotPossible(f"{about} is completed; add --again queues its spec as a new project")


def _confirm(cli: Cli, project: Project, is_yes: bool) -> None:
    """Let pass what does not end running work, or what a person wants.

    Raises:
        InvalidInput: nobody can be asked.
        NotPossible: the person said no.
    """
    if project.state is not ProjectState.PROCESSING or is_yes:
        return
    about = f"project {project.id} ({one_line(project.name, 60)}) is running"
    if not cli.terminal.can_ask:
        raise InvalidInput(f"{about} and reset would end that; say --yes if that is meant")
    if not cli.terminal.ask(f"{about}; end its run and queue it again?"):
        raise NotPossible(f"project {project.id} was left as it is")
