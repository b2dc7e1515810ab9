"""`retry`, `reset`, `remove`, `priority`: change projects, each on its own."""

from collections.abc import Iterator

import click

from scheduler_modules.cli.changes import (
    Result,
    answer_all,
    change_each,
    change_meant,
    change_one,
    projects_argument,
)
from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.daemons import why_nothing_launches
from scheduler_modules.cli.verb import PRIORITY, NumberVerb, group_option, pass_cli, verb
from scheduler_modules.cli.wishes import known_batch, known_group
from scheduler_modules.errors import InvalidInput, NotPossible
from scheduler_modules.model import Project, ProjectState
from scheduler_modules.utils import one_line

_YES = click.option("-y", "--yes", is_flag=True, help="Do not ask about a running project.")
FAILED_WORDS = frozenset({"failed", "permanently_failed"})


@verb(examples=("retry 38", "retry --failed --group night"), name="retry")
@projects_argument(is_required=False)
@click.option("--failed", is_flag=True, help="All that failed and whose spec is not queued again.")
@group_option("Of the failed only those of a group.")
@click.option("--batch", metavar="NAME", help="Of the failed only those of a batch.")
@pass_cli
def retry_verb(
    cli: Cli, projects: tuple[str, ...], failed: bool, group: str | None, batch: str | None
) -> int:
    """Queue ended projects again, with all their retries.

    PROJECT: an id, a range (40-42,45), a name or its beginning, @last, or - for stdin.
    """
    if not projects and not failed:
        raise InvalidInput("which projects? give ids, or --failed")
    if not failed and (group is not None or batch is not None):
        raise InvalidInput("--group and --batch choose among the failed: say --failed too")
    known_group(cli, group)
    known_batch(cli, batch)

    def change(project: Project) -> str:
        _refuse_in_words(project)
        cli.queue.retry(project.id)
        return "queued again"

    def results() -> Iterator[Result]:
        yield from change_meant(cli, projects, change)
        if failed:
            found = cli.store.projects(sorted(FAILED_WORDS), group=group, batch_id=batch)
            meant = _without_newer(cli, found)
            if not meant:
                cli.terminal.talk("nothing has failed that was not queued anew")
            for project in meant:
                yield change_one(project, change)

    return answer_all(cli, results())


def _without_newer(cli: Cli, projects: list[Project]) -> list[Project]:
    """Return what failed without those whose spec was queued anew since: that stands for it."""
    return [project for project in projects if _newest_of_spec(cli, project).id == project.id]


def _newest_of_spec(cli: Cli, project: Project) -> Project:
    key = cli.store.spec_key_of(project.id) or project.spec_path
    (newest, *_) = cli.store.same_spec(
        spec_path=project.spec_path,
        spec_key=key,
        project_path=project.project_path,
        project_key=project.project_path,
        statuses=sorted({*ProjectState, *FAILED_WORDS}),
        limit=1,
    ) or [project]
    return newest


@verb(examples=("reset 42", "reset 40-42 --yes"), name="reset")
@projects_argument()
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
@projects_argument()
@pass_cli
def remove_verb(cli: Cli, projects: tuple[str, ...]) -> int:
    """Forget projects that are not running. Their specs and logs stay where they are.

    PROJECT: an id, a range (40-42,45), a name or its beginning, @last, or - for stdin.
    """

    def change(project: Project) -> str:
        cli.queue.remove(project.id)
        return "removed"

    return change_each(cli, projects, change)


@verb(examples=("priority 10 42", "priority -5 parser"), name="priority", cls=NumberVerb)
@click.argument("priority", metavar="N", type=PRIORITY)
@projects_argument()
@pass_cli
def priority_verb(cli: Cli, priority: int, projects: tuple[str, ...]) -> int:
    """Change the priority of queued projects; higher runs first.

    PROJECT: an id, a range (40-42,45), a name or its beginning, @last, or - for stdin.
    """

    def change(project: Project) -> str:
        cli.control.set_priority(project.id, priority)
        return f"priority {priority}"

    return change_each(cli, projects, change)


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
