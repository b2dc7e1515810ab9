"""Starts a daemon, keeps its lock and its log, reloads it, ends it in order."""

import contextlib
import logging
import secrets
import sys
from collections.abc import Callable

from scheduler_modules import compose
from scheduler_modules.config import SchedulerConfig, ensure_home
from scheduler_modules.core_scheduler import CoreScheduler
from scheduler_modules.duty_keeper import CHECKIN, DUTIES_OF_MODE, enter_mode, leave_mode
from scheduler_modules.errors import EXIT_DONE, EXIT_FAILED, SchedulerError, StopNow
from scheduler_modules.logging_setup import set_up_logging
from scheduler_modules.ports import Locks, Wakeup

logger = logging.getLogger(__name__)

REFUSAL = "Another scheduler is already running. Exiting to prevent duplicates."

_MOVED = "home, SCHEDULER_DB_URL, TMUX_SOCKET and HOST_NAME need a restart"

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
    compose.keep_host_name(config)
    set_up_logging(config.log_level, config.home / config.log_file)
    clock = compose.open_clock()
    wakeup = compose.open_wakeup(clock)
    # Before the lock: whoever sees it taken may tell us to stop, and we end in order.
    wakeup.install()
    try:
        duties = DUTIES_OF_MODE[mode] if duties is None else duties
        locks = compose.open_locks(config, clock)
        return _run_locked(config, mode, duties, announce, locks, wakeup, load)
    except StopNow:
        logger.info("daemon_stopped", extra={"mode": mode})
        return EXIT_DONE
    finally:
        wakeup.close()


def _run_locked(
    config: SchedulerConfig,
    mode: str,
    duties: frozenset[str],
    announce: str | None,
    locks: Locks,
    wakeup: Wakeup,
    load: Load | None,
) -> int:
    """Run while the mode's lock is held; refuse where another daemon holds it."""
    if not enter_mode(locks, mode):
        sys.stderr.write(f"lock held by {locks.mode(mode).holder()}\n{REFUSAL}\n")
        return EXIT_FAILED
    try:
        if announce is not None:
            _say(announce)
        daemon_id = secrets.token_hex(8)
        while (reason := _run_once(config, mode, duties, locks, wakeup, daemon_id)) == "reload":
            config = _reloaded(config, load)
            set_up_logging(config.log_level, config.home / config.log_file)
    finally:
        leave_mode(locks, mode)
    if reason == "evicted":
        logger.error("daemon_evicted", extra={"mode": mode})
        return EXIT_FAILED
    logger.info("daemon_stopped", extra={"mode": mode})
    return EXIT_DONE


def _say(text: str) -> None:
    # Nobody may be reading any more: no reason not to work.
    with contextlib.suppress(OSError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _run_once(
    config: SchedulerConfig,
    mode: str,
    duties: frozenset[str],
    locks: Locks,
    wakeup: Wakeup,
    daemon_id: str,
) -> str:
    """Run with one configuration; return why it ended (`CoreScheduler.run`)."""
    from scheduler_modules.container import Container

    container = Container(
        config=config,
        mode=mode,
        wanted_duties=duties,
        locks=locks,
        wakeup=wakeup,
        daemon_id=daemon_id,
    )
    keeper = container.duty_keeper()
    logger.info("daemon_started", extra={"mode": mode, "duties": list(keeper.duties)})
    if CHECKIN in duties:
        logger.warning(
            "checkins_not_delivered",
            extra={"reason": "this version keeps check-ins but does not type them yet"},
        )
    scheduler: CoreScheduler = container.core_scheduler()
    sources = compose.open_sources(config, container.bells(), container.tmux())
    for source in sources:
        wakeup.add(source)
    try:
        return scheduler.run()
    finally:
        for source in sources:
            wakeup.remove(source)
            source.close()
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
    if _house_of(fresh) != _house_of(config):
        logger.error("reload_refused", extra={"error": _MOVED})
        return config
    logger.info("daemon_reloaded")
    return fresh


def _house_of(config: SchedulerConfig) -> tuple[object, ...]:
    """Return what the locks we hold and the runs we follow hang on."""
    return config.home, config.scheduler_db_url, config.tmux_socket, config.host_name
