"""What every verb is handed: streams, configuration and parts, each opened when used."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from scheduler_modules.cli.output import Terminal
from scheduler_modules.config_home import HOME_VARIABLE
from scheduler_modules.errors import UnusableHome

if TYPE_CHECKING:
    from scheduler_modules.config import LoadedConfig, SchedulerConfig
    from scheduler_modules.doctor_values import DatabaseFacts, MachineFacts, TmuxFacts
    from scheduler_modules.ports import (
        Clock,
        Locks,
        Processes,
        RunFiles,
        Tmux,
        WakeupSource,
    )
    from scheduler_modules.queue_control import QueueControl
    from scheduler_modules.queue_manager import QueueManager
    from scheduler_modules.store_port import QueueStore


class RunLog(Protocol):
    """The log of one window, as bytes; it remembers how far it was read."""

    def tail_lines(self, count: int) -> bytes: ...

    def tail_bytes(self, limit_bytes: int) -> bytes: ...

    def read_new(self) -> bytes: ...


class TmuxProbe(Protocol):
    """Looks at the tmux server."""

    def facts(self) -> "TmuxFacts": ...


class DatabaseProbe(Protocol):
    """Looks at the database."""

    def facts(self) -> "DatabaseFacts": ...

    def is_current(self) -> bool:
        """Whether opening it would neither make nor change it."""
        ...


class MachineProbe(Protocol):
    """Looks at this machine."""

    def facts(self, folders: Iterable[str], programs: Collection[str]) -> "MachineFacts": ...

    def environ_of(self, pid: int, names: Collection[str]) -> Mapping[str, str] | None: ...

    def written_at(self, path: Path) -> float | None: ...


class Parts(Protocol):
    """How a verb gets its parts; `compose` is this, and tests have one on fakes."""

    def open_clock(self) -> "Clock": ...

    def open_queue(self, config: "SchedulerConfig") -> "QueueManager": ...

    def make_control(self, queue: "QueueManager") -> "QueueControl": ...

    def open_tmux(self, config: "SchedulerConfig") -> "Tmux": ...

    def open_old_tmux(self, config: "SchedulerConfig") -> "Tmux | None": ...

    def open_processes(self, config: "SchedulerConfig") -> "Processes": ...

    def open_run_files(self, config: "SchedulerConfig") -> "RunFiles": ...

    def open_locks(self, config: "SchedulerConfig", clock: "Clock") -> "Locks": ...

    def open_run_log(self, config: "SchedulerConfig", token: str, role: str) -> "RunLog": ...

    def run_log_path(self, config: "SchedulerConfig", token: str, role: str) -> Path: ...

    def host_name(self, config: "SchedulerConfig") -> str: ...

    def open_tmux_probe(self, config: "SchedulerConfig") -> "TmuxProbe": ...

    def open_database_probe(self, config: "SchedulerConfig") -> "DatabaseProbe": ...

    def open_machine_probe(self, config: "SchedulerConfig") -> "MachineProbe": ...

    def open_change_sources(
        self, config: "SchedulerConfig", clock: "Clock"
    ) -> "list[WakeupSource]": ...


class Cli:
    """One call of the command line.

    `pause` waits that many seconds. `cwd_is_home`: state is kept in the working folder unless
    the environment or `--home` says otherwise.
    """

    def __init__(
        self,
        terminal: Terminal,
        environ: Mapping[str, str],
        parts: Parts,
        *,
        pause: Callable[[float], object],
        cwd_is_home: bool = False,
    ) -> None:
        self.terminal = terminal
        self.parts = parts
        self.pause = pause
        self.cwd_is_home = cwd_is_home
        self._environ = dict(environ)

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment, with `--home` in it where that was given."""
        return self._environ

    def set_home(self, folder: str) -> None:
        """Take state from this folder, whatever the environment says."""
        self._environ[HOME_VARIABLE] = folder

    @cached_property
    def loaded(self) -> "LoadedConfig":
        """The configuration and where each value came from.

        Raises:
            ConfigError: a value is not allowed.
            UnusableHome: the working folder is home, and it is gone.
        """
        from scheduler_modules.config import load_config

        try:
            cwd = Path.cwd() if self.cwd_is_home else None
        except OSError as error:
            raise UnusableHome(".", "the working folder is gone") from error
        return load_config(self._environ, cwd=cwd)

    @property
    def config(self) -> "SchedulerConfig":
        return self.loaded.config

    @cached_property
    def clock(self) -> "Clock":
        return self.parts.open_clock()

    @cached_property
    def queue(self) -> "QueueManager":
        """The queue; its home and database are made or migrated by the first use.

        Raises:
            UnusableHome, DatabaseUnavailable: they cannot be used; they were left as they are.
        """
        from scheduler_modules.config import ensure_home

        ensure_home(self.config)
        return self._opened()

    def _opened(self) -> "QueueManager":
        from scheduler_modules.cli.notices import told_on

        with told_on(self.terminal):
            return self.parts.open_queue(self.config)

    @cached_property
    def control(self) -> "QueueControl":
        """What decides when things may start."""
        return self.parts.make_control(self.queue)

    @property
    def store(self) -> "QueueStore":
        return self.queue.store

    @cached_property
    def locks(self) -> "Locks":
        return self.parts.open_locks(self.config, self.clock)

    @cached_property
    def tmux(self) -> "Tmux":
        return self.parts.open_tmux(self.config)

    @cached_property
    def run_files(self) -> "RunFiles":
        return self.parts.open_run_files(self.config)

    @property
    def host(self) -> str:
        return self.parts.host_name(self.config)

    def close(self) -> None:
        """Close the database if it was opened."""
        if "queue" in self.__dict__:
            self.queue.store.close()


def process_cli(*, cwd_is_home: bool) -> Cli:
    """Return the command line of this process: its streams, environment and real parts."""
    from threading import Event

    from scheduler_modules import compose
    from scheduler_modules.cli.output import process_terminal

    return Cli(
        process_terminal(os.environ),
        os.environ,
        compose,
        pause=Event().wait,
        cwd_is_home=cwd_is_home,
    )
