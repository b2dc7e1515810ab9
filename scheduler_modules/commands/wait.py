"""`wait`: until projects have ended; progress on a terminal, one line a change elsewhere."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import click
import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.daemons import why_nothing_launches
from scheduler_modules.cli.refs import expand, find_each
from scheduler_modules.cli.verb import group_option, pass_cli, verb
from scheduler_modules.cli.views import Card, Cards, is_dead_end, plan_of
from scheduler_modules.cli.wishes import known_batch, known_group
from scheduler_modules.cli.words import ENDED_WORDS, SUCCESS_WORDS, VERIFYING
from scheduler_modules.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    InvalidInput,
    NoDaemon,
    NotPossible,
    SchedulerError,
)
from scheduler_modules.model import ProjectState
from scheduler_modules.utils import iso_utc, one_line, short_duration

if TYPE_CHECKING:
    from scheduler_modules.cli.live import WaitDisplay

POLL_SEC = 0.25
GRACE_SEC = 3.0
MAX_TIMEOUT_SEC = 10_000_000.0
_SHOWN = 8


def _refuse_nan(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        # It compares as false with every limit, so no range refuses it.
        raise click.BadParameter("nan is no number of seconds")
    return value


@verb(examples=("wait 40-42 --any", "wait --batch night --timeout 3600"), name="wait")
@click.argument("projects", metavar="[PROJECT]...", nargs=-1)
@click.option("--all", "wait_all", is_flag=True, help="All that are queued or running now.")
@group_option("All of a group that are queued or running now.")
@click.option("--batch", metavar="NAME", help="All of a batch, ended ones included.")
@click.option("--any", "wait_any", is_flag=True, help="Until the first of them has ended.")
@click.option(
    "--timeout",
    "timeout_sec",
    metavar="SEC",
    type=click.FloatRange(0, MAX_TIMEOUT_SEC),
    callback=_refuse_nan,
    help="Give up after so many seconds.",
)
@pass_cli
def wait_verb(
    cli: Cli,
    projects: tuple[str, ...],
    wait_all: bool,
    group: str | None,
    batch: str | None,
    wait_any: bool,
    timeout_sec: float | None,
) -> int:
    """Wait until projects have ended, retries and verification included.

    Exit 0: all completed (--any: the first did). 1: one failed or was removed. 4: what is left can
    never end, or time is up. 7: no daemon runs. In a pipe: one line for each change of state.
    """
    if not (projects or wait_all or group is not None or batch is not None):
        raise InvalidInput("which projects? give ids, --group, --batch or --all")
    ids = ids_of(cli, projects, wait_all, group=group, batch=batch)
    watch = Watch(cli, ids, timeout_sec, is_first_enough=wait_any)
    try:
        with _reporter(cli) as report:
            watch.until_ended(report)
    except KeyboardInterrupt:
        cli.terminal.talk("stopped waiting; the work goes on")
        return EXIT_INTERRUPTED
    if wait_any and cli.terminal.is_quiet and watch.first is not None:
        cli.terminal.line(str(watch.first))
    return EXIT_DONE if watch.all_completed else EXIT_FAILED


def ids_of(
    cli: Cli,
    tokens: Sequence[str],
    wait_all: bool,
    *,
    group: str | None = None,
    batch: str | None = None,
) -> list[int]:
    """Return the projects that are meant, each once.

    With `wait_all` also all that have not ended, with `group` those of a group; with `batch` all
    of a batch.

    Raises:
        NotFound: a token means none, or there is no such group or batch.
        InvalidInput: a token may mean several.
    """
    known_group(cli, group)
    known_batch(cli, batch)
    found: list[int] = []
    for token in expand(tokens, cli.terminal.stdin):
        found.extend(project.id for project in find_each(cli.store, token))
    if wait_all or group is not None:
        statuses = [ProjectState.PROCESSING, ProjectState.QUEUED]
        active = cli.store.projects(statuses, group=None if wait_all else group)
        found.extend(project.id for project in active)
    if batch is not None:
        found.extend(project.id for project in cli.store.projects(batch_id=batch))
    if not found:
        cli.terminal.talk("nothing is queued or running")
    return list(dict.fromkeys(found))


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The projects at one moment; None where one was removed."""

    cards: dict[int, Card | None]
    stuck: tuple[Card, ...] = ()
    """What can never end, for it waits for what will not happen by itself."""
    remark: str | None = None
    """Why nothing may happen, if so."""

    @property
    def pending(self) -> list[Card]:
        return [
            card
            for card in self.cards.values()
            if card is not None and card.project.status not in ENDED_WORDS
        ]

    @property
    def ended(self) -> list[int]:
        """The projects that have ended or were removed, the first to end first."""
        pending = {card.project.id for card in self.pending}
        ended = [number for number in self.cards if number not in pending]
        return sorted(ended, key=self._ended_at)

    def is_completed(self, number: int) -> bool:
        card = self.cards[number]
        return card is not None and card.project.status in SUCCESS_WORDS

    def _ended_at(self, number: int) -> float:
        card = self.cards[number]
        return (card.project.completed_at or 0.0) if card is not None else 0.0


