"""`edit`: change a spec in the person's editor, or by options what the queue keeps beside it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import msgspec

from scheduler_modules.cli.changes import ABOUT_ONE, Change, change_each, projects_argument
from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.editor import run_editor
from scheduler_modules.cli.spec_paths import spec_file
from scheduler_modules.cli.verb import PRIORITY, group_option, pass_cli, verb
from scheduler_modules.cli.views import start_note
from scheduler_modules.cli.wishes import after_keys, host_name, start_time
from scheduler_modules.cli.words import group_label, status_word
from scheduler_modules.errors import InvalidInput, NotFound, SpecError
from scheduler_modules.model import Project, ProjectState
from scheduler_modules.spec import Spec, read_spec
from scheduler_modules.utils import one_line

NONE, ANY = "none", "any"
NOT_CHANGED = "not changed"


class _Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the options say. None: that stays."""

    priority: int | None
    group: str | None
    start_at: str | None
    after: tuple[str, ...] | None
    """Keys of specs; empty: none but those that the spec itself names."""
    host: str | None
    not_before: float | None

    @property
    def is_empty(self) -> bool:
        given = (self.priority, self.group, self.start_at, self.after, self.host)
        return all(value is None for value in given)


@verb(examples=("edit 42", "edit 42 --start-at 22:30 --group night"), name="edit")
@projects_argument()
@click.option("--priority", type=PRIORITY, metavar="N", help="Higher runs first.")
@group_option("Move them to a group; it is made if need be.")
@click.option("--start-at", metavar="TIME|now", help='"22:30", "tomorrow 7:00", "in 2h", a date.')
@click.option(
    "--after",
    metavar="ID|NAME|SPEC|none",
    multiple=True,
    help="Wait for this besides what the spec names.",
)
@click.option("--host", metavar="NAME|any", help="Only this machine may run them.")
@pass_cli
def edit_verb(
    cli: Cli,
    projects: tuple[str, ...],
    priority: int | None,
    group: str | None,
    start_at: str | None,
    after: tuple[str, ...],
    host: str | None,
) -> int:
    """Edit a project's spec, or change by options what is queued.

    Without options the spec opens in the editor that VISUAL or EDITOR names. A queued project is
    set aside meanwhile, and as long as its spec cannot be used. Each project is tried on its own.

    PROJECT: an id, a range (40-42,45), a name or its beginning, @last, or - for stdin.
    """
    wish = _Wish(
        priority=priority,
        group=group,
        start_at=start_at,
        after=_after(cli, after) if after else None,
        host=host if host is None or host.lower() == ANY else host_name(host),
        not_before=None if start_at is None else start_time(cli, start_at),
    )
    return change_each(cli, projects, _editor(cli) if wish.is_empty else _changer(cli, wish))


def _after(cli: Cli, given: tuple[str, ...]) -> tuple[str, ...]:
    if NONE not in given:
        return after_keys(cli, given)
    if len(given) > 1:
        raise InvalidInput("--after none stands alone")
    return ()


# -- by options ---------------------------------------------------------------------------------


def _changer(cli: Cli, wish: _Wish) -> Change:
    def change(project: Project) -> str:
        with cli.store.transaction():
            return ", ".join(_apply(cli, project, wish))

    return change


def _apply(cli: Cli, project: Project, wish: _Wish) -> Iterator[str]:
    """Change a queued project; say of each change what is so now."""
    control = cli.control
    if wish.priority is not None:
        control.set_priority(project.id, wish.priority)
        yield f"priority {wish.priority}"
    if wish.group is not None:
        control.set_group(project.id, wish.group)
        yield f"group {group_label(wish.group)}"
    if wish.start_at is not None:
        control.set_start(project.id, wish.not_before)
        is_early = wish.not_before is not None
        yield start_note(wish.not_before or 0, cli.clock.now()) if is_early else "starts at once"
    if wish.after is not None:
        named = _named_in(cli, project)
        said = _set_after(cli, project, named, wish.after)
        yield f"{said} (as its spec says)" if named and not wish.after else said
    if wish.host is not None:
        host = None if wish.host.lower() == ANY else wish.host
        control.set_host(project.id, host)
        yield f"host {host or ANY}"


def _set_after(cli: Cli, project: Project, named: tuple[str, ...], others: tuple[str, ...]) -> str:
    """Let a project wait for what its spec names, and for others; say for what."""
    keys = tuple(dict.fromkeys((*named, *others)))
    cli.control.set_dependencies(project.id, keys)
    told = ", ".join(one_line(Path(key).name, 60) for key in keys) or NONE
    return f"after {told}"


