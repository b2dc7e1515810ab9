"""One tmux server behind the `Tmux` port, asked by running the tmux program."""

import errno
import os
from pathlib import Path

from scheduler_modules.adapters.tmux_client import TmuxClient
from scheduler_modules.adapters.tmux_sessions import TmuxSessions
from scheduler_modules.config import SchedulerConfig
from scheduler_modules.errors import ConfigError, DiskFull, TmuxUnavailable
from scheduler_modules.tmux_values import ServerIdentity
from scheduler_modules.utils import SESSION_PATTERN

SOCKET_LIMIT_BYTES = 107
"""What the address of a Unix socket holds."""

_OWN_CONFIG = Path(__file__).with_name("tmux.conf")


class SubprocessTmux(TmuxSessions):
    """One process for each call.

    A socket file that is not there is told as "no server", also when a server lives on behind
    a removed file: only a look at processes can tell these apart.
    """

    def __init__(
        self,
        socket: str,
        config_file: Path | None,
        timeout_sec: float,
        log_cap_bytes: int = 1_048_576,
    ) -> None:
        """`socket` and `config_file` as in `TmuxClient`."""
        super().__init__(TmuxClient(socket, config_file, timeout_sec), log_cap_bytes)

    def expect(self, server: ServerIdentity) -> None:
        """Changes nothing: each call believes the socket."""


def open_tmux(config: SchedulerConfig) -> SubprocessTmux:
    """Return the server that `TMUX_SOCKET` names; empty: our own, in a folder only we can enter.

    Raises: as `server_address`.
    """
    return SubprocessTmux(*server_address(config), config.tmux_timeout_sec, config.log_cap_bytes)


def server_address(config: SchedulerConfig) -> tuple[str, Path | None]:
    """Return `socket` and `config_file` of the server that `TMUX_SOCKET` names.

    Our own gets its folder, which only we can enter.

    Raises:
        ConfigError: a name or path that tmux cannot use.
        TmuxUnavailable: the folder of our own server cannot be made.
        DiskFull: the same, for want of space.
    """
    named = config.tmux_socket
    socket = str(Path(named).expanduser()) if "/" in named else named
    if not named:
        socket = str(config.socket_path)
    _check_socket(named, socket)
    if named:
        return socket, None
    _make_private(config.socket_path.parent)
    return socket, _OWN_CONFIG


def _check_socket(named: str, socket: str) -> None:
    if "/" not in socket:
        if not SESSION_PATTERN.fullmatch(socket):
            raise ConfigError("TMUX_SOCKET", named, "a path, `default` or a plain name")
        return
    if not socket.startswith("/"):
        raise ConfigError("TMUX_SOCKET", named, "an absolute path, `default` or a plain name")
    if len(os.fsencode(socket)) > SOCKET_LIMIT_BYTES:
        raise ConfigError(
            "TMUX_SOCKET",
            socket,
            f"a path of at most {SOCKET_LIMIT_BYTES} bytes; set TMUX_SOCKET to a shorter path",
            origin="environment" if named else "TMUX_ORCHESTRATOR_HOME",
        )


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"{folder}: no space left") from error
        raise TmuxUnavailable(
            f"{folder}: the folder for tmux's socket cannot be made: {error.strerror}"
        ) from error