class Watch:
    """Looks at projects until all have ended or that cannot happen.

    `alone_sec`: how long it goes on without a daemon. `is_first_enough`: until one has ended.
    """

    def __init__(
        self,
        cli: Cli,
        ids: Sequence[int],
        timeout_sec: float | None = None,
        alone_sec: float = GRACE_SEC,
        *,
        is_first_enough: bool = False,
    ) -> None:
        self._cli = cli
        self._ids = ids
        self._timeout_sec = timeout_sec
        self._alone_sec = alone_sec
        self._began = cli.clock.since_boot_sec()
        self._alone_since: float | None = None
        self._is_first_enough = is_first_enough
        self.all_completed = False
        """Whether what was waited for has gone well."""
        self.first: int | None = None
        """The project that ended first."""

    def until_ended(self, report: "Reporter") -> None:
        """Return once all have ended, or the first has where that is enough.

        Raises:
            NotPossible: time is up, or what is left can never end.
            NoDaemon: nothing runs that would bring them to an end.
        """
        while True:
            look = self._look()
            report.show(look)
            ended = look.ended
            if not look.pending or (self._is_first_enough and ended):
                self.first = ended[0] if ended else None
                awaited = ended[:1] if self._is_first_enough else list(look.cards)
                self.all_completed = all(look.is_completed(number) for number in awaited)
                return
            self._refuse_hopeless(look)
            self._cli.pause(POLL_SEC)

    def _look(self) -> Look:
        cards = Cards(self._cli)
        store = self._cli.store
        found = {number: store.project(number) for number in self._ids}
        made = {n: None if project is None else cards.make(project) for n, project in found.items()}
        look = Look(cards=made, remark=why_nothing_launches(self._cli.locks))
        stuck = tuple(card for card in look.pending if self._is_stuck(card, set()))
        return msgspec.structs.replace(look, stuck=stuck)

    def _refuse_hopeless(self, look: Look) -> None:
        now = self._cli.clock.since_boot_sec()
        pending = look.pending
        if self._timeout_sec is not None and now - self._began >= self._timeout_sec:
            raise NotPossible(
                f"not ended after {short_duration(self._timeout_sec)}: {_listed(pending)}"
            )
        if len(look.stuck) == len(pending):
            raise NotPossible(f"can never end: {_listed(look.stuck)}")
        if look.remark is None:
            self._alone_since = None
            return
        if self._alone_since is None:
            self._alone_since = now
        if now - self._alone_since >= self._alone_sec:
            raise NoDaemon(
                f"{look.remark}; still {_listed(pending)}. next: tmux-orchestrator daemon start"
            )

    def _is_stuck(self, card: Card, seen: set[int]) -> bool:
        """Whether a queued project waits, maybe through others, for what will not happen."""
        project = card.project
        if project.state is not ProjectState.QUEUED or project.id in seen:
            return False
        seen.add(project.id)
        for entry in self._cli.store.dependencies(project.id):
            if entry.is_met:
                continue
            other = None if entry.project_id is None else self._cli.store.project(entry.project_id)
            if is_dead_end(entry) or other is None:
                return True
            if self._is_stuck(Card(project=other, run=None, word="", note=""), seen):
                return True
        return False


