"""The values everything speaks of, and the table of legal moves. Frozen, pure.

Times are seconds since the epoch, UTC, unless a name says otherwise. Sequences are in the order
they are shown to people.
"""

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec


class ProjectState(enum.StrEnum):
    """What `project_queue.status` may say; old rows hold other words too, see `Project.state`."""

    QUEUED = "queued"
    PROCESSING = "processing"
    TIMING_OUT = "timing_out"
    ZOMBIE = "zombie"
    FAILED = "failed"
    COMPLETED = "completed"
    RECOVERED = "recovered"

    @staticmethod
    def valid_transitions() -> "Mapping[ProjectState, frozenset[ProjectState]]":
        """Return the table of legal moves."""
        return LEGAL_MOVES


LEGAL_MOVES: Mapping[ProjectState, frozenset[ProjectState]] = MappingProxyType(
    {
        ProjectState.QUEUED: frozenset({ProjectState.PROCESSING}),
        ProjectState.PROCESSING: frozenset(
            {
                ProjectState.TIMING_OUT,
                ProjectState.ZOMBIE,
                ProjectState.FAILED,
                ProjectState.COMPLETED,
                ProjectState.RECOVERED,
                ProjectState.QUEUED,
            }
        ),
        ProjectState.TIMING_OUT: frozenset(
            {
                ProjectState.FAILED,
                ProjectState.COMPLETED,
                ProjectState.RECOVERED,
                ProjectState.QUEUED,
            }
        ),
        ProjectState.ZOMBIE: frozenset(
            {ProjectState.FAILED, ProjectState.RECOVERED, ProjectState.QUEUED}
        ),
        ProjectState.FAILED: frozenset({ProjectState.RECOVERED, ProjectState.QUEUED}),
        ProjectState.COMPLETED: frozenset(),
        ProjectState.RECOVERED: frozenset(
            {
                ProjectState.PROCESSING,
                ProjectState.COMPLETED,
                ProjectState.FAILED,
                ProjectState.QUEUED,
            }
        ),
    }
)

_GARBAGE_PREFIX = "projectstate."


def canonical_status(stored: str | None) -> str:
    """Return a stored status as its plain lower-case word.

    Old programs wrote upper case and the printed form of an enum ("ProjectState.FAILED"). A word
    that is no state stays as it is: unknown is never taken for processing.
    """
    word = (stored or "").strip().lower()
    return word.removeprefix(_GARBAGE_PREFIX)


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A queued spec: one row of `project_queue` with what `project_plan` keeps beside it."""

    id: int
    spec_path: str
    status: str
    """Canonical word, lower case; one of `ProjectState` or an older program's word."""
    stored_status: str | None
    """Exactly what the row holds: the guard of every update."""
    enqueued_at: float | None
    name: str
    project_path: str | None = None
    started_at: float | None = None
    completed_at: float | None = None
    priority: int = 0
    """Higher runs first."""
    error_message: str | None = None
    batch_id: str | None = None
    retry_count: int = 0
    enhanced_spec_path: str | None = None
    session_name: str | None = None
    fresh_start: bool = False
    base_dir: str | None = None
    """Folder that relative paths of this row are meant from; None in rows of old programs."""
    not_before: float | None = None
    retries_used: int = 0
    """Automatic retries spent since it was queued or last reset by a person."""

    @property
    def state(self) -> ProjectState | None:
        """The state, or None where the row holds a word that is none."""
        try:
            return ProjectState(self.status)
        except ValueError:
            return None


class NewProject(msgspec.Struct, frozen=True, kw_only=True):
    """What a row of the queue is made from."""

    spec_path: str
    name: str
    enqueued_at: float
    project_path: str | None = None
    priority: int = 0
    batch_id: str | None = None
    retry_count: int = 0
    base_dir: str | None = None
    spec_key: str
    """The spec's absolute real path: what duplicates and dependencies are compared by."""
    project_key: str | None = None
    """The same for the project folder; None where it is to be detected."""
    after_keys: tuple[str, ...] = ()


class RunPhase(enum.StrEnum):
    """How far a run has come."""

    STARTING = "starting"
    RUNNING = "running"
    VERIFYING = "verifying"
    ENDED = "ended"


