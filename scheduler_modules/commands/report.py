"""`done` and `fail`: what a running project says of itself, or a person of it."""

import click

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.refs import find_one
from scheduler_modules.cli.verb import pass_cli, verb
from scheduler_modules.cli.views import plan_of
from scheduler_modules.errors import InvalidInput
from scheduler_modules.model import Outcome, Project
from scheduler_modules.utils import one_line

PROJECT_VARIABLE = "SCHEDULER_PROJECT_ID"
TOKEN_VARIABLE = "SCHEDULER_RUN_ID"  # noqa: S105 - the name of a variable
MAX_NOTE_CHARACTERS = 2000


@verb(examples=("done", "done 42"), name="done")
@click.argument("project", metavar="[ID|NAME|@last]", required=False)
@pass_cli
def done_verb(cli: Cli, project: str | None) -> None:
    """Say that a running project is done; inside its session no id is needed.

    If its spec names a verify command, that has the last word.
    """
    found, token = _whose(cli, project)
    cli.queue.report(found.id, Outcome.COMPLETED, token=token)
    run = cli.queue.open_run_of(found.id)
    plan = plan_of(run) if run else None
    said = "reported done; verify has the last word" if plan and plan.verify else "reported done"
    _answer(cli, found, Outcome.COMPLETED, None, said)


@verb(examples=('fail "the API key is missing"', 'fail 42 "wrong branch"'), name="fail")
@click.argument("words", metavar="[ID|NAME|@last] WHY", nargs=-1, required=True)
@pass_cli
def fail_verb(cli: Cli, words: tuple[str, ...]) -> None:
    """Say that a running project has failed, and why; inside its session no id is needed."""
    if len(words) > 2:
        raise InvalidInput('put the reason in quotes: fail [ID] "the reason"')
    project = words[0] if len(words) == 2 else None
    note = one_line(words[-1], MAX_NOTE_CHARACTERS)
    if not note:
        raise InvalidInput('say why: fail [ID] "the reason"')
    found, token = _whose(cli, project)
    cli.queue.report(found.id, Outcome.FAILED, note, token=token)
    _answer(cli, found, Outcome.FAILED, note, f"reported failed: {note}")


def _whose(cli: Cli, project: str | None) -> tuple[Project, str | None]:
    """Return the project that is meant, and the token if it is the one we are inside of.

    Raises:
        InvalidInput: none is named and we are in no project's session.
        NotFound: there is none.
    """
    own, token = cli.environ.get(PROJECT_VARIABLE), cli.environ.get(TOKEN_VARIABLE) or None
    if project is None and not own:
        raise InvalidInput(f"which project? {PROJECT_VARIABLE} is not set here, so give an id")
    found = find_one(cli.store, project or own or "")
    return found, token if str(found.id) == own else None


def _answer(cli: Cli, project: Project, outcome: Outcome, note: str | None, said: str) -> None:
    if cli.terminal.is_json:
        cli.terminal.json({"id": project.id, "reported": outcome.value, "reported_note": note})
    elif not cli.terminal.is_quiet:
        cli.terminal.line(f"{project.id}  {one_line(project.name, 60)}  {said}")
