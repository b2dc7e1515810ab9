"""`pause`, `resume`, `stash`: what may start and go on, and what may not for now."""

from collections.abc import Callable, Iterator, Sequence

import click
import msgspec

from scheduler_modules.cli.changes import (
    ABOUT_ONE,
    Change,
    Result,
    change_each,
    change_meant,
    projects_argument,
    results_json,
    said_one_by_one,
    worst_of,
)
from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.daemons import who_else_acts
from scheduler_modules.cli.verb import group_option, pass_cli, verb
from scheduler_modules.cli.words import group_label
from scheduler_modules.errors import EXIT_DONE, InvalidInput, SpecError
from scheduler_modules.model import Project, ProjectState


class GroupResult(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of a group."""

    group: str
    outcome: str | None = None
    error: str | None = None
    exit_code: int = EXIT_DONE


_ALL = click.option("--all", "whole_queue", is_flag=True, help="The whole queue.")


@verb(examples=("pause 42", "pause --group night"), name="pause")
@projects_argument(is_required=False)
@group_option("Start nothing new of a group.", multiple=True)
@_ALL
@pass_cli
def pause_verb(
    cli: Cli, projects: tuple[str, ...], group: tuple[str, ...], whole_queue: bool
) -> int:
    """Let projects stand still until they are resumed.

    A queued project does not start. The processes of a running one are stopped (SIGSTOP), and
    none of that time counts. With --group or --all nothing new starts; what runs goes on.

    PROJECT: an id, a range (40-42,45), a name or its beginning, @last, or - for stdin.
    """
    _require_some("pause", projects, group, whole_queue)

    def pause_group(name: str) -> str:
        said = "paused" if cli.control.pause_group(name) else "is paused already"
        return said + _going_on(cli.control.group(name).running)

    queue = None
    if whole_queue:
        running = cli.store.counts().get(ProjectState.PROCESSING, 0)
        queue = "paused" if cli.control.pause_queue() else "is paused already"
        queue += _going_on(running)
    return _answer(cli, queue, group, pause_group, change_meant(cli, projects, _pauser(cli)))


@verb(examples=("resume 42", "resume --all"), name="resume")
@projects_argument(is_required=False)
@group_option("Let a group start projects again.", multiple=True)
@_ALL
@pass_cli
def resume_verb(
    cli: Cli, projects: tuple[str, ...], group: tuple[str, ...], whole_queue: bool
) -> int:
    """Let go on what was paused or stashed.

    PROJECT: an id, a range (40-42,45), a name or its beginning, @last, or - for stdin.
    """
    _require_some("resume", projects, group, whole_queue)

    def resume_group(name: str) -> str:
        return "goes on" if cli.control.resume_group(name) else "is not paused"

    queue = None
    if whole_queue:
        queue = "goes on" if cli.control.resume_queue() else "is not paused"
    return _answer(cli, queue, group, resume_group, change_meant(cli, projects, _resumer(cli)))


@verb(examples=("stash 42", "stash 40-42,45"), name="stash")
@projects_argument()
@pass_cli
def stash_verb(cli: Cli, projects: tuple[str, ...]) -> int:
    """Set queued projects aside: they start once they are resumed, not before.

    PROJECT: an id, a range (40-42,45), a name or its beginning, @last, or - for stdin.
    """

    def change(project: Project) -> str:
        return _held(cli, project)

    return change_each(cli, projects, change)


def _require_some(
    name: str, projects: Sequence[str], groups: Sequence[str], whole_queue: bool
) -> None:
    if not projects and not groups and not whole_queue:
        raise InvalidInput(f"{name} what? give projects, --group NAME, or --all for the queue")


# -- projects -----------------------------------------------------------------------------------


def _pauser(cli: Cli) -> Change:
    def change(project: Project) -> str:
        if project.state is ProjectState.QUEUED:
            return _held(cli, project)
        if not cli.control.want_pause(project.id):
            return "is paused already"
        return f"paused; {_who_acts(cli, project, 'its processes are being stopped')}"

    return change


def _held(cli: Cli, project: Project) -> str:
    if not cli.control.hold(project.id):
        return "is set aside already"
    return f"set aside (resume {project.id} brings it back)"


def _resumer(cli: Cli) -> Change:
    def change(project: Project) -> str:
        if project.state is ProjectState.PROCESSING:
            if not cli.control.want_resume(project.id):
                return "is not paused"
            return f"resumed; {_who_acts(cli, project, 'its processes go on')}"
        said = "is not paused"
        if cli.control.release(project.id):
            said = "resumed"
            _warn_unusable(cli, project)
        return said + _still_paused(cli, project)

    return change


def _warn_unusable(cli: Cli, project: Project) -> None:
    """Say of a spec that cannot be read what that will come to."""
    from scheduler_modules.cli.spec_paths import spec_file
    from scheduler_modules.spec import read_spec

    try:
        read_spec(spec_file(cli, project))
    except SpecError as error:
        cli.terminal.warn(
            f"{error}: project {project.id} fails at its turn unless that is mended; "
            f"next: tmux-orchestrator edit {project.id}"
        )


def _who_acts(cli: Cli, project: Project, here: str) -> str:
    """Return what happens to a run's processes, or who has to see to it."""
    return who_else_acts(cli.queue.open_run_of(project.id), cli.host, cli.locks) or here


def _still_paused(cli: Cli, project: Project) -> str:
    """Return why a queued project does not start all the same; nothing if it may."""
    if project.state is not ProjectState.QUEUED:
        return ""
    if cli.control.group(project.group).paused_at is not None:
        return f", but group {group_label(project.group)} is paused"
    return ", but the queue is paused" if cli.control.paused_at() is not None else ""


# -- groups and the queue -----------------------------------------------------------------------


def _going_on(running: int) -> str:
    return f"; {running} running {'goes' if running == 1 else 'go'} on" if running else ""


def _answer(
    cli: Cli,
    queue: str | None,
    groups: Sequence[str],
    change_group: Callable[[str], str],
    projects: Iterator[Result],
) -> int:
    """Say what has become of queue, groups and projects; return the exit code of the worst."""
    terminal = cli.terminal
    is_told = not terminal.is_json and not terminal.is_quiet
    if queue is not None and is_told:
        terminal.line(f"the queue  {queue}")
    changed = [_change_group(name, change_group) for name in groups]
    for result in changed:
        if result.error is not None:
            terminal.error(result.error)
        elif is_told:
            terminal.line(f"group {result.group}  {result.outcome}")
    results = list(said_one_by_one(cli, projects))
    if terminal.is_json:
        told = [msgspec.to_builtins(result) for result in changed]
        terminal.json({"projects": results_json(results), "groups": told, "queue": queue})
    return max(worst_of(results), *(result.exit_code for result in changed), EXIT_DONE)


def _change_group(name: str, change: Callable[[str], str]) -> GroupResult:
    label = group_label(name)
    try:
        return GroupResult(group=label, outcome=change(name))
    except ABOUT_ONE as error:
        return GroupResult(group=label, error=str(error), exit_code=error.exit_code)
