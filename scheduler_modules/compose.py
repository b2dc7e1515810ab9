"""Puts adapters behind ports: the only file that names them, each imported when first asked for.

Everyday verbs use `open_queue` directly; the daemon's container is built from the same functions.
"""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from scheduler_modules.config import SchedulerConfig
from scheduler_modules.errors import ConfigError

if TYPE_CHECKING:
    from scheduler_modules.adapters.run_log import RunLog
    from scheduler_modules.adapters.wakeup import SignalWakeup
    from scheduler_modules.ports import (
        Clock,
        Locks,
        Processes,
        QueueStore,
        RunFiles,
        Tmux,
    )
    from scheduler_modules.queue_manager import QueueManager
    from scheduler_modules.queue_moves import QueueMoves
    from scheduler_modules.recovery_manager import RecoveryManager
    from scheduler_modules.run_ledger import RunLedger

_SQLITE = "sqlite:///"


def open_clock() -> "Clock":
    """Return the machine's clock."""
    from scheduler_modules.adapters.clock import SystemClock

    return SystemClock()


def open_store(config: SchedulerConfig) -> "QueueStore":
    """Open the queue's database, making or migrating it first where needed.

    Raises:
        DatabaseUnavailable: it cannot be opened or is not ours; it was left as it is.
    """
    from scheduler_modules.adapters.store_sqlite import open_sqlite_store

    return open_sqlite_store(database_path(config))


def database_path(config: SchedulerConfig) -> Path:
    """Return the SQLite file that `scheduler_db_url` names."""
    url = config.scheduler_db_url
    if not url.startswith(_SQLITE):
        raise ConfigError("SCHEDULER_DB_URL", url.split(":", 1)[0] + ":...", "sqlite:///PATH")
    return Path(url.removeprefix(_SQLITE))


def open_tmux(config: SchedulerConfig) -> "Tmux":
    """Return the tmux server that `tmux_socket` names; nothing is started by this."""
    from scheduler_modules.adapters.tmux import open_tmux as open_server

    return open_server(config)


def open_old_tmux(config: SchedulerConfig) -> "Tmux | None":
    """Return the user's own tmux server, where old programs made their sessions.

    None where it is the one we use ourselves.
    """
    if config.tmux_socket == "default":
        return None
    return open_tmux(msgspec.structs.replace(config, tmux_socket="default"))


def open_processes(config: SchedulerConfig) -> "Processes":
    """Return this machine's processes; a run's are those that name our home."""
    from scheduler_modules.adapters.process import LinuxProcesses

    return LinuxProcesses(config.home)


def open_run_files(config: SchedulerConfig) -> "RunFiles":
    """Return what runners and windows leave below `home`."""
    from scheduler_modules.adapters.run_files import DiskRunFiles

    return DiskRunFiles(config.runs_dir, config.logs_dir)


def open_locks(config: SchedulerConfig, clock: "Clock") -> "Locks":
    """Return the locks below `home`."""
    from scheduler_modules.adapters.lock import FileLocks

    return FileLocks(config.locks_dir, clock)


def host_name(config: SchedulerConfig) -> str:
    """Return the name runs of this machine are recorded under."""
    return config.host_name or _kept_host_name(config) or os.uname().nodename


def keep_host_name(config: SchedulerConfig) -> None:
    """Let `host_name` stay what it is now, whatever the machine will be called later.

    A container has another name at each start; its runs must still be its own, or nobody would
    ever find out that they are lost.
    """
    if not config.host_name and not _kept_host_name(config):
        with contextlib.suppress(OSError):
            _host_name_file(config).write_text(f"{os.uname().nodename}\n", encoding="utf-8")


def _kept_host_name(config: SchedulerConfig) -> str:
    try:
        return _host_name_file(config).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _host_name_file(config: SchedulerConfig) -> Path:
    return config.home / "host_name"


def make_moves(store: "QueueStore", clock: "Clock") -> "QueueMoves":
    """Return the guarded steps that queue and ledger are built from."""
    from scheduler_modules.queue_moves import QueueMoves

    return QueueMoves(store, clock)


def make_queue(moves: "QueueMoves", config: SchedulerConfig) -> "QueueManager":
    """Return the queue over an opened store."""
    from scheduler_modules.queue_manager import QueueManager

    return QueueManager(
        moves, host=host_name(config), max_concurrent=config.max_concurrent_projects
    )


def make_ledger(moves: "QueueMoves", config: SchedulerConfig) -> "RunLedger":
    """Return the ledger of runs over an opened store."""
    from scheduler_modules.run_ledger import RunLedger

    return RunLedger(moves, retry_delay_sec=config.retry_delay_sec)


def make_recovery(
    queue: "QueueManager",
    store: "QueueStore",
    tmux: "Tmux",
    clock: "Clock",
    config: SchedulerConfig,
    old_tmux: "Tmux | None",
) -> "RecoveryManager":
    """Return the recovery manager with the configured limits."""
    from scheduler_modules.recovery_manager import RecoveryManager, StuckLimits

    limits = StuckLimits(
        run_sec=config.stuck_timeout_hours * 3600, old_grace_sec=config.phantom_grace_period_sec
    )
    return RecoveryManager(queue, store, tmux, clock, limits, old_tmux)


def open_queue(config: SchedulerConfig) -> "QueueManager":
    """Open the database and return the queue: the light way, for verbs that end at once."""
    return make_queue(make_moves(open_store(config), open_clock()), config)


def open_wakeup(clock: "Clock") -> "SignalWakeup":
    """Return what the daemon waits on; `install` it in the main thread, `close` it at the end."""
    from scheduler_modules.adapters.wakeup import SignalWakeup

    return SignalWakeup(clock)


def run_log_path(config: SchedulerConfig, token: str, role: str) -> Path:
    """Return where the output of a run's window is kept."""
    return open_run_files(config).log_path(token, role)


def open_run_log(config: SchedulerConfig, token: str, role: str) -> "RunLog":
    """Return what a run's window printed, for reading."""
    from scheduler_modules.adapters.run_log import RunLog

    return RunLog(run_log_path(config, token, role))
