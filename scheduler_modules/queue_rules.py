"""The rules of the queue that need no queue: names, back-off, what becomes of a project. Pure."""

import os
from collections.abc import Collection

import msgspec

from scheduler_modules.errors import IllegalTransition
from scheduler_modules.model import LEGAL_MOVES, Outcome, Project, ProjectState
from scheduler_modules.utils import safe_stem

RECENT_SEC = 300
"""A spec that ended less than this long ago is not queued again by accident."""
MAX_RETRY_DELAY_SEC = 600
ACTIVE = (ProjectState.QUEUED, ProjectState.PROCESSING)
ENDED = (ProjectState.COMPLETED, ProjectState.FAILED, ProjectState.RECOVERED)


def session_name(spec_path: str, token: str) -> str:
    """Return the name of a run's session: the stem, `-impl-`, 8 digits of the token."""
    # Not by pathlib, which takes a third of the time of a whole claim.
    stem, _ = os.path.splitext(os.path.basename(spec_path.rstrip("/")))  # noqa: PTH119, PTH122
    return f"{safe_stem(stem) or 'project'}-impl-{token[:8]}"


def check_move(project: Project, new: ProjectState) -> None:
    """Let a legal move pass.

    Raises:
        IllegalTransition: the table of `model` forbids it, or the row's word is no state.
    """
    old = project.state
    if old is None or new not in LEGAL_MOVES[old]:
        raise IllegalTransition(project.id, project.status or "(empty)", new)


def retry_delay_sec(first_delay_sec: float, retries_used: int) -> float:
    """Return how long the next retry waits: doubling from the first, at most ten minutes."""
    return float(min(first_delay_sec * 2 ** min(retries_used, 30), MAX_RETRY_DELAY_SEC))


def after_run(
    project: Project,
    outcome: Outcome,
    reason: str | None,
    *,
    now: float,
    ended_at: float,
    retries: int,
    first_delay_sec: float,
) -> Project:
    """Return what a processing project becomes when its run ended so; retries count from now."""
    if outcome is Outcome.COMPLETED:
        return msgspec.structs.replace(
            project, status=ProjectState.COMPLETED, completed_at=ended_at, error_message=None
        )
    if outcome is Outcome.RESET:
        return fresh(project)
    if project.retries_used < retries:
        delay_sec = retry_delay_sec(first_delay_sec, project.retries_used)
        return msgspec.structs.replace(
            project,
            status=ProjectState.QUEUED,
            started_at=None,
            completed_at=None,
            error_message=reason,
            not_before=now + delay_sec,
            retries_used=project.retries_used + 1,
        )
    return msgspec.structs.replace(
        project, status=ProjectState.FAILED, completed_at=ended_at, error_message=reason
    )


def fresh(project: Project) -> Project:
    """Return the project as if it had just been queued."""
    return msgspec.structs.replace(
        project,
        status=ProjectState.QUEUED,
        started_at=None,
        completed_at=None,
        error_message=None,
        session_name=None,
        not_before=None,
        retries_used=0,
    )


def find_cycle(spec_key: str, after_keys: Collection[str], waiting: Collection[str]) -> str | None:
    """Return an `after` key that would wait for this very spec; None if there is no circle.

    `waiting`: the keys of all specs that wait, directly or not, for `spec_key`.
    """
    closed = {spec_key, *waiting}
    return next((key for key in after_keys if key in closed), None)
