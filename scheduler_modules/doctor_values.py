"""What `doctor` looks at and what it finds, as values. Frozen, pure.

Times are seconds since the epoch, UTC, unless a name says otherwise.
"""

import enum
from collections.abc import Mapping
from pathlib import Path

import msgspec

from scheduler_modules.tmux_values import ServerIdentity


class Level(enum.StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class Finding(msgspec.Struct, frozen=True):
    """One check: what it is about, how that stands, and what to do where it stands badly."""

    check: str
    level: Level
    says: str
    advice: str = ""


def ok(check: str, says: str) -> Finding:
    return Finding(check, Level.OK, says)


def warn(check: str, says: str, advice: str) -> Finding:
    return Finding(check, Level.WARN, says, advice)


def bad(check: str, says: str, advice: str) -> Finding:
    return Finding(check, Level.BAD, says, advice)


class PathFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder, links followed."""

    path: Path
    is_there: bool = True
    is_folder: bool = False
    is_socket: bool = False
    uid: int = 0
    mode: int = 0
    """Permission bits alone."""
    is_writable: bool = True
    """For us, read-only file systems counted."""


class ServerProcess(msgspec.Struct, frozen=True):
    """A process that listens on a socket of our path, whatever stands at that path now."""

    pid: int
    started_at: float


class TmuxFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The tmux program, and the server that projects run on."""

    version: str | None
    """What `tmux -V` says after the name; None: it cannot be run."""
    problem: str | None = None
    """Why nothing could be asked; None: it could."""
    is_own_server: bool = True
    """Whether we start it ourselves, with our configuration."""
    socket: PathFacts
    socket_folder: PathFacts
    server: ServerIdentity | None = None
    """Who answers; None: nobody."""
    listeners: tuple[ServerProcess, ...] = ()
    """Oldest first."""
    options: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Global options of the server by name."""


class DatabaseFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The database of the queue, looked at without changing it."""

    place: str
    is_postgres: bool = False
    problem: str | None = None
    """Why it cannot be used; None: it can, or it is not there yet."""
    is_there: bool = True
    is_behind: bool = False
    """Whether its schema is older than this program's."""
    version: str = ""
    """Of SQLite, or of the PostgreSQL server."""
    size_bytes: int = 0
    free_bytes: int = 0
    """Inside the file: left by what was deleted."""
    wal_bytes: int = 0
    damage: tuple[str, ...] | None = ()
    """What the quick check complained of; None: time was up before it ended."""
    newest_fact_at: float | None = None
    backups: int = 0


class DaemonFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A running daemon."""

    mode: str
    pid: int | None
    duties: tuple[str, ...]
    holder: str
    trouble: str | None = None
    silent_sec: float | None = None
    """Since when its lock has said nothing new; None: that cannot be known."""
    environ: Mapping[str, str] | None = None
    """What it was started with, of what matters; None: it may not be read."""


class DiskFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One file system, named by the first folder of ours on it."""

    folder: str
    size_bytes: int
    free_bytes: int
    inodes: int
    """0 where the file system has no fixed number."""
    free_inodes: int


class MachineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounds us."""

    python: tuple[int, int, int]
    uid: int
    home: PathFacts
    secret_files: tuple[PathFacts, ...] = ()
    """Files of settings that are there."""
    disks: tuple[DiskFacts, ...] = ()
    open_files: int | None = None
    """How many files a process may have open; None: as many as it likes."""
    inotify_instances: int | None = None
    inotify_watches: int | None = None
    zone_problem: str | None = None
    programs: Mapping[str, str | None] = msgspec.field(default_factory=dict)
    """Where programs that were asked for are; None: not on PATH."""


class ClockFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The clock now."""

    now: float
    since_boot_sec: float
    boot_id: str
