"""Reads what a project says of itself in files. Writes and deletes nothing."""

import json
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from scheduler_modules.model import Outcome, Project, Run
from scheduler_modules.utils import one_line

logger = logging.getLogger(__name__)

MAX_STATE_BYTES = 1_048_576
MAX_MARKER_BYTES = 65_536

_OUTCOMES = {"completed": Outcome.COMPLETED, "failed": Outcome.FAILED}
_MARKERS = {"COMPLETED": Outcome.COMPLETED, "FAILED": Outcome.FAILED}


class _File(msgspec.Struct, frozen=True):
    path: Path
    text: str
    changed_at: float


class _Claim(msgspec.Struct, frozen=True):
    """One file's word about a run."""

    outcome: Outcome
    said: str
    changed_at: float


class _Folder(msgspec.Struct, frozen=True):
    """The part of a launch plan that is needed here."""

    cwd: str


class StateSynchronizer:
    """Finds marker and state files below `home` and beside the project's folder."""

    def __init__(self, home: Path) -> None:
        self._projects_dir = home / "registry" / "projects"
        self._registry = str(self._projects_dir)
        self._said: set[Path] = set()

    def reported_outcome(self, project: Project, run: Run) -> tuple[Outcome, str] | None:
        """Return the newest word about this run and where it stands; None if there is none.

        Only files changed since the run was claimed count. They are, each with its own meaning:
        `COMPLETED` or `FAILED` in the orchestrator's worktree, the registry's `COMPLETION_MARKER`
        of the session, and `completion_status` in a session state of the same session. Of two
        with the same time the failure counts.
        """
        found = (*self._worktree_claims(project, run), *self._registry_claims(project, run))
        claims = [claim for claim in found if claim.changed_at > run.claimed_at]
        if not claims:
            return None
        newest = max(claims, key=lambda claim: (claim.changed_at, claim.outcome is Outcome.FAILED))
        return newest.outcome, newest.said

    def agent_credit_status(self, project_name: str, role: str) -> dict[str, Any]:
        """Return what the session state says of an agent: `exhausted`, `reset_time`, `alive`.

        Where it says nothing, the agent is alive and has credit.
        """
        state = self._state(self._projects_dir / _folder_name(project_name) / "session_state.json")
        agents = state[0].get("agents") if state else None
        agent = agents.get(role) if isinstance(agents, dict) else None
        agent = agent if isinstance(agent, dict) else {}
        return {
            "exhausted": bool(agent.get("is_exhausted", False)),
            "reset_time": agent.get("credit_reset_time"),
            "alive": bool(agent.get("is_alive", True)),
        }

    # -- the sources ------------------------------------------------------------------------

    def _worktree_claims(self, project: Project, run: Run) -> Iterator[_Claim]:
        folder = _project_folder(project, run)
        if folder is None or not folder.name:
            return
        worktrees = f"{folder}-tmux-worktrees"
        # Asked of every run at every look, and nearly always in vain: text is quicker than paths.
        if not os.path.isdir(worktrees):  # noqa: PTH112
            return
        for name, outcome in _MARKERS.items():
            file = _read(Path(worktrees, "orchestrator", name), MAX_MARKER_BYTES)
            if file is not None:
                yield _Claim(outcome, _said(file, file.text), file.changed_at)

    def _registry_claims(self, project: Project, run: Run) -> Iterator[_Claim]:
        if not os.path.isdir(self._registry):  # noqa: PTH112
            return
        marker = _read(
            self._projects_dir / run.session_name / "COMPLETION_MARKER", MAX_MARKER_BYTES
        )
        if marker is not None:
            content = _mapping(marker.text) or {}
            outcome = _outcome_of(content.get("status")) or Outcome.COMPLETED
            yield _Claim(outcome, _said(marker, _reason_in(content)), marker.changed_at)
        for name in _folder_names(project, run):
            state = self._state(self._projects_dir / name / "session_state.json")
            claim = None if state is None else _claim_of_state(*state, run)
            if claim is not None:
                yield claim

    def _state(self, path: Path) -> tuple[Mapping[str, Any], _File] | None:
        """Return a session state as far as it can be read; one that cannot is logged once."""
        file = _read(path, MAX_STATE_BYTES)
        if file is None:
            return None
        content = _mapping(file.text)
        if content is None:
            if path not in self._said:
                self._said.add(path)
                logger.warning("session_state_unreadable", extra={"path": str(path)})
            return None
        return content, file


def _claim_of_state(content: Mapping[str, Any], file: _File, run: Run) -> _Claim | None:
    # A state of another session is about another run, whatever folder it lies in.
    session = content.get("session_name")
    outcome = _outcome_of(content.get("completion_status"))
    if outcome is None or (session and session != run.session_name):
        return None
    return _Claim(outcome, _said(file, _reason_in(content)), file.changed_at)


def _folder_names(project: Project, run: Run) -> list[str]:
    """Return the names a project's registry folder may have, under each old naming scheme."""
    of_session = run.session_name.rpartition("-impl-")[0] or run.session_name
    base = _folder_name(project.name)
    names = [base, f"{base}-{project.id}", _folder_name(of_session), run.session_name]
    return [name for name in dict.fromkeys(names) if name]


def _folder_name(name: str) -> str:
    """Return a name as the registry spells it; empty where no folder can be meant."""
    folder = name.lower().replace(" ", "-")
    return "" if folder in {"", ".", ".."} or "/" in folder or "\0" in folder else folder


def _project_folder(project: Project, run: Run) -> Path | None:
    """Return where the run works; None while that is not decided."""
    if run.plan is not None:
        return Path(msgspec.json.decode(run.plan, type=_Folder).cwd)
    if project.project_path is None:
        return None
    folder = Path(project.base_dir or "", project.project_path)
    return folder if folder.is_absolute() else None


def _outcome_of(word: object) -> Outcome | None:
    return _OUTCOMES.get(word.strip().lower()) if isinstance(word, str) else None


def _reason_in(content: Mapping[str, Any]) -> str:
    reason = content.get("failure_reason") or content.get("reason")
    return reason if isinstance(reason, str) else ""


def _said(file: _File, text: str) -> str:
    words = one_line(text)
    return f"{file.path}: {words}" if words else str(file.path)


def _mapping(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _read(path: Path, limit_bytes: int) -> _File | None:
    """Return a plain file; None if there is none, or it is too large, or cannot be read."""
    try:
        # O_NONBLOCK: opening a pipe must not wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit_bytes:
            return None
        text = os.read(fd, limit_bytes).decode(errors="replace")
    except OSError:
        return None
    finally:
        os.close(fd)
    return _File(path, text, found.st_mtime)
