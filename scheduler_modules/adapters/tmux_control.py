"""One tmux server behind the `Tmux` port, asked over one control-mode connection.

The connection also tells when sessions come and go, so the daemon need not look until then.
"""

from pathlib import Path

from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.tmux import server_address
from scheduler_modules.adapters.tmux_client import TmuxClient
from scheduler_modules.adapters.tmux_link import TmuxLink
from scheduler_modules.adapters.tmux_sessions import TmuxSessions
from scheduler_modules.config import SchedulerConfig
from scheduler_modules.ports import Clock
from scheduler_modules.tmux_values import CreatedSession, ServerIdentity, SessionPlan


class ControlTmux(TmuxSessions):
    """The ports `Tmux` and `WakeupSource`. May be called from any thread.

    It wakes for sessions and windows that other people open, close or rename, and when the
    connection ends. Panes that die and stay (all of ours do) wake nobody: tmux does not tell.
    What happens while there is no connection is not heard; so look now and then all the same.

    Where the server takes all sessions along when its last client leaves (`exit-unattached`),
    and where tmux refuses control mode, each call is a process, as in `SubprocessTmux`.
    """

    reason = "tmux"
    poll_sec: float | None = None

    def __init__(
        self,
        socket: str,
        config_file: Path | None,
        timeout_sec: float,
        log_cap_bytes: int = 1_048_576,
        clock: Clock | None = None,
    ) -> None:
        """`socket` and `config_file` as in `TmuxClient`."""
        plain = TmuxClient(socket, config_file, timeout_sec)
        self._link = TmuxLink(plain, clock or SystemClock())
        super().__init__(self._link, log_cap_bytes)

    def create_session(self, plan: SessionPlan) -> CreatedSession:
        with self._link.quietly() as forgive:
            created = super().create_session(plan)
            forgive()
            return created

    def kill_session(self, session_name: str, run_token: str, server: ServerIdentity) -> bool:
        with self._link.quietly() as forgive:
            was_killed = super().kill_session(session_name, run_token, server)
            if was_killed:
                forgive()
            return was_killed

    def expect(self, server: ServerIdentity) -> None:
        self._link.expect(server)

    def fileno(self) -> int:
        return self._link.fileno()

    def drain(self) -> bool:
        return self._link.drain()

    def close(self) -> None:
        """End the connection and wait for that; its keeper session is gone afterwards."""
        self._link.close()


def open_control_tmux(config: SchedulerConfig) -> ControlTmux:
    """Return the server that `TMUX_SOCKET` names; nothing is started or connected by this.

    `close` it at the end. Raises as `open_tmux`.
    """
    return ControlTmux(*server_address(config), config.tmux_timeout_sec, config.log_cap_bytes)
