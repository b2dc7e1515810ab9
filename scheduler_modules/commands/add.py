"""`add`: queue specs, all of them or none."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.daemons import why_nothing_launches
from scheduler_modules.cli.places import Slots, positions
from scheduler_modules.cli.spec_paths import expand_paths, resolved
from scheduler_modules.cli.verb import (
    PRIORITY,
    complete_file,
    complete_folder,
    group_option,
    pass_cli,
    verb,
)
from scheduler_modules.cli.views import Card, Cards
from scheduler_modules.cli.words import ago, group_label
from scheduler_modules.config_values import is_plain
from scheduler_modules.errors import (
    EXIT_DONE,
    EXIT_STATE,
    EXIT_USAGE,
    InvalidInput,
)
from scheduler_modules.model import NewProject, Project, ProjectState
from scheduler_modules.queue_manager import Enqueued
from scheduler_modules.utils import one_line

MAX_BATCH_CHARACTERS = 100


class _Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the options say for every spec of the call."""

    project_folder: str | None
    priority: int | None
    batch: str | None
    group: str | None
    is_stashed: bool
    may_be_missing: bool
    host: str | None = None
    start_at: float | None = None
    start_text: str | None = None
    """As it was typed."""
    after: tuple[str, ...] = ()
    """As they were typed."""
    after_keys: tuple[str, ...] = ()


@verb(examples=("add specs/parser.md --priority 5", "add specs/ --group night"), name="add")
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True, shell_complete=complete_file)
@click.option(
    "--project",
    metavar="DIR",
    shell_complete=complete_folder,
    help="Work in this folder; else in the one the spec belongs to.",
)
@click.option("--priority", type=PRIORITY, metavar="N", help="Higher runs first; else as in specs.")
@group_option("Put them into a group; it is made if need be.")
@click.option("--batch", metavar="NAME", help="Mark them with a name: list --batch NAME.")
@click.option("--after", metavar="ID|NAME|SPEC", multiple=True, help="Also wait for this one.")
@click.option("--start-at", metavar="TIME", help='"22:30", "tomorrow 7:00", "in 2h", or a date.')
@click.option("--stash", is_flag=True, help="Set them aside until they are resumed.")
@click.option("--host", metavar="NAME", help="Only this machine may run them.")
@click.option("--recursive", is_flag=True, help="Look into the folders of a folder, too.")
@click.option("--again", is_flag=True, help="Also if the spec ended in the last five minutes.")
@click.option("--allow-missing", is_flag=True, help="Also if the spec file is not there yet.")
@pass_cli
def add_verb(
    cli: Cli,
    specs: tuple[str, ...],
    project: str | None,
    priority: int | None,
    group: str | None,
    batch: str | None,
    after: tuple[str, ...],
    start_at: str | None,
    stash: bool,
    host: str | None,
    recursive: bool,
    again: bool,
    allow_missing: bool,
) -> int:
    """Queue specs. A folder means all *.md in it; - reads paths from stdin, one a line.

    If one of them cannot be used, none is added. One that is queued already is left as it is.
    """
    wish = _Wish(
        project_folder=_folder(project),
        batch=_batch(batch),
        priority=priority,
        group=group,
        is_stashed=stash,
        may_be_missing=allow_missing,
    )
    if host is not None or start_at is not None or after:
        wish = _timed(cli, wish, host, start_at, after)
    wanted = _read_all(cli, expand_paths(specs, cli.terminal, is_recursive=recursive), wish)
    if wanted is None:
        return EXIT_USAGE
    queue = cli.queue
    with cli.store.transaction():
        results = [queue.enqueue(new, again=again) for new in wanted]
    _answer(cli, results)
    unmet = [_warn_unmet(cli, result, wish) for result in results if not result.is_new]
    is_refused = any(map(_is_refused, results))
    return EXIT_STATE if is_refused or any(unmet) else EXIT_DONE


def _timed(
    cli: Cli, wish: _Wish, host: str | None, start_at: str | None, after: tuple[str, ...]
) -> _Wish:
    """Return the wish with where, when and after what they are to run."""
    from scheduler_modules.cli.wishes import after_keys, host_name, start_time

    return msgspec.structs.replace(
        wish,
        host=None if host is None else host_name(host),
        start_at=None if start_at is None else start_time(cli, start_at),
        start_text=start_at,
        after=after,
        after_keys=after_keys(cli, after),
    )


def _read_all(
    cli: Cli, paths: Sequence[str | InvalidInput], wish: _Wish
) -> list[NewProject] | None:
    """Return what is to be queued; None after saying of each unusable spec why."""
    wanted, problems = [], []
    for path in paths:
        try:
            if isinstance(path, InvalidInput):
                raise path
            wanted.append(_read(path, wish, cli.clock.now()))
        except InvalidInput as error:
            problems.append(error)
    for problem in problems:
        cli.terminal.error(str(problem))
    return None if problems else wanted


def _read(path: str, wish: _Wish, now: float) -> NewProject:
    from scheduler_modules.spec import Spec, project_name, read_spec

    spec_path = resolved(path)
    if wish.may_be_missing and not os.path.lexists(spec_path):
        spec = Spec(name=project_name(spec_path))
    else:
        spec = read_spec(Path(path))
    folder = Path(spec_path).parent
    named = (os.path.realpath(folder / name) for name in spec.after)
    return NewProject(
        spec_path=spec_path,
        name=project_name(spec_path),
        enqueued_at=now,
        project_path=wish.project_folder,
        priority=spec.priority if wish.priority is None else wish.priority,
        batch_id=wish.batch,
        base_dir=str(folder),
        spec_key=spec_path,
        project_key=wish.project_folder,
        after_keys=tuple(dict.fromkeys((*named, *wish.after_keys))),
        group=(spec.group or "") if wish.group is None else wish.group,
        host=wish.host,
        held_at=now if wish.is_stashed else None,
        not_before=wish.start_at,
    )


