"""`status`: is everything fine, what needs me, what is next."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.daemons import Daemon, is_launching, running_daemons
from scheduler_modules.cli.documents import card_json
from scheduler_modules.cli.verb import pass_cli, verb
from scheduler_modules.cli.views import IN_VAIN_SHOWN, Card, Cards, start_note
from scheduler_modules.cli.words import (
    ENDED_WORDS,
    LONG,
    PAUSED,
    SUCCESS_WORDS,
    ago,
    group_label,
    status_word,
    symbol,
)
from scheduler_modules.model import Group, ProjectState
from scheduler_modules.utils import iso_utc, one_line

QUEUED_LOOKED_AT = 50
STRAY_LOOKED_AT = 200
FAILED_SHOWN = 5
RECENT_SEC = 86_400
_PLENTY = 1_000_000_000


class _Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The three answers."""

    daemons: list[Daemon]
    is_launching: bool
    needs_you: list[Card]
    """What will not go on by itself."""
    has_more: bool
    """Whether more than those need a person: only so many are looked for."""
    paused: list[Card]
    """What runs on this queue, is stopped, and keeps its slot."""
    stashed: int
    """How many queued projects are set aside."""
    failed: list[Card]
    """What failed within a day, the last first."""
    elsewhere: list[Card]
    """What runs on other machines and holds slots."""
    next_up: Card | None
    """What starts as soon as a slot is free."""
    counts: dict[str, int]
    free_slots: int
    paused_at: float | None
    """Since when the whole queue is paused."""
    paused_groups: list[Group]
    due_at: float | None
    """When the next start time or retry comes; None: none waits."""
    due: Card | None
    """The project that it belongs to, as far as that was looked at."""

    @property
    def trouble(self) -> str | None:
        return trouble_of(self.daemons)


@verb(examples=("status", "status --json"), name="status")
@pass_cli
def status_verb(cli: Cli) -> None:
    """Answer three questions: is a daemon running, what needs you, what is next."""
    standing = _standing(cli)
    if cli.terminal.is_json:
        cli.terminal.json(_as_json(cli, standing))
    elif not cli.terminal.is_quiet:
        _print(cli, standing)


def _standing(cli: Cli) -> _Standing:
    store, counts, now = cli.store, cli.store.counts(), cli.clock.now()
    cards = Cards(cli)
    known = {*ENDED_WORDS, ProjectState.QUEUED, ProjectState.PROCESSING}
    stray = sorted(set(counts) - known)
    strays = store.projects(stray, limit=STRAY_LOOKED_AT) if stray else []
    in_vain = store.waiting_in_vain(IN_VAIN_SHOWN + 1)
    needing = [cards.make(project) for project in strays + in_vain[:IN_VAIN_SHOWN]]
    failed = store.projects(
        sorted(ENDED_WORDS - SUCCESS_WORDS), newest_first=True, limit=FAILED_SHOWN
    )
    # With slots in plenty: what is next is next also while none is free.
    upcoming = store.next_claimable(now, cli.host, _PLENTY)
    due_at = store.next_due()
    running = [cards.make(project) for project in store.projects([ProjectState.PROCESSING])]
    return _Standing(
        daemons=running_daemons(cli.locks, cli.parts.open_processes(cli.config), cli.clock),
        is_launching=is_launching(cli.locks),
        needs_you=[card for card in needing if card.needs_you],
        has_more=len(in_vain) > IN_VAIN_SHOWN or len(strays) < sum(counts[word] for word in stray),
        paused=[card for card in running if card.paused is not None],
        stashed=store.held_count() if counts.get(ProjectState.QUEUED) else 0,
        failed=[cards.make(p) for p in failed if (p.completed_at or 0) > now - RECENT_SEC],
        elsewhere=[card for card in running if card.elsewhere],
        next_up=None if upcoming is None else cards.make(upcoming.project),
        paused_at=cli.control.paused_at(),
        paused_groups=[g for g in store.groups(is_counted=False) if g.paused_at is not None],
        due_at=due_at,
        due=None if due_at is None or upcoming is not None else _due(cards, due_at),
        counts=counts,
        free_slots=cli.queue.free_slots(),
    )


def _due(cards: Cards, due_at: float) -> Card | None:
    """Return what starts then; None where it is not among the first."""
    looked_at = cards.cli.store.projects([ProjectState.QUEUED], limit=QUEUED_LOOKED_AT)
    found = next((project for project in looked_at if project.not_before == due_at), None)
    return None if found is None else cards.make(found)


