"""Looks at a tmux server from all sides, and starts or changes nothing.

A socket path says little: its file may be gone while a server lives on behind it, and two servers
may have had it one after the other. The kernel knows what each process listens on.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from scheduler_modules.adapters import tmux_answers as answers
from scheduler_modules.adapters.machine_probe import look_at
from scheduler_modules.adapters.tmux_answers import Verdict
from scheduler_modules.adapters.tmux_client import TmuxClient
from scheduler_modules.config import SchedulerConfig
from scheduler_modules.doctor_values import ServerProcess, TmuxFacts
from scheduler_modules.errors import TmuxUnavailable
from scheduler_modules.tmux_values import ServerIdentity
from scheduler_modules.utils import one_line

_LISTENING = 1 << 16
_NET_UNIX = Path("/proc/net/unix")
_OPTION_LISTS = (("-s",), ("-g",), ("-g", "-w"))


class TmuxProbe:
    """The server that `TMUX_SOCKET` names."""

    def __init__(self, config: SchedulerConfig) -> None:
        named = config.tmux_socket
        socket = str(Path(named).expanduser()) if "/" in named else named
        self._is_own = not named
        self._client = TmuxClient(socket or str(config.socket_path), None, config.tmux_timeout_sec)

    def facts(self) -> TmuxFacts:
        """Return all that can be seen; what cannot be asked is told, not raised."""
        path = Path(self._client.socket_path())
        version, problem = self._version()
        server: ServerIdentity | None = None
        options: Mapping[str, str] = {}
        if version is not None:
            try:
                server = self._server()
                options = self._options() if server else {}
            except TmuxUnavailable as error:
                problem = str(error)
        return TmuxFacts(
            version=version,
            problem=problem,
            is_own_server=self._is_own,
            socket=look_at(path),
            socket_folder=look_at(path.parent),
            server=server,
            listeners=servers_of(path),
            options=options,
        )

    def _version(self) -> tuple[str | None, str | None]:
        """Return the version, or why there is none."""
        try:
            answer = self._client.call(["-V"], may_start_server=False)
        except TmuxUnavailable as error:
            return None, str(error)
        return one_line(answer.stdout.removeprefix("tmux ")), None

    def _server(self) -> ServerIdentity | None:
        answer = self._client.call(
            ["display-message", "-p", answers.SERVER_FORMAT], may_start_server=False
        )
        if answer.verdict is Verdict.NO_SERVER:
            return None
        server = answers.parse_server(answer.stdout)
        if server is None:
            raise TmuxUnavailable(f"tmux could not be asked: {answer.text or 'it said nothing'}")
        return server

    def _options(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for flags in _OPTION_LISTS:
            answer = self._client.call(["show-options", *flags], may_start_server=False)
            for line in answer.stdout.splitlines():
                name, _, value = line.partition(" ")
                found[name] = value
        return found


def servers_of(socket: Path) -> tuple[ServerProcess, ...]:
    """Return our user's processes that listen on a socket made at that path, oldest first."""
    inodes = _listening_at(socket)
    if not inodes:
        return ()
    found = [
        ServerProcess(pid, _started_at(pid)) for pid in _own_pids() if inodes & _sockets_of(pid)
    ]
    return tuple(sorted(found, key=lambda server: (server.started_at, server.pid)))


def _listening_at(socket: Path) -> frozenset[str]:
    wanted = os.path.realpath(socket)
    found = set()
    try:
        lines = _NET_UNIX.read_text(errors="surrogateescape").splitlines()[1:]
    except OSError:
        return frozenset()
    for line in lines:
        fields = line.split(maxsplit=7)
        if len(fields) < 8 or not int(fields[3], 16) & _LISTENING:
            continue
        # The folder may be reached by another name by now; the file itself may be gone.
        if os.path.realpath(fields[7]) == wanted:
            found.add(f"socket:[{fields[6]}]")
    return frozenset(found)


def _own_pids() -> list[int]:
    me, found = os.geteuid(), []
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all we need
        try:
            if name.isdecimal() and os.stat(f"/proc/{name}").st_uid == me:  # noqa: PTH116
                found.append(int(name))
        except OSError:
            continue
    return found


def _sockets_of(pid: int) -> frozenset[str]:
    folder = f"/proc/{pid}/fd"
    found = set()
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - names are all we need
            found.add(os.readlink(f"{folder}/{name}"))  # noqa: PTH115
    except OSError:
        # It ended meanwhile, or may not be looked into.
        return frozenset(found)
    return frozenset(found)


def _started_at(pid: int) -> float:
    """Return when a process started; 0 if it is gone."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()
        boot = next(
            line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime")
        )
    except (OSError, StopIteration):
        return 0.0
    # Field 22 of the whole line; two are cut off in front.
    return int(boot.split()[1]) + int(ticks[19]) / os.sysconf("SC_CLK_TCK")
