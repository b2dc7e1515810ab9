"""`list`: what needs a person, then what runs, waits and has ended."""

from collections import Counter
from collections.abc import Iterator

import click
import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.verb import group_option, pass_cli, verb
from scheduler_modules.cli.views import IN_VAIN_SHOWN, Card, Cards, by_urgency, first_queued
from scheduler_modules.cli.wishes import known_batch, known_group
from scheduler_modules.cli.words import (
    ENDED_WORDS,
    PAUSED,
    RUNNING,
    TOLD_BY_CARDS,
    VERIFYING,
    group_label,
    status_of_word,
    status_word,
)
from scheduler_modules.errors import InvalidInput
from scheduler_modules.model import Project, ProjectState
from scheduler_modules.utils import iso_utc, one_line

RUNNING_SHOWN = 200
QUEUED_SHOWN = 50
ENDED_SHOWN = 10
_MAX_SHOWN = 1_000_000
# The last ones by id are nearly the last to end; this many more make sure of it.
_ENDED_LOOKED_AT = 5


class _Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Which projects are asked for; None: whichever."""

    state: str | None = None
    """A word as people read it."""
    batch: str | None = None
    group: str | None = None
    limits: tuple[int | None, int | None, int | None]
    """How many at most of those that run or need a person, are queued, and have ended."""

    @property
    def is_filtered(self) -> bool:
        return not (self.state is None and self.batch is None and self.group is None)

    @property
    def is_limited(self) -> bool:
        return any(limit is not None for limit in self.limits)

    @property
    def unlimited(self) -> "_Wish":
        return msgspec.structs.replace(self, limits=(None, None, None))

    def __str__(self) -> str:
        group = None if self.group is None else group_label(self.group)
        given = {"--state": self.state, "--batch": self.batch, "--group": group}
        return " ".join(f'{name} "{one_line(word, 40)}"' for name, word in given.items() if word)


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be shown, and how many more of each status there are."""

    cards: list[Card]
    left_out: dict[str, int]
    in_vain: int = 0
    """How many of those shown wait in vain; more than `IN_VAIN_SHOWN` are not looked for."""


@verb(examples=("list --group night", "list --state failed --json"), name="list")
@click.option("--all", "show_all", is_flag=True, help="All of them, however many.")
@click.option("--state", metavar="STATE", help="Only these: queued, running, paused, failed, ...")
@click.option("--batch", metavar="NAME", help="Only those of a batch.")
@group_option("Only those of a group.")
@click.option(
    "-n",
    "count",
    metavar="N",
    type=click.IntRange(0, _MAX_SHOWN),
    help=f"At most N queued and N ended; else {QUEUED_SHOWN} and {ENDED_SHOWN}.",
)
@pass_cli
def list_verb(
    cli: Cli,
    show_all: bool,
    state: str | None,
    batch: str | None,
    group: str | None,
    count: int | None,
) -> None:
    """Show projects: those that need you first, then running, queued and the last ended.

    In a pipe: one project a line, tabs between id, state, name, priority, the time since when it
    is in that state, and note.
    """
    known_group(cli, group)
    known_batch(cli, batch)
    wish = _Wish(state=state, batch=batch, group=group, limits=(None, count, count))
    if count is None and not (show_all or wish.is_filtered):
        wish = msgspec.structs.replace(wish, limits=(RUNNING_SHOWN, QUEUED_SHOWN, ENDED_SHOWN))
    page = _page(cli, wish)
    terminal = cli.terminal
    if terminal.is_json:
        from scheduler_modules.cli.documents import card_json

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
    _say_the_rest(cli, page, str(wish))


