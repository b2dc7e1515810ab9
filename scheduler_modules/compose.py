"""Puts adapters behind ports: the only file that names them, each imported when first asked for.

Everyday verbs use `open_queue` directly; the daemon's container is built from the same functions.
"""

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from scheduler_modules.config import SchedulerConfig
from scheduler_modules.errors import ConfigError, SchedulerError

if TYPE_CHECKING:
    from scheduler_modules.adapters.database_probe import PostgresProbe, SqliteProbe
    from scheduler_modules.adapters.doorbell import Bells
    from scheduler_modules.adapters.machine_probe import MachineProbe
    from scheduler_modules.adapters.run_log import RunLog
    from scheduler_modules.adapters.tmux_probe import TmuxProbe
    from scheduler_modules.adapters.wakeup import SelectorWakeup
    from scheduler_modules.ports import (
        Clock,
        DutyLock,
        Locks,
        Processes,
        RunFiles,
        Tmux,
        WakeupSource,
    )
    from scheduler_modules.queue_control import QueueControl
    from scheduler_modules.queue_manager import QueueManager
    from scheduler_modules.queue_moves import QueueMoves
    from scheduler_modules.recovery_manager import RecoveryManager
    from scheduler_modules.run_ledger import RunLedger
    from scheduler_modules.store_port import QueueStore

logger = logging.getLogger(__name__)

_SQLITE = "sqlite:///"


def open_clock() -> "Clock":
    """Return the machine's clock."""
    from scheduler_modules.adapters.clock import SystemClock

    return SystemClock()


def open_store(config: SchedulerConfig, bells: "Bells | None" = None) -> "QueueStore":
    """Open the queue's database, making or migrating it first where needed.

    `bells`: those of a daemon, which does not wake itself; None: everybody's.

    Raises:
        DatabaseUnavailable: it cannot be opened or is not ours; it was left as it is.
    """
    if is_postgres(config):
        from scheduler_modules.adapters.store_postgres import open_postgres_store

        return open_postgres_store(config.scheduler_db_url)
    from scheduler_modules.adapters.doorbell import Bells, bells_folder
    from scheduler_modules.adapters.store_sqlite import open_sqlite_store

    path = database_path(config)
    return open_sqlite_store(path, ring=(bells or Bells(bells_folder(path))).ring)


def is_postgres(config: SchedulerConfig) -> bool:
    """Return whether the queue is kept by a PostgreSQL server."""
    return not config.scheduler_db_url.startswith(_SQLITE)


def database_path(config: SchedulerConfig) -> Path:
    """Return the SQLite file that `scheduler_db_url` names."""
    url = config.scheduler_db_url
    if is_postgres(config):
        raise ConfigError("SCHEDULER_DB_URL", url.split(":", 1)[0] + ":...", "sqlite:///PATH")
    return Path(url.removeprefix(_SQLITE))


def open_bells(config: SchedulerConfig) -> "Bells | None":
    """Return the bells of everybody who waits on the database; None: PostgreSQL tells them."""
    from scheduler_modules.adapters.doorbell import Bells, bells_folder

    return None if is_postgres(config) else Bells(bells_folder(database_path(config)))


def open_sources(
    config: SchedulerConfig, bells: "Bells | None", tmux: "Tmux"
) -> "list[WakeupSource]":
    """Open everything that wakes a daemon; close each at the end."""
    from scheduler_modules.adapters.folder_watch import FolderWatch
    from scheduler_modules.adapters.tmux_control import ControlTmux

    sources: list[WakeupSource] = [FolderWatch((config.runs_dir, config.signals_dir))]
    if isinstance(tmux, ControlTmux):
        sources.append(tmux)
    if bells is None:
        from scheduler_modules.adapters.postgres_bell import PostgresBell

        return [*sources, PostgresBell(config.scheduler_db_url)]
    from scheduler_modules.adapters.database_watch import DataVersionWatch

    try:
        sources.append(bells.listen())
    except SchedulerError as error:
        # Some file systems know no named pipes: then a change is seen within a second.
        logger.warning("doorbell_unavailable", extra={"error": str(error)})
    return [*sources, DataVersionWatch(database_path(config), open_clock())]


def open_change_sources(config: SchedulerConfig, clock: "Clock") -> "list[WakeupSource]":
    """Open what tells that the database has changed; close each at the end.

    Raises:
        SchedulerError: the folder of bells cannot be had.
    """
    bells = open_bells(config)
    if bells is None:
        from scheduler_modules.adapters.postgres_bell import PostgresBell

        return [PostgresBell(config.scheduler_db_url)]
    from scheduler_modules.adapters.database_watch import DataVersionWatch

    return [bells.listen(), DataVersionWatch(database_path(config), clock)]


def open_daemon_tmux(config: SchedulerConfig) -> "Tmux":
    """Return the same server, asked over one connection that also tells what happens on it."""
    from scheduler_modules.adapters.tmux_control import open_control_tmux

    return open_control_tmux(config)


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
    """Return the locks below `home`, and what other homes with this database must not hold."""
    from scheduler_modules.adapters.lock import FileLocks, open_launcher_file

    host = host_name(config)

    def open_launcher() -> "DutyLock":
        if is_postgres(config):
            from scheduler_modules.adapters.postgres_lock import PostgresLauncherLock

            return PostgresLauncherLock(config.scheduler_db_url, host, clock)
        return open_launcher_file(database_path(config), host, clock)

    return FileLocks(config.locks_dir, clock, host=host, open_launcher=open_launcher)


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


def make_control(queue: "QueueManager") -> "QueueControl":
    """Return what decides when things may start, over the store of a queue."""
    from scheduler_modules.queue_control import QueueControl

    return QueueControl(queue.moves)


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


def open_wakeup(clock: "Clock") -> "SelectorWakeup":
    """Return what the daemon waits on; `install` it in the main thread, `close` it at the end."""
    from scheduler_modules.adapters.wakeup import SelectorWakeup

    return SelectorWakeup(clock)


def run_log_path(config: SchedulerConfig, token: str, role: str) -> Path:
    """Return where the output of a run's window is kept."""
    return open_run_files(config).log_path(token, role)


def open_run_log(config: SchedulerConfig, token: str, role: str) -> "RunLog":
    """Return what a run's window printed, for reading."""
    from scheduler_modules.adapters.run_log import RunLog

    return RunLog(run_log_path(config, token, role))


def open_tmux_probe(config: SchedulerConfig) -> "TmuxProbe":
    """Return what looks at the tmux server without starting or changing anything."""
    from scheduler_modules.adapters.tmux_probe import TmuxProbe

    return TmuxProbe(config)


def open_database_probe(config: SchedulerConfig) -> "SqliteProbe | PostgresProbe":
    """Return what looks at the database without changing it."""
    from scheduler_modules.adapters.database_probe import PostgresProbe, SqliteProbe

    if is_postgres(config):
        return PostgresProbe(config.scheduler_db_url)
    return SqliteProbe(database_path(config))


def open_machine_probe(config: SchedulerConfig) -> "MachineProbe":
    """Return what looks at folders, disks and limits."""
    from scheduler_modules.adapters.machine_probe import MachineProbe

    return MachineProbe(config.home)
