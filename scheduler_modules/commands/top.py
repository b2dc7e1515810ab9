"""`top`: queue, windows and logs on one live screen, with keys for the common verbs."""

import subprocess
from collections.abc import Callable, Sequence
from typing import Protocol

from rich.text import Text

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.daemons import who_else_acts
from scheduler_modules.cli.top_data import Queue, Standing, TopSource
from scheduler_modules.cli.top_model import (
    Act,
    Effect,
    TopState,
    fit,
    passing,
    press,
    remarked,
    see,
)
from scheduler_modules.cli.top_screen import View, draw, plan_layout
from scheduler_modules.cli.top_terminal import Ended, RawTerminal
from scheduler_modules.cli.verb import pass_cli, verb
from scheduler_modules.cli.views import Card
from scheduler_modules.commands.attach import session_of
from scheduler_modules.errors import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    InvalidInput,
    SchedulerError,
    TmuxUnavailable,
)
from scheduler_modules.model import Outcome
from scheduler_modules.ports import WakeupSource
from scheduler_modules.utils import one_line

LOOK_SEC = 1.0
QUEUE_AGE_SEC = 5.0
"""How old the queue may get while nothing says that it has changed."""
GATHER_PAUSE_SEC = 0.3
GATHER_SHARE = 0.03
"""However often the queue changes: the least time between two looks at it, and what part of the
time looking may take."""
LONGEST_PAUSE_SEC = 10.0
"""However long a look took: a database that hung may answer again."""
_SHORTEST_SEC = 0.01
_ENDED_HERE = "ended by a person, in top"
_LOWEST, _HIGHEST = -1000, 1000


@verb(examples=("top",), name="top")
@pass_cli
def top_verb(cli: Cli) -> int:
    """Show queue, windows and logs on one live screen; `?` tells the keys.

    Enter attaches, p pauses, s sets aside, r retries, x ends a run, q leaves. Leaving it changes
    nothing: the work goes on.
    """
    stdin = cli.terminal.stdin
    if stdin is None or not cli.terminal.has_person or cli.terminal.is_json:
        raise InvalidInput("top needs a terminal; for scripts there are list --json, status --json")
    # What is wrong with the database is said on the terminal as it is.
    cli.store.counts()
    changes = _change_sources(cli)
    try:
        with RawTerminal(stdin, cli.terminal) as screen:
            return Top(cli, screen, changes).run()
    except KeyboardInterrupt:
        cli.terminal.talk("the work goes on")
        return EXIT_INTERRUPTED
    except Ended as end:
        return 128 + end.number
    finally:
        for change in changes:
            close = getattr(change, "close", None)
            if close is not None:
                close()


def _change_sources(cli: Cli) -> list[WakeupSource]:
    """Return what tells of changes; without it, a look now and then has to do."""
    try:
        return cli.parts.open_change_sources(cli.config, cli.clock)
    except SchedulerError:
        return []


class Screen(Protocol):
    """The terminal, as `RawTerminal` has it."""

    @property
    def size(self) -> tuple[int, int]: ...

    def keys(self, timeout_sec: float, others: Sequence[int] = ()) -> list[str]: ...

    def show(self, lines: Sequence[Text], *, is_afresh: bool = False) -> None: ...

    def away(self, act: Callable[[], int]) -> int: ...


