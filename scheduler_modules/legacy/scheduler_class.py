"""What the old class is built on: it opens the database and hands each method to its owner."""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from scheduler_modules import compose
from scheduler_modules.config import load_config
from scheduler_modules.errors import SchedulerError

if TYPE_CHECKING:
    import sqlite3

    from scheduler_modules.batch_processor import BatchProcessor
    from scheduler_modules.dependency_checker import DependencyChecker
    from scheduler_modules.event_dispatcher import EventDispatcher
    from scheduler_modules.legacy.class_calls import (
        CheckinCalls,
        ConfigCalls,
        DaemonCalls,
        MonitorCalls,
        QueueCalls,
        RecoveryCalls,
        SessionCalls,
    )
    from scheduler_modules.notification_manager import NotificationManager
    from scheduler_modules.ports import Tmux
    from scheduler_modules.state_synchronizer_wrapper import StateSynchronizer
    from scheduler_modules.tmux_values import (
        TmuxSnapshot,
    )

DEFAULT_DATABASE = "task_queue.db"
BUSY_TIMEOUT_SEC = 30

HandedOver = tuple[tuple[str, str, str], ...]


class NotHandedOver(SchedulerError, NotImplementedError):
    """A method of the old class has no owner: not yet, or not any more."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name, self.why = name, why


class LegacyScheduler:
    """Opens the database; takes no lock, starts no thread, handles no signal, recovers nothing.

    A subclass names its methods as rows of (old name, owner, migration phase). An owner is
    `part.method` with a part of this class, or words (`later: ...`, `gone: ...`) that are told
    to whoever calls the method. A part is imported when it is first used.
    """

    def __init_subclass__(cls, *, handed_over: HandedOver, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, owner, _phase in handed_over:
            setattr(cls, name, _method(name, owner))

    def __init__(
        self,
        db_path: str | Path = DEFAULT_DATABASE,
        tmux_orchestrator_path: str | Path | None = None,
        read_only: bool = False,
        service_mode: str | None = None,
    ) -> None:
        """Open the database below the working folder, or where the environment says.

        `read_only` is accepted and needless: nothing is locked or recovered in either case.

        Raises:
            ConfigError, DatabaseUnavailable
        """
        config = load_config(os.environ, cwd=Path.cwd()).config
        if str(db_path) != DEFAULT_DATABASE:
            url = f"sqlite:///{Path(db_path).absolute()}"
            config = msgspec.structs.replace(config, scheduler_db_url=url)
        self.config = config
        self.db_path = str(db_path)
        self.tmux_orchestrator_path = Path(tmux_orchestrator_path or Path(__file__).parents[2])
        self.read_only = read_only
        self.service_mode = service_mode
        self.clock = compose.open_clock()
        self.store = compose.open_store(config)
        moves = compose.make_moves(self.store, self.clock)
        self._queue = compose.make_queue(moves, config)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @cached_property
    def conn(self) -> "sqlite3.Connection":
        """A connection of its own for programs that wrote through the old one.

        What they write bypasses the state machine and the log of facts.
        """
        import sqlite3

        conn = sqlite3.connect(
            compose.database_path(self.config), timeout=BUSY_TIMEOUT_SEC, check_same_thread=False
        )
        # One program checkpoints, and it is the store.
        conn.execute("pragma wal_autocheckpoint = 0")
        return conn

    def close(self) -> None:
        """Close the database."""
        if "conn" in self.__dict__:
            self.__dict__.pop("conn").close()
        self.store.close()

    # -- the parts that rows name -----------------------------------------------------------

    @cached_property
    def queue_manager(self) -> "QueueCalls":
        from scheduler_modules.legacy.class_calls import QueueCalls

        return QueueCalls(self._queue, self.clock, self.event_dispatcher)

    @property
    def process_manager_wrapper(self) -> "QueueCalls":
        return self.queue_manager

    @cached_property
    def checkin_manager(self) -> "CheckinCalls":
        from scheduler_modules.checkin_manager import CheckinManager
        from scheduler_modules.legacy.class_calls import CheckinCalls

        return CheckinCalls(CheckinManager(self.store, self.clock), self.event_dispatcher)

    @cached_property
    def event_dispatcher(self) -> "EventDispatcher":
        from scheduler_modules.event_dispatcher import EventDispatcher

        return EventDispatcher(self.store)

    @cached_property
    def batch_processor(self) -> "BatchProcessor":
        from scheduler_modules.batch_processor import BatchProcessor

        return BatchProcessor(self.store)

    @cached_property
    def recovery_manager(self) -> "RecoveryCalls":
        from scheduler_modules.legacy.class_calls import RecoveryCalls

        tmux, old_tmux = self._tmux
        recovery = compose.make_recovery(
            self._queue, self.store, tmux, self.clock, self.config, old_tmux
        )
        return RecoveryCalls(recovery, self._queue)

    @cached_property
    def session_monitor(self) -> "MonitorCalls":
        from scheduler_modules.legacy.class_calls import MonitorCalls
        from scheduler_modules.session_monitor import SessionMonitor

        tmux, old_tmux = self._tmux
        grace_sec = self.config.phantom_grace_period_sec
        monitor = SessionMonitor(self._queue, self.store, tmux, self.clock, grace_sec, old_tmux)
        return MonitorCalls(monitor, self._queue)

    @cached_property
    def utils(self) -> "SessionCalls":
        from scheduler_modules.legacy.class_calls import SessionCalls

        return SessionCalls(self._looks, self.clock)

    @cached_property
    def notification_manager(self) -> "NotificationManager":
        from scheduler_modules.notification_manager import NotificationManager

        return NotificationManager(self._queue, self.config.signals_dir)

    @cached_property
    def state_synchronizer_wrapper(self) -> "StateSynchronizer":
        from scheduler_modules.state_synchronizer_wrapper import StateSynchronizer

        return StateSynchronizer(self.config.home)

    @cached_property
    def dependency_checker(self) -> "DependencyChecker":
        from scheduler_modules.dependency_checker import DependencyChecker

        return DependencyChecker()

    @cached_property
    def core_scheduler(self) -> "DaemonCalls":
        from scheduler_modules.legacy.class_calls import DaemonCalls

        return DaemonCalls(self.config, self.service_mode, self.close)

    @cached_property
    def settings(self) -> "ConfigCalls":
        from scheduler_modules.legacy.class_calls import ConfigCalls

        return ConfigCalls()

    @cached_property
    def _tmux(self) -> "tuple[Tmux, Tmux | None]":
        """Our server, and the user's own if that is another."""
        return compose.open_tmux(self.config), compose.open_old_tmux(self.config)

    def _looks(self) -> "list[TmuxSnapshot]":
        return [server.snapshot() for server in self._tmux if server is not None]


def _method(name: str, owner: str) -> Callable[..., Any]:
    part, dot, method = owner.partition(".")
    is_owned = bool(dot) and part.isidentifier()

    def call(self: LegacyScheduler, *args: Any, **kwargs: Any) -> Any:
        if not is_owned:
            raise NotHandedOver(name, owner)
        return getattr(getattr(self, part), method)(*args, **kwargs)

    call.__name__ = name
    call.__doc__ = f"See `{owner}`." if is_owned else f"{owner}."
    return call