def _folder(project: str | None) -> str | None:
    if project is None:
        return None
    folder = resolved(project)
    if not Path(folder).is_dir():
        raise InvalidInput(f"project folder {project} does not exist")
    return folder


def _batch(batch: str | None) -> str | None:
    if batch is None:
        return None
    if not batch.strip() or len(batch) > MAX_BATCH_CHARACTERS or not is_plain(batch):
        raise InvalidInput(f"--batch: give a name of at most {MAX_BATCH_CHARACTERS} characters")
    return batch


# -- what is said of it -------------------------------------------------------------------------


def _is_refused(result: Enqueued) -> bool:
    """Whether nothing was added and nothing of that spec waits or runs."""
    found = result.duplicate_of
    return found is not None and found.state not in {ProjectState.QUEUED, ProjectState.PROCESSING}


def _warn_unmet(cli: Cli, result: Enqueued, wish: _Wish) -> bool:
    """Say which options say something else than what stands there already; whether any does."""
    project = cli.store.project(result.project_id)
    if project is None or _is_refused(result):
        return False
    options = dict(_unmet(cli, project, wish))
    if not options:
        return False
    *others, last = (f"{name} {word}".rstrip() for name, word in options.items())
    without = f"without {', '.join(others)} and {last}" if others else f"without {last}"
    about = f"{project.id} ({one_line(project.name, 60)})"
    if project.state is ProjectState.PROCESSING:
        cli.terminal.warn(f"{about} runs already, {without}; it cannot be changed while it runs")
        return True
    is_stash = options.pop("--stash", None) is not None
    edited = " ".join(f"{name} {word}" for name, word in options.items())
    steps = [f"edit {project.id} {edited}"] if edited else []
    steps += [f"stash {project.id}"] if is_stash else []
    told = " && ".join(f"tmux-orchestrator {step}" for step in steps)
    cli.terminal.warn(f"{about} stands there already, {without}; next: {told}")
    return True


def _unmet(cli: Cli, project: Project, wish: _Wish) -> Iterator[tuple[str, str]]:
    """Give each option that a project does not fulfil, and the word for a shell."""
    from shlex import quote

    if wish.priority is not None and wish.priority != project.priority:
        yield "--priority", str(wish.priority)
    if wish.group is not None and wish.group != project.group:
        yield "--group", group_label(wish.group)
    if wish.host is not None and wish.host != project.host:
        yield "--host", quote(wish.host)
    if wish.start_text is not None and wish.start_at != project.not_before:
        yield "--start-at", quote(wish.start_text)
    known = {entry.spec_key for entry in cli.store.dependencies(project.id)}
    if not known.issuperset(wish.after_keys):
        yield "--after", " --after ".join(map(quote, wish.after))
    if wish.is_stashed and project.held_at is None:
        yield "--stash", ""


def _answer(cli: Cli, results: list[Enqueued]) -> None:
    terminal, store = cli.terminal, cli.store
    found = [(result, store.project(result.project_id)) for result in results]
    if terminal.is_json:
        _tell_json(cli, [(result, project) for result, project in found if project is not None])
    elif terminal.is_quiet:
        for result in results:
            terminal.line(str(result.project_id))
    else:
        cards = Cards(cli)
        shown = [(result, cards.make(project)) for result, project in found if project is not None]
        slots, ahead = Slots(cli), positions(cards)
        for result, card in shown:
            project = card.project
            said = _said(card, ahead, slots.told(project.group), cli.clock.now(), result.is_new)
            terminal.line(f"{project.id}  {one_line(project.name, 60)}  {said}")
        going = [card.project.id for result, card in shown if not _is_refused(result)]
        if going:
            terminal.next_step(f"tmux-orchestrator follow {going[0]}")
    problem = why_nothing_launches(cli.locks)
    if problem is not None:
        terminal.warn(f"{problem}; next: tmux-orchestrator daemon start")


def _said(card: Card, ahead: dict[int, int], slots: str, now: float, is_new: bool) -> str:
    project = card.project
    if is_new and project.held_at is not None:
        return f"set aside (resume {project.id} lets it start)"
    if is_new and project.state is ProjectState.QUEUED:
        # Beyond those that were looked at nobody has counted.
        least = max(ahead.values(), default=0)
        place = f"at least {least} ahead" if least else "behind others"
        if project.id in ahead:
            place = f"{ahead[project.id]} ahead"
        return f"queued ({card.note or place}; {slots})"
    if is_new:
        # A daemon was faster than this answer.
        return card.word
    if project.state in {ProjectState.QUEUED, ProjectState.PROCESSING}:
        return f"is {card.word} already (not added again)"
    ended = f"ended {ago(project.completed_at, now)}: {card.word}"
    if project.state is ProjectState.FAILED:
        return f"{ended} (not added again; retry {project.id} queues it again)"
    return f"{ended} (not added again; --again queues it anyway)"


def _tell_json(cli: Cli, shown: list[tuple[Enqueued, Project]]) -> None:
    from scheduler_modules.cli.documents import project_json

    cards = Cards(cli)
    ahead = positions(cards)
    told = [
        {
            **project_json(project, cards.make(project).word),
            "is_new": result.is_new,
            "ahead": ahead.get(project.id),
        }
        for result, project in shown
    ]
    slots = {"slots": cli.config.max_concurrent_projects, "free_slots": cli.queue.free_slots()}
    cli.terminal.json({"projects": told, **slots})
