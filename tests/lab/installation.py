"""A throw-away installation with real processes: its own home, daemon, tmux server, database."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scheduler_modules.compose import open_clock, open_locks, open_queue
from scheduler_modules.config import ensure_home, load_config
from scheduler_modules.model import NewProject
from scheduler_modules.ports import Lock
from scheduler_modules.queue_manager import QueueManager

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"TICK_SEC": "0.1", "LOOK_SEC": "1", "RETRY_DELAY_SEC": "0.2", "KILL_GRACE_SEC": "1"}


class Installation:
    """Everything below one short temporary folder; `close` leaves no process behind.

    `home` is where this process sees what its programs call `$TMUX_ORCHESTRATOR_HOME`.
    """

    prefix: tuple[str, ...] = ()
    """What stands before every command: how to get into its surroundings."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.specs = folder / "specs"
        self.project = folder / "project"
        for path in (self.home, self.specs, self.project):
            path.mkdir(mode=0o700, exist_ok=True)
        self.ledger = folder / "ledger"
        self.daemons: list[subprocess.Popen[bytes]] = []
        self._queue: QueueManager | None = None
        self._servers: set[int] = set()
        self.environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("TMUX", "SCHEDULER_"))},
            "TMUX_ORCHESTRATOR_HOME": str(self.home),
            "HOME": str(folder),
            **QUICK,
            **settings,
        }

    # -- commands ---------------------------------------------------------------------------

    def cli(self, *args: str, ok: bool = True, text: str | None = None, **settings: str) -> str:
        """Run a verb; return its stdout. `ok`: it must end with 0."""
        done = self.try_cli(*args, text=text, **settings)
        if ok and done.returncode != 0:
            raise AssertionError(f"{args} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def try_cli(
        self, *args: str, text: str | None = None, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a verb; return how it ended."""
        return subprocess.run(
            [*self.prefix, sys.executable, str(ROOT / "scheduler_entrypoint.py"), *args],
            env={**self.environ, **settings},
            cwd=self.folder,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start_cli(self, *args: str) -> subprocess.Popen[str]:
        """Start a verb without waiting for it; its output is to be read from it."""
        return subprocess.Popen(
            [*self.prefix, sys.executable, str(ROOT / "scheduler_entrypoint.py"), *args],
            env=self.environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def json(self, *args: str):
        return json.loads(self.cli(*args, "--json"))

    def write_spec(self, name: str, front: str = "", body: str = "# Work\n") -> Path:
        path = self.specs / f"{name}.md"
        path.write_text(f"---\n{front.strip()}\n---\n{body}" if front else body)
        return path

    def add(self, name: str, front: str, *options: str) -> int:
        """Write a spec and queue it; return the project's id."""
        self.cli("add", str(self.write_spec(name, front)), "--project", str(self.project), *options)
        with contextlib.closing(self.database()) as database:
            return database.execute("select max(id) from project_queue").fetchone()[0]

    def queue(self) -> QueueManager:
        """Return the queue, opened in this process: quicker than a verb."""
        if self._queue is None:
            config = load_config(self.environ).config
            ensure_home(config)
            self._queue = open_queue(config)
        return self._queue

    def enqueue(self, name: str, front: str, **fields: Any) -> int:
        """Do as `add`, without a process of its own; `after` is not looked at."""
        spec = str(self.write_spec(name, front))
        values = {
            "spec_path": spec,
            "spec_key": spec,
            "name": name,
            "project_path": str(self.project),
            "project_key": str(self.project),
            "enqueued_at": time.time(),
        }
        return self.queue().enqueue(NewProject(**(values | fields))).project_id

    def ledger_command(self, then: str = "true") -> str:
        """Return a `command:` line that writes project, attempt and token to the ledger first."""
        script = (
            'printf "%s %s %s\\n" "$SCHEDULER_PROJECT_ID" "$SCHEDULER_ATTEMPT" "$SCHEDULER_RUN_ID" '
            f">>{self.ledger}; {then}"
        )
        return "command: " + json.dumps(["sh", "-c", script])

    def ledger_lines(self) -> list[tuple[int, int, str]]:
        if not self.ledger.exists():
            return []
        rows = (line.split() for line in self.ledger.read_text().splitlines())
        return [(int(project), int(attempt), token) for project, attempt, token in rows]

    # -- daemon -----------------------------------------------------------------------------

    def start_daemon(self, *args: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start a daemon; its stderr goes to `<folder>/daemon.err`."""
        with (self.folder / "daemon.err").open("ab") as errors:
            daemon = subprocess.Popen(
                [
                    *self.prefix,
                    sys.executable,
                    str(ROOT / "scheduler.py"),
                    *(args or ("--daemon",)),
                ],
                env={**self.environ, **settings},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        self.daemons.append(daemon)
        return daemon

    def run_daemon(self, *args: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start a daemon and return once it is at work."""
        before = self.count_events("daemon_started")
        daemon = self.start_daemon(*args, **settings)
        wait_until(
            lambda: self.count_events("daemon_started") > before or daemon.poll() is not None,
            explain=self.daemon_log,
        )
        return daemon

    def stop_daemon(self, daemon: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
        daemon.send_signal(number)
        return daemon.wait(timeout=10)

    def lock(self, mode: str) -> Lock:
        """Return the lock of a mode, to look at."""
        return open_locks(load_config(self.environ).config, open_clock()).mode(mode)

    def daemon_log(self) -> str:
        path = self.folder / "daemon.err"
        return path.read_text(errors="replace") if path.exists() else ""

    def count_events(self, event: str) -> int:
        """Return how often daemons have logged an event."""
        return self.daemon_log().count(f"event='{event}'")

    # -- looking ----------------------------------------------------------------------------

    def database(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.home / "task_queue.db", timeout=30)
        database.row_factory = sqlite3.Row
        return database

    def query(self, sql: str, *values: object) -> list[sqlite3.Row]:
        with contextlib.closing(self.database()) as database:
            return database.execute(sql, values).fetchall()

    def statuses(self) -> dict[int, str]:
        return dict(map(tuple, self.query("select id, status from project_queue")))

    def status(self, project_id: int) -> str:
        return self.statuses()[project_id]

    def runs(self, project_id: int) -> list[sqlite3.Row]:
        return self.query("select * from project_run where project_id = ? order by id", project_id)

    def tmux(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *self.prefix,
                "tmux",
                "-S",
                f"{self.environ['TMUX_ORCHESTRATOR_HOME']}/run/tmux.sock",
                *args,
            ],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    def tmux_pid(self) -> int | None:
        """Return the server's process; None where none runs."""
        answer = self.tmux("display-message", "-p", "#{pid}").stdout.strip()
        if not answer:
            return None
        self._servers.add(int(answer))
        return int(answer)

    def slow_tmux(self, sec: float) -> None:
        """Let tmux take its time to begin a session, so that a daemon can die meanwhile."""
        folder = self.folder / "bin"
        if not folder.exists():
            folder.mkdir()
            self.environ["PATH"] = f"{folder}:{self.environ['PATH']}"
        real = shutil.which("tmux", path=self.environ["PATH"].removeprefix(f"{folder}:"))
        script = folder / "tmux.new"
        script.write_text(
            f'#!/bin/sh\ncase " $* " in *" new-session "*) sleep {sec};; esac\nexec {real} "$@"\n'
        )
        script.chmod(0o700)
        script.rename(folder / "tmux")

    def kill_tmux(self) -> int:
        """End the tmux server as the out-of-memory killer would; return the process it was."""
        pid = self.tmux_pid()
        assert pid is not None, "no tmux server runs"
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid))
        return pid

    def sessions(self) -> list[str]:
        """Return all sessions but the one that only keeps the daemon's connection."""
        names = self.tmux("list-sessions", "-F", "#{session_name}").stdout.split()
        return [name for name in names if not name.startswith("_orchestrator-")]

    def pane_pids(self) -> dict[str, int]:
        """Return the first process of every pane, by session."""
        lines = self.tmux("list-panes", "-a", "-F", "#{session_name} #{pane_pid}").stdout
        panes = map(str.split, lines.splitlines())
        return {name: int(pid) for name, pid in panes if not name.startswith("_orchestrator-")}

    def marked(self, token: str) -> list[int]:
        """Return living processes that carry a run's mark."""
        return [pid for pid in _processes_with(f"SCHEDULER_RUN_ID={token}") if is_running(pid)]

    def wait_for_status(self, project_id: int, *wanted: str, timeout_sec: float = 30) -> str:
        wait_until(
            lambda: self.status(project_id) in wanted,
            timeout_sec,
            lambda: f"{self.status(project_id)}; daemon: {self.daemon_log()[-2000:]}",
        )
        return self.status(project_id)

    def wait_until_all_ended(self, timeout_sec: float = 60) -> dict[int, str]:
        ended = {"completed", "failed"}
        wait_until(
            lambda: set(self.statuses().values()) <= ended,
            timeout_sec,
            lambda: f"{self.statuses()}; daemon: {self.daemon_log()[-3000:]}",
        )
        return self.statuses()

    # -- end --------------------------------------------------------------------------------

    def close(self) -> None:
        for daemon in self.daemons:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
        if self._queue is not None:
            self._queue.store.close()
        self._end_marked_processes()
        for pid in self._servers:
            # One that a test has stopped would answer nobody.
            if is_running(pid):
                os.kill(pid, signal.SIGCONT)
        if self.tmux_pid() is not None:
            self.tmux("kill-server")
        self._end_marked_processes()
        for pid in self._servers:
            wait_until(lambda pid=pid: not is_running(pid), explain=lambda: "tmux does not end")

    def _end_marked_processes(self) -> None:
        """End what a test's hostile project left: it carries this home in its environment."""
        for pid in _processes_with(
            f"TMUX_ORCHESTRATOR_HOME={self.environ['TMUX_ORCHESTRATOR_HOME']}"
        ):
            if pid != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _processes_with(entry: str) -> list[int]:
    """Return processes with this entry in the environment they were started with."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def is_running(pid: int) -> bool:
    """Return whether a process is there; a zombie is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until(
    condition: Callable[[], bool],
    timeout_sec: float = 20,
    explain: Callable[[], str] = lambda: "",
) -> None:
    """Return as soon as the condition holds; fail the test if it never does."""
    deadline = time.monotonic() + timeout_sec
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {timeout_sec} s: {explain()}")
        time.sleep(0.02)


@contextlib.contextmanager
def installation(**settings: str) -> Iterator[Installation]:
    """A fresh installation below a path short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="to-"))
    place = Installation(folder, **settings)
    try:
        yield place
    finally:
        place.close()
        shutil.rmtree(folder, ignore_errors=True)
