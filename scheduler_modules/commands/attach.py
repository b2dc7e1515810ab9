"""`attach`: enter the tmux session of a project."""

import os
import shlex

import click

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.refs import find_one
from scheduler_modules.cli.verb import pass_cli, verb
from scheduler_modules.cli.words import status_word
from scheduler_modules.errors import NotPossible, TmuxUnavailable
from scheduler_modules.model import Project, ProjectState
from scheduler_modules.utils import one_line


@verb(examples=("attach 42", "attach parser"), name="attach")
@click.argument("project", metavar="ID|NAME|@last")
@pass_cli
def attach_verb(cli: Cli, project: str) -> None:
    """Enter a project's session; leave it again with Ctrl-b d, the work goes on.

    A session that was kept after the end of its run can be looked at as well.
    """
    found = find_one(cli.store, project)
    session = session_of(cli, found)
    argv = cli.tmux.attach_argv(session)
    if not cli.terminal.has_person:
        raise NotPossible(f"attach needs a terminal; from one, type: {shlex.join(argv)}")
    cli.close()
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise TmuxUnavailable(f"{argv[0]} cannot be started: {error.strerror}") from error


def session_of(cli: Cli, project: Project) -> str:
    """Return the name of the project's session, which is there.

    Raises:
        NotPossible: there is none, it is gone, or it is on another machine.
        TmuxUnavailable: tmux cannot be asked.
    """
    runs = cli.store.runs_of(project.id)
    made = [run for run in runs if run.launches > 0 or run.ended_at is None]
    name = made[-1].session_name if made else None if runs else project.session_name
    about = f"project {project.id} ({one_line(project.name, 60)})"
    word = status_word(project.status) if project.status else "in no state"
    if made and made[-1].host != cli.host:
        raise NotPossible(f"{about}: its session is on {one_line(made[-1].host, 60)}, attach there")
    if not name:
        raise NotPossible(f"{about} is {word} and has no session")
    if name in cli.tmux.snapshot().session_names():
        return name
    if project.state is ProjectState.PROCESSING:
        raise NotPossible(f"{about}: its session is not up at this moment; try again, or show it")
    raise NotPossible(f"{about} is {word}, its session is gone; see logs {project.id}")