def _listed(cards: Sequence[Card]) -> str:
    shown = [
        f"{card.project.id} ({one_line(card.project.name, 40)}: {_standing(card)})"
        for card in cards[:_SHOWN]
    ]
    more = f" and {len(cards) - _SHOWN} more" if len(cards) > _SHOWN else ""
    return ", ".join(shown) + more


def _standing(card: Card) -> str:
    note = card.needs_you or card.note
    if note.startswith(f"{card.word} "):
        return note
    return ", ".join(filter(None, (card.word, note)))


def _stuck_text(stuck: Sequence[Card]) -> str:
    return f"cannot end unless something changes: {_listed(stuck)}"


class Reporter:
    """Says each change of state on a line of its own; tabs between the fields."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli
        self._last: dict[int, str] = {}
        self._known_stuck: set[int] = set()

    def show(self, look: Look) -> None:
        """Say what is new."""
        for number, card in look.cards.items():
            word = card.word if card is not None else "removed"
            if self._last.get(number) == word:
                continue
            self._last[number] = word
            if not self._cli.terminal.is_quiet:
                self._say(number, card, word)
        self._cli.terminal.flush()
        self._warn_of_stuck(look)

    def _warn_of_stuck(self, look: Look) -> None:
        """Say of each what it waits for in vain, once, while others go on."""
        fresh = [card for card in look.stuck if card.project.id not in self._known_stuck]
        self._known_stuck |= {card.project.id for card in fresh}
        if fresh and len(look.stuck) < len(look.pending):
            self._cli.terminal.warn(_stuck_text(fresh))

    def _say(self, number: int, card: Card | None, word: str) -> None:
        now = iso_utc(self._cli.clock.now()) or "-"
        name = one_line(card.project.name) if card else ""
        note = card.note if card else ""
        if self._cli.terminal.is_json:
            self._cli.terminal.json(
                {"at": now, "id": number, "name": name or None, "state": word, "note": note or None}
            )
        else:
            self._cli.terminal.line("\t".join((now, str(number), word, name or "-", note or "-")))


class LiveReporter(Reporter):
    """Shows a table that changes in place."""

    def __init__(self, cli: Cli, display: "WaitDisplay") -> None:
        super().__init__(cli)
        self._display = display

    def show(self, look: Look) -> None:
        cards = [card for card in look.cards.values() if card is not None]
        pending = look.pending
        self._display.update(
            cards,
            {card.project.id: self._last_line(card) for card in pending if card.run is not None},
            ended=len(look.cards) - len(pending),
            now=self._cli.clock.now(),
            remark=look.remark or (_stuck_text(look.stuck) if look.stuck else None),
        )

    def _last_line(self, card: Card) -> str:
        run = card.run
        plan = plan_of(run) if run is not None else None
        if run is None or plan is None:
            return ""
        role = "verify" if card.word == VERIFYING else plan.windows[0].role
        try:
            return self._cli.run_files.last_line(run.token, role) or ""
        except SchedulerError:
            # A look at the log is a comfort; the wait goes on without it.
            return ""


@contextmanager
def _live(cli: Cli) -> Iterator[Reporter]:
    from scheduler_modules.cli.live import WaitDisplay

    with WaitDisplay(cli.terminal) as display:
        yield LiveReporter(cli, display)


@contextmanager
def _lines(cli: Cli) -> Iterator[Reporter]:
    yield Reporter(cli)


def _reporter(cli: Cli) -> AbstractContextManager[Any]:
    return _live(cli) if cli.terminal.is_pretty else _lines(cli)
