"""The command line over a world of fakes: what was typed, what came out."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from scheduler_modules import compose
from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.output import Terminal
from scheduler_modules.cli_handler import run_cli
from tests.fakes.lock import FakeLocks
from tests.fakes.probes import FakeProbes
from tests.world import World

DAEMON_PID = 4242


class Stream(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, text: str = "", *, is_tty: bool = False) -> None:
        super().__init__(text)
        self._is_tty = is_tty

    def isatty(self) -> bool:
        return self._is_tty


@dataclass
class Answer:
    """What one call printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def rows(self) -> list[list[str]]:
        """The records of a pipe, split at their tabs."""
        return [line.split("\t") for line in self.lines]


def run_elsewhere(world: "CliWorld", stem: str = "docs") -> int:
    """Queue a project and let a daemon of another machine claim it; return the id."""
    project_id = world.add(stem)
    world.make_container(host_name="workbench").queue_manager().claim_next("other")
    return project_id


def steps(*acts: Callable[[], None]) -> Callable[[], None]:
    """Return what does one act at each pause, and nothing after the last."""
    todo = list(acts)

    def step() -> None:
        if todo:
            todo.pop(0)()

    return step


class FakeRunLog:
    """Reads a log of `FakeRunFiles` as `RunLog` reads one from disk."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._position = 0

    def tail_lines(self, count: int) -> bytes:
        content = self._read().encode()
        self._position = len(content)
        return b"".join(content.splitlines(keepends=True)[-count:]) if count else b""

    def tail_bytes(self, limit_bytes: int) -> bytes:
        content = self._read().encode()
        self._position = len(content)
        return content[-limit_bytes:]

    def read_new(self) -> bytes:
        content = self._read().encode()
        new, self._position = content[self._position :], len(content)
        return new


class FakeParts:
    """`compose` as tests have it: every part is the world's."""

    def __init__(self, world: "CliWorld") -> None:
        self._world = world

    def open_clock(self) -> Any:
        return self._world.clock

    def open_queue(self, config: Any) -> Any:
        moves = compose.make_moves(self._world.store, self._world.clock)
        return compose.make_queue(moves, config)

    def make_control(self, queue: Any) -> Any:
        return compose.make_control(queue)

    def open_tmux(self, config: Any) -> Any:
        return self._world.tmux

    def open_old_tmux(self, config: Any) -> Any:
        if config.tmux_socket == "default":
            return None
        return self.open_tmux(msgspec.structs.replace(config, tmux_socket="default"))

    def open_processes(self, config: Any) -> Any:
        return self._world.processes

    def open_run_files(self, config: Any) -> Any:
        return self._world.files

    def open_locks(self, config: Any, clock: Any) -> Any:
        return FakeLocks(self._world.lock_table, "command line")

    def run_log_path(self, config: Any, token: str, role: str) -> Path:
        return Path(self._world.files.log_path(token, role))

    def open_run_log(self, config: Any, token: str, role: str) -> FakeRunLog:
        return FakeRunLog(lambda: self._world.files.log(token, role))

    def host_name(self, config: Any) -> str:
        return "here"

    def open_tmux_probe(self, config: Any) -> Any:
        return self._world.probes.of_tmux

    def open_database_probe(self, config: Any) -> Any:
        return self._world.probes.of_database

    def open_machine_probe(self, config: Any) -> Any:
        return self._world.probes.of_machine

    def open_change_sources(self, config: Any, clock: Any) -> list[Any]:
        return []


class CliWorld(World):
    """Each pause of a verb lets the daemon tick, if one runs, and `meanwhile` happen."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__(folder, **settings)
        self.environ: dict[str, str] = {
            "TMUX_ORCHESTRATOR_HOME": str(self.home),
            "MAX_CONCURRENT_PROJECTS": str(settings.get("max_concurrent_projects", 1)),
        }
        self.probes = FakeProbes()
        self.meanwhile: Callable[[], None] = lambda: None
        self.pauses = 0

    def start_daemon(self) -> None:
        """Let a daemon run: it holds its locks and ticks whenever a verb pauses."""
        self.processes.start(pid=DAEMON_PID)
        self.lock_table.pids["daemon"] = DAEMON_PID
        for lock in (self.locks.mode("default"), *map(self.locks.duty, ("launch", "checkin"))):
            lock.try_acquire()

    def stop_daemon(self) -> None:
        """Let the daemon end; what runs goes on."""
        self.lock_table.end("daemon")
        process = self.processes.identity(DAEMON_PID)
        if process is not None:
            self.processes.end(process)

    def call(self, *argv: str, stdin: str = "", is_tty: bool = False, **environ: str) -> Answer:
        """Type a command line; `is_tty`: a person sits there."""
        streams = [Stream(stdin, is_tty=is_tty), Stream(is_tty=is_tty), Stream(is_tty=is_tty)]
        code = self.call_on(*streams, *argv, **environ)
        return Answer(code, streams[1].getvalue(), streams[2].getvalue())

    def call_on(self, stdin: Any, stdout: Any, stderr: Any, *argv: str, **environ: str) -> int:
        """The same on given streams."""
        environ = {**self.environ, **environ}
        terminal = Terminal(stdin, stdout, stderr, environ)
        return run_cli(argv, Cli(terminal, environ, FakeParts(self), pause=self._pause))

    def _pause(self, sec: float) -> None:
        self.pauses += 1
        if self.pauses > 1000:
            raise AssertionError("the verb never came to an end")
        self.meanwhile()
        if "scheduler-default" in self.lock_table.holders:
            self.tick()
        else:
            self.clock.advance(sec)
