"""Checks of the machine: daemons and their locks, folders, disks, limits, programs."""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from scheduler_modules.agents import AgentProfile
from scheduler_modules.doctor_tmux import is_cleaned
from scheduler_modules.doctor_values import (
    DaemonFacts,
    DiskFacts,
    Finding,
    MachineFacts,
    bad,
    ok,
    warn,
)
from scheduler_modules.utils import one_line, short_duration

MIN_PYTHON = (3, 11)
SILENT_SEC = 120.0
"""A daemon that is at work says so in its locks each 30 s."""
LITTLE_BYTES, LEAST_BYTES = 1024**3, 100 * 1024**2
LITTLE_SHARE = 0.01
MIN_OPEN_FILES = 1024
MIN_INOTIFY_INSTANCES, MIN_INOTIFY_WATCHES = 16, 1024
_DUTIES = ("launch", "checkin", "notify")
_OTHERS_WRITE, _OTHERS_READ = 0o022, 0o044


def check_machine(facts: MachineFacts) -> Iterator[Finding]:
    """Give all findings that need no database."""
    yield check_python(facts)
    yield check_home(facts)
    yield from (check_secret(facts, number) for number in range(len(facts.secret_files)))
    yield from (check_disk(disk) for disk in facts.disks)
    yield check_open_files(facts)
    yield check_inotify(facts)


def check_python(facts: MachineFacts) -> Finding:
    shown = ".".join(map(str, facts.python))
    if facts.python[:2] >= MIN_PYTHON:
        return ok("Python", shown)
    least = ".".join(map(str, MIN_PYTHON))
    return bad("Python", f"{shown} is too old", f"install Python {least} or newer")


def check_home(facts: MachineFacts) -> Finding:
    name, home = "state folder", facts.home
    path = shlex.quote(str(home.path))
    if not home.is_there:
        return ok(name, f"{home.path} is made by the first use")
    problem, advice = _home_fault(facts)
    if problem:
        return bad(name, problem, advice)
    if home.mode & 0o077:
        return warn(name, f"others may look into {home.path}", f"chmod 700 {path}")
    if is_cleaned(home.path):
        return warn(
            name,
            f"{home.path} is where old files are removed",
            "set TMUX_ORCHESTRATOR_HOME to a folder that lasts",
        )
    return ok(name, f"{home.path}, ours alone")


def _home_fault(facts: MachineFacts) -> tuple[str, str]:
    """Return why the folder cannot be used, and what to do; empty where it can."""
    home, path = facts.home, shlex.quote(str(facts.home.path))
    if not home.is_folder:
        return f"{home.path} is no folder", "set TMUX_ORCHESTRATOR_HOME to another one"
    if home.uid != facts.uid:
        whose = f"{home.path} belongs to uid {home.uid}, you are uid {facts.uid}"
        return whose, "use the account it belongs to, or another folder"
    if home.mode & _OTHERS_WRITE:
        return f"others may write in {home.path}", f"chmod go-w {path}"
    if not home.is_writable:
        return f"{home.path} cannot be written", f"see its permissions and mount: ls -ld {path}"
    return "", ""


def check_secret(facts: MachineFacts, number: int) -> Finding:
    file = facts.secret_files[number]
    name, path = file.path.name, shlex.quote(str(file.path))
    if file.mode & _OTHERS_WRITE or file.uid not in {facts.uid, 0}:
        return bad(name, f"{file.path} can be changed by others", f"chmod 600 {path}; ls -l {path}")
    if file.mode & _OTHERS_READ:
        return warn(
            name, f"{file.path} may hold secrets and others may read it", f"chmod 600 {path}"
        )
    return ok(name, "only you may read it")


def check_disk(disk: DiskFacts) -> Finding:
    name = "disk"
    free, folder = disk.free_bytes, disk.folder
    shown = f"{free / 1024**3:.1f} GiB free at {folder}"
    if free < LEAST_BYTES:
        return bad(
            name, f"{free // 1024**2} MiB free at {folder}", "make room: nothing can be recorded"
        )
    if disk.inodes and disk.free_inodes < disk.inodes * LITTLE_SHARE:
        return warn(
            name, f"{disk.free_inodes:,} files more fit at {folder}", "remove small files there"
        )
    if free < LITTLE_BYTES and free < disk.size_bytes * 0.05:
        return warn(name, shown, "make room before the night")
    return ok(name, shown)


