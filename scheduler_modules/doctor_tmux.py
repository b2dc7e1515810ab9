"""Checks of tmux: the program, its server, the socket between us, and other people's settings."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from scheduler_modules.doctor_values import (
    DaemonFacts,
    Finding,
    ServerProcess,
    TmuxFacts,
    bad,
    ok,
    warn,
)
from scheduler_modules.model import Run
from scheduler_modules.utils import iso_utc, one_line

MIN_VERSION = (3, 2)
SOCKET_LIMIT_BYTES = 107
CLEANED_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108 - named to be warned of
_VERSION = re.compile(r"(?:next-|openbsd-)?([0-9]+)\.([0-9]+)")
_OTHERS = 0o077
_SOCKET_VARIABLES = ("TMUX_SOCKET", "TMUX_TMPDIR")
# Each is set anew for every session of ours; the words say what they would do else.
_HARMLESS_BECAUSE_SET = {
    "destroy-unattached": ("on", "sessions end when the last person leaves"),
    "detach-on-destroy": ("off", "people are moved into other sessions"),
    "renumber-windows": ("on", "windows change their numbers"),
    "base-index": ("1", "there is no window 0"),
    "pane-base-index": ("1", "there is no pane 0"),
}


def check_tmux(
    facts: TmuxFacts, runs: Sequence[Run], daemons: Sequence[DaemonFacts], environ: dict[str, str]
) -> Iterator[Finding]:
    """Give all findings. `runs`: those of this machine that have not ended."""
    yield check_version(facts)
    if facts.version is None:
        return
    yield check_server(facts)
    yield check_split_brain(facts)
    yield check_same_server(facts, runs, daemons, environ)
    yield check_socket(facts)
    yield check_cleaners(facts)
    yield check_settings(facts)


def check_version(facts: TmuxFacts) -> Finding:
    name = "tmux version"
    least = ".".join(map(str, MIN_VERSION))
    if facts.version is None:
        why = facts.problem or "it cannot be run"
        return bad(name, why, f"install tmux {least} or newer, and see that it is on PATH")
    found = _VERSION.match(facts.version)
    if found is None:
        return warn(name, f"{one_line(facts.version, 40)} is no version we know", f"use {least}+")
    if (int(found[1]), int(found[2])) < MIN_VERSION:
        return bad(name, f"{facts.version} is too old", f"install tmux {least} or newer")
    return ok(name, facts.version)


def check_server(facts: TmuxFacts) -> Finding:
    name = "tmux server"
    if facts.problem is not None:
        held = f"kill -CONT {facts.listeners[0].pid}" if facts.listeners else "look at its log"
        return bad(name, facts.problem, f"nothing can be started until it answers; try: {held}")
    whose = "our own" if facts.is_own_server else "not started by us"
    if facts.server is None and facts.listeners:
        server = facts.listeners[0]
        return bad(
            name,
            f"one runs (pid {server.pid}) and cannot be reached: its socket file is gone",
            f"kill -USR1 {server.pid}   # makes the socket file again",
        )
    if facts.server is None:
        return ok(name, f"none runs yet; the first project starts it ({whose})")
    since = iso_utc(facts.server.started_at)
    return ok(name, f"pid {facts.server.pid}, since {since}, {whose}, {facts.socket.path}")


def check_split_brain(facts: TmuxFacts) -> Finding:
    """Find servers that live on behind a socket file that another one has now."""
    name = "one server"
    lost = _out_of_reach(facts)
    if facts.server is None or not lost:
        return ok(name, f"no other server has had {facts.socket.path}")
    told, reachable = ", ".join(_server_text(server) for server in lost), facts.server.pid
    return bad(
        name,
        f"pid {reachable} answers; this socket was {told}'s too, whose sessions are out of reach",
        f"end pid {reachable} if nothing of yours runs in it, then give the socket back:"
        f" kill -USR1 {lost[0].pid}",
    )


def _out_of_reach(facts: TmuxFacts) -> list[ServerProcess]:
    reachable = facts.server.pid if facts.server else None
    return [server for server in facts.listeners if server.pid != reachable]


def _server_text(server: ServerProcess) -> str:
    return f"pid {server.pid} (since {iso_utc(server.started_at)})"


def check_same_server(
    facts: TmuxFacts, runs: Sequence[Run], daemons: Sequence[DaemonFacts], environ: dict[str, str]
) -> Finding:
    """Compare the server we see with the one that daemons and runs know."""
    name = "same server"
    for daemon in daemons:
        for variable in _SOCKET_VARIABLES if daemon.environ is not None else ():
            theirs, ours = (daemon.environ or {}).get(variable, ""), environ.get(variable, "")
            if theirs != ours and (variable == "TMUX_SOCKET" or not facts.is_own_server):
                return bad(
                    name,
                    f"the daemon (pid {daemon.pid}) has {variable}={theirs!r}, here it is {ours!r}",
                    f"set {variable} in the .env of the state folder, not in one shell alone",
                )
    elsewhere = [
        run.project_id
        for run in runs
        if facts.server is not None
        and run.server_pid is not None
        and (run.server_pid, run.server_started_at) != (facts.server.pid, facts.server.started_at)
    ]
    if elsewhere:
        listed = ", ".join(map(str, elsewhere[:5]))
        advice = (
            "a running daemon sorts that out within seconds; else: tmux-orchestrator daemon start"
        )
        if _out_of_reach(facts):
            advice = "put `one server` right before a daemon is started: it would give them up"
        return bad(name, f"running projects were started on another server: {listed}", advice)
    return ok(name, "daemon, running projects and this command agree")


def check_socket(facts: TmuxFacts) -> Finding:
    name = "tmux socket"
    path, folder = facts.socket.path, facts.socket_folder
    size = len(os.fsencode(path))
    shown = shlex.quote(str(folder.path))
    if size > SOCKET_LIMIT_BYTES:
        return bad(
            name,
            f"its path has {size} bytes, at most {SOCKET_LIMIT_BYTES} are possible: {path}",
            "set TMUX_SOCKET to a shorter absolute path",
        )
    if facts.socket.is_there and not facts.socket.is_socket:
        return bad(
            name, f"{path} is no socket", f"look what it is, then: rm {shlex.quote(str(path))}"
        )
    if not folder.is_there:
        return ok(name, f"{path} (its folder is made with the first project)")
    if folder.uid != os.geteuid():
        return bad(name, f"its folder belongs to uid {folder.uid}", f"ls -ld {shown}")
    if folder.mode & _OTHERS:
        return warn(name, f"others may enter its folder {folder.path}", f"chmod 700 {shown}")
    return ok(name, f"{path} ({size} of {SOCKET_LIMIT_BYTES} bytes), its folder is ours alone")


def check_cleaners(facts: TmuxFacts) -> Finding:
    name = "socket place"
    if not is_cleaned(facts.socket.path):
        return ok(name, "not in a folder that is emptied now and then")
    variable = "TMUX_ORCHESTRATOR_HOME" if facts.is_own_server else "TMUX_SOCKET"
    return warn(
        name,
        f"{facts.socket.path} is where old files are removed: the server would be out of reach",
        f"set {variable} to a path that lasts; once it has happened: kill -USR1 PID",
    )


def is_cleaned(path: PurePath) -> bool:
    """Whether something stands where systems remove what is old."""
    return any(path.is_relative_to(folder) for folder in CLEANED_FOLDERS)


def check_settings(facts: TmuxFacts) -> Finding:
    name = "tmux settings"
    if facts.server is None or facts.is_own_server:
        return ok(name, "our own")
    if facts.options.get("exit-unattached") == "on":
        return bad(
            name,
            "exit-unattached is on: the server would end every session when a client leaves",
            "tmux set-option -s exit-unattached off, also in your tmux.conf",
        )
    odd = [
        f"{option} {value} ({meaning})"
        for option, (value, meaning) in _HARMLESS_BECAUSE_SET.items()
        if facts.options.get(option) == value
    ]
    if facts.options.get("destroy-unattached", "off") != "off":
        listed = "; ".join(odd) or "destroy-unattached"
        return warn(
            name,
            f"yours, with {listed}; sessions of projects are spared",
            "sessions that you adopt or make yourself are not: turn destroy-unattached off",
        )
    return ok(name, f"yours; set otherwise for projects: {'; '.join(odd)}" if odd else "yours")
