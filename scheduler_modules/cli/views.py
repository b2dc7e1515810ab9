"""What is known of a project, put together to be shown: a card for people, values for JSON."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import PurePath

import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.words import (
    ENDED_WORDS,
    NEEDS_PERSON_WORDS,
    PAUSED,
    SUCCESS_WORDS,
    command_text,
    group_label,
    state_word,
    status_word,
)
from scheduler_modules.model import (
    Dependency,
    LaunchPlan,
    Project,
    ProjectState,
    Run,
    RunPhase,
)
from scheduler_modules.store_port import QueueStore
from scheduler_modules.utils import iso_utc, one_line, short_duration

BY_PROJECT, BY_GROUP, BY_QUEUE = "project", "group", "queue"
"""What may be paused."""
IN_VAIN_SHOWN = 50
"""How many of the projects that wait in vain lists show."""
_LOOKS = 3


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A project as lists show it."""

    project: Project
    run: Run | None
    """The open run; None if nothing runs."""
    word: str
    """The word for its state."""
    note: str
    needs_you: str | None = None
    """Why it will not go on by itself; None where it will."""
    waits_for: tuple[Dependency, ...] = ()
    """What has to be done first and is not."""
    elsewhere: str | None = None
    """The other machine it runs on, or may only run on; None where it may be this one."""
    paused: str | None = None
    """What a person has paused, so that it stands still; None: nothing."""


