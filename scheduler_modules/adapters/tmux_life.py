"""Whether the tmux server that we talked to last still runs, whatever became of its socket."""

import contextlib
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

from scheduler_modules.adapters.process import LinuxProcesses
from scheduler_modules.errors import SchedulerError
from scheduler_modules.model import ProcessIdentity
from scheduler_modules.tmux_values import ServerIdentity

logger = logging.getLogger(__name__)

_START_SLACK_SEC = 3
"""Both moments are whole seconds, and a server is a little younger than its process."""
_DYING_LOOKS, _DYING_PAUSE_SEC = 5, 0.02


class ServerLife:
    """Remembers one server. Of one whose process we cannot see, it is sure of nothing."""

    def __init__(self, pause: Callable[[float], object]) -> None:
        """`pause` waits for a number of seconds."""
        self._pause = pause
        self._processes = LinuxProcesses()
        self._server: ServerIdentity | None = None
        self._process: ProcessIdentity | None = None

    def remember(self, server: ServerIdentity) -> None:
        """Take it for the one from now on."""
        if self._process is not None and self._server != server and self.is_surely_alive():
            logger.error(
                "tmux_second_server",
                extra={"old_pid": self._process.pid, "new_pid": server.pid},
            )
        self._server, self._process = server, None
        # Seen from another container, the number may be somebody else's.
        with contextlib.suppress(SchedulerError, OSError):
            if Path(f"/proc/{server.pid}/comm").read_text().startswith("tmux"):
                self._process = self._processes.identity(server.pid)

    def expect(self, server: ServerIdentity) -> None:
        """Take a server that somebody else knew for the one, if its process still runs."""
        if self._process is not None:
            return
        with contextlib.suppress(SchedulerError, OSError, ValueError):
            process = self._processes.identity(server.pid)
            if process is not None and _is_begun_with(process, server):
                self.remember(server)

    def is_surely_dead(self) -> bool:
        return self._is_running() is False

    def is_surely_alive(self) -> bool:
        return self._is_running() is True

    def ask_for_its_socket(self) -> None:
        """Let it make its socket anew, as tmux does on this signal."""
        if self._process is not None:
            self._processes.send(self._process, signal.SIGUSR1)

    def _is_running(self) -> bool | None:
        """Return None if that cannot be found out."""
        if self._process is None:
            return None
        try:
            for _ in range(_DYING_LOOKS):
                if not self._processes.is_alive(self._process):
                    return False
                # One that was killed closes its connections first and is gone a little later.
                self._pause(_DYING_PAUSE_SEC)
        except SchedulerError:
            return None
        return True


def _is_begun_with(process: ProcessIdentity, server: ServerIdentity) -> bool:
    """Return whether a process began when the server did: numbers of processes are used again."""
    fields = Path("/proc/stat").read_text().split()
    booted_at = int(fields[fields.index("btime") + 1])
    began_at = booted_at + process.started_ticks / os.sysconf("SC_CLK_TCK")
    return abs(began_at - server.started_at) <= _START_SLACK_SEC
