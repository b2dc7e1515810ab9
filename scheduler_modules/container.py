"""The dependency-injector container: one provider per part, built by the functions of `compose`.

Tests override a provider (`container.tmux.override(...)`) and get the whole daemon on fakes.
"""

import os
import secrets
import shutil
from collections.abc import Mapping

from dependency_injector import containers, providers

from scheduler_modules import compose
from scheduler_modules.batch_processor import BatchProcessor
from scheduler_modules.checkin_manager import CheckinManager
from scheduler_modules.config import SchedulerConfig
from scheduler_modules.core_scheduler import CoreScheduler
from scheduler_modules.dependency_checker import DependencyChecker
from scheduler_modules.duty_keeper import DutyKeeper
from scheduler_modules.event_dispatcher import EventDispatcher
from scheduler_modules.external_launch import ExternalLaunch
from scheduler_modules.notification_manager import NotificationManager
from scheduler_modules.ports import Locks, Wakeup
from scheduler_modules.process_manager_wrapper import ProcessManager
from scheduler_modules.project_launcher import ProjectLauncher
from scheduler_modules.run_cleaner import RunCleaner
from scheduler_modules.run_pauser import RunPauser
from scheduler_modules.run_rounds import RunRounds
from scheduler_modules.run_settler import RunSettler
from scheduler_modules.session_monitor import SessionMonitor
from scheduler_modules.spec import project_name
from scheduler_modules.state_synchronizer_wrapper import StateSynchronizer
from scheduler_modules.step_guard import StepGuard

_PASSED_ON = ("PATH", "HOME", "LANG", "USER", "LOGNAME", "SHELL", "TZ", "XDG_RUNTIME_DIR")


def base_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what every window inherits from the daemon: who and where we are, no secrets.

    What is no UTF-8 is left out: the plan of a run is kept as text.
    """
    return {
        name: value
        for name, value in environ.items()
        if (name in _PASSED_ON or name.startswith("LC_")) and _is_utf8(name + value)
    }


def _has_own_server(config: SchedulerConfig) -> bool:
    return not config.tmux_socket


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Container(containers.DeclarativeContainer):
    config = providers.Dependency(instance_of=SchedulerConfig)
    mode = providers.Dependency(instance_of=str)
    wanted_duties = providers.Dependency(instance_of=frozenset)
    locks: providers.Dependency[Locks] = providers.Dependency()
    wakeup: providers.Dependency[Wakeup] = providers.Dependency()

    daemon_id = providers.Singleton(secrets.token_hex, 8)
    host = providers.Singleton(compose.host_name, config)
    base_env = providers.Callable(base_environment, os.environ)

    clock = providers.ThreadSafeSingleton(compose.open_clock)
    bells = providers.ThreadSafeSingleton(compose.open_bells, config)
    store = providers.ThreadSafeSingleton(compose.open_store, config, bells)
    tmux = providers.ThreadSafeSingleton(compose.open_daemon_tmux, config)
    old_tmux = providers.ThreadSafeSingleton(compose.open_old_tmux, config)
    processes = providers.ThreadSafeSingleton(compose.open_processes, config)
    run_files = providers.ThreadSafeSingleton(compose.open_run_files, config)

    event_dispatcher = providers.ThreadSafeSingleton(EventDispatcher, store)
    moves = providers.ThreadSafeSingleton(compose.make_moves, store, clock)
    queue_manager = providers.ThreadSafeSingleton(compose.make_queue, moves, config)
    queue_control = providers.ThreadSafeSingleton(compose.make_control, queue_manager)
    run_ledger = providers.ThreadSafeSingleton(compose.make_ledger, moves, config)

    checkin_manager = providers.ThreadSafeSingleton(CheckinManager, store, clock)
    batch_processor = providers.ThreadSafeSingleton(BatchProcessor, store)
    dependency_checker = providers.ThreadSafeSingleton(DependencyChecker)
    session_monitor = providers.ThreadSafeSingleton(
        SessionMonitor,
        queue_manager,
        store,
        tmux,
        clock,
        grace_sec=config.provided.phantom_grace_period_sec,
        old_tmux=old_tmux,
    )
    recovery_manager = providers.ThreadSafeSingleton(
        compose.make_recovery, queue_manager, store, tmux, clock, config, old_tmux
    )
    notification_manager = providers.ThreadSafeSingleton(
        NotificationManager, queue_manager, config.provided.signals_dir
    )
    state_synchronizer = providers.ThreadSafeSingleton(StateSynchronizer, config.provided.home)
    process_manager = providers.ThreadSafeSingleton(
        ProcessManager, processes, clock, kill_grace_sec=config.provided.kill_grace_sec
    )
    project_launcher = providers.ThreadSafeSingleton(
        ProjectLauncher,
        run_ledger,
        store,
        tmux,
        run_files,
        config,
        which=providers.Object(shutil.which),
        base_env=base_env,
    )
    external_launch = providers.ThreadSafeSingleton(
        ExternalLaunch,
        run_ledger,
        store,
        tmux,
        run_files,
        project_name=providers.Object(project_name),
    )
    run_settler = providers.ThreadSafeSingleton(
        RunSettler,
        run_ledger,
        tmux,
        run_files,
        clock,
        take_over=external_launch.provided.take_over,
        ask_disk=state_synchronizer.provided.reported_outcome,
        launcher_wait_sec=config.provided.launcher_session_wait_sec,
    )
    run_cleaner = providers.ThreadSafeSingleton(
        RunCleaner,
        run_ledger,
        store,
        tmux,
        run_files,
        process_manager.provided.end_step,
        clock,
        keep=config.provided.keep_sessions,
        keep_hours=config.provided.keep_sessions_hours,
        is_own_server=providers.Callable(_has_own_server, config),
    )
    run_pauser = providers.ThreadSafeSingleton(
        RunPauser,
        run_ledger,
        stop=process_manager.provided.stop,
        go_on=process_manager.provided.go_on,
    )
    duty_keeper = providers.ThreadSafeSingleton(DutyKeeper, locks, mode, wanted_duties)
    step_guard = providers.ThreadSafeSingleton(StepGuard)
    run_rounds = providers.ThreadSafeSingleton(
        RunRounds,
        queue_manager,
        run_ledger,
        project_launcher,
        run_settler,
        run_cleaner,
        run_pauser,
        tmux,
        clock,
        step_guard,
        host=host,
        daemon_id=daemon_id,
    )
    core_scheduler = providers.ThreadSafeSingleton(
        CoreScheduler,
        run_rounds,
        session_monitor,
        notification_manager,
        clock,
        wakeup,
        duty_keeper,
        step_guard,
        tick_sec=config.provided.tick_sec,
        look_sec=config.provided.look_sec,
        monitor_sec=config.provided.process_monitor_interval_sec,
    )
