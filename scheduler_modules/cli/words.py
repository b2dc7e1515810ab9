"""States, times and facts as people read them: one symbol and one word each. Pure."""

from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType

from scheduler_modules.model import Fact, FactName, Outcome, Project, ProjectState, Run, RunPhase
from scheduler_modules.utils import DEFAULT_GROUP, iso_utc, one_line, short_duration

RUNNING, VERIFYING, PAUSED = "running", "verifying", "paused"
TOLD_BY_CARDS = frozenset({RUNNING, VERIFYING, PAUSED, "queued"})
"""Words that say more than the stored status."""
NO_STATUS = "(none)"
"""What people read where a row of another program has no status."""
LONG = 4000
"""Characters of a reason where it is told in full."""

_SYMBOLS: Mapping[str, str] = MappingProxyType(
    {
        "queued": "○",
        RUNNING: "●",
        VERIFYING: "◐",
        PAUSED: "⏸",
        "credit_paused": "⏸",
        "zombie": "!",
        "timing_out": "!",
        "completed": "✓",
        "recovered": "✓",
        "failed": "✗",
        "permanently_failed": "✗",
        "retried": "✗",
    }
)
_COLORS: Mapping[str, str] = MappingProxyType(
    {"●": "green", "◐": "cyan", "✓": "green", "✗": "red", "!": "yellow", "?": "yellow"}
    | {"⏸": "magenta"}
)

ENDED_WORDS = frozenset(
    {"completed", "failed", "recovered", "permanently_failed", "retried", "cancelled"}
    | {"superseded", "archived"}
)
"""Stored words after which nothing happens by itself; old programs wrote the last five."""
SUCCESS_WORDS = frozenset({"completed", "recovered"})
NEEDS_PERSON_WORDS = frozenset({"zombie", "timing_out"})
_OUTCOME_WORDS: Mapping[str, str] = MappingProxyType(
    {Outcome.TIMED_OUT: "timed out", Outcome.LOST: "session lost"}
)


def state_word(project: Project, run: Run | None) -> str:
    """Return the word for a project's state; `run` is the open one, None if none is."""
    if project.state is ProjectState.PROCESSING:
        if run is not None and run.is_pause_wanted:
            return PAUSED
        return VERIFYING if run is not None and run.phase is RunPhase.VERIFYING else RUNNING
    if project.state is ProjectState.QUEUED and project.held_at is not None:
        return PAUSED
    return project.status or "unknown"


def group_label(name: str) -> str:
    """Return a group's name as people call it."""
    return name or DEFAULT_GROUP


def start_time(project: Project) -> float | None:
    """Return when a queued project starts at the earliest, as a person said; None: at once."""
    is_told = project.state is ProjectState.QUEUED and project.retries_used == 0
    return project.not_before if is_told else None


def status_word(status: str) -> str:
    """Return a stored status as people read it."""
    return RUNNING if status == ProjectState.PROCESSING else status or NO_STATUS


def outcome_word(outcome: str) -> str:
    """Return how a run ended as people read it."""
    return _OUTCOME_WORDS.get(outcome, outcome)


def symbol(word: str) -> str:
    """Return the one symbol of a state word."""
    return _SYMBOLS.get(word, "?")


def color(word: str) -> str:
    """Return the colour of a state word, or nothing."""
    return _COLORS.get(symbol(word), "")


def status_of_word(word: str) -> str:
    """Return the stored status that a state word stands for."""
    word = word.strip().lower().replace("-", "_")
    return ProjectState.PROCESSING if word in {RUNNING, VERIFYING} else word


def ago(at: float | None, now: float) -> str:
    """Return a past moment as people say it."""
    return "?" if at is None else f"{short_duration(now - at)} ago"


def offset(seconds: float) -> str:
    """Return the place on a time line: `+0s`, `+12m`."""
    return f"+{short_duration(seconds)}"


def duration_sec(project: Project, now: float) -> float | None:
    """Return how long a project has run, or ran; None if it never did."""
    if project.started_at is None:
        return None
    return max(0.0, (project.completed_at or now) - project.started_at)


