"""Starts a daemon, keeps its lock and its log, reloads it, ends it in order."""

import logging
import sys
from collections.abc import Callable

from scheduler_modules import compose
from scheduler_modules.config import SchedulerConfig, ensure_home
from scheduler_modules.core_scheduler import CoreScheduler
from scheduler_modules.duty_keeper import CHECKIN, DUTIES_OF_MODE
from scheduler_modules.errors import EXIT_DONE, EXIT_FAILED, SchedulerError, StopNow
from scheduler_modules.logging_setup import set_up_logging
from scheduler_modules.ports import Locks, Wakeup

logger = logging.getLogger(__name__)

REFUSAL = "Another scheduler is already running. Exiting to prevent duplicates."

Load = Callable[[], SchedulerConfig]


def run_daemon(
    config: SchedulerConfig,
    mode: str,
    duties: frozenset[str] | None = None,
    announce: str | None = None,
    *,
    load: Load | None = None,
) -> int:
    """Run the duties (None: those of the mode) until SIGTERM or SIGINT; return the exit code.

    Projects are left running. SIGHUP calls `load` for a new configuration and goes on with it.
    `announce` is printed once the daemon is sure to run.
    """
    ensure_home(config)
    set_up_logging(config.log_level, config.home / config.log_file)
    locks = compose.open_locks(config, compose.open_clock())
    mode_lock = locks.mode(mode)
    if not mode_lock.try_acquire():
        sys.stderr.write(f"lock held by {mode_lock.holder()}\n{REFUSAL}\n")
        return EXIT_FAILED
    wanted = DUTIES_OF_MODE[mode] if duties is None else duties
    try:
        if announce is not None:
            sys.stdout.write(announce + "\n")
            sys.stdout.flush()
        return _run_until_stopped(config, mode, wanted, locks, load)
    finally:
        mode_lock.release()


def _run_until_stopped(
    config: SchedulerConfig, mode: str, duties: frozenset[str], locks: Locks, load: Load | None
) -> int:
    wakeup = compose.open_wakeup(compose.open_clock())
    wakeup.install()
    try:
        while (reason := _run_once(config, mode, duties, locks, wakeup)) == "reload":
            config = _reloaded(config, load)
            set_up_logging(config.log_level, config.home / config.log_file)
    except StopNow:
        reason = "stop"
    finally:
        wakeup.close()
    if reason == "evicted":
        logger.error("daemon_evicted", extra={"mode": mode})
        return EXIT_FAILED
    logger.info("daemon_stopped", extra={"mode": mode})
    return EXIT_DONE


def _run_once(
    config: SchedulerConfig, mode: str, duties: frozenset[str], locks: Locks, wakeup: Wakeup
) -> str:
    """Run with one configuration; return why it ended (`CoreScheduler.run`)."""
    from scheduler_modules.container import Container

    container = Container(
        config=config, mode=mode, wanted_duties=duties, locks=locks, wakeup=wakeup
    )
    keeper = container.duty_keeper()
    logger.info("daemon_started", extra={"mode": mode, "duties": list(keeper.duties)})
    if CHECKIN in duties:
        logger.warning(
            "checkins_not_delivered",
            extra={"reason": "this version keeps check-ins but does not type them yet"},
        )
    scheduler: CoreScheduler = container.core_scheduler()
    try:
        return scheduler.run()
    finally:
        keeper.release()
        container.store().close()


def _reloaded(config: SchedulerConfig, load: Load | None) -> SchedulerConfig:
    """Return the new configuration; the old one where the new one is bad or moves the house."""
    if load is None:
        return config
    try:
        fresh = load()
    except SchedulerError as error:
        logger.error("reload_refused", extra={"error": str(error)})
        return config
    if (fresh.home, fresh.tmux_socket) != (config.home, config.tmux_socket):
        logger.error("reload_refused", extra={"error": "home and TMUX_SOCKET need a restart"})
        return config
    logger.info("daemon_reloaded")
    return fresh
