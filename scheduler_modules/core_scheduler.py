"""The daemon: duties, an ordered tuple of steps, `tick`, `run`, and how long it may wait."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import msgspec

from scheduler_modules.duty_keeper import LAUNCH, DutyKeeper
from scheduler_modules.errors import DatabaseUnavailable, SchedulerError, StaleToken
from scheduler_modules.model import (
    Outcome,
    Project,
    ProjectState,
    Run,
    RunPhase,
)
from scheduler_modules.notification_manager import NotificationManager
from scheduler_modules.ports import Clock, Tmux, Wakeup
from scheduler_modules.project_launcher import ProjectLauncher
from scheduler_modules.queue_manager import QueueManager
from scheduler_modules.run_cleaner import RunCleaner
from scheduler_modules.run_ledger import RunLedger
from scheduler_modules.run_pauser import RunPauser
from scheduler_modules.run_settler import RunSettler
from scheduler_modules.session_monitor import SessionMonitor
from scheduler_modules.tmux_values import ServerIdentity, TmuxSnapshot

logger = logging.getLogger(__name__)

SWEEP_SEC = 60
HEARTBEAT_SEC = 30
CLEAN_SEC = 0.1
"""Runs that end in quick succession are cleared up together: one look at all processes serves."""
FIRST_LOOK_AGAIN_SEC = 0.02
BUG = "a step crashed, see the log"
NO_LOOK = TmuxSnapshot(server=None)


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
        queue: QueueManager,
        ledger: RunLedger,
        launcher: ProjectLauncher,
        settler: RunSettler,
        cleaner: RunCleaner,
        pauser: RunPauser,
        monitor: SessionMonitor,
        notifier: NotificationManager,
        tmux: Tmux,
        clock: Clock,
        wakeup: Wakeup,
        duty_keeper: DutyKeeper,
        *,
        host: str,
        daemon_id: str,
        tick_sec: float,
        look_sec: float,
        monitor_sec: float,
    ) -> None:
        """`tick_sec`: how often it looks at most while something is under way that nobody tells
        of; `look_sec`: the same while nothing is."""
        self._queue = queue
        self._store = queue.store
        self._ledger = ledger
        self._launcher = launcher
        self._settler = settler
        self._cleaner = cleaner
        self._pauser = pauser
        self._tmux = tmux
        self._clock = clock
        self._wakeup = wakeup
        self._duty_keeper = duty_keeper
        self._host = host
        self._daemon_id = daemon_id
        self._tick_sec = tick_sec
        self._look_sec = look_sec
        self._look_again_sec = FIRST_LOOK_AGAIN_SEC
        self._is_restless = False
        self._snapshot: TmuxSnapshot | None = None
        self._next_timeout: float | None = None
        self._last_heartbeat = clock.since_boot_sec()
        self._held: frozenset[str] = frozenset()
        self._is_evicted = False
        self._is_database_away = False
        self._has_followed = False
        self._cleaned_at = float("-inf")
        self._last_done: dict[str, float] = {}
        self._troubles: dict[str, str] = {}
        self._steps = (
            Step(duty=LAUNCH, name="signal_files", act=notifier.process_signal_files),
            Step(duty=LAUNCH, name="runs", act=self._follow_runs),
            # Before the clearing up: whoever waits for a slot waits for nothing else.
            Step(duty=LAUNCH, name="launches", act=self._fill_slots),
            Step(duty=LAUNCH, name="ends", act=self._clear_up),
            Step(duty=LAUNCH, name="phantoms", act=monitor.reset_phantoms, every_sec=monitor_sec),
            Step(duty=LAUNCH, name="kept_sessions", act=self._sweep_kept, every_sec=SWEEP_SEC),
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

    def pause_sec(self) -> float:
        """Return how long nothing is due, if nothing happens."""
        if self._troubles:
            return self._tick_sec
        if self._is_restless:
            # What was just asked to end is mostly gone at once, the rest takes its time.
            pause_sec = min(self._look_again_sec, self._tick_sec)
            self._look_again_sec = min(self._look_again_sec * 2, self._tick_sec)
            return pause_sec
        return max(0.0, min(self._look_sec, *self._due_in_sec()))

    def tick(self) -> None:
        """Do once, in order, every step that is due and whose duty is held."""
        self._is_restless = False
        self._snapshot = None
        # Where it is not known which duties are ours, none is carried out.
        if self._guard("duties", self._look_for_duties):
            now = self._clock.since_boot_sec()
            for step in self._steps:
                if step.duty in self._held and self._is_due(step, now):
                    self._last_done[step.name] = now
                    if not self._guard(step.name, step.act) and self._is_database_away:
                        # All others need it too, and each would wait for it.
                        break
        # Where the lock is out of reach, "duties" has logged it.
        with suppress(SchedulerError):
            self._duty_keeper.tell("; ".join(dict.fromkeys(self._troubles.values())) or None)

    def _look_for_duties(self) -> None:
        self._held = self._duty_keeper.refresh()

    def _keep_lock(self) -> None:
        now = self._clock.since_boot_sec()
        if now - self._last_heartbeat >= HEARTBEAT_SEC:
            self._last_heartbeat = now
            # Locks that cannot be looked at are not lost: nobody else can take them either.
            self._guard("heartbeat", self._beat)

    def _beat(self) -> None:
        self._is_evicted = not self._duty_keeper.heartbeat()

    def _is_due(self, step: Step, now: float) -> bool:
        last = self._last_done.get(step.name)
        return last is None or now - last >= step.every_sec

    def _guard(self, name: str, act: Callable[[], object]) -> bool:
        """Do it; a failure is logged (one that repeats itself, once) and never passed on."""
        self._is_database_away = False
        try:
            act()
        except SchedulerError as error:
            self._is_database_away = isinstance(error, DatabaseUnavailable)
            if self._troubles.get(name) != str(error):
                self._troubles[name] = str(error)
                logger.warning("step_failed", extra={"step": name, "error": str(error)})
            return False
        except Exception:
            if self._troubles.get(name) != BUG:
                self._troubles[name] = BUG
                logger.exception("step_crashed", extra={"step": name})
            return False
        if self._troubles.pop(name, None) is not None:
            logger.info("step_healed", extra={"step": name})
        return True

    def _follow_runs(self) -> None:
        """Move every run of this host as far as one look at tmux allows."""
        runs = self._store.open_runs(self._host)
        self._next_timeout = None
        self._forget_troubles_but("run", {run.token for run in runs})
        if not runs:
            self._settler.look((), NO_LOOK)
            return
        if not self._has_followed:
            self._has_followed = True
            self._expect_servers(runs)
        snapshot = self._look()
        self._settler.look(runs, snapshot)
        for run in runs:
            self._guard(f"run {run.token}", partial(self._follow, run, snapshot))
        self._is_restless |= self._settler.is_doubting()

    def _expect_servers(self, runs: list[Run]) -> None:
        for run in runs:
            if run.server_pid is not None and run.server_started_at is not None:
                self._tmux.expect(ServerIdentity(run.server_pid, run.server_started_at))

    def _clear_up(self) -> None:
        """End what is left of runs that are over, several of them with one look."""
        ended = self._store.uncleaned_runs(self._host)
        self._forget_troubles_but("end", {run.token for run in ended})
        if not ended:
            return
        self._is_restless = True
        now = self._clock.since_boot_sec()
        if now - self._cleaned_at < CLEAN_SEC:
            return
        self._cleaned_at = now
        snapshot = self._look()
        if not self._guard("ends", partial(self._cleaner.clean, ended, snapshot)):
            # One that cannot be cleared up must not hold up the others.
            for run in ended:
                self._guard(f"end {run.token}", partial(self._cleaner.clean, [run], snapshot))

    def _forget_troubles_but(self, kind: str, tokens: set[str]) -> None:
        """Drop what was wrong with runs that are not followed any more."""
        for name in list(self._troubles):
            its_kind, _, token = name.partition(" ")
            if its_kind == kind and token and token not in tokens:
                del self._troubles[name]

    def _follow(self, run: Run, snapshot: TmuxSnapshot) -> None:
        project = self._store.project(run.project_id)
        try:
            if project is None or project.state is not ProjectState.PROCESSING:
                self._let_go(run, project)
                return
            if run.daemon_id != self._daemon_id:
                self._ledger.record_follower(run, self._daemon_id)
            if run.phase is RunPhase.STARTING:
                self._is_restless = True
                self._launcher.resume(project, run, snapshot)
            else:
                run = self._pauser.keep(run, snapshot)
                self._settler.settle(project, run, snapshot)
                self._note_timeout(run)
        except StaleToken:
            # Somebody ended the run between our reading and our writing: that stands.
            logger.info("run_already_over", extra={"project_id": run.project_id})

    def _note_timeout(self, run: Run) -> None:
        left_sec = self._settler.time_left_sec(run)
        if left_sec is not None:
            at = self._clock.since_boot_sec() + left_sec
            self._next_timeout = at if self._next_timeout is None else min(at, self._next_timeout)

    def _due_in_sec(self) -> Iterator[float]:
        """Give how far away the next moments are at which something must be done."""
        now = self._clock.since_boot_sec()
        if self._next_timeout is not None:
            yield self._next_timeout - now
        if len(self._held) < len(self._duty_keeper.duties):
            # Nobody tells when a lock becomes free.
            yield self._tick_sec
        yield self._last_heartbeat + HEARTBEAT_SEC - now
        for step in self._steps:
            if step.every_sec and step.name in self._last_done:
                yield self._last_done[step.name] + step.every_sec - now
        with suppress(SchedulerError):
            starts_at = self._store.next_due()
            if starts_at is not None:
                yield starts_at - self._clock.now()

    def _let_go(self, run: Run, project: Project | None) -> None:
        became = "removed" if project is None else project.status
        self._ledger.end_run(run, Outcome.RESET, f"another program set the project to {became}")

    def _fill_slots(self) -> None:
        """Launch projects while there are slots; nothing is claimed while tmux is silent."""
        now, due = self._clock.now(), self._store.next_due()
        if due is not None and due <= now:
            self._store.promote_due(now)
        if self._queue.peek() is None:
            return
        self._look()
        while (claim := self._queue.claim_next(self._daemon_id)) is not None:
            # That look is older than the session that is made now.
            self._snapshot = None
            try:
                self._launcher.launch(claim.project, claim.run)
            except StaleToken:
                logger.info("run_already_over", extra={"project_id": claim.project.id})

    def _sweep_kept(self) -> None:
        self._cleaner.sweep_kept(self._look())

    def _look(self) -> TmuxSnapshot:
        """Return what tmux shows in this tick; it is asked once."""
        if self._snapshot is None:
            self._snapshot = self._tmux.snapshot()
        return self._snapshot
