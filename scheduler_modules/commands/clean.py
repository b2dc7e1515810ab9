"""`clean`: forget ended projects, and delete what their windows printed."""

from collections.abc import Iterator, Sequence
from typing import Any

import click
import msgspec

from scheduler_modules.cli.changes import Change, Result, change_one, worst_of
from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.verb import group_option, pass_cli, verb
from scheduler_modules.cli.wishes import known_batch, known_group
from scheduler_modules.cli.words import ENDED_WORDS, SUCCESS_WORDS, ago, status_word, symbol
from scheduler_modules.errors import EXIT_DONE, InvalidInput, NotPossible
from scheduler_modules.model import Project
from scheduler_modules.utils import iso_utc, one_line

SHOWN = 10
_MAX_KEPT = 1_000_000


class _Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Which ended projects are meant."""

    words: frozenset[str]
    group: str | None
    batch: str | None
    ended_before: float | None
    keep: int


def _span(_ctx: click.Context, _param: click.Parameter, given: str | None) -> float | None:
    from scheduler_modules.cli.moments import parse_span

    try:
        return None if given is None else parse_span(given)
    except InvalidInput as error:
        raise click.BadParameter(str(error)) from error


@verb(examples=("clean --completed --older 7d", "clean --keep 100 --yes"), name="clean")
@click.option("--completed", is_flag=True, help="Those that went well.")
@click.option("--failed", is_flag=True, help="Those that did not.")
@group_option("Only those of a group.")
@click.option("--batch", metavar="NAME", help="Only those of a batch.")
@click.option("--older", metavar="TIME", callback=_span, help="Ended longer ago than 7d, 12h, ...")
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(0, _MAX_KEPT),
    default=0,
    help="All but the last N that ended.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_cli
def clean_verb(
    cli: Cli,
    completed: bool,
    failed: bool,
    group: str | None,
    batch: str | None,
    older: float | None,
    keep: int,
    dry_run: bool,
    yes: bool,
) -> int:
    """Forget ended projects and delete their logs; specs and their folders stay.

    Without --completed or --failed: both. What others that may still run need is spared.
    """
    known_group(cli, group)
    known_batch(cli, batch)
    wish = _Wish(
        words=_words(completed, failed),
        group=group,
        batch=batch,
        ended_before=None if older is None else cli.clock.now() - older,
        keep=keep,
    )
    meant, needed = _meant(cli, wish)
    if needed:
        _tell_spared(cli, needed)
    if dry_run or (not meant and cli.terminal.is_json):
        _show(cli, meant, "would go")
        return EXIT_DONE
    if not meant:
        cli.terminal.talk("nothing to forget")
        return EXIT_DONE
    _confirm(cli, meant, yes)
    return _remove_all(cli, meant)


def _words(completed: bool, failed: bool) -> frozenset[str]:
    if completed == failed:
        return ENDED_WORDS
    return SUCCESS_WORDS if completed else ENDED_WORDS - SUCCESS_WORDS


def _tell_spared(cli: Cli, needed: Sequence[tuple[Project, int]]) -> None:
    terminal = cli.terminal
    terminal.talk(f"spared, for others that may still run need them: {len(needed)}")
    for project, by in needed[:SHOWN]:
        other = cli.store.project(by)
        name = "" if other is None else f" ({one_line(other.name, 60)})"
        terminal.talk(f"  {project.id}  {one_line(project.name, 60)}  is needed by {by}{name}")
    if len(needed) > SHOWN:
        terminal.talk(f"  and {len(needed) - SHOWN:,} more")


def _meant(cli: Cli, wish: _Wish) -> tuple[list[Project], list[tuple[Project, int]]]:
    """Return ended projects, the last to end first: what is to go, and what is still needed.

    With the latter comes one that needs it.
    """
    found = cli.store.projects(sorted(wish.words), group=wish.group, batch_id=wish.batch)
    found.sort(key=_ended_at, reverse=True)
    meant = [
        project
        for project in found[wish.keep :]
        if wish.ended_before is None or _ended_at(project) < wish.ended_before
    ]
    stays = _needed(cli, meant)
    going = [project for project in meant if project.id not in stays]
    return going, [(project, stays[project.id]) for project in meant if project.id in stays]


def _ended_at(project: Project) -> float:
    # Old programs did not always say when.
    return project.completed_at or project.started_at or project.enqueued_at or 0.0


def _needed(cli: Cli, projects: Sequence[Project]) -> dict[int, int]:
    """Return those that one that stays may still need to run, each with one such."""
    needed_by = {project.id: cli.queue.moves.needed_by(project) for project in projects}
    going = set(needed_by)
    stays: dict[int, int] = {}
    while found := {one: by for one in going for by in needed_by[one] if by not in going}:
        stays |= found
        going -= set(found)
    return stays


def _confirm(cli: Cli, projects: Sequence[Project], is_yes: bool) -> None:
    """Let pass what a person wants.

    Raises:
        InvalidInput: nobody can be asked.
        NotPossible: the person said no.
    """
    if is_yes:
        return
    many = _counted(len(projects))
    if not cli.terminal.can_ask:
        raise InvalidInput(f"clean would forget {many} with their logs; say --yes if that is meant")
    _show(cli, projects, "will go", is_talk=True)
    if not cli.terminal.ask(f"forget {many} and delete their logs?"):
        raise NotPossible("nothing was removed")


def _remove_all(cli: Cli, projects: Sequence[Project]) -> int:
    terminal = cli.terminal
    results = list(_removed(cli, projects))
    if terminal.is_json:
        terminal.json({"projects": [_told(p) for p in projects], "removed": _count(results)})
    elif not terminal.is_quiet:
        terminal.line(f"{_counted(_count(results))} forgotten")
    return worst_of(results)


def _removed(cli: Cli, projects: Sequence[Project]) -> Iterator[Result]:
    change = _remover(cli)
    # What has failed may need what went well: it goes first.
    for project in sorted(projects, key=lambda project: project.status in SUCCESS_WORDS):
        result = change_one(project, change)
        if result.error is not None:
            cli.terminal.error(result.error)
        yield result


def _remover(cli: Cli) -> Change:
    def change(project: Project) -> str:
        # The row goes first: what somebody queued again meanwhile keeps its logs.
        for token in cli.queue.remove(project.id, only=project):
            cli.run_files.remove(token)
            cli.run_files.remove_logs(token)
        return "removed"

    return change


def _show(cli: Cli, projects: Sequence[Project], what: str, *, is_talk: bool = False) -> None:
    """Show what is meant; on a terminal only the first of many."""
    terminal, now = cli.terminal, cli.clock.now()
    if terminal.is_json and not is_talk:
        terminal.json({"projects": [_told(project) for project in projects], "removed": 0})
        return
    say = terminal.talk if is_talk else terminal.line
    shown = projects[:SHOWN] if terminal.is_interactive else projects
    for project in shown:
        if terminal.is_quiet:
            say(str(project.id))
        elif terminal.is_interactive or is_talk:
            word = status_word(project.status)
            line = f"{project.id}  {one_line(project.name, 60)}  {symbol(word)} {word}"
            say(f"{line} {ago(_ended_at(project), now)}")
        else:
            say("\t".join(_record(project)))
    if len(projects) > len(shown):
        terminal.talk(f"and {len(projects) - len(shown):,} more")
    if not is_talk:
        terminal.talk(f"{_counted(len(projects))} {what}")


def _record(project: Project) -> tuple[str, str, str, str]:
    name = one_line(project.name) or "-"
    ended = iso_utc(project.completed_at) or "-"
    return str(project.id), status_word(project.status), name, ended


def _told(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "status": project.status,
        "ended_at": iso_utc(project.completed_at),
    }


def _count(results: Sequence[Result]) -> int:
    return sum(result.error is None for result in results)


def _counted(number: int) -> str:
    return f"{number:,} project{'' if number == 1 else 's'}"
