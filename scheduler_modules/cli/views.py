"""What is known of a project, put together to be shown: a card for people, values for JSON."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import PurePath
from typing import Any

import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.daemons import why_nothing_launches
from scheduler_modules.cli.words import (
    ENDED_WORDS,
    NEEDS_PERSON_WORDS,
    SUCCESS_WORDS,
    command_text,
    state_word,
    status_word,
)
from scheduler_modules.model import (
    Dependency,
    Fact,
    LaunchPlan,
    Project,
    ProjectState,
    Run,
    RunPhase,
)
from scheduler_modules.utils import iso_utc, one_line, short_duration


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
    """The other machine it runs on; None where that is this one, or nothing runs."""


class Cards:
    """Makes cards; what is the same for all is asked once."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli
        self._store = cli.store
        self._now = cli.clock.now()
        self._open = {run.project_id: run for run in self._store.open_runs()}
        self._host = cli.host
        self._being_ended = {run.project_id for run in self._store.uncleaned_runs(self._host)}

    def make(self, project: Project) -> Card:
        """Return the card of one project."""
        run = self._open.get(project.id)
        word = state_word(project, run)
        waits_for: tuple[Dependency, ...] = ()
        needs_you = None
        if project.state is ProjectState.QUEUED:
            found = self._store.dependencies(project.id)
            waits_for = tuple(entry for entry in found if not entry.is_met)
            needs_you = next((_hopeless(entry) for entry in waits_for if is_dead_end(entry)), None)
            note = f"! {needs_you}" if needs_you else self._queued_note(project, waits_for)
        elif project.state is ProjectState.PROCESSING:
            note = self._running_note(run)
        else:
            note = one_line(project.error_message or "")
            if project.state is ProjectState.COMPLETED:
                note = ""
            elif project.status in NEEDS_PERSON_WORDS or project.status not in ENDED_WORDS:
                needs_you = note or f"it is {word or 'in no state'}; retry puts it in the queue"
                note = needs_you
        return Card(
            project=project,
            run=run,
            word=word,
            note=note,
            needs_you=needs_you,
            waits_for=waits_for,
            elsewhere=run.host if run is not None and run.host != self._host else None,
        )

    @cached_property
    def _has_daemon(self) -> bool:
        return why_nothing_launches(self._cli.locks) is None

    def _running_note(self, run: Run | None) -> str:
        if run is None:
            return "started by another program"
        there = "" if run.host == self._host else f"on {one_line(run.host, 60)}"
        return ", ".join(filter(None, (there, _progress_note(run))))

    def _queued_note(self, project: Project, waits_for: tuple[Dependency, ...]) -> str:
        if project.id in self._being_ended:
            if self._has_daemon:
                return "reset: old processes are being ended"
            return "reset: a daemon has to end its old processes"
        if waits_for:
            return "after " + ", ".join(_named(entry) for entry in waits_for)
        if project.retries_used == 0:
            return ""
        note = f"retry {project.retries_used} of {self._retries(project)}"
        if project.not_before is not None and project.not_before > self._now:
            note += f" in {short_duration(project.not_before - self._now)}"
        return one_line(f"{note}: {project.error_message or 'it failed'}")

    def _retries(self, project: Project) -> str:
        runs = self._store.runs_of(project.id)
        plan = plan_of(runs[-1]) if runs else None
        return str(max(plan.retries, project.retries_used)) if plan else "?"


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


def card_json(card: Card) -> dict[str, Any]:
    """Return a card as JSON knows it."""
    return {
        **project_json(card.project, card.word),
        "attempt": card.run.attempt if card.run else None,
        "host": card.run.host if card.run else None,
        "note": card.note or None,
        "needs_you": card.needs_you,
        "waits_for": [dependency_json(entry) for entry in card.waits_for],
    }


def project_json(project: Project, word: str) -> dict[str, Any]:
    """Return a project as JSON knows it; `word` is its state as people read it."""
    return {
        "id": project.id,
        "name": project.name,
        "state": word,
        "status": project.status,
        "spec_path": project.spec_path,
        "project_path": project.project_path,
        "priority": project.priority,
        "batch_id": project.batch_id,
        "queued_at": iso_utc(project.enqueued_at),
        "started_at": iso_utc(project.started_at),
        "ended_at": iso_utc(project.completed_at),
        "not_before": iso_utc(project.not_before),
        "retries_used": project.retries_used,
        "session": project.session_name,
        "reason": project.error_message,
    }


def dependency_json(entry: Dependency) -> dict[str, Any]:
    return {
        "spec_path": entry.spec_key,
        "project_id": entry.project_id,
        "status": entry.status,
        "is_met": entry.is_met,
    }


def run_json(run: Run) -> dict[str, Any]:
    """Return a run as JSON knows it; its token stays with us."""
    return {
        "attempt": run.attempt,
        "phase": run.phase.value,
        "host": run.host,
        "session": run.session_name,
        "launches": run.launches,
        "claimed_at": iso_utc(run.claimed_at),
        "started_at": iso_utc(run.started_at),
        "ended_at": iso_utc(run.ended_at),
        "outcome": run.outcome.value if run.outcome else None,
        "exit_code": run.exit_code,
        "reason": run.reason,
        "reported": run.reported.value if run.reported else None,
        "reported_note": run.reported_note,
    }


def fact_json(fact: Fact) -> dict[str, Any]:
    return {
        "id": fact.id,
        "at": iso_utc(fact.at),
        "name": fact.name,
        "detail": dict(fact.detail),
    }


def by_urgency(cards: Iterable[Card]) -> list[Card]:
    """Return cards with those that need a person first, else in their order."""
    return sorted(cards, key=lambda card: card.needs_you is None)