def _page(cli: Cli, wish: _Wish) -> _Page:
    word = (wish.state or "").strip().lower().replace("-", "_")
    counts = cli.store.counts()
    statuses, cards = _statuses(word, counts), Cards(cli)
    if wish.batch is not None or wish.group is not None:
        counts = cli.store.counts(batch_id=wish.batch, group=wish.group)
    counts = {status: count for status, count in counts.items() if status in statuses}
    if word in TOLD_BY_CARDS:
        # The word of a row is more than its status: those of that word are counted, then limited.
        told = [p for p in _projects(cli, statuses, wish.unlimited) if cards.word(p) == word]
        counts = Counter(project.status for project in told)
        found = _limited(told, wish)
    else:
        found = list(_projects(cli, statuses, wish))
    made = [cards.make(project) for project in found]
    return _Page(
        cards=by_urgency(made),
        left_out=_left_out(counts, found) if wish.is_limited else {},
        in_vain=sum(card.needs_you is not None and bool(card.waits_for) for card in made),
    )


def _limited(found: list[Project], wish: _Wish) -> list[Project]:
    """Return running projects, and of the queued ones the first as many as are asked for."""
    queued = [project for project in found if project.state is ProjectState.QUEUED]
    others = [project for project in found if project.state is not ProjectState.QUEUED]
    return others + queued[: wish.limits[1]]


def _statuses(word: str, counts: dict[str, int]) -> set[str]:
    """Return the stored statuses that a state word may stand for; all there are for no word.

    Raises:
        InvalidInput: no state is called so, and no row either.
    """
    if not word:
        return set(counts)
    if word == PAUSED:
        return {ProjectState.QUEUED, ProjectState.PROCESSING}
    status = status_of_word(word)
    if status not in {*ProjectState, *counts}:
        plain = (state for state in ProjectState if state is not ProjectState.PROCESSING)
        known = ", ".join([RUNNING, VERIFYING, PAUSED, *plain])
        raise InvalidInput(f'--state "{one_line(word, 40)}": no such state; known: {known}')
    return {status}


def _projects(cli: Cli, present: set[str], wish: _Wish) -> Iterator[Project]:
    """Give the projects in the order they are shown."""
    ended = sorted(present & ENDED_WORDS)
    others = sorted(present - ENDED_WORDS - {ProjectState.QUEUED, ProjectState.PROCESSING})
    active_limit, queued_limit, ended_limit = wish.limits
    yield from _some(cli, others, wish, active_limit)
    yield from _some(cli, sorted(present & {ProjectState.PROCESSING}), wish, active_limit)
    if ProjectState.QUEUED in present:
        yield from first_queued(cli.store, queued_limit, batch_id=wish.batch, group=wish.group)
    yield from _last_ended(cli, ended, wish, ended_limit)


def _some(cli: Cli, statuses: list[str], wish: _Wish, limit: int | None) -> list[Project]:
    if not statuses:
        return []
    return cli.store.projects(statuses, batch_id=wish.batch, group=wish.group, limit=limit)


def _last_ended(cli: Cli, statuses: list[str], wish: _Wish, limit: int | None) -> list[Project]:
    """Return ended projects, the last to end first."""
    if not statuses or limit == 0:
        return []
    looked_at = None if limit is None else limit * _ENDED_LOOKED_AT
    found = cli.store.projects(
        statuses, batch_id=wish.batch, group=wish.group, limit=looked_at, newest_first=True
    )
    found.sort(key=lambda project: project.completed_at or 0, reverse=True)
    return found[:limit]


def _left_out(counts: dict[str, int], found: list[Project]) -> dict[str, int]:
    """Return how many projects of each status are not shown."""
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


def _say_the_rest(cli: Cli, page: _Page, asked_for: str) -> None:
    terminal = cli.terminal
    if page.left_out:
        left_out = page.left_out.items()
        rest = ", ".join(f"{count:,} more {status_word(status)}" for status, count in left_out)
        terminal.talk(terminal.dim(f"{rest}: {'leave out -n' if asked_for else 'list --all'}"))
        if page.in_vain >= IN_VAIN_SHOWN:
            terminal.talk(f"at least {page.in_vain} wait for what will not come by itself")
    elif not page.cards and asked_for:
        terminal.talk(f"no project matches {asked_for}")
    elif not page.cards:
        terminal.talk("no projects")
        terminal.next_step("tmux-orchestrator add SPEC")
