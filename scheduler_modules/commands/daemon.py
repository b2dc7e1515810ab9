"""`daemon`: start, stop, look after and run what takes projects off the queue."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.daemons import MODES, Daemon, is_launching, running_daemons
from scheduler_modules.cli.verb import VerbGroup, pass_cli, verb
from scheduler_modules.commands.status import daemon_json, daemon_text, trouble_of, trouble_text
from scheduler_modules.config import ensure_home
from scheduler_modules.config_home import HOME_VARIABLE
from scheduler_modules.duty_keeper import DUTIES_OF_MODE
from scheduler_modules.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_NO_DAEMON,
    NotPossible,
    SchedulerError,
)
from scheduler_modules.utils import one_line

START_SEC = 10.0
STOP_SEC = 10.0
POLL_SEC = 0.05
PATIENCE_SEC = 1.0
_TAIL_BYTES = 4096
_IN_SESSION = re.compile(r"TMUX(_PANE)?|SCHEDULER_(?!DB_URL$).*")
_MAX_OUTPUT_BYTES = 5_000_000
_MODE = click.option(
    "--mode",
    type=click.Choice(MODES[1:]),
    help="Only what runs projects, or only check-ins; else both.",
)
_LINES_SHOWN = 2
_ERROR = "error: "


@click.group(name="daemon", cls=VerbGroup, examples=("daemon start", "daemon status"))
def daemon_verb() -> None:
    """Start, stop, look at or run the daemon: it takes projects off the queue and runs them."""


@verb(examples=("daemon start",), name="start")
@_MODE
@pass_cli
def start_verb(cli: Cli, mode: str | None) -> int:
    """Start a daemon in the background; fine if it runs already.

    What it says goes to logs/daemon.out in the home folder. If it does not start, the exit code
    is its own.
    """
    name = mode or MODES[0]
    lock = cli.locks.mode(name)
    ensure_home(cli.config)
    if not lock.is_free():
        _answer(cli, name, "runs already", was_running=True)
        return EXIT_DONE
    if shutil.which("tmux", path=cli.environ.get("PATH")) is None:
        cli.terminal.warn("tmux is not installed, or not on PATH: the daemon can start no project")
    output = cli.config.logs_dir / "daemon.out"
    said_before = _rotated_size(output)
    child = _spawn(cli, mode, output)
    _wait_for(
        cli,
        "the daemon starts",
        lambda: child.poll() is not None or _is_at_work(cli, name, child.pid),
        START_SEC,
    )
    if child.returncode is None and lock.holder_pid() != child.pid:
        raise SchedulerError(
            f"the daemon (pid {child.pid}) does not hold its lock after {START_SEC:.0f} s; "
            f"see {output}"
        )
    if child.returncode is not None:
        # Somebody else may have started one at the same moment.
        if not lock.is_free():
            _answer(cli, name, "runs already", was_running=True)
            return EXIT_DONE
        said = _last_words(output, said_before) or f"it said nothing; see {output}"
        code = child.returncode
        how = f"exit {code}" if code >= 0 else f"signal {-code}"
        cli.terminal.error(f"the daemon ended at once ({how}): {said}")
        return code if code > 0 else EXIT_FAILED
    _answer(cli, name, "started", was_running=False)
    return EXIT_DONE


@verb(examples=("daemon stop", "daemon stop --mode checkin"), name="stop")
@click.option("--mode", type=click.Choice(MODES), help="Only the daemon of that mode; else all.")
@pass_cli
def stop_verb(cli: Cli, mode: str | None) -> None:
    """Stop the daemon; running projects go on, and a new daemon finds them again."""
    processes = cli.parts.open_processes(cli.config)
    running = _daemons(cli)
    daemons = [d for d in running if mode is None or d.mode == mode]
    for daemon in daemons:
        lock = cli.locks.mode(daemon.mode)
        if daemon.identity is None or lock.holder_pid() not in {daemon.pid, None}:
            raise NotPossible(f"which process the daemon is cannot be told: {daemon.holder}")
        processes.send(daemon.identity, signal.SIGTERM)
        if not _wait_for(cli, "the daemon stops", lock.is_free, STOP_SEC):
            raise SchedulerError(
                f"the daemon (pid {daemon.pid}) still runs {STOP_SEC:.0f} s after SIGTERM"
            )
    if cli.terminal.is_json:
        cli.terminal.json({"stopped": [daemon_json(daemon) for daemon in daemons]})
    elif not cli.terminal.is_quiet:
        for daemon in daemons:
            cli.terminal.line(f"daemon stopped ({daemon.mode}, pid {daemon.pid})")
        others = ", ".join(d.mode for d in running if d not in daemons)
        if daemons:
            cli.terminal.line("running projects go on")
        elif others:
            cli.terminal.line(f"no {mode} daemon was running; left running: {others}")
        else:
            cli.terminal.line("no daemon was running")


@verb(
    examples=("daemon status", "daemon status -q || tmux-orchestrator daemon start"), name="status"
)
@pass_cli
def status_verb(cli: Cli) -> int:
    """Say which daemons run; exit 0 if one takes projects off the queue, else 7."""
    daemons = _daemons(cli)
    launching, trouble = is_launching(cli.locks), trouble_of(daemons)
    if cli.terminal.is_json:
        found = [daemon_json(daemon) for daemon in daemons]
        cli.terminal.json({"daemons": found, "is_launching": launching, "trouble": trouble})
    elif not cli.terminal.is_quiet:
        if trouble is not None:
            cli.terminal.line(cli.terminal.yellow(trouble_text(trouble)))
        for daemon in daemons:
            cli.terminal.line(f"daemon runs: {daemon_text(daemon, cli.clock.now())}")
        if not launching:
            cli.terminal.line("no daemon runs that starts projects")
            cli.terminal.next_step("tmux-orchestrator daemon start")
    return EXIT_DONE if launching else EXIT_NO_DAEMON


@verb(examples=("daemon run",), name="run")
@_MODE
@pass_cli
def run_verb(cli: Cli, mode: str | None) -> None:
    """Run a daemon here, in the foreground; Ctrl-C stops it and leaves projects running."""
    ensure_home(cli.config)
    argv = _argv(mode)
    environ = _environment(cli)
    cli.close()
    cli.terminal.flush()
    os.chdir(cli.config.home)
    os.execve(argv[0], argv, environ)  # noqa: S606 - no shell is wanted


for _verb in (start_verb, stop_verb, status_verb, run_verb):
    daemon_verb.add_command(_verb)


def _daemons(cli: Cli) -> list[Daemon]:
    return running_daemons(cli.locks, cli.parts.open_processes(cli.config), cli.clock)


def _argv(mode: str | None) -> list[str]:
    """Return the command of a daemon: old scripts look for "scheduler.py --daemon" in it."""
    from importlib.util import find_spec

    found = find_spec("scheduler")
    if found is None or found.origin is None:
        raise SchedulerError("scheduler.py is not installed beside this program")
    return [sys.executable, found.origin, "--daemon", *(["--mode", mode] if mode else [])]


def _environment(cli: Cli) -> dict[str, str]:
    """Return the environment of a daemon: ours, but of no session that we may be inside of.

    With a run's mark it would be ended together with that run.
    """
    kept = {name: value for name, value in cli.environ.items() if not _IN_SESSION.fullmatch(name)}
    return {**kept, HOME_VARIABLE: str(cli.config.home)}


def _spawn(cli: Cli, mode: str | None, output: Path) -> "subprocess.Popen[bytes]":
    """Start a daemon that outlives us and our terminal."""
    with output.open("ab") as stream:
        return subprocess.Popen(
            _argv(mode),
            cwd=cli.config.home,
            env=_environment(cli),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def _wait_for(cli: Cli, what: str, condition: Callable[[], bool], limit_sec: float) -> bool:
    """Wait until a condition holds, saying so where it takes long; False if it does not in time."""
    began = cli.clock.since_boot_sec()
    has_said = False
    while not condition():
        waited_sec = cli.clock.since_boot_sec() - began
        if waited_sec > limit_sec:
            return False
        if waited_sec > PATIENCE_SEC and not has_said:
            cli.terminal.talk(f"waiting until {what} (at most {limit_sec:.0f} s)")
            has_said = True
        cli.pause(POLL_SEC)
    return True


def _is_at_work(cli: Cli, mode: str, pid: int) -> bool:
    """Whether a new daemon holds its lock, and each of its duties is held by it or another."""
    if cli.locks.mode(mode).holder_pid() != pid:
        return False
    return not any(cli.locks.duty(duty).is_free() for duty in DUTIES_OF_MODE[mode])


def _rotated_size(output: Path) -> int:
    """Put the output of daemons aside once it is large; return how long it is now."""
    size = output.stat().st_size if output.exists() else 0
    if size <= _MAX_OUTPUT_BYTES:
        return size
    output.replace(output.with_name(output.name + ".1"))
    return 0


def _last_words(output: Path, said_before: int) -> str:
    """Return in full what was said last after so many bytes: the error, else the last lines."""
    content = output.read_bytes()[said_before:][-_TAIL_BYTES:].decode(errors="replace")
    lines = [one_line(line, _TAIL_BYTES) for line in content.splitlines() if line.strip()]
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    talk = [line for line in lines if not line.startswith("timestamp=")]
    return "; ".join(errors[-1:] or (talk or lines)[-_LINES_SHOWN:])


def _answer(cli: Cli, mode: str, how: str, *, was_running: bool) -> None:
    daemon = next((d for d in _daemons(cli) if d.mode == mode), None)
    pid = daemon.pid if daemon else cli.locks.mode(mode).holder_pid()
    if cli.terminal.is_json:
        cli.terminal.json({"mode": mode, "pid": pid, "was_running": was_running})
    elif not cli.terminal.is_quiet:
        cli.terminal.line(f"daemon {how} (pid {pid or 'unknown'})")
        cli.terminal.next_step("tmux-orchestrator status")
