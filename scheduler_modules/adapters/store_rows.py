"""Rows of the queue's tables to values, and back. Old time formats and spellings end here."""

import enum
import math
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, TypeVar

import msgspec

from scheduler_modules.errors import DatabaseUnavailable
from scheduler_modules.model import (
    Dependency,
    Fact,
    Outcome,
    Project,
    Run,
    RunPhase,
    Task,
    canonical_status,
)
from scheduler_modules.utils import safe_stem

Row = tuple[Any, ...]
_Word = TypeVar("_Word", bound=enum.StrEnum)
_MAX_INTEGER = 2**63 - 1
_NO_NAME = "project"


def is_storable_id(number: int) -> bool:
    """No row can have an id that does not fit in 64 bits."""
    return abs(number) <= _MAX_INTEGER


def row_limit(limit: int | None) -> int:
    """Return the limit as a number: None and what no table can hold mean all."""
    return _MAX_INTEGER if limit is None else max(0, min(limit, _MAX_INTEGER))


def spellings(statuses: Collection[str]) -> list[str]:
    """Return every way in which programs, old ones too, have written these canonical words."""
    found: dict[str, None] = {}
    for word in statuses:
        upper = word.upper()
        ways = (word, upper, word.capitalize(), f"ProjectState.{upper}", f"PROJECTSTATE.{upper}")
        found.update(dict.fromkeys((*ways, f"projectstate.{word}")))
    return list(found)


def parse_time(value: object) -> float | None:
    """Return a stored time as seconds since the epoch; None for none and for garbage.

    Numbers may be text. Text with a space is UTC (SQLite's `datetime('now')` wrote it), text with
    a `T` local time, unless it names its offset.
    """
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if not isinstance(value, str):
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    word = value.strip()
    try:
        number = float(word)
    except ValueError:
        return _parse_date(word)
    return number if math.isfinite(number) else None


def _parse_date(word: str) -> float | None:
    try:
        moment = datetime.fromisoformat(word)
        if moment.tzinfo is None and "T" not in word.upper():
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def text_or_none(value: object) -> str | None:
    """Return what a text column holds as text, whatever type an old program gave it."""
    if value is None or isinstance(value, str):
        return value
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def whole(value: object) -> int:
    """Return what a whole-number column holds; 0 for none and for garbage."""
    if isinstance(value, int):
        return value
    number = parse_time(value) if isinstance(value, str | float) else None
    return int(number) if number is not None else 0


def storable_text(text: str | None) -> str | None:
    """Return a message with anything UTF-8 cannot say written out (`\\udc80`)."""
    return text and text.encode("utf-8", "backslashreplace").decode("utf-8")


def project_from_row(row: Row) -> Project:
    """Return the value of a row of the part `select_project`."""
    stored_status = text_or_none(row[2])
    spec_path = text_or_none(row[1]) or ""
    return Project(
        id=row[0],
        spec_path=spec_path,
        status=canonical_status(stored_status),
        stored_status=stored_status,
        enqueued_at=parse_time(row[3]),
        name=row[4] or safe_stem(PurePath(spec_path).stem) or _NO_NAME,
        project_path=text_or_none(row[5]),
        started_at=parse_time(row[6]),
        completed_at=parse_time(row[7]),
        priority=whole(row[8]),
        error_message=text_or_none(row[9]),
        batch_id=text_or_none(row[10]),
        retry_count=whole(row[11]),
        enhanced_spec_path=text_or_none(row[12]),
        session_name=text_or_none(row[13] or row[14] or row[15] or None),
        fresh_start=str(row[16]).lower() in {"1", "true"},
        base_dir=row[17],
        not_before=row[18],
        retries_used=whole(row[19]),
    )


def project_to_row(project: Project) -> dict[str, Any]:
    """Return the parameters of `save_project` and `save_plan`, guard excepted."""
    return {
        "id": project.id,
        "status": str(project.status),
        "enqueued_at": project.enqueued_at,
        "started_at": project.started_at,
        "completed_at": project.completed_at,
        "error_message": storable_text(project.error_message),
        "retry_count": project.retry_count,
        "batch_id": project.batch_id,
        "priority": project.priority,
        "fresh_start": int(project.fresh_start),
        "session_name": project.session_name,
    }


def run_from_row(row: Row) -> Run:
    """Return the value of a row of the part `select_run`, whose order is that of `Run`."""
    columns = dict(zip(Run.__struct_fields__, row, strict=True))
    return Run(**columns | _run_words(columns))


def _run_words(columns: dict[str, Any]) -> dict[str, Any]:
    return {
        "phase": _word(RunPhase, columns["phase"]),
        "reported": _optional_word(Outcome, columns["reported"]),
        "outcome": _optional_word(Outcome, columns["outcome"]),
    }


def _word(words: type[_Word], value: str) -> _Word:
    try:
        return words(value)
    except ValueError as error:
        raise DatabaseUnavailable(
            f"the database says {value!r} where only {', '.join(words)} is known: "
            "was it written by a newer version?"
        ) from error


def _optional_word(words: type[_Word], value: str | None) -> _Word | None:
    return None if value is None else _word(words, value)


def run_to_row(run: Run) -> dict[str, Any]:
    """Return the parameters of `add_run` and `save_run`."""
    return msgspec.structs.asdict(run) | {
        "phase": run.phase.value,
        "reported": run.reported and run.reported.value,
        "outcome": run.outcome and run.outcome.value,
        "reported_note": storable_text(run.reported_note),
        "reason": storable_text(run.reason),
    }


def fact_from_row(row: Row) -> Fact:
    """Return the value of a row of `facts`. Detail that is no JSON object reads as none."""
    try:
        detail = msgspec.json.decode(row[5] or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        detail = {}
    return Fact(id=row[0], at=row[1], name=row[2], project_id=row[3], run_id=row[4], detail=detail)


def detail_to_text(detail: object) -> str:
    """Return a fact's detail as JSON text; what UTF-8 cannot say is written out."""
    return msgspec.json.encode(_storable(msgspec.to_builtins(detail))).decode()


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, dict):
        return {storable_text(key): _storable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_storable(inner) for inner in value]
    return value


def dependency_from_row(row: Row) -> Dependency:
    spec_key, project_id, status = row
    return Dependency(
        spec_key=spec_key,
        project_id=project_id,
        status=None if project_id is None else canonical_status(text_or_none(status)),
    )


def task_from_row(row: Row) -> Task:
    """Return the value of a row of `tasks`. A due time that is none reads as long past."""
    return Task(
        id=row[0],
        session_name=text_or_none(row[1]) or "",
        agent_role=text_or_none(row[2]) or "",
        window_index=whole(row[3]),
        next_run=parse_time(row[4]) or 0.0,
        interval_minutes=whole(row[5]),
        note=text_or_none(row[6]),
        last_run=parse_time(row[7]),
        created_at=parse_time(row[8]),
        retry_count=whole(row[9]),
    )


def task_to_row(task: Task) -> dict[str, Any]:
    """Return the parameters of `add_task`."""
    return msgspec.structs.asdict(task) | {"note": storable_text(task.note)}