def _named_in(cli: Cli, project: Project) -> tuple[str, ...]:
    """Return the keys of what the spec names; none where it cannot be read."""
    try:
        path = spec_file(cli, project)
        return _keys(path, read_spec(path))
    except SpecError:
        return ()


def _keys(path: Path, spec: Spec) -> tuple[str, ...]:
    return tuple(os.path.realpath(path.parent / name) for name in spec.after)


# -- in an editor -------------------------------------------------------------------------------


def _editor(cli: Cli) -> Change:
    if not cli.terminal.has_person:
        raise InvalidInput(
            "what is to change? an editor needs a terminal; without one say --priority, --group, "
            "--start-at, --after or --host"
        )

    def change(project: Project) -> str:
        # An editor would make it anew, and empty.
        if not spec_file(cli, project).exists():
            shown = one_line(str(spec_file(cli, project)))
            raise NotFound(f"project {project.id}: no such spec: {shown}")
        if project.state is not ProjectState.QUEUED:
            return _edit_besides(cli, project)
        with _set_aside(cli, project):
            return _edit_queued(cli, project)

    return change


@contextmanager
def _set_aside(cli: Cli, project: Project) -> Iterator[None]:
    """Keep a project from starting; afterwards it may, but not with a spec that is refused."""
    is_ours = cli.control.hold(project.id)
    try:
        yield
    except SpecError as error:
        raise InvalidInput(_left_aside(project, "")) from error
    except BaseException:
        # What broke off may have left anything behind.
        if _is_usable(cli, project):
            _release(cli, project, is_ours)
        else:
            cli.terminal.warn(_left_aside(project, ", for its spec cannot be used"))
        raise
    else:
        _release(cli, project, is_ours)


def _left_aside(project: Project, why: str) -> str:
    return (
        f"project {project.id} stays set aside{why}: edit {project.id} again, "
        f"or let it go on as it is with resume {project.id}"
    )


def _is_usable(cli: Cli, project: Project) -> bool:
    """Whether a spec can be read; if not, it is said where and why."""
    try:
        read_spec(spec_file(cli, project))
    except SpecError as error:
        cli.terminal.error(str(error))
        return False
    return True


def _release(cli: Cli, project: Project, is_ours: bool) -> None:
    # Somebody may have removed it meanwhile.
    with suppress(*ABOUT_ONE):
        if is_ours:
            cli.control.release(project.id)


def _edit_queued(cli: Cli, project: Project) -> str:
    path = spec_file(cli, project)
    before, content = _read(path), _content(path)
    after = _edit(cli, path)
    if _content(path) == content:
        return NOT_CHANGED
    said = [] if before is None else list(_take_over(cli, project, before, after))
    return ", ".join(["edited", *said])


def _edit_besides(cli: Cli, project: Project) -> str:
    """Let a spec be edited that nothing waits for now."""
    if project.state is ProjectState.PROCESSING:
        cli.terminal.warn(f"project {project.id} is running: changes count from its next run")
        said = "edited; counts from its next run"
    else:
        word = status_word(project.status)
        said = f"edited; it is {word}, and nothing runs it unless it is queued again"
    path = spec_file(cli, project)
    content = _content(path)
    try:
        _edit(cli, path)
    except SpecError as error:
        raise InvalidInput(f"project {project.id}: its spec was left as it is") from error
    return NOT_CHANGED if _content(path) == content else said


def _edit(cli: Cli, path: Path) -> Spec:
    """Open the editor, again and again, until the spec can be used; return that.

    Raises:
        SpecError: the person has left it so that it cannot be used. It was said where and why.
        NotPossible, InvalidInput: the editor did not start, or not end well.
    """
    while True:
        run_editor(path, cli.environ)
        try:
            return read_spec(path)
        except SpecError as error:
            cli.terminal.error(str(error))
            if not cli.terminal.ask("edit it again?"):
                raise


def _read(path: Path) -> Spec | None:
    try:
        return read_spec(path)
    except SpecError:
        return None


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _take_over(cli: Cli, project: Project, before: Spec, after: Spec) -> Iterator[str]:
    """Change what the queue keeps where the spec has come to say something else."""
    if after.priority != before.priority:
        cli.control.set_priority(project.id, after.priority)
        yield f"priority {after.priority}"
    if after.group != before.group:
        cli.control.set_group(project.id, after.group or "")
        yield f"group {group_label(after.group or '')}"
    path = spec_file(cli, project)
    named, named_before = _keys(path, after), _keys(path, before)
    if named != named_before:
        known = (entry.spec_key for entry in cli.store.dependencies(project.id))
        yield _set_after(cli, project, named, tuple(k for k in known if k not in named_before))
