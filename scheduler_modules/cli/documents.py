"""What is known of a project, a run or a group, as JSON tells it. The reference is `json.md`."""

from typing import Any

from scheduler_modules.cli.views import Card
from scheduler_modules.cli.words import group_label, start_time
from scheduler_modules.model import Dependency, Fact, Group, Project, Run
from scheduler_modules.utils import iso_utc


def card_json(card: Card) -> dict[str, Any]:
    """Return a card as JSON knows it."""
    return {
        **project_json(card.project, card.word),
        "attempt": card.run.attempt if card.run else None,
        "host": card.run.host if card.run else card.project.host,
        "paused": card.paused,
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
        "group": group_label(project.group),
        "batch_id": project.batch_id,
        "queued_at": iso_utc(project.enqueued_at),
        "started_at": iso_utc(project.started_at),
        "ended_at": iso_utc(project.completed_at),
        "start_at": iso_utc(start_time(project)),
        "not_before": iso_utc(project.not_before),
        "held_at": iso_utc(project.held_at),
        "retries_used": project.retries_used,
        "session": project.session_name,
        "host": project.host,
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


def group_json(group: Group) -> dict[str, Any]:
    """Return a group as JSON knows it."""
    return {
        "group": group_label(group.name),
        "limit": group.max_running,
        "running": group.running,
        "queued": group.queued,
        "paused_at": iso_utc(group.paused_at),
    }
