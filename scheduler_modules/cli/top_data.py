"""What `top` shows, gathered: the queue at one moment, and what a window printed last."""

from collections.abc import Set

import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.daemons import Daemon, is_launching, running_daemons
from scheduler_modules.cli.log_lines import roles_of
from scheduler_modules.cli.top_model import found_by, has_all
from scheduler_modules.cli.views import Card, Cards, by_urgency, first_queued, launched
from scheduler_modules.cli.words import ENDED_WORDS
from scheduler_modules.errors import SchedulerError
from scheduler_modules.model import Group, Project, ProjectState, Run
from scheduler_modules.utils import one_line, plain_text

QUEUED_SHOWN = 200
QUEUED_SEARCHED = 5000
"""In how many queued projects a filter looks; names and ids it finds wherever they are."""
ENDED_SHOWN = 10
ALL_ENDED_SHOWN = 500
_ENDED_LOOKED_AT = 5
_ENDED_SEARCHED = 2000
_LONGEST_ID = 18
_BYTES_A_LINE = 200
_LEAST_BYTES = 4096


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """The queue at one moment."""

    cards: tuple[Card, ...] = ()
    """What needs a person, then running, queued, ended."""
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    paused_at: float | None = None
    """Since when nothing new starts; None: the queue is not paused."""
    slots: int = 0
    used_slots: int = 0
    searched: int | None = None
    """In how many projects the filter has looked; None: there is no filter."""
    matches_left_out: int = 0
    trouble: str | None = None
    """Why this is older than it should be, or not there; None: it is fresh."""