class Cards:
    """Makes cards; what is the same for all is asked once."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        self._store = cli.store
        self._now = cli.clock.now()
        self._host = cli.host
        # Notes that scripts read hold still: no "5m ago", no clock of this machine.
        self._is_exact = not cli.terminal.is_pretty

    def make(self, project: Project) -> Card:
        """Return the card of one project; where it has changed since it was read, as it is now."""
        project, run = self._at_one_moment(project)
        if project.state is ProjectState.QUEUED:
            return self._queued(project)
        needs_you, note = None, one_line(project.error_message or "")
        word = state_word(project, run)
        if project.state is ProjectState.PROCESSING:
            note = self._running_note(run)
        elif project.state is ProjectState.COMPLETED:
            note = ""
        elif project.status in NEEDS_PERSON_WORDS or project.status not in ENDED_WORDS:
            note = note or f"it is {word or 'in no state'}; retry puts it in the queue"
            needs_you = note
        return Card(
            project=project,
            run=run,
            word=word,
            note=note,
            needs_you=needs_you,
            paused=BY_PROJECT if word == PAUSED else None,
            elsewhere=run.host if run is not None and run.host != self._host else None,
        )

    def word(self, project: Project) -> str:
        """Return the word of a card without making it."""
        if project.state is not ProjectState.QUEUED:
            return state_word(project, self._open.get(project.id))
        return PAUSED if self._pause_of(project)[0] else state_word(project, None)

    def could_start(self, project: Project) -> bool:
        """Whether a queued project waits for nothing but a slot."""
        is_early = project.not_before is not None and project.not_before > self._now
        if is_early or self._pause_of(project)[0] or project.host not in {None, self._host}:
            return False
        return all(entry.is_met for entry in self._store.dependencies(project.id))

    def _at_one_moment(self, project: Project) -> tuple[Project, Run | None]:
        """Return a project with its open run.

        It and the runs were read one after the other. Only what has no run although nothing has
        changed meanwhile is run by another program.
        """
        run = self._open.get(project.id)
        for _ in range(_LOOKS):
            if project.state is not ProjectState.PROCESSING or run is not None:
                break
            runs = self._store.runs_of(project.id)
            fresh = self._store.project(project.id)
            if fresh is None:
                break
            is_same, project = fresh == project, fresh
            if is_same:
                return project, next((run for run in runs if run.ended_at is None), None)
        return project, run

    def _queued(self, project: Project) -> Card:
        found = self._store.dependencies(project.id)
        waits_for = tuple(entry for entry in found if not entry.is_met)
        needs_you = next((_hopeless(entry) for entry in waits_for if is_dead_end(entry)), None)
        paused, why = self._pause_of(project)
        return Card(
            project=project,
            run=None,
            word=state_word(project, None) if paused is None else PAUSED,
            note="; ".join(filter(None, (f"! {needs_you}", why)))
            if needs_you
            else why or self._queued_note(project, waits_for),
            needs_you=needs_you,
            waits_for=waits_for,
            paused=paused,
            elsewhere=project.host if project.host != self._host else None,
        )

    def _pause_of(self, project: Project) -> tuple[str | None, str]:
        """Return what a person has paused, so that it does not start, and that in words."""
        if project.held_at is not None:
            return BY_PROJECT, f"stashed {self._since(project.held_at)}"
        if project.group in self._paused_groups:
            return BY_GROUP, f"group {group_label(project.group)} is paused"
        if self._is_queue_paused:
            return BY_QUEUE, "the queue is paused"
        return None, ""

    def _since(self, at: float) -> str:
        return f"since {iso_utc(at)}" if self._is_exact else f"{short_duration(self._now - at)} ago"

    @cached_property
    def _open(self) -> dict[int, Run]:
        # Read after the projects: what was claimed meanwhile is still queued for the caller.
        return {run.project_id: run for run in self._store.open_runs()}

    @cached_property
    def _being_ended(self) -> frozenset[int]:
        return frozenset(run.project_id for run in self._store.uncleaned_runs(self._host))

    @cached_property
    def _paused_groups(self) -> frozenset[str]:
        groups = self._store.groups(is_counted=False)
        return frozenset(group.name for group in groups if group.paused_at is not None)

    @cached_property
    def _is_queue_paused(self) -> bool:
        return self.cli.control.paused_at() is not None

    @cached_property
    def _has_daemon(self) -> bool:
        from scheduler_modules.cli.daemons import why_nothing_launches

        return why_nothing_launches(self.cli.locks) is None

    def _running_note(self, run: Run | None) -> str:
        if run is None:
            return "started by another program"
        there = "" if run.host == self._host else f"on {one_line(run.host, 60)}"
        return ", ".join(filter(None, (there, self._pause_note(run), _progress_note(run))))

    def _pause_note(self, run: Run) -> str:
        is_pending = self._has_daemon or run.host != self._host
        if not run.is_pause_wanted:
            if run.paused_boot_sec is None:
                return ""
            going_on = "its processes are being let go on"
            return going_on if is_pending else "stopped; a daemon has to let it go on"
        if run.paused_boot_sec is None:
            who = "its processes are being stopped" if is_pending else "a daemon has to stop it"
            return who if run.phase is not RunPhase.STARTING else "paused once it has started"
        clock = self.cli.clock
        if run.host != self._host or run.boot_id != clock.boot_id():
            return ""
        # Two clocks are read, so that what is below a second differs from look to look.
        ago_sec = clock.since_boot_sec() - run.paused_boot_sec
        return f"paused {self._since(round(self._now - ago_sec))}"

    def _queued_note(self, project: Project, waits_for: tuple[Dependency, ...]) -> str:
        if project.id in self._being_ended:
            if self._has_daemon:
                return "reset: old processes are being ended"
            return "reset: a daemon has to end its old processes"
        said = []
        if project.host not in {None, self._host}:
            said.append(f"only on {one_line(project.host or '', 60)}")
        if waits_for:
            said.append("after " + ", ".join(_named(entry) for entry in waits_for))
        is_waiting = project.not_before is not None and project.not_before > self._now
        if project.retries_used > 0 and not waits_for:
            said.append(self._retry_note(project, is_waiting))
        elif is_waiting:
            at = project.not_before or 0
            said.append(start_note(at, self._now, is_exact=self._is_exact))
        return ", ".join(said)

    def _retry_note(self, project: Project, is_waiting: bool) -> str:
        note = f"retry {project.retries_used} of {self._retries(project)}"
        if is_waiting:
            at = project.not_before or 0
            note += (
                f" at {iso_utc(at)}" if self._is_exact else f" in {short_duration(at - self._now)}"
            )
        return one_line(f"{note}: {project.error_message or 'it failed'}")

    def _retries(self, project: Project) -> str:
        runs = self._store.runs_of(project.id)
        plan = plan_of(runs[-1]) if runs else None
        return str(max(plan.retries, project.retries_used)) if plan else "?"


def first_queued(
    store: QueueStore,
    limit: int | None,
    *,
    batch_id: str | None = None,
    group: str | None = None,
) -> list[Project]:
    """Return the first queued projects; before them what waits in vain, wherever it stands.

    Of the latter at most `IN_VAIN_SHOWN` are looked for. `limit` None: all that are queued.
    """
    found = store.projects([ProjectState.QUEUED], batch_id=batch_id, group=group, limit=limit)
    if limit is None:
        return found
    known = {project.id for project in found}
    in_vain = (
        project
        for project in store.waiting_in_vain(IN_VAIN_SHOWN)
        if project.id not in known
        and batch_id in {None, project.batch_id}
        and group in {None, project.group}
    )
    return [*in_vain, *found]


def start_note(at: float, now: float, *, is_exact: bool = False) -> str:
    """Return when a project starts: `starts 22:30 (in 4h00m)`; exactly, in UTC, for scripts."""
    from scheduler_modules.cli.moments import start_text

    return f"starts {iso_utc(at)}" if is_exact else start_text(at, now)


def is_dead_end(entry: Dependency) -> bool:
    """Whether a dependency will not be met unless a person does something."""
    return entry.status is None or (
        entry.status in ENDED_WORDS and entry.status not in SUCCESS_WORDS
    )


def plan_of(run: Run) -> LaunchPlan | None:
    """Return how a run was to be carried out; None if its spec was never read."""
    if not run.plan:
        return None
    try:
        return msgspec.json.decode(run.plan, type=LaunchPlan)
    except msgspec.DecodeError:
        return None


def launched(runs: Sequence[Run]) -> list[Run]:
    """Return the runs that a session was asked for: what was put back before is no attempt."""
    return [run for run in runs if run.launches > 0]


def _named(entry: Dependency) -> str:
    if entry.project_id is not None:
        return str(entry.project_id)
    return one_line(PurePath(entry.spec_key).name, 60)


def _hopeless(entry: Dependency) -> str:
    how = "is not queued" if entry.project_id is None else f"is {status_word(entry.status or '')}"
    if entry.status == ProjectState.FAILED:
        how = "failed"
    return f"after {_named(entry)}, which {how}"


def _progress_note(run: Run) -> str:
    if run.phase is RunPhase.VERIFYING:
        plan = plan_of(run)
        return command_text(plan.verify) if plan else ""
    if run.reported is not None:
        return f"reported {run.reported.value}"
    said = ["starting"] if run.phase is RunPhase.STARTING else []
    if run.attempt > 1:
        said.append(f"attempt {run.attempt}")
    return ", ".join(said)


def by_urgency(cards: Iterable[Card]) -> list[Card]:
    """Return cards with those that need a person first, else in their order."""
    return sorted(cards, key=lambda card: card.needs_you is None)