def _print(cli: Cli, standing: _Standing) -> None:
    terminal, now = cli.terminal, cli.clock.now()
    if standing.trouble is not None:
        terminal.prose(trouble_text(standing.trouble), terminal.yellow)
    _print_daemons(cli, standing)
    for card in standing.needs_you:
        terminal.prose(f"! needs you: {_named(card)}  {card.needs_you}", terminal.yellow)
    if standing.has_more:
        count = len(standing.needs_you) + 1
        terminal.prose(f"! at least {count} need you: these are the first", terminal.yellow)
    for card in standing.failed:
        ended = ago(card.project.completed_at, now)
        terminal.prose(f"{symbol(card.word)} {card.word} {ended}: {_named(card)}  {card.note}")
    if _is_calm(standing):
        terminal.line("✓ nothing needs you")
    for card in standing.elsewhere:
        there = one_line(card.elsewhere or "", 60)
        word = f"{symbol(card.word)} {card.word}"
        terminal.prose(f"{word} on {there}: {_named(card)}  (holds a slot)")
    for text in _paused_texts(standing, now):
        terminal.prose(f"{symbol(PAUSED)} {text}", terminal.yellow)
    slots = f"{standing.free_slots} of {cli.config.max_concurrent_projects} slots free"
    upcoming = _named(standing.next_up) if standing.next_up else _due_text(cli, standing)
    terminal.prose(f"○ next: {upcoming}  ({slots})")
    counts = sorted(standing.counts.items())
    told = ", ".join(f"{count:,} {status_word(status)}" for status, count in counts)
    terminal.line(f"  {told or 'no projects yet'}")
    if not standing.is_launching:
        terminal.next_step("tmux-orchestrator daemon start")
    elif standing.needs_you:
        terminal.next_step(f"tmux-orchestrator show {standing.needs_you[0].project.id}")


def _paused_texts(standing: _Standing, now: float) -> Iterator[str]:
    if standing.paused_at is not None:
        yield f"the queue was paused {ago(standing.paused_at, now)}: nothing new starts"
    for group in standing.paused_groups:
        yield f"group {group_label(group.name)} was paused {ago(group.paused_at, now)}"
    for card in standing.paused:
        yield f"paused: {_named(card)}  (holds a slot)"
    if standing.stashed:
        verb = "project is" if standing.stashed == 1 else "projects are"
        yield f"{standing.stashed:,} queued {verb} stashed: list --state paused"


def _due_text(cli: Cli, standing: _Standing) -> str:
    """Return what comes by itself where nothing may start now."""
    if standing.due_at is None:
        return "nothing"
    told = start_note(standing.due_at, cli.clock.now(), is_exact=not cli.terminal.is_pretty)
    if standing.due:
        return f"{_named(standing.due)}  {told}"
    return f"nothing before {told.removeprefix('starts ')}"


def _is_calm(standing: _Standing) -> bool:
    is_troubled = standing.trouble or standing.needs_you or standing.has_more or standing.failed
    return standing.is_launching and not is_troubled


def trouble_of(daemons: Sequence[Daemon]) -> str | None:
    """Return what keeps daemons from their work, in their words; None: nothing."""
    found = (daemon.trouble for daemon in daemons)
    return "; ".join(dict.fromkeys(text for text in found if text)) or None


def trouble_text(trouble: str) -> str:
    """Return what keeps a daemon from its work as a line of its own."""
    return f"! the daemon is in trouble: {one_line(trouble, LONG)}"


def _print_daemons(cli: Cli, standing: _Standing) -> None:
    terminal = cli.terminal
    if not standing.daemons:
        terminal.line(terminal.red("✗ no daemon runs, so nothing is started"))
        return
    told = "; ".join(daemon_text(daemon, cli.clock.now()) for daemon in standing.daemons)
    text, mark, look = f"● daemon runs: {told}", "●", terminal.green
    if not standing.is_launching:
        text = f"! daemon runs, but none that starts projects: {told}"
        mark, look = "!", terminal.yellow
    terminal.prose(text, lambda line: line.replace(mark, look(mark), int(line[0] == mark)))


def daemon_text(daemon: Daemon, now: float) -> str:
    """Return a daemon on one line: mode, pid, since when, duties."""
    if daemon.pid is None:
        return f"{daemon.mode}, {daemon.holder}"
    since = "" if daemon.since is None else f", started {ago(daemon.since, now)}"
    duties = ", ".join(daemon.duties) or "none yet"
    return f"{daemon.mode}, pid {daemon.pid}{since}, duties: {duties}"


def daemon_json(daemon: Daemon) -> dict[str, Any]:
    return {
        "mode": daemon.mode,
        "pid": daemon.pid,
        "since": iso_utc(daemon.since),
        "duties": list(daemon.duties),
        "trouble": daemon.trouble,
    }


def _named(card: Card) -> str:
    return f"{card.project.id}  {one_line(card.project.name, 60)}"


def _as_json(cli: Cli, standing: _Standing) -> dict[str, Any]:
    return {
        "home": str(cli.config.home),
        "daemons": [daemon_json(daemon) for daemon in standing.daemons],
        "is_launching": standing.is_launching,
        "trouble": standing.trouble,
        "needs_you": [card_json(card) for card in standing.needs_you],
        "has_more_needs_you": standing.has_more,
        "paused": [card_json(card) for card in standing.paused],
        "stashed": standing.stashed,
        "failed": [card_json(card) for card in standing.failed],
        "elsewhere": [card_json(card) for card in standing.elsewhere],
        "next": card_json(standing.next_up) if standing.next_up else None,
        "next_due": iso_utc(standing.due_at),
        "paused_at": iso_utc(standing.paused_at),
        "paused_groups": [group_label(group.name) for group in standing.paused_groups],
        "slots": cli.config.max_concurrent_projects,
        "free_slots": standing.free_slots,
        "counts": standing.counts,
    }
