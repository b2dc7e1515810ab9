"""`list`: what needs a person, then what runs, waits and has ended."""

from collections.abc import Iterator
from itertools import chain

import click
import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.verb import pass_cli, verb
from scheduler_modules.cli.views import Card, Cards, by_urgency, card_json
from scheduler_modules.cli.words import (
    ENDED_WORDS,
    RUNNING,
    VERIFYING,
    status_of_word,
    status_word,
)
from scheduler_modules.errors import InvalidInput
from scheduler_modules.model import Project, ProjectState
from scheduler_modules.utils import iso_utc, one_line

QUEUED_SHOWN = 50
ENDED_SHOWN = 10
_MAX_SHOWN = 1_000_000
# The last ones by id are nearly the last to end; this many more make sure of it.
_ENDED_LOOKED_AT = 5


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be shown, and how many more of each status there are."""

    cards: list[Card]
    left_out: dict[str, int]


@verb(examples=("list", "list --state failed --json"), name="list")
@click.option("--all", "show_all", is_flag=True, help="All of them, however many.")
@click.option("--state", metavar="STATE", help="Only these: queued, running, failed, ...")
@click.option("--batch", metavar="NAME", help="Only those of a batch.")
@click.option(
    "-n",
    "count",
    metavar="N",
    type=click.IntRange(0, _MAX_SHOWN),
    help=f"At most N queued and N ended; else {QUEUED_SHOWN} and {ENDED_SHOWN}.",
)
@pass_cli
def list_verb(
    cli: Cli, show_all: bool, state: str | None, batch: str | None, count: int | None
) -> None:
    """Show projects: those that need you first, then running, queued and the last ended.

    In a pipe: one project a line, tabs between id, state, name, priority, the time since when it
    is in that state, and note.
    """
    page = _page(cli, show_all, state, batch, count)
    terminal = cli.terminal
    if terminal.is_json:
        projects = [card_json(card) for card in page.cards]
        terminal.json({"projects": projects, "left_out": page.left_out})
        return
    if terminal.is_quiet:
        terminal.write("".join(f"{card.project.id}\n" for card in page.cards))
        return
    if terminal.is_pretty and page.cards:
        from scheduler_modules.cli.tables import project_table

        terminal.write(project_table(terminal, page.cards, cli.clock.now()))
    else:
        terminal.write("".join(f"{_record(card)}\n" for card in page.cards))
    _say_the_rest(cli, page, _asked_for(state, batch))


def _page(
    cli: Cli, show_all: bool, state: str | None, batch: str | None, count: int | None
) -> _Page:
    counts = cli.store.counts()
    is_filtered = state is not None or batch is not None
    limits = (count, count)
    if count is None and not (show_all or is_filtered):
        limits = (QUEUED_SHOWN, ENDED_SHOWN)
    wanted = None if state is None else _status(state, counts)
    found = list(_projects(cli, wanted, batch, *limits))
    cards = Cards(cli)
    made = [cards.make(project) for project in found]
    if state is not None and status_of_word(state) != state.strip().lower():
        made = [card for card in made if card.word == state.strip().lower()]
    return _Page(cards=by_urgency(made), left_out=_left_out(counts, found, is_filtered))


def _status(word: str, counts: dict[str, int]) -> str:
    """Return the stored status of a state word.

    Raises:
        InvalidInput: no state is called so, and no row either.
    """
    status = status_of_word(word)
    if status not in {*ProjectState, *counts}:
        known = ", ".join([RUNNING, VERIFYING, *(s for s in ProjectState if s != "processing")])
        raise InvalidInput(f'--state "{one_line(word, 40)}": no such state; known: {known}')
    return status


def _projects(
    cli: Cli,
    wanted: str | None,
    batch: str | None,
    queued_limit: int | None,
    ended_limit: int | None,
) -> Iterator[Project]:
    """Give the projects in the order they are shown."""
    present = set(cli.store.counts()) if wanted is None else {wanted}
    ended = sorted(present & ENDED_WORDS)
    queued = present & {ProjectState.QUEUED}
    others = sorted(present - ENDED_WORDS - queued - {ProjectState.PROCESSING})
    sections = chain(
        _some(cli, others, batch, None),
        _some(cli, sorted(present & {ProjectState.PROCESSING}), batch, None),
        _some(cli, sorted(queued), batch, queued_limit),
    )
    yield from sections
    yield from _last_ended(cli, ended, batch, ended_limit)


def _some(cli: Cli, statuses: list[str], batch: str | None, limit: int | None) -> list[Project]:
    return cli.store.projects(statuses, batch_id=batch, limit=limit) if statuses else []


def _last_ended(
    cli: Cli, statuses: list[str], batch: str | None, limit: int | None
) -> list[Project]:
    """Return ended projects, the last to end first."""
    if not statuses or limit == 0:
        return []
    looked_at = None if limit is None else limit * _ENDED_LOOKED_AT
    found = cli.store.projects(statuses, batch_id=batch, limit=looked_at, newest_first=True)
    found.sort(key=lambda project: project.completed_at or 0, reverse=True)
    return found[:limit]


def _left_out(counts: dict[str, int], found: list[Project], is_filtered: bool) -> dict[str, int]:
    """Return how many projects of each status are not shown; nothing where only some are asked."""
    if is_filtered:
        return {}
    shown: dict[str, int] = {}
    for project in found:
        shown[project.status] = shown.get(project.status, 0) + 1
    rest = {status: count - shown.get(status, 0) for status, count in counts.items()}
    return {status: count for status, count in sorted(rest.items()) if count > 0}


def _record(card: Card) -> str:
    project = card.project
    since = project.completed_at or project.started_at or project.enqueued_at
    fields = (
        str(project.id),
        card.word,
        one_line(project.name) or "-",
        str(project.priority),
        iso_utc(since) or "-",
        card.note or "-",
    )
    return "\t".join(fields)


def _asked_for(state: str | None, batch: str | None) -> str:
    """Return the filters in words; empty where there are none."""
    given = {"--state": state, "--batch": batch}
    return " ".join(f'{name} "{one_line(word, 40)}"' for name, word in given.items() if word)


def _say_the_rest(cli: Cli, page: _Page, asked_for: str) -> None:
    terminal = cli.terminal
    if page.left_out:
        left_out = page.left_out.items()
        rest = ", ".join(f"{count:,} more {status_word(status)}" for status, count in left_out)
        terminal.talk(terminal.dim(f"{rest}: list --all"))
    elif not page.cards and asked_for:
        terminal.talk(f"no project matches {asked_for}")
    elif not page.cards:
        terminal.talk("no projects")
        terminal.next_step("tmux-orchestrator add SPEC")