def time_text(project: Project, now: float) -> str:
    """Return the TIME column: `waits 1m`, `12m`, `2m, 8m ago`."""
    if project.state is ProjectState.QUEUED:
        return f"waits {short_duration(now - (project.enqueued_at or now))}"
    ran_sec = duration_sec(project, now)
    ran = "-" if ran_sec is None else short_duration(ran_sec)
    if project.status in ENDED_WORDS:
        return f"{ran}, {ago(project.completed_at, now)}" if project.completed_at else ran
    return ran


def command_text(argv: tuple[str, ...] | None) -> str:
    """Return a command as a person would have typed it."""
    import shlex

    return one_line(shlex.join(argv or ()))


def fact_text(fact: Fact, known_reason: str | None = None) -> str:
    """Return what a fact says, in words: `failed (exit code 3): disk full`.

    `known_reason` is told elsewhere, and not again.
    """
    words = _FACT_WORDS.get(fact.name, fact.name.replace("_", " "))
    if fact.name == FactName.RUN_ADOPTED and fact.detail.get("by") == "launcher":
        words = "its launcher has made its session"
    beside = ", ".join(filter(None, (_detail_text(fact, key) for key in fact.detail)))
    why = fact.detail.get("reason") or fact.detail.get("note")
    if why == known_reason:
        why = None
    text = words + (f" ({beside})" if beside else "") + (f": {why}" if why else "")
    return one_line(text, LONG)


_FACT_WORDS: Mapping[str, str] = MappingProxyType(
    {
        FactName.PROJECT_QUEUED: "queued",
        FactName.PROJECT_STARTED: "claimed by a daemon",
        FactName.PROJECT_RUNNING: "running",
        FactName.PROJECT_REPORTED: "reported",
        FactName.PROJECT_VERIFYING: "verifying",
        FactName.PROJECT_COMPLETED: "completed",
        FactName.PROJECT_FAILED: "failed",
        FactName.PROJECT_REQUEUED: "queued again",
        FactName.PROJECT_DEFERRED: "put back",
        FactName.PROJECT_RESET: "reset",
        FactName.PROJECT_RECOVERED: "marked as recovered",
        FactName.PROJECT_REMOVED: "removed",
        FactName.PROJECT_CHANGED: "changed",
        FactName.PROJECT_HELD: "paused",
        FactName.PROJECT_RELEASED: "resumed",
        FactName.RUN_PAUSED: "its processes are stopped",
        FactName.RUN_RESUMED: "its processes go on",
        FactName.RUN_RELAUNCHED: "launched again after a crash",
        FactName.RUN_ADOPTED: "its session was found again",
        FactName.RUN_CLEANED: "its last processes are gone",
    }
)
_TOLD_ELSEWHERE = frozenset({"spec_path", "retries", "not_before", "reason", "note", "by"})
_IMPLIED = frozenset(
    {
        (FactName.PROJECT_COMPLETED, "outcome"),
        (FactName.PROJECT_REQUEUED, "outcome"),
        (FactName.PROJECT_QUEUED, "priority"),
        (FactName.PROJECT_QUEUED, "batch_id"),
    }
)


def _detail_text(fact: Fact, key: str) -> str:
    value = fact.detail[key]
    if key == "start_at" and value is None:
        return "starts at once"
    if value is None or key in _TOLD_ELSEWHERE or (fact.name, key) in _IMPLIED:
        return ""
    if key == "outcome":
        outcome = str(value)
        is_told = outcome == fact.name.removeprefix("project_") or bool(fact.detail.get("reason"))
        return "" if is_told else outcome_word(outcome)
    if key in {"group", "start_at", "after"}:
        return one_line(_wish_text(key, value), 300)
    if key in {"was", "status"}:
        value = status_word(str(value))
    if key == "exit_code" and f"exit {value}" in str(fact.detail.get("reason")):
        return ""
    return one_line(f"{key.replace('_', ' ')} {value if value != '' else 'any'}", 300)


def _wish_text(key: str, value: object) -> str:
    """Return what a person wanted changed of a queued project."""
    if key == "group":
        return f"group {group_label(str(value))}"
    if key == "start_at":
        return f"starts {iso_utc(value) if isinstance(value, float) else value}"
    names = [PurePath(str(path)).name for path in value] if isinstance(value, list) else []
    return f"after {', '.join(names) or 'none'}"
