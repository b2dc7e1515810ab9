"""What the managers need from the outside world, as Protocols. `adapters/` fulfil them.

Each port has one contract suite in `tests/contract`, run on its fake and on the real adapter.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from scheduler_modules.model import (
    ProcessIdentity,
    RunStart,
)
from scheduler_modules.tmux_values import (
    CreatedSession,
    PaneCommand,
    PaneRef,
    ServerIdentity,
    SessionPlan,
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


class Tmux(Protocol):
    """One tmux server.

    Raises (any method):
        TmuxUnavailable: it could not be asked. Nothing follows from that for any session.
    """

    def snapshot(self) -> TmuxSnapshot:
        """Return every pane of the server; no server is an ordinary, empty answer."""
        ...

    def expect(self, server: ServerIdentity) -> None:
        """Say which server was talked to before we started.

        While its process lives, a socket that nobody listens at is no proof that it is gone.
        """
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

    def of_runs(self, pane_pids: Mapping[str, Collection[int]]) -> dict[str, list[ProcessIdentity]]:
        """Return the same for several runs in one look: the panes by token, and the answer."""
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

    def remove_logs(self, token: str) -> None:
        """Delete the logs of a run's windows; fine if there are none."""
        ...


class DutyLock(Protocol):
    """What whoever does a duty must hold; it ends with its holder."""

    def try_acquire(self) -> bool:
        """Take it, or return False at once. Holding it already: True."""
        ...

    def release(self) -> None: ...

    def heartbeat(self) -> bool:
        """Say again that we hold it; call it now and then while it is held.

        False: it was taken from us (somebody deleted the lock's file and another process holds
        the new one; the connection it hung on was lost), or was never held. What it protects
        must stop.
        """
        ...

    @property
    def is_held(self) -> bool: ...

    def holder(self) -> str:
        """Say in words who holds it, as far as can be known. Never fails."""
        ...


class Lock(DutyLock, Protocol):
    """A lock between processes of one machine that others can look at."""

    def is_free(self) -> bool:
        """Return whether nobody holds it, ourselves included. Takes and keeps nothing."""
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
    """Locks by name, those of one home, and the one that all homes with our database share."""

    @property
    def host(self) -> str:
        """The name that runs started from this home are recorded under."""
        ...

    def duty(self, name: str) -> Lock:
        """Return the lock of one duty: `launch`, `checkin` or `notify`."""
        ...

    def mode(self, name: str) -> Lock:
        """Return the lock an old daemon of that mode takes: `default`, `queue` or `checkin`."""
        ...

    def launcher(self) -> DutyLock:
        """Return the lock of all who launch from our database for our `host`, whatever their home.

        Runs belong to a host. Two homes have two tmux servers: each would take the other's runs
        for lost.
        """
        ...


class WakeupSource(Protocol):
    """Something that can wake the daemon: a file to wait for, a question to ask now and then."""

    @property
    def reason(self) -> str:
        """What `Wakeup.wait` says when this source woke it."""
        ...

    @property
    def poll_sec(self) -> float | None:
        """How often `drain` is called although the file is silent; None: never."""
        ...

    def fileno(self) -> int:
        """Return the file to wait for; -1 while there is none. May be another one each time."""
        ...

    def drain(self) -> bool:
        """Take in, without waiting, what has come; True: something worth a look happened.

        `wait` asks each source before it blocks: what somebody else has read from the file
        meanwhile is not forgotten.
        """
        ...

    def close(self) -> None:
        """Give up what it waits with; asked afterwards, it has nothing to say."""
        ...


class Wakeup(Protocol):
    """What the daemon waits on."""

    def wait(self, timeout_sec: float) -> frozenset[str]:
        """Wait until something happens or the time is up; return why.

        `stop`, `reload`, `poke`, or the reasons of added sources. Empty: the time is up.
        """
        ...

    def poke(self) -> None:
        """Make the next or present `wait` return. May be called from any thread."""
        ...

    def add(self, source: WakeupSource) -> None:
        """Wait for this source too, until `remove`. Only in the thread that waits."""
        ...

    def remove(self, source: WakeupSource) -> None: ...
