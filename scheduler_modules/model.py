"""The values everything speaks of, and the table of legal moves. Frozen, pure.

Times are seconds since the epoch, UTC, unless a name says otherwise. Sequences are in the order
they are shown to people.
"""

import enum
from collections.abc import Mapping
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
    group: str = ""
    """Name of its group; empty is the default one."""
    host: str | None = None
    """The only host that may run it; None: any."""
    held_at: float | None = None
    """Since when it is set aside (stashed, paused while it waited); None: it is not."""

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
    group: str = ""
    """A group nobody made yet is made, without limits."""
    host: str | None = None
    held_at: float | None = None
    not_before: float | None = None


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
    is_pause_wanted: bool = False
    """A person wants its processes stopped; the daemon of its host sees to it."""
    paused_boot_sec: float | None = None
    """Seconds since boot when its processes were stopped; None: they run."""
    paused_sec: float = 0
    """How long it has stood still in all before that: no time-out counts it."""

    def stood_still_sec(self, since_boot_sec: float) -> float:
        """Return how long its processes have been stopped in all, up to that reading."""
        if self.paused_boot_sec is None:
            return self.paused_sec
        return self.paused_sec + max(0.0, since_boot_sec - self.paused_boot_sec)

    def ran_sec(self, since_boot_sec: float) -> float:
        """Return how long it has run up to that reading; 0 before its session was up."""
        if self.started_boot_sec is None:
            return 0.0
        return since_boot_sec - self.started_boot_sec - self.stood_still_sec(since_boot_sec)


class Claimable(msgspec.Struct, frozen=True):
    """A queued project that may start now, and how often it was started before."""

    project: Project
    attempts: int
    """Runs of it that came as far as a session being asked for."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A named part of the queue with a limit of its own."""

    name: str
    """Empty is the default group, which is always there."""
    max_running: int | None = None
    """None: only the limit over the whole queue counts."""
    paused_at: float | None = None
    queued: int = 0
    running: int = 0
    """How many of its projects are processing, on all hosts together."""


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
    PROJECT_HELD = "project_held"
    PROJECT_RELEASED = "project_released"
    RUN_PAUSED = "run_paused"
    RUN_RESUMED = "run_resumed"
    QUEUE_PAUSED = "queue_paused"
    QUEUE_RESUMED = "queue_resumed"
    GROUP_PAUSED = "group_paused"
    GROUP_RESUMED = "group_resumed"
    GROUP_CHANGED = "group_changed"
    GROUP_REMOVED = "group_removed"
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


class ProcessIdentity(msgspec.Struct, frozen=True, order=True):
    """A process that cannot be taken for a later one with the same number."""

    pid: int
    started_ticks: int
    """Field 22 of /proc/PID/stat."""


class RunStart(msgspec.Struct, frozen=True):
    """What a runner wrote before it ran its command."""

    pid: int
    started_ticks: int