def check_open_files(facts: MachineFacts) -> Finding:
    name = "open files"
    if facts.open_files is None or facts.open_files >= MIN_OPEN_FILES:
        return ok(name, "unlimited" if facts.open_files is None else f"up to {facts.open_files:,}")
    return warn(
        name,
        f"at most {facts.open_files:,} in one process",
        f"ulimit -n {MIN_OPEN_FILES} before the daemon is started, or LimitNOFILE= in its unit",
    )


def check_inotify(facts: MachineFacts) -> Finding:
    name = "inotify"
    instances, watches = facts.inotify_instances, facts.inotify_watches
    if instances is None or watches is None:
        return warn(name, "its limits cannot be read", "see /proc/sys/fs/inotify")
    if instances < MIN_INOTIFY_INSTANCES:
        return warn(
            name,
            f"only {instances} instances for a user: ends of projects may be seen late",
            f"sysctl fs.inotify.max_user_instances={MIN_INOTIFY_INSTANCES * 8}",
        )
    if watches < MIN_INOTIFY_WATCHES:
        return warn(
            name,
            f"only {watches} watches for a user: ends of projects may be seen late",
            f"sysctl fs.inotify.max_user_watches={MIN_INOTIFY_WATCHES * 8}",
        )
    return ok(name, f"{instances:,} instances, {watches:,} watches")


# -- daemons ------------------------------------------------------------------------------------


def check_daemons(daemons: Sequence[DaemonFacts]) -> Iterator[Finding]:
    """Give how the daemons stand, and who holds which duty."""
    if not daemons:
        yield warn("daemon", "none runs, so nothing is started", "tmux-orchestrator daemon start")
        return
    yield from (check_daemon(daemon) for daemon in daemons)
    yield check_duties(daemons)


def check_daemon(daemon: DaemonFacts) -> Finding:
    name = "daemon"
    who = f"{daemon.mode}, pid {daemon.pid}" if daemon.pid else f"{daemon.mode}, {daemon.holder}"
    if daemon.trouble is not None:
        return bad(
            name, f"{who} is in trouble: {one_line(daemon.trouble)}", "put right what it says"
        )
    if daemon.silent_sec is not None and daemon.silent_sec > SILENT_SEC:
        silent = short_duration(daemon.silent_sec)
        return bad(
            name,
            f"{who} has been silent for {silent}: it hangs or is stopped",
            f"kill -CONT {daemon.pid}; if it does not help: kill -KILL {daemon.pid}, start one",
        )
    return ok(name, f"{who} runs")


def check_duties(daemons: Sequence[DaemonFacts]) -> Finding:
    name = "duties"
    holders = {duty: daemon for daemon in daemons for duty in daemon.duties}
    told = ", ".join(
        f"{duty}: {holders[duty].pid}" if duty in holders else f"{duty}: nobody" for duty in _DUTIES
    )
    if "launch" not in holders and all(daemon.pid is not None for daemon in daemons):
        return warn(name, f"no daemon starts projects ({told})", "tmux-orchestrator daemon start")
    return ok(name, told)


# -- agents -------------------------------------------------------------------------------------


def check_agents(
    profiles: Mapping[str, AgentProfile],
    wanted: str,
    programs: Mapping[str, str | None],
    *,
    is_chosen: bool,
    is_needed: bool,
) -> Iterator[Finding]:
    """Give which agents can be started.

    `wanted`: PROJECT_AGENT. `is_chosen`: somebody set it. `is_needed`: specs without a command
    run it.
    """
    if wanted not in profiles:
        known = ", ".join(profiles)
        yield bad("agent", f"PROJECT_AGENT={wanted}: no such profile", f"set it to one of: {known}")
    for profile in profiles.values():
        place = programs.get(profile.program)
        name = f"agent {profile.name}"
        if place is not None:
            yield ok(name, place)
            continue
        missing = f"{profile.program} is not on PATH"
        advice = "install it, or set PROJECT_COMMAND; specs with a command do without"
        if profile.name != wanted or not is_needed:
            yield ok(name, f"{missing}; nothing set needs it")
        elif is_chosen:
            yield bad(name, missing, advice)
        else:
            yield warn(name, missing, advice)
