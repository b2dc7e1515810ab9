"""`follow`: what every window of running projects prints, and how the projects go on."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import click

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.log_lines import VERIFY, LineCutter, roles_of
from scheduler_modules.cli.verb import pass_cli, verb
from scheduler_modules.cli.views import Card, launched
from scheduler_modules.cli.words import symbol
from scheduler_modules.commands.wait import Look, Reporter, Watch, ids_of
from scheduler_modules.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    DatabaseUnavailable,
    InvalidInput,
)
from scheduler_modules.model import Project, ProjectState, Run
from scheduler_modules.utils import one_line

if TYPE_CHECKING:
    from scheduler_modules.cli.context import RunLog

FIRST_LINES = 10
MAX_LINES = 10_000_000
MOST_TOLD_SINGLY = 8
"""If more than these wait to begin with, they are told in one line."""
AWAY_SEC = 2.0
"""How long a database that has gone away is left alone."""
_COLORS = ("36", "35", "34", "33", "32", "96", "95", "94", "93", "92")
"""One for each window in turn; red is for what has failed."""
_LONGEST_LABEL = 40


@verb(examples=("follow 42", "follow parser docs", "follow --all --json"), name="follow")
@click.argument("projects", metavar="[PROJECT]...", nargs=-1)
@click.option("--all", "follow_all", is_flag=True, help="All that are queued or running now.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, MAX_LINES),
    default=FIRST_LINES,
    show_default=True,
    metavar="N",
    help="To begin with, the last N lines of each window.",
)
@pass_cli
def follow_verb(cli: Cli, projects: tuple[str, ...], follow_all: bool, lines: int) -> int:
    """Read what all windows of projects print, until the projects have ended.

    Retries and verification included. Exit 0: all completed. 1: one failed or was removed. 4:
    what is left can never end. Ctrl-C stops the reading, not the work.
    """
    if not projects and not follow_all:
        raise InvalidInput("which projects? give ids, or --all")
    ids = ids_of(cli, projects, follow_all)
    watch = Watch(cli, ids, alone_sec=math.inf)
    report = FollowReporter(cli, ids, lines)
    try:
        _until_ended(cli, watch, report)
    except KeyboardInterrupt:
        cli.terminal.talk("stopped reading; the work goes on")
        return EXIT_INTERRUPTED
    return EXIT_DONE if watch.all_completed else EXIT_FAILED


def _until_ended(cli: Cli, watch: Watch, report: "FollowReporter") -> None:
    """Watch until all have ended; a database that goes away meanwhile is waited for."""
    while True:
        try:
            watch.until_ended(report)
            return
        except DatabaseUnavailable as error:
            report.miss_database(str(error))
            cli.pause(AWAY_SEC)


class FollowReporter(Reporter):
    """Prints what is new in every window, and announces each step of the projects."""

    def __init__(self, cli: Cli, ids: Sequence[int], first_lines: int) -> None:
        super().__init__(cli)
        self._labels = _Labels(cli, is_one=len(ids) == 1)
        self._followed = {number: _Followed(cli, self._labels, first_lines) for number in ids}
        self._said: dict[int, tuple[object, ...]] = {}
        self._is_first = True
        self._is_away = False
        self._remark: str | None = None

    def show(self, look: Look) -> None:
        """Print what came since the last look.

        That a run has begun, or is verified, stands above its first line; that it has ended, below
        its last.
        """
        for number, card in look.cards.items():
            if card is not None and self._followed[number].take_up(card):
                self._announce(number, card)
        if self._is_away:
            self._is_away = False
            self._cli.terminal.talk("the database answers again")
        if self._is_first:
            self._is_first = False
            self._sum_up(look)
        for number, card in look.cards.items():
            followed = self._followed[number]
            followed.print_new(lambda role: role != VERIFY)
            self._announce(number, card)
            followed.print_new(lambda role: role == VERIFY)
        self._cli.terminal.flush()
        self._warn_of_stuck(look)
        if look.remark != self._remark and look.remark is not None and look.pending:
            self._cli.terminal.warn(look.remark)
        self._remark = look.remark

    def miss_database(self, why: str) -> None:
        """Say, once, that the database has gone away."""
        if not self._is_away:
            self._is_away = True
            self._cli.terminal.flush()
            self._cli.terminal.warn(f"{why}; waiting for it")

    def _announce(self, number: int, card: Card | None) -> None:
        step = self._step(number, card)
        if self._said.get(number) == step:
            return
        self._said[number] = step
        self._tell(number, card, card.word if card is not None else "removed")

    def _step(self, number: int, card: Card | None) -> tuple[object, ...]:
        """Return what a project has come to; its last run is part of that, going on or ended."""
        if card is None:
            return ("removed",)
        return card.word, self._followed[number].last_token, card.project.retries_used

    def _sum_up(self, look: Look) -> None:
        """To begin with, say in one line what waits, where that is many."""
        terminal = self._cli.terminal
        if terminal.is_json:
            return
        waiting: dict[str, list[Card]] = {}
        for card in filter(None, look.cards.values()):
            if card.project.state is ProjectState.QUEUED and card.needs_you is None:
                waiting.setdefault(card.word, []).append(card)
        for word, cards in waiting.items():
            if len(cards) > MOST_TOLD_SINGLY:
                self._said.update((n, self._step(n, c)) for c in cards for n in [c.project.id])
                told = f"{symbol(word)} {len(cards)} {word}; each is told when it goes on"
                terminal.talk(terminal.dim_talk(told))

    def _tell(self, number: int, card: Card | None, word: str) -> None:
        terminal = self._cli.terminal
        if terminal.is_json:
            if not terminal.is_quiet:
                self._say(number, card, word)
            return
        terminal.flush()
        name = one_line(card.project.name, 60) if card is not None else ""
        note = f": {card.note}" if card is not None and card.note else ""
        about = " ".join(filter(None, (str(number), name)))
        terminal.talk(terminal.dim_talk(f"{symbol(word)} {about} {word}{note}"))


class _Followed:
    """The runs of one project, read one after the other."""

    def __init__(self, cli: Cli, labels: "_Labels", first_lines: int) -> None:
        self._cli = cli
        self._labels = labels
        self._first_lines = first_lines
        self._run: Run | None = None
        self._windows: list[_Window] = []
        self._seen_attempt = 0
        self.last_token: str | None = None
        """Of the last run that there was, going on or ended; None before the first."""
        self._seen: Project | None = None

    def take_up(self, card: Card) -> bool:
        """Turn to the run that goes on now. True: it is another one than before.

        What is left of the run before, and of those that came and went meanwhile, is printed.
        """
        run, before = card.run, self._run
        if before is not None and (run is None or run.token != before.token):
            self._end()
        if self._run is None and (run is not None or card.project != self._seen):
            self._take_up(card)
        if run is not None:
            self.last_token = run.token
        self._seen = card.project
        return self._run is not None and self._run is not before

    def print_new(self, is_meant: Callable[[str], bool]) -> None:
        """Print what came since the last time in the windows of these roles."""
        for window in self._windows:
            if is_meant(window.role):
                window.print_new()

    def _take_up(self, card: Card) -> None:
        """Begin with the run that goes on; what ended before is read in whole, if we came first."""
        runs = launched(self._cli.store.runs_of(card.project.id))
        self.last_token = runs[-1].token if runs else None
        # Of what was there before us only the newest run counts.
        fresh = runs[-1:] if self._seen is None else runs
        for run in fresh:
            if run.attempt <= self._seen_attempt:
                continue
            # Without a plan its windows are not known yet; what is elsewhere cannot be read.
            if run.host == self._cli.host and run.plan is not None:
                self._begin(run, card.project)
                if card.run is None or run.token != card.run.token:
                    self._end()

    def _begin(self, run: Run, project: Project) -> None:
        roles = roles_of(run)
        lines = self._first_lines if self._seen is None else None
        self._windows = [
            _Window(self._cli, run, role, self._labels.make(project, role, len(roles)), lines)
            for role in roles
        ]
        self._run, self._seen_attempt = run, run.attempt

    def _end(self) -> None:
        for window in self._windows:
            window.finish()
        self._run, self._windows = None, []


class _Window:
    """What one window of a run prints.

    `first_lines`: how many of those that are there already; None: all.
    """

    def __init__(
        self, cli: Cli, run: Run, role: str, label: Callable[[], str], first_lines: int | None
    ) -> None:
        self.role = role
        self._terminal = cli.terminal
        self._about = {"id": run.project_id, "attempt": run.attempt, "window": role}
        self._log: RunLog = cli.parts.open_run_log(cli.config, run.token, role)
        self._cutter = LineCutter()
        self._label = label
        self._first_lines = first_lines

    def print_new(self) -> None:
        lines, self._first_lines = self._first_lines, None
        content = self._log.read_new() if lines is None else self._log.tail_lines(lines)
        self._print(self._cutter.cut(content))

    def finish(self) -> None:
        self.print_new()
        self._print(self._cutter.finish())

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            if self._terminal.is_json:
                self._terminal.json({**self._about, "line": line})
            else:
                self._terminal.line(self._label() + line)


class _Labels:
    """What stands before each line: `name/window`, each in a colour of its own on a terminal."""

    def __init__(self, cli: Cli, *, is_one: bool) -> None:
        self._terminal = cli.terminal
        self._is_one = is_one
        self._owners: dict[str, int] = {}
        self._colors: dict[str, str] = {}
        self._width = 0

    def make(self, project: Project, role: str, windows: int) -> Callable[[], str]:
        """Return what gives the label of a window; nothing where no other window is read.

        As wide as the widest there is when it is used.
        """
        if self._is_one and windows == 1:
            return str
        name = one_line(project.name, _LONGEST_LABEL) or str(project.id)
        if self._owners.setdefault(name, project.id) != project.id:
            name = f"{name}-{project.id}"
        label = f"{name}/{role}"
        if not self._terminal.is_interactive:
            return lambda: f"{label}\t"
        color = self._colors.setdefault(label, _COLORS[len(self._colors) % len(_COLORS)])
        self._width = max(self._width, len(label))
        return lambda: self._terminal.styled(f"{label:<{self._width}} │", color) + " "