class _Search(msgspec.Struct, kw_only=True):
    """What a filter has found, in how many, and how many more pass it than are shown."""

    found: list[Project]
    searched: int
    left_out: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How the daemons stand."""

    daemons: tuple[Daemon, ...] = ()
    is_launching: bool = False
    trouble: str | None = None


class Pane(msgspec.Struct, frozen=True, kw_only=True):
    """One window of the selected project, and what it printed last."""

    roles: tuple[str, ...] = ()
    role: str = ""
    attempt: int = 0
    lines: tuple[str, ...] = ()
    remark: str = ""
    """Why there are no lines, if so."""


class TopSource:
    """Gathers it; nothing is changed by looking."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli

    def queue(self, *, shows_all: bool, filter_text: str, before: Queue) -> Queue:
        """Return the queue as it is now; where it cannot be had, as it was before, saying so.

        With a filter it is also looked for in what is not shown else.
        """
        try:
            return self._queue(shows_all, filter_text)
        except SchedulerError as error:
            return msgspec.structs.replace(before, trouble=str(error))

    def _queue(self, shows_all: bool, filter_text: str) -> Queue:
        store, control = self._cli.store, self._cli.control
        counts = store.counts()
        cards = Cards(self._cli)
        found = [*self._stray(counts), *store.projects([ProjectState.PROCESSING])]
        search = None
        if filter_text.strip():
            search = self._search(cards, counts, filter_text)
            search.searched += len(found)
            found += search.found
        else:
            found += first_queued(store, QUEUED_SHOWN)
            found += self._ended(counts, ALL_ENDED_SHOWN if shows_all else ENDED_SHOWN)
        return Queue(
            cards=tuple(by_urgency(cards.make(project) for project in found)),
            counts=counts,
            groups=tuple(control.groups()),
            paused_at=control.paused_at(),
            slots=self._cli.config.max_concurrent_projects,
            used_slots=counts.get(ProjectState.PROCESSING, 0),
            searched=None if search is None else search.searched,
            matches_left_out=0 if search is None else search.left_out,
        )

    def _search(self, cards: Cards, counts: dict[str, int], filter_text: str) -> "_Search":
        """Look for what waits or has ended and passes a filter.

        Only what passes is made a card, and no more than are shown without a filter.
        """
        store = self._cli.store
        ended = sorted(set(counts) & ENDED_WORDS)
        queued = first_queued(store, QUEUED_SEARCHED)
        old = store.projects(ended, limit=_ENDED_SEARCHED, newest_first=True) if ended else []

        def passes(project: Project) -> bool:
            return has_all(found_by(project, cards.word(project)), filter_text)

        old.sort(key=lambda project: project.completed_at or 0, reverse=True)
        named = self._named(filter_text.strip(), {project.id for project in queued + old})
        waiting = [project for project in queued + named if passes(project)]
        over = [project for project in old if passes(project)]
        found = waiting[:QUEUED_SHOWN] + over[:ALL_ENDED_SHOWN]
        return _Search(
            found=found,
            searched=len(queued) + len(old),
            left_out=len(waiting) + len(over) - len(found),
        )

    def _named(self, text: str, known: Set[int]) -> list[Project]:
        """Return those of that id, or whose name begins so, that wait or ended; none `known`."""
        found = self._cli.store.projects_named(text, QUEUED_SHOWN)
        if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_ID:
            project = self._cli.store.project(int(text))
            found += [project] if project is not None else []
        return [
            project
            for project in {project.id: project for project in found}.values()
            if project.id not in known
            and (project.state is ProjectState.QUEUED or project.status in ENDED_WORDS)
        ]

    def _stray(self, counts: dict[str, int]) -> list[Project]:
        known = {*ENDED_WORDS, ProjectState.QUEUED, ProjectState.PROCESSING}
        stray = sorted(set(counts) - known)
        return self._cli.store.projects(stray) if stray else []

    def _ended(self, counts: dict[str, int], limit: int) -> list[Project]:
        """Return what has ended, the last to end first."""
        ended = sorted(set(counts) & ENDED_WORDS)
        if not ended:
            return []
        found = self._cli.store.projects(ended, limit=limit * _ENDED_LOOKED_AT, newest_first=True)
        found.sort(key=lambda project: project.completed_at or 0, reverse=True)
        return found[:limit]

    def standing(self) -> Standing:
        """Return how the daemons stand; what cannot be told is their trouble."""
        cli = self._cli
        try:
            processes = cli.parts.open_processes(cli.config)
            daemons = running_daemons(cli.locks, processes, cli.clock)
            found = (daemon.trouble for daemon in daemons)
            return Standing(
                daemons=tuple(daemons),
                is_launching=is_launching(cli.locks),
                trouble="; ".join(dict.fromkeys(text for text in found if text)) or None,
            )
        except SchedulerError as error:
            return Standing(trouble=str(error))

    def pane(self, card: Card | None, role_number: int, lines: int) -> Pane:
        """Return the end of a window's log. `role_number` counts on over the windows."""
        if card is None:
            return Pane()
        try:
            return self._pane(card, role_number, lines)
        except (SchedulerError, OSError) as error:
            return Pane(remark=f"its log cannot be read: {one_line(str(error))}")

    def _pane(self, card: Card, role_number: int, lines: int) -> Pane:
        run = card.run or self._last_run(card.project.id)
        if run is None:
            return Pane(remark="it has printed nothing yet")
        roles = roles_of(run)
        role = roles[role_number % len(roles)]
        pane = Pane(roles=tuple(roles), role=role, attempt=run.attempt)
        if run.host != self._cli.host:
            return msgspec.structs.replace(
                pane, remark=f"it ran on {one_line(run.host, 60)}: its log is there"
            )
        shown = self._last_lines(run, role, lines)
        remark = "" if shown else "nothing printed"
        return msgspec.structs.replace(pane, lines=shown, remark=remark)

    def _last_lines(self, run: Run, role: str, lines: int) -> tuple[str, ...]:
        log = self._cli.parts.open_run_log(self._cli.config, run.token, role)
        content = log.tail_bytes(max(_LEAST_BYTES, lines * _BYTES_A_LINE))
        text = plain_text(content.decode(errors="replace")).rstrip()
        return tuple(text.split("\n")[-lines:]) if text and lines > 0 else ()

    def _last_run(self, project_id: int) -> Run | None:
        runs = launched(self._cli.store.runs_of(project_id))
        return runs[-1] if runs else None
