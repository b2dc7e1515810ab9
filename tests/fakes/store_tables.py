"""What the fake store keeps, and what becomes of values that are stored."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

import msgspec

from scheduler_modules.errors import InvalidInput
from scheduler_modules.model import Fact, Group, Project, Run, Task
from scheduler_modules.utils import safe_stem

RAW_COLUMNS = (
    "id",
    "spec_path",
    "project_path",
    "status",
    "enqueued_at",
    "started_at",
    "completed_at",
    "priority",
    "error_message",
    "batch_id",
    "retry_count",
    "enhanced_spec_path",
    "orchestrator_session",
    "main_session",
    "spec_requirements",
    "validation_score",
    "validation_details",
    "spec_version",
    "session_name",
    "fresh_start",
)


@dataclass
class Plan:
    """What stands beside a project and is not part of its value."""

    spec_key: str
    project_key: str | None


@dataclass
class Tables:
    """Everything stored. Values are frozen, so a copy of the containers is a snapshot."""

    projects: dict[int, Project] = field(default_factory=dict)
    plans: dict[int, Plan] = field(default_factory=dict)
    waits: dict[int, tuple[str, ...]] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    facts: dict[int, Fact] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=lambda: {"": Group(name="")})
    cursors: dict[str, int] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    last_ids: Counter[str] = field(default_factory=Counter)

    def copy(self) -> "Tables":
        return Tables(**{item.name: getattr(self, item.name).copy() for item in fields(self)})

    def new_id(self, table: str) -> int:
        self.last_ids[table] += 1
        return self.last_ids[table]


def name_of(spec_path: str) -> str:
    """Return the name of a project that was given none."""
    return safe_stem(PurePath(spec_path).stem) or "project"


def listing_order(project: Project) -> tuple[int, float, int]:
    """Return what lists, and claims, are sorted by."""
    return -project.priority, project.enqueued_at or 0.0, project.id


def is_open(group: Group) -> bool:
    """Say whether the group lets a further project start."""
    is_full = group.max_running is not None and group.running >= group.max_running
    return group.paused_at is None and not is_full


def raw_row(project: Project) -> tuple[Any, ...]:
    """Return the physical columns of the row."""
    row = msgspec.structs.asdict(project)
    row |= {"status": project.stored_status, "validation_score": 0.0}
    row |= {"fresh_start": int(project.fresh_start)}
    row |= dict.fromkeys(("orchestrator_session", "main_session"), project.session_name)
    return tuple(row.get(column) for column in RAW_COLUMNS)


def is_unfinished(run: Run) -> bool:
    """Say whether something of the run may still be there."""
    return run.ended_at is None or run.cleaned_at is None


def run_to_keep(run: Run) -> Run:
    """Return the run as a database gives it back.

    Raises:
        InvalidInput: no database can hold it.
    """
    run = msgspec.structs.replace(
        run, reason=writable(run.reason), reported_note=writable(run.reported_note)
    )
    refuse_unstorable(msgspec.structs.asdict(run))
    return run


def writable(value: Any) -> Any:
    """Write out, in messages, what UTF-8 cannot say."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {writable(key): writable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [writable(inner) for inner in value]
    return value


def refuse_unstorable(values: Mapping[str, Any]) -> None:
    """Raise InvalidInput if one of the values is such that no column can hold it."""
    for value in values.values():
        for one in value if isinstance(value, list | tuple) else [value]:
            try:
                if isinstance(one, str):
                    one.encode("utf-8")
                if isinstance(one, int):
                    one.to_bytes(8, signed=True)
            except (UnicodeEncodeError, OverflowError) as error:
                raise InvalidInput(f"the database cannot hold this: {error}") from error
