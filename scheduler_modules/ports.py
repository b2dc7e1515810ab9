"""What the managers need from the outside world, as Protocols. `adapters/` fulfil them.

Each port has one contract suite in `tests/contract`, run on its fake and on the real adapter.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from scheduler_modules.model import (
    CreatedSession,
    Dependency,
    Fact,
    NewProject,
    PaneCommand,
    PaneRef,
    ProcessIdentity,
    Project,
    Run,
    RunStart,
    ServerIdentity,
    SessionPlan,
    Task,
    TmuxSnapshot,
)


class Clock(Protocol):
    """The only place that asks the time."""

    def now(self) -> float:
        """Seconds since the epoch, UTC. May jump when somebody sets the clock."""
        ...

    def since_boot_sec(self) -> float:
        """Seconds since boot, suspend included. Never jumps; compare only under one `boot_id`."""
        ...

    def boot_id(self) -> str:
        """An id that changes with every boot of the machine."""
        ...


class QueueStore(Protocol):
    """The tables of the queue. Values in, values out; legality is `queue_manager`'s business.

    Every call outside `transaction()` is a transaction of its own. One object may be used by
    several threads.

    Raises (any method):
        DatabaseUnavailable: the database went away or stayed locked for 30 s.
        DiskFull: no space left; the transaction was rolled back.
    """

    def transaction(self) -> AbstractContextManager[None]:
        """Reserve the right to write at once; commit at the end, roll back on an exception.

        Calls inside belong to it; a nested `transaction()` joins the outer one. A commit is
        durable when this returns.
        """
        ...

    def close(self) -> None:
        """Close the connections of every thread that has ended, and the caller's own."""
        ...

    # -- projects ---------------------------------------------------------------------------

    def add_project(self, new: NewProject) -> int:
        """Insert a queued row with its plan and dependencies; return the id."""
        ...

    def project(self, project_id: int) -> Project | None: ...

    def projects(
        self,
        statuses: Collection[str] | None = None,
        *,
        batch_id: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Project]:
        """Return projects by canonical status (None: all): priority descending, then age, then id.

        `newest_first`: id descending instead.
        """
        ...

    def same_spec(
        self,
        *,
        spec_path: str,
        spec_key: str,
        project_path: str | None,
        project_key: str | None,
        statuses: Collection[str],
        limit: int = 20,
    ) -> list[Project]:
        """Return projects of the same spec and the same folder, newest first.

        Same spec: the row's `spec_path` is `spec_path`, or its plan's key is `spec_key`. Folder
        likewise; None equals None.
        """
        ...

    def save_project(self, before: Project, after: Project) -> bool:
        """Write `after` if the row still holds `before.stored_status`. False: somebody was first.

        Writes status, times, error_message, retry_count, batch_id, priority, fresh_start, the
        session's name (all its columns alike), not_before and retries_used; nothing else.
        """
        ...

    def remove_project(self, project: Project) -> bool:
        """Delete the row, its plan and runs, if it still holds `project.stored_status`.

        Facts stay: they are history.
        """
        ...

    def counts(self) -> dict[str, int]:
        """Return the number of projects by canonical status."""
        ...

    def next_claimable(self, now: float) -> int | None:
        """Return the id of the queued project to run next.

        Claimable: its not-before time has come, every dependency is met, and no earlier run of
        it still has processes (`cleaned_at`). Priority descending, then age, then id; rows in an
        old spelling of "queued" after all others.
        """
        ...

    def set_dependencies(self, project_id: int, spec_keys: Sequence[str]) -> None:
        """Replace what the project waits for."""
        ...

    def dependencies(self, project_id: int) -> list[Dependency]:
        """Return what the project waits for, as it stands now."""
        ...

    def dependents(self, spec_key: str) -> list[str]:
        """Return the spec keys of queued projects that wait for this spec."""
        ...

    def spec_key_of(self, project_id: int) -> str | None:
        """Return the key of the project's spec; None for rows of old programs."""
        ...

    def raw_projects(self) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return every physical column of `project_queue`: names, and rows in listing order."""
        ...

    # -- runs -------------------------------------------------------------------------------

    def add_run(self, run: Run) -> Run:
        """Insert it (its `id` is ignored); return it with the id it got."""
        ...

    def run(self, token: str) -> Run | None: ...

    def runs_of(self, project_id: int) -> list[Run]:
        """Return the project's runs, oldest first."""
        ...

    def open_runs(self, host: str | None = None) -> list[Run]:
        """Return runs that have not ended, oldest first; of one host, or of all."""
        ...

    def uncleaned_runs(self, host: str) -> list[Run]:
        """Return ended runs of the host whose processes have not been seen gone, oldest first."""
        ...

    def save_run(self, run: Run) -> bool:
        """Write the run by its token. False: it has ended already, nothing was written."""
        ...

    def mark_cleaned(self, token: str, at: float) -> bool:
        """Record that an ended run has no processes left."""
        ...

    # -- facts ------------------------------------------------------------------------------

    def add_fact(
        self,
        name: str,
        at: float,
        project_id: int | None = None,
        run_id: int | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> int: ...

    def facts(
        self, after_id: int = 0, *, project_id: int | None = None, limit: int = 1000
    ) -> list[Fact]:
        """Return facts with a greater id, oldest first."""
        ...

    def cursor(self, listener: str) -> int:
        """Return the id of the last fact the listener has dealt with; 0 at first."""
        ...

    def set_cursor(self, listener: str, fact_id: int) -> None: ...

    # -- check-ins and odds -----------------------------------------------------------------

    def add_task(self, task: Task) -> int:
        """Insert it (its `id` is ignored); return the id."""
        ...

    def tasks(self) -> list[Task]:
        """Return all check-ins by due time, then id."""
        ...

    def remove_task(self, task_id: int) -> bool: ...

    def get_state(self, key: str) -> str | None:
        """Return a value of `scheduler_state`."""
        ...

    def set_state(self, key: str, value: str) -> None: ...


class Tmux(Protocol):
    """One tmux server.

    Raises (any method):
        TmuxUnavailable: it could not be asked. Nothing follows from that for any session.
    """

    def snapshot(self) -> TmuxSnapshot:
        """Return every pane of the server; no server is an ordinary, empty answer."""
        ...

    def create_session(self, plan: SessionPlan) -> CreatedSession:
        """Make the session with all its windows and settings in one go.

        Raises:
            SessionExists: the name is taken.
            TmuxRefused: anything else it says no to, in its own words.
        """
        ...

    def add_window(
        self, session_id: str, window: PaneCommand, cwd: str, env: Mapping[str, str]
    ) -> PaneRef:
        """Open one more window in a session of ours; SessionGone if that is not there."""
        ...

    def adopt_session(self, session_name: str, project_id: int, run_token: str) -> None:
        """Mark a session that was made for us by somebody else as ours, settings included.

        Raises:
            SessionGone: there is no session of exactly that name.
        """
        ...

    def kill_session(self, session_name: str, run_token: str, server: ServerIdentity) -> bool:
        """End the session of exactly that name if it carries our token, on that server.

        False: it is gone, it is not ours, or the server is another one. Nothing was done then.
        """
        ...

    def capture(self, pane_id: str, lines: int = 50) -> str:
        """Return the last lines of a pane as plain text; SessionGone if there is none."""
        ...

    def attach_argv(self, session_name: str) -> list[str]:
        """Return the command a person types (or we exec) to attach to exactly that session."""
        ...


class Processes(Protocol):
    """Processes of this machine, by identities that re-used numbers cannot fool."""

    def identity(self, pid: int) -> ProcessIdentity | None:
        """Return the process of that number; None if it is gone or a zombie."""
        ...

    def is_alive(self, process: ProcessIdentity) -> bool: ...

    def of_run(self, run_token: str, pane_pids: Collection[int] = ()) -> list[ProcessIdentity]:
        """Return living processes that carry `SCHEDULER_RUN_ID=<token>` in their environment, or
        belong to the process session of one of the panes (`pane_pids`).

        Processes whose environment may not be read (another user's) are not found.
        """
        ...

    def send(self, process: ProcessIdentity, signal_number: int) -> bool:
        """Send a signal to exactly that process. False: it is gone."""
        ...


class RunFiles(Protocol):
    """What runners and windows leave on disk. `role` is the window's."""

    def runner_argv(self, token: str, role: str, argv: Sequence[str]) -> tuple[str, ...]:
        """Wrap a command in the runner that records its start and its exit code.

        The runner runs it once at most, and only until `remove` has been called: what a tmux
        client that outlived its daemon starts late comes to nothing.
        """
        ...

    def start(self, token: str, role: str) -> RunStart | None: ...

    def exit_code(self, token: str, role: str) -> int | None:
        """Return the recorded exit code; None if there is none (yet)."""
        ...

    def exited_at(self, token: str, role: str) -> float | None:
        """Return when the exit code was recorded."""
        ...

    def log_path(self, token: str, role: str) -> Path:
        """Return where the window's output goes; its folder exists afterwards."""
        ...

    def last_line(self, token: str, role: str) -> str | None:
        """Return the last line with text in the window's log, as plain text."""
        ...

    def session_name(self, token: str) -> str | None:
        """Return the line an external launcher wrote into `$SCHEDULER_SESSION_FILE`, if any."""
        ...

    def remove(self, token: str) -> None:
        """Delete a run's start, exit and session files and its leave to start; logs stay."""
        ...


class Lock(Protocol):
    """A lock between processes that ends with its holder."""

    def try_acquire(self) -> bool:
        """Take it, or return False at once. Holding it already: True."""
        ...

    def release(self) -> None: ...

    def heartbeat(self) -> bool:
        """Say again that we hold it; call it now and then while it is held.

        False: it was taken from us (somebody deleted the lock's file and another process holds
        the new one), or was never held. What it protects must stop.
        """
        ...

    def is_free(self) -> bool:
        """Return whether nobody holds it, ourselves included. Takes and keeps nothing."""
        ...

    @property
    def is_held(self) -> bool: ...

    def holder(self) -> str:
        """Say in words who holds it, as far as can be known."""
        ...

    def holder_pid(self) -> int | None:
        """Return the process that took it; None if nobody holds it or the kernel does not tell."""
        ...

    def tell(self, trouble: str | None) -> None:
        """Let everybody know, while it is held, what keeps us from our work; None: nothing."""
        ...

    def trouble(self) -> str | None:
        """Return what the holder told last; None: nothing, or nobody holds it."""
        ...


class Locks(Protocol):
    """Locks by name, in one folder."""

    def duty(self, name: str) -> Lock:
        """Return the lock of one duty: `launch`, `checkin` or `notify`."""
        ...

    def mode(self, name: str) -> Lock:
        """Return the lock an old daemon of that mode takes: `default`, `queue` or `checkin`."""
        ...


class Wakeup(Protocol):
    """What the daemon waits on."""

    def wait(self, timeout_sec: float) -> frozenset[str]:
        """Wait until something happens or the time is up; return why: `stop`, `reload`, `poke`.

        Empty: the time is up.
        """
        ...

    def poke(self) -> None:
        """Make the next or present `wait` return. May be called from any thread."""
        ...
