"""The daemon: duties, an ordered tuple of steps, `tick`, `run`, and how long it may wait."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec

from scheduler_modules.duty_keeper import LAUNCH, DutyKeeper
from scheduler_modules.errors import SchedulerError
from scheduler_modules.notification_manager import NotificationManager
from scheduler_modules.ports import Clock, Wakeup
from scheduler_modules.run_rounds import RunRounds
from scheduler_modules.session_monitor import SessionMonitor
from scheduler_modules.step_guard import StepGuard

logger = logging.getLogger(__name__)

SWEEP_SEC = 60
HEARTBEAT_SEC = 30
FIRST_LOOK_AGAIN_SEC = 0.02


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Something a daemon does at each tick (or every so many seconds) while it holds the duty."""

    duty: str
    name: str
    act: Callable[[], object]
    every_sec: float = 0


class CoreScheduler:
    """Every step may fail on its own; the next tick tries again. Safe to kill anywhere."""

    def __init__(
        self,
        rounds: RunRounds,
        monitor: SessionMonitor,
        notifier: NotificationManager,
        clock: Clock,
        wakeup: Wakeup,
        duty_keeper: DutyKeeper,
        guard: StepGuard,
        *,
        tick_sec: float,
        look_sec: float,
        monitor_sec: float,
    ) -> None:
        """`tick_sec`: how often it looks at most while something is under way that nobody tells
        of; `look_sec`: the same while nothing is."""
        self._rounds = rounds
        self._clock = clock
        self._wakeup = wakeup
        self._duty_keeper = duty_keeper
        self._guard = guard
        self._tick_sec = tick_sec
        self._look_sec = look_sec
        self._look_again_sec = FIRST_LOOK_AGAIN_SEC
        self._last_heartbeat = clock.since_boot_sec()
        self._held: frozenset[str] = frozenset()
        self._is_evicted = False
        self._last_done: dict[str, float] = {}
        self._steps = (
            Step(duty=LAUNCH, name="signal_files", act=notifier.process_signal_files),
            Step(duty=LAUNCH, name="runs", act=rounds.follow),
            # Before the clearing up: whoever waits for a slot waits for nothing else.
            Step(duty=LAUNCH, name="launches", act=rounds.fill_slots),
            Step(duty=LAUNCH, name="ends", act=rounds.clear_up),
            Step(duty=LAUNCH, name="phantoms", act=monitor.reset_phantoms, every_sec=monitor_sec),
            Step(duty=LAUNCH, name="kept_sessions", act=rounds.sweep_kept, every_sec=SWEEP_SEC),
        )

    def run(self) -> str:
        """Tick until it must end; return why: `stop`, `reload`, or `evicted` (lock lost)."""
        # A signal that came while we started counts before anything is begun.
        pause_sec = 0.0
        while True:
            reasons = self._wakeup.wait(pause_sec)
            for reason in ("stop", "reload"):
                if reason in reasons:
                    return reason
            self._keep_lock()
            if self._is_evicted:
                return "evicted"
            if reasons:
                self._look_again_sec = FIRST_LOOK_AGAIN_SEC
            self.tick()
            pause_sec = self.pause_sec()

    def tick(self) -> None:
        """Do once, in order, every step that is due and whose duty is held."""
        self._rounds.begin()
        # Where it is not known which duties are ours, none is carried out.
        self._held = frozenset()
        if self._guard.run("duties", self._look_for_duties):
            now = self._clock.since_boot_sec()
            for step in self._steps:
                if step.duty in self._held and self._is_due(step, now):
                    self._last_done[step.name] = now
                    if self._guard.run(step.name, step.act):
                        continue
                    if self._guard.is_database_away:
                        # All others need it too, and each would wait for it. This one is tried
                        # again at the next tick, however seldom it is done.
                        del self._last_done[step.name]
                        break
        # Where the lock is out of reach, "duties" has logged it.
        with suppress(SchedulerError):
            self._duty_keeper.tell(self._guard.in_words())

    def pause_sec(self) -> float:
        """Return how long nothing is due, if nothing happens."""
        if self._guard.has_trouble:
            return self._tick_sec
        if self._rounds.is_restless:
            # What was just asked to end is mostly gone at once, the rest takes its time.
            pause_sec = min(self._look_again_sec, self._tick_sec)
            self._look_again_sec = min(self._look_again_sec * 2, self._tick_sec)
            return pause_sec
        return max(0.0, min(self._look_sec, *self._due_in_sec()))

    def _due_in_sec(self) -> Iterator[float]:
        """Give how far away the next moments are at which something must be done."""
        now = self._clock.since_boot_sec()
        yield self._last_heartbeat + HEARTBEAT_SEC - now
        if len(self._held) < len(self._duty_keeper.duties):
            # Nobody tells when a lock becomes free.
            yield self._tick_sec
        for step in self._steps:
            if step.every_sec and step.duty in self._held:
                yield self._last_done.get(step.name, now) + step.every_sec - now
        if LAUNCH in self._held:
            try:
                yield self._rounds.due_in_sec()
            except SchedulerError:
                # The next tick finds out what is wrong, and says it.
                yield self._tick_sec

    def _look_for_duties(self) -> None:
        self._held = self._duty_keeper.refresh()

    def _keep_lock(self) -> None:
        now = self._clock.since_boot_sec()
        if now - self._last_heartbeat >= HEARTBEAT_SEC:
            self._last_heartbeat = now
            # Locks that cannot be looked at are not lost: nobody else can take them either.
            self._guard.run("heartbeat", self._beat)

    def _beat(self) -> None:
        self._is_evicted = not self._duty_keeper.heartbeat()

    def _is_due(self, step: Step, now: float) -> bool:
        last = self._last_done.get(step.name)
        return last is None or now - last >= step.every_sec