class Top:
    """The loop: look, draw, wait for a key or a change, act."""

    def __init__(self, cli: Cli, screen: Screen, changes: Sequence[WakeupSource]) -> None:
        self._cli = cli
        self._screen = screen
        self._source = TopSource(cli)
        self._changes = changes
        self._broken: set[WakeupSource] = set()
        self._state = TopState()
        self._queue = Queue()
        self._shown: list[Card] = []
        self._standing = Standing()
        self._gathered_at = cli.clock.since_boot_sec()
        self._pause_sec = GATHER_PAUSE_SEC
        self._stood_at: float | None = None
        self._is_stale = False
        self._size = (0, 0)
        self._is_afresh = True

    def run(self) -> int:
        """Return once a person leaves."""
        while True:
            self._look()
            self._draw()
            for key in self._wait():
                if key == "ctrl-l":
                    self._is_afresh = True
                    continue
                before = self._state.shows_all, self._state.filter_text
                self._state, effect = press(self._state, key)
                self._is_stale |= before != (self._state.shows_all, self._state.filter_text)
                if effect is not None and effect.act is Act.QUIT:
                    return EXIT_DONE
                if effect is not None:
                    self._carry_out(effect)
                self._choose()

    def _wait(self) -> list[str]:
        """Wait for keys, a change, or the next second; return the keys.

        A queue that changes all the time is not looked at all the time: right after a look, what
        rings has to wait.
        """
        age_sec = self._cli.clock.since_boot_sec() - self._gathered_at
        if age_sec < self._pause_sec:
            rest_sec = max(_SHORTEST_SEC, min(LOOK_SEC, self._pause_sec - age_sec))
            keys = self._screen.keys(rest_sec)
            if keys or self._screen.size != self._size:
                return keys
        # What is broken may be "ready" for ever: it is only asked again.
        sound = [source for source in self._changes if source not in self._broken]
        return self._screen.keys(LOOK_SEC, [source.fileno() for source in sound])

    # -- looking ----------------------------------------------------------------------------

    def _look(self) -> None:
        now = self._cli.clock.since_boot_sec()
        if now - self._gathered_at >= self._pause_sec:
            self._is_stale |= self._has_changed() or now - self._gathered_at >= QUEUE_AGE_SEC
        if self._is_stale or self._stood_at is None:
            self._gather(now)
        if self._stood_at is None or now - self._stood_at >= LOOK_SEC:
            self._standing, self._stood_at = self._source.standing(), now
        self._choose()

    def _gather(self, now: float) -> None:
        state = self._state
        self._queue = self._source.queue(
            shows_all=state.shows_all, filter_text=state.filter_text, before=self._queue
        )
        self._gathered_at, self._is_stale = self._cli.clock.since_boot_sec(), False
        pause_sec = max(GATHER_PAUSE_SEC, (self._gathered_at - now) / GATHER_SHARE)
        self._pause_sec = min(pause_sec, LONGEST_PAUSE_SEC)

    def _has_changed(self) -> bool:
        found = False
        for source in self._changes:
            try:
                found |= source.drain()
                self._broken.discard(source)
            except SchedulerError:
                # While it says nothing, a look now and then has to do.
                self._broken.add(source)
        return found

    def _choose(self) -> None:
        """Let the filter and the selection follow what is there."""
        self._shown = passing(self._queue.cards, self._state.filter_text)
        self._state = see(self._state, self._shown)

    # -- drawing ----------------------------------------------------------------------------

    def _draw(self) -> None:
        size = self._screen.size
        layout = plan_layout(self._state, self._queue, self._standing, *size)
        self._state = fit(self._state, layout.page)
        card = self._shown[self._state.place] if self._shown else None
        pane = self._source.pane(card, self._state.role, layout.log_lines)
        view = View(
            state=self._state,
            queue=self._queue,
            shown=tuple(self._shown),
            standing=self._standing,
            pane=pane,
            now=self._cli.clock.now(),
        )
        self._screen.show(draw(view, layout), is_afresh=self._is_afresh or size != self._size)
        self._size, self._is_afresh = size, False

    # -- acting -----------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> None:
        """Do it; what comes of it is told at the foot of the screen, a refusal as well."""
        try:
            remark = self._attach(effect) if effect.act is Act.ATTACH else self._change(effect)
        except SchedulerError as error:
            remark = str(error)
        self._is_stale = True
        self._state = remarked(self._state, one_line(remark))

    def _attach(self, effect: Effect) -> str:
        cli = self._cli
        project = cli.queue.get(effect.project_id)
        argv = cli.tmux.attach_argv(session_of(cli, project))

        def enter() -> int:
            try:
                return subprocess.run(argv, check=False).returncode
            except OSError as error:
                raise TmuxUnavailable(f"{argv[0]} cannot be started: {error.strerror}") from error

        code = self._screen.away(enter)
        self._is_afresh = True
        return "" if code == 0 else f"tmux ended with {code}: its session may be gone"

    def _change(self, effect: Effect) -> str:
        number, control = effect.project_id, self._cli.control
        said = _OUTCOMES.get(effect.act, "")
        match effect.act:
            case Act.PAUSE:
                control.want_pause(number)
                said = self._who_acts(number, said)
            case Act.RESUME:
                control.want_resume(number)
                said = self._who_acts(number, said)
            case Act.HOLD:
                control.hold(number)
            case Act.RELEASE:
                control.release(number)
            case Act.RETRY:
                self._cli.queue.retry(number)
            case Act.END:
                self._cli.queue.report(number, Outcome.FAILED, _ENDED_HERE, token=effect.token)
                said = self._who_acts(number, said)
            case Act.PRIORITY:
                before = self._cli.queue.get(number).priority
                after = max(_LOWEST, min(_HIGHEST, before + effect.amount))
                control.set_priority(number, after)
                said = f"priority {after}"
        return f"{number}: {said}"

    def _who_acts(self, number: int, here: str) -> str:
        """Return what happens to a run's processes, or who has to see to it."""
        run = self._cli.queue.open_run_of(number)
        other = who_else_acts(run, self._cli.host, self._cli.locks)
        return here if other is None else f"noted; {other}"


_OUTCOMES = {
    Act.PAUSE: "its processes are being stopped; p lets them go on",
    Act.RESUME: "its processes go on",
    Act.HOLD: "set aside until s or p is pressed again",
    Act.RELEASE: "may start again",
    Act.RETRY: "queued again",
    Act.END: "its run is being ended",
}
