"""What each old flag is handed: the parts and the operands."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from scheduler_modules import compose
from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.output import process_terminal
from scheduler_modules.config import SchedulerConfig, ensure_home
from scheduler_modules.errors import InvalidInput
from scheduler_modules.legacy.old_flag import OldFlag
from scheduler_modules.model import Project

if TYPE_CHECKING:
    from scheduler_modules.queue_manager import QueueManager
    from scheduler_modules.recovery_manager import RecoveryManager

INVALID_ID = "❌ Invalid project ID"

_MAX_ID = 2**63 - 1


class OldCli(Cli):
    """A command line whose state folder may be any folder that exists, as it always could."""

    @cached_property
    def queue(self) -> "QueueManager":
        if not self.config.home.is_dir():
            ensure_home(self.config)
        return self._opened()

    @cached_property
    def recovery(self) -> "RecoveryManager":
        """The recovery manager, looking at our tmux server and at the user's own."""
        old_tmux = self.parts.open_old_tmux(self.config)
        return compose.make_recovery(
            self.queue, self.store, self.tmux, self.clock, self.config, old_tmux
        )

    def fresh_config(self) -> SchedulerConfig:
        """Read the configuration again."""
        self.__dict__.pop("loaded", None)
        return self.config


def process_cli(*, cwd_is_home: bool) -> OldCli:
    """Return the old command line of this process: its streams, environment and real parts."""
    return OldCli(
        process_terminal(os.environ),
        os.environ,
        compose,
        pause=Event().wait,
        cwd_is_home=cwd_is_home,
    )


class OldCall:
    """One use of one old flag."""

    def __init__(
        self,
        cli: OldCli,
        flag: OldFlag,
        operands: Sequence[str | int],
        *,
        has_force: bool = False,
        mode: str | None = None,
    ) -> None:
        self.cli = cli
        self.flag = flag
        self.operands = [str(operand) for operand in operands]
        self.has_force = has_force
        self.mode = mode

    def say(self, text: str) -> None:
        """Write one line for whoever called."""
        self.cli.terminal.line(text)

    @property
    def number(self) -> int | None:
        """The first operand as a number; None if it is none."""
        try:
            return int(self.operands[0])
        except (ValueError, IndexError):
            return None

    def project(self, number: int) -> Project | None:
        """Return the project of that id, whatever number it is."""
        return self.cli.store.project(number) if 0 < number <= _MAX_ID else None


def working_folder() -> Path:
    """Return the folder that relative paths are meant from.

    Raises:
        InvalidInput: it is gone.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise InvalidInput("the working folder is gone") from error


def cell(value: object, null: str) -> str:
    """Return a stored value as text that stays on its line and that no terminal acts on."""
    text = null if value is None else str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def local_time(at: float) -> str:
    """Return a moment as `YYYY-MM-DD HH:MM:SS` in local time."""
    try:
        moment = datetime.fromtimestamp(at, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return str(at)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
