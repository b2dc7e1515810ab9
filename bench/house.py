"""A throw-away installation for measuring: as the tests', but with the settings people have."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from bench.lib import ROOT, BenchError, wait_until
from scheduler_modules.compose import open_daemon_tmux
from scheduler_modules.config import SchedulerConfig, ensure_home, load_config
from scheduler_modules.model import NewProject
from scheduler_modules.ports import Tmux
from tests.lab.installation import QUICK, Installation


class House(Installation):
    """Closes itself; ends only what it started."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, **settings)
        # People have bytecode kept and output buffered, whatever this shell is told.
        told = {name for name in self.environ if name.startswith("PYTHON")}
        for name in told | (QUICK.keys() - settings.keys()):
            self.environ.pop(name, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def config(self) -> SchedulerConfig:
        config = load_config(self.environ).config
        ensure_home(config)
        return config

    @contextmanager
    def tmux_client(self) -> Iterator[Tmux]:
        """Give the house's tmux server, asked as a daemon asks it."""
        tmux: Any = open_daemon_tmux(self.config)
        try:
            yield tmux
        finally:
            tmux.close()

    def argv(self, *args: str) -> tuple[str, ...]:
        """Return the command of a verb."""
        return (sys.executable, str(ROOT / "scheduler_entrypoint.py"), *args)

    def new_project(self, name: str, front: str = "command: make", **fields: object) -> NewProject:
        """Write a spec and return what `enqueue` makes its row from."""
        spec = str(self.write_spec(name, front))
        values: dict[str, Any] = {
            "spec_path": spec,
            "spec_key": spec,
            "name": name,
            "project_path": str(self.project),
            "project_key": str(self.project),
            "enqueued_at": time.time(),
        }
        return NewProject(**(values | fields))

    def enqueue_many(self, count: int, name: str, command: str, **fields: object) -> list[int]:
        """Queue so many projects with one commit: a daemon sees all of them at once."""
        with self.queue().store.transaction():
            return [self.enqueue(f"{name}-{n}", command, **fields) for n in range(count)]

    @contextmanager
    def at_work(self) -> Iterator[int]:
        """Have a daemon for the block; give its process id.

        Raises:
            BenchError: as what happens in the block, with what the daemon said last.
        """
        # Or the daemon would be the one that makes the database.
        self.queue()
        daemon = self.run_daemon()
        try:
            yield daemon.pid
        except BenchError as error:
            said = self.daemon_log().strip().splitlines()
            raise BenchError(f"{error}; the daemon said: {said[-1:]}") from error
        finally:
            self.stop_daemon(daemon)

    def until_status(self, count: int, *statuses: str, timeout_sec: float = 120) -> None:
        """Return once so many projects are in these states."""
        marks = ", ".join("?" * len(statuses))
        statement = f"select count(*) from project_queue where status in ({marks})"
        wait_until(
            lambda: self.query(statement, *statuses)[0][0] >= count,
            f"{count} projects to be {' or '.join(statuses)}: {self.daemon_log()[-300:]}",
            timeout_sec,
        )
