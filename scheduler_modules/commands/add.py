"""`add`: queue specs, all of them or none."""

import os
from pathlib import Path

import click
import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.daemons import why_nothing_launches
from scheduler_modules.cli.refs import read_text
from scheduler_modules.cli.verb import PRIORITY, complete_file, complete_folder, pass_cli, verb
from scheduler_modules.cli.views import Card, Cards, project_json
from scheduler_modules.cli.words import ago, state_word
from scheduler_modules.config_values import is_plain
from scheduler_modules.errors import (
    EXIT_DONE,
    EXIT_STATE,
    EXIT_USAGE,
    InvalidInput,
    SpecError,
)
from scheduler_modules.model import NewProject, Project, ProjectState
from scheduler_modules.queue_manager import Enqueued
from scheduler_modules.utils import one_line

MAX_BATCH_CHARACTERS = 100
_LOOK_AHEAD = 100


class _Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the options say for every spec of the call."""

    project_folder: str | None
    priority: int | None
    batch: str | None
    may_be_missing: bool


@verb(examples=("add specs/parser.md --priority 5", "add specs/*.md --batch night"), name="add")
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True, shell_complete=complete_file)
@click.option(
    "--project",
    metavar="DIR",
    shell_complete=complete_folder,
    help="Work in this folder; else in the one the spec belongs to.",
)
@click.option(
    "--priority", type=PRIORITY, metavar="N", help="Higher runs first; else what the spec says."
)
@click.option("--batch", metavar="NAME", help="Group under a name: list --batch NAME.")
@click.option("--again", is_flag=True, help="Also if the spec ended in the last five minutes.")
@click.option("--allow-missing", is_flag=True, help="Also if the spec file is not there yet.")
@pass_cli
def add_verb(
    cli: Cli,
    specs: tuple[str, ...],
    project: str | None,
    priority: int | None,
    batch: str | None,
    again: bool,
    allow_missing: bool,
) -> int:
    """Queue specs; - reads their paths from stdin, one a line.

    If one of them cannot be used, none is added.
    """
    wish = _Wish(
        project_folder=_folder(project),
        priority=priority,
        batch=_batch(batch),
        may_be_missing=allow_missing,
    )
    wanted = _read_all(cli, specs, wish)
    if wanted is None:
        return EXIT_USAGE
    queue = cli.queue
    with cli.store.transaction():
        results = [queue.enqueue(new, again=again) for new in wanted]
    _answer(cli, results)
    refused = [result for result in results if _is_refused(result)]
    return EXIT_STATE if refused else EXIT_DONE


def _read_all(cli: Cli, specs: tuple[str, ...], wish: _Wish) -> list[NewProject] | None:
    """Return what is to be queued; None after saying of each unusable spec why."""
    wanted, problems = [], []
    for path in _paths(cli, specs):
        try:
            wanted.append(_read(path, wish, cli.clock.now()))
        except InvalidInput as error:
            problems.append(error)
    for problem in problems:
        cli.terminal.error(str(problem))
    return None if problems else wanted


def _paths(cli: Cli, specs: tuple[str, ...]) -> list[str]:
    paths: list[str] = []
    for spec in specs:
        if spec == "-":
            lines = read_text(cli.terminal.stdin).split("\n")
            paths.extend(line.removesuffix("\r") for line in lines if line.strip())
        else:
            paths.append(spec)
    if not paths:
        raise InvalidInput("stdin names no spec")
    return paths


def _read(path: str, wish: _Wish, now: float) -> NewProject:
    from scheduler_modules.spec import Spec, project_name, read_spec

    resolved = _resolved(path)
    if wish.may_be_missing and not os.path.lexists(resolved):
        spec = Spec(name=project_name(resolved))
    else:
        spec = read_spec(Path(path))
    folder = Path(resolved).parent
    return NewProject(
        spec_path=resolved,
        name=project_name(resolved),
        enqueued_at=now,
        project_path=wish.project_folder,
        priority=spec.priority if wish.priority is None else wish.priority,
        batch_id=wish.batch,
        base_dir=str(folder),
        spec_key=resolved,
        project_key=wish.project_folder,
        after_keys=tuple(os.path.realpath(folder / name) for name in spec.after),
    )


def _resolved(path: str) -> str:
    """Return the path as the queue keeps it: absolute, without symbolic links.

    Raises:
        SpecError: it cannot be kept, or cannot be resolved.
    """
    from scheduler_modules.spec import shown_path

    if not path:
        raise InvalidInput("an empty path names no spec")
    try:
        resolved = os.path.realpath(path)
        resolved.encode()
    except (UnicodeEncodeError, ValueError) as error:
        raise SpecError(shown_path(path), "the path is not UTF-8 text: rename it") from error
    except OSError as error:
        raise SpecError(shown_path(path), f"cannot be found: {error.strerror}") from error
    return resolved


def _folder(project: str | None) -> str | None:
    if project is None:
        return None
    resolved = _resolved(project)
    if not Path(resolved).is_dir():
        raise InvalidInput(f"project folder {project} does not exist")
    return resolved


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


def _answer(cli: Cli, results: list[Enqueued]) -> None:
    terminal, store = cli.terminal, cli.store
    projects = [store.project(result.project_id) for result in results]
    shown = [
        (result, project)
        for result, project in zip(results, projects, strict=True)
        if project is not None
    ]
    ahead = _positions(cli)
    if terminal.is_json:
        terminal.json(_as_json(cli, shown, ahead))
    elif terminal.is_quiet:
        for result in results:
            terminal.line(str(result.project_id))
    else:
        slots = f"{cli.queue.free_slots()} of {cli.config.max_concurrent_projects} slots free"
        cards = Cards(cli)
        for result, project in shown:
            said = _said(cards.make(project), ahead, slots, cli.clock.now(), result.is_new)
            terminal.line(f"{project.id}  {one_line(project.name, 60)}  {said}")
        going = [project.id for result, project in shown if not _is_refused(result)]
        if going:
            terminal.next_step(f"tmux-orchestrator wait {going[0]}")
    problem = why_nothing_launches(cli.locks)
    if problem is not None:
        terminal.warn(f"{problem}; next: tmux-orchestrator daemon start")


def _said(card: Card, ahead: dict[int, int], slots: str, now: float, is_new: bool) -> str:
    project = card.project
    if is_new and project.state is not ProjectState.QUEUED:
        # A daemon was faster than this answer.
        return card.word
    if is_new:
        if card.waits_for:
            return f"queued ({card.note}; {slots})"
        # Beyond those that were looked at nobody has counted.
        count = ahead.get(project.id, f"at least {max(ahead.values(), default=0)}")
        return f"queued ({count} ahead; {slots})"
    if project.state in {ProjectState.QUEUED, ProjectState.PROCESSING}:
        return f"is {card.word} already (not added again)"
    ended = f"ended {ago(project.completed_at, now)}: {card.word}"
    if project.state is ProjectState.FAILED:
        return f"{ended} (not added again; retry {project.id} queues it again)"
    return f"{ended} (not added again; --again queues it anyway)"


def _positions(cli: Cli) -> dict[int, int]:
    """Return how many that could run now stand before each of the first in the queue."""
    queued = cli.store.projects([ProjectState.QUEUED], limit=_LOOK_AHEAD + 1)
    positions: dict[int, int] = {}
    ahead = 0
    for project in queued:
        positions[project.id] = ahead
        ahead += _could_run(cli, project)
    return positions


def _could_run(cli: Cli, project: Project) -> bool:
    """Whether it waits for nothing but a slot."""
    if project.not_before is not None and project.not_before > cli.clock.now():
        return False
    return all(entry.is_met for entry in cli.store.dependencies(project.id))


def _as_json(
    cli: Cli, shown: list[tuple[Enqueued, Project]], ahead: dict[int, int]
) -> dict[str, object]:
    return {
        "projects": [
            {
                **project_json(project, state_word(project, None)),
                "is_new": result.is_new,
                "ahead": ahead.get(project.id),
            }
            for result, project in shown
        ],
        "slots": cli.config.max_concurrent_projects,
        "free_slots": cli.queue.free_slots(),
    }
