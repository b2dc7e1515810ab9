"""Rows of the queue's tables to values, and back. Old time formats and spellings end here."""

import enum
import functools
import math
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, TypeVar

import msgspec

from scheduler_modules.errors import DatabaseUnavailable
from scheduler_modules.model import (
    Dependency,
    Fact,
    Group,
    NewProject,
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


def project_from_row(row: Sequence[Any]) -> Project:
    """Return the value of a row of the part `project_columns`."""
    is_finite = _INFINITE.isdisjoint((row[3], row[6], row[7]))
    if not (is_finite and _is_as_we_write(tuple(map(type, row)))):
        row = _readable(row)
    status = row[2]
    return Project(
        id=row[0],
        spec_path=row[1],
        status=_canonical_status(status),
        stored_status=status,
        enqueued_at=row[3],
        name=row[4] or name_of(row[1]),
        project_path=row[5],
        started_at=row[6],
        completed_at=row[7],
        priority=row[8],
        error_message=row[9],
        batch_id=row[10],
        retry_count=row[11],
        enhanced_spec_path=row[12],
        session_name=row[13] or row[14] or row[15] or None,
        fresh_start=bool(row[16]),
        base_dir=row[17],
        not_before=row[18],
        retries_used=row[19] or 0,
        group=row[20] or "",
        host=row[21],
        held_at=row[22],
    )


# Most rows say one of a few words.
_canonical_status = functools.lru_cache(maxsize=256)(canonical_status)

_NONE = type(None)
_INFINITE = frozenset({math.inf, -math.inf})
_TEXTS = (2, 5, 9, 10, 12, 13, 14, 15)
_TIMES = (3, 6, 7)
_NUMBERS = (8, 11)


@functools.lru_cache(maxsize=1024)
def _is_as_we_write(types: tuple[type, ...]) -> bool:
    """Say whether rows of these types can be read as they are, as all of ours and most others."""
    return (
        types[1] is str
        and all(types[place] in (str, _NONE) for place in _TEXTS)
        and all(types[place] in (float, _NONE) for place in _TIMES)
        and all(types[place] is int for place in (*_NUMBERS, 16))
    )


def _readable(row: Sequence[Any]) -> list[Any]:
    """Return a row that an old program wrote with each value as the type its column is for."""
    values = list(row)
    values[1] = text_or_none(row[1]) or ""
    for place in _TEXTS:
        values[place] = text_or_none(row[place])
    for place in _TIMES:
        values[place] = parse_time(row[place])
    for place in _NUMBERS:
        values[place] = whole(row[place])
    values[16] = str(row[16]).lower() in {"1", "true"}
    return values


def name_of(spec_path: str) -> str:
    """Return the name of a project that was given none."""
    return safe_stem(PurePath(spec_path).stem) or _NO_NAME


def new_project_to_rows(new: NewProject) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters of `add_project`, and of `put_plan` without the id."""
    row = {
        "spec_path": new.spec_path,
        "project_path": new.project_path,
        "enqueued_at": new.enqueued_at,
        "priority": new.priority,
        "batch_id": new.batch_id,
        "retry_count": new.retry_count,
    }
    plan = {
        "name": new.name,
        "base_dir": new.base_dir,
        "spec_key": new.spec_key,
        "project_key": new.project_key,
        "not_before": new.not_before,
        "group_name": new.group,
        "host": new.host,
        "held_at": new.held_at,
    }
    return row, plan


def project_to_row(project: Project) -> dict[str, Any]:
    """Return the parameters of `save_project`, guard excepted."""
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


def plan_to_row(project: Project) -> dict[str, Any]:
    """Return the parameters of `save_plan`, without the id."""
    return {
        "not_before": project.not_before,
        "retries_used": project.retries_used,
        "group_name": project.group,
        "host": project.host,
        "held_at": project.held_at,
    }


def run_from_row(row: Row) -> Run:
    """Return the value of a row of the part `select_run`, whose order is that of `Run`."""
    columns = dict(zip(Run.__struct_fields__, row, strict=True))
    columns["is_pause_wanted"] = bool(columns["is_pause_wanted"])
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
    row = msgspec.structs.asdict(run)
    row["phase"] = str(run.phase)
    row["reported"] = run.reported and str(run.reported)
    row["outcome"] = run.outcome and str(run.outcome)
    row["is_pause_wanted"] = int(run.is_pause_wanted)
    row["reported_note"] = storable_text(run.reported_note)
    row["reason"] = storable_text(run.reason)
    return row


def fact_from_row(row: Row) -> Fact:
    """Return the value of a row of `facts`. Detail that is no JSON object reads as none."""
    try:
        detail = msgspec.json.decode(row[5] or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        detail = {}
    return Fact(id=row[0], at=row[1], name=row[2], project_id=row[3], run_id=row[4], detail=detail)


def detail_to_text(detail: object) -> str:
    """Return a fact's detail as JSON text; what UTF-8 cannot say is written out."""
    try:
        return msgspec.json.encode(detail).decode()
    except UnicodeEncodeError:
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


def group_from_row(row: Row, counts: Mapping[Row, int]) -> Group:
    """Return the value of a row of `groups`. `counts`: by name, and 1 for running, 0 for queued."""
    name, max_running, paused_at = row
    return Group(
        name=name,
        max_running=max_running,
        paused_at=paused_at,
        queued=counts.get((name, 0), 0),
        running=counts.get((name, 1), 0),
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