class Outcome(enum.StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    """Its session, its tmux server or its machine went away under it."""
    RESET = "reset"
    """A person put the project back in the queue."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to carry out a project. The token fences every later write."""

    id: int
    project_id: int
    attempt: int
    """1 for the first run of the project."""
    token: str
    """32 hex digits; also the marker in the environment of everything the run starts."""
    host: str
    daemon_id: str
    session_name: str
    phase: RunPhase
    claimed_at: float
    launches: int = 0
    """How often the session was asked for; above 1 a daemon died between asking and recording."""
    session_id: str | None = None
    """tmux's own id ("$3"); only meaningful on the server named beside it."""
    main_pane_id: str | None = None
    verify_pane_id: str | None = None
    server_pid: int | None = None
    server_started_at: int | None = None
    started_at: float | None = None
    boot_id: str | None = None
    started_boot_sec: float | None = None
    """Seconds since boot at the start: time-outs are measured by it, so no clock change matters."""
    plan: str | None = None
    """The launch plan as JSON (`LaunchPlan`); None until the spec was read."""
    reported: Outcome | None = None
    """What the run said of itself (`done`, `fail`), before verification."""
    reported_note: str | None = None
    exit_code: int | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    ended_at: float | None = None
    cleaned_at: float | None = None
    """When the last process of the run was seen gone; until then the project is not run again."""


class FactName(enum.StrEnum):
    """What `event_log.name` may say."""

    PROJECT_QUEUED = "project_queued"
    PROJECT_STARTED = "project_started"
    PROJECT_RUNNING = "project_running"
    PROJECT_REPORTED = "project_reported"
    PROJECT_VERIFYING = "project_verifying"
    PROJECT_COMPLETED = "project_completed"
    PROJECT_FAILED = "project_failed"
    PROJECT_REQUEUED = "project_requeued"
    PROJECT_DEFERRED = "project_deferred"
    PROJECT_RESET = "project_reset"
    PROJECT_RECOVERED = "project_recovered"
    PROJECT_REMOVED = "project_removed"
    PROJECT_CHANGED = "project_changed"
    RUN_RELAUNCHED = "run_relaunched"
    RUN_ADOPTED = "run_adopted"
    RUN_CLEANED = "run_cleaned"
    TASK_ADDED = "task_added"
    TASK_REMOVED = "task_removed"


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened: a row of `event_log`, written with the change it tells."""

    id: int
    at: float
    name: str
    project_id: int | None = None
    run_id: int | None = None
    detail: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """One `after:` entry of a queued project, and how it stands."""

    spec_key: str
    project_id: int | None
    """The newest project of that spec; None where there is none yet."""
    status: str | None

    @property
    def is_met(self) -> bool:
        return self.status in {ProjectState.COMPLETED, ProjectState.RECOVERED}


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A check-in: a row of `tasks`. `interval_minutes` 0 means once."""

    id: int
    session_name: str
    agent_role: str
    window_index: int
    next_run: float
    interval_minutes: int
    note: str | None = None
    last_run: float | None = None
    created_at: float | None = None
    retry_count: int = 0


class WindowPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One window of a session: its role is its name and must match `utils.ROLE_PATTERN`."""

    role: str
    argv: tuple[str, ...]


class LaunchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How one run is to be carried out, fixed when its spec was read."""

    cwd: str
    windows: tuple[WindowPlan, ...]
    """The first is the main window: its command's end is the run's end."""
    env: Mapping[str, str] = msgspec.field(default_factory=dict)
    verify: tuple[str, ...] | None = None
    timeout_sec: float = 0
    """0 means none."""
    retries: int = 0
    agent: str | None = None
    is_external: bool = False
    """The main window is a launcher that makes the project's session itself."""


class ServerIdentity(msgspec.Struct, frozen=True):
    """Which tmux server was asked. Ids of sessions and panes are worth nothing on another."""

    pid: int
    started_at: int


class PaneState(msgspec.Struct, frozen=True, kw_only=True):
    """One pane as tmux tells it."""

    session_id: str
    session_name: str
    session_created_at: int
    window_id: str
    window_index: int
    window_name: str
    pane_id: str
    pid: int
    activity_at: int
    is_dead: bool = False
    dead_status: int | None = None
    dead_signal: int | None = None
    run_token: str | None = None
    """Our user option on the session; None on sessions that are not ours."""
    project_id: int | None = None


class TmuxSnapshot(msgspec.Struct, frozen=True):
    """All panes of the server in one look. `server` None: no server runs, hence no sessions."""

    server: ServerIdentity | None
    panes: tuple[PaneState, ...] = ()

    def of_session(self, session_name: str) -> tuple[PaneState, ...]:
        return tuple(pane for pane in self.panes if pane.session_name == session_name)

    def of_run(self, token: str) -> tuple[PaneState, ...]:
        return tuple(pane for pane in self.panes if pane.run_token == token)

    def session_names(self) -> frozenset[str]:
        return frozenset(pane.session_name for pane in self.panes)


class SessionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A session to be made: everything the adapter must set in one go."""

    name: str
    cwd: str
    env: Mapping[str, str]
    windows: tuple["PaneCommand", ...]
    project_id: int
    run_token: str


class PaneCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A window with its full argv (runner included) and the file its output is kept in."""

    role: str
    argv: tuple[str, ...]
    log_path: str


class PaneRef(msgspec.Struct, frozen=True, kw_only=True):
    """tmux's own ids of a new window."""

    role: str
    window_id: str
    pane_id: str


class CreatedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session just made, or one that was found as if it had been."""

    session_id: str
    server: ServerIdentity
    panes: tuple[PaneRef, ...]
    """The main window's first."""

    @classmethod
    def found(cls, server: ServerIdentity, panes: Iterable[PaneState]) -> "CreatedSession":
        """Return the session that the first of these panes is in, with all of them."""
        found = tuple(panes)
        return cls(
            session_id=found[0].session_id,
            server=server,
            panes=tuple(
                PaneRef(role=pane.window_name, window_id=pane.window_id, pane_id=pane.pane_id)
                for pane in found
            ),
        )


class ProcessIdentity(msgspec.Struct, frozen=True, order=True):
    """A process that cannot be taken for a later one with the same number."""

    pid: int
    started_ticks: int
    """Field 22 of /proc/PID/stat."""


class RunStart(msgspec.Struct, frozen=True):
    """What a runner wrote before it ran its command."""

    pid: int
    started_ticks: int
