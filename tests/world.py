"""One daemon, real from the container down, in surroundings that exist only in a test.

Store, tmux, run files, processes, clock and locks are fakes that keep state; what a program in a
window would do is done by the test (`finish`, `die`, `report`). Specs and the project's folder are
real files below one temporary folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dependency_injector import providers

from scheduler_modules.config import SchedulerConfig
from scheduler_modules.container import Container
from scheduler_modules.duty_keeper import DUTIES_OF_MODE
from scheduler_modules.errors import DiskFull, SchedulerError
from scheduler_modules.model import NewProject, Outcome, ProcessIdentity, Project, Run
from tests.fakes.clock import FakeClock
from tests.fakes.lock import FakeLock, FakeLocks, FakeLockTable
from tests.fakes.processes import FakeProcesses
from tests.fakes.run_files import FakeRunFiles
from tests.fakes.store import FakeStore
from tests.fakes.tmux import FakePane, FakeSession, FakeTmux
from tests.fakes.wakeup import FakeWakeup

TICK_SEC = 0.5


class FillableStore(FakeStore):
    """A store whose disk a test can fill: what changes it is rolled back then."""

    is_full = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
            if self.is_full:
                raise DiskFull("task_queue.db: no space left")

    def forget_row(self, project_id: int) -> None:
        """Delete a row as an old program does: it knows of no runs and no plans."""
        with self.transaction():
            del self._tables.projects[project_id]

    def forget_run(self, token: str) -> None:
        """Be an older copy of the database: one that does not know this run yet."""
        with self.transaction():
            del self._tables.runs[token]


class ShakyLocks(FakeLocks):
    """Locks whose folder a test can put out of reach."""

    trouble: SchedulerError | None = None

    def duty(self, name: str) -> FakeLock:
        self._check()
        return super().duty(name)

    def mode(self, name: str) -> FakeLock:
        self._check()
        return super().mode(name)

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class World:
    """`settings` are fields of the configuration. The daemon is made at once, but does not tick."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.home = folder / "home"
        self.specs = folder / "specs"
        self.project = folder / "project"
        for path in (self.home, self.specs, self.project, self.home / "signals"):
            path.mkdir(parents=True, exist_ok=True)
        self.clock = FakeClock()
        self.store = FillableStore()
        self.tmux = FakeTmux(self.clock.now)
        self.files = FakeRunFiles()
        self.processes = FakeProcesses()
        self.lock_table = FakeLockTable()
        self.wakeup = FakeWakeup(self.clock)
        self._settings = settings
        self._programs: dict[tuple[str, str], ProcessIdentity] = {}
        self.container = self.make_container()

    def make_container(
        self, mode: str = "default", process: str = "daemon", **settings: Any
    ) -> Container:
        """Return what a daemon that starts now in these surroundings is made of."""
        values = {
            "home": self.home,
            "scheduler_db_url": f"sqlite:///{self.home}/task_queue.db",
            "host_name": "here",
        }
        config = SchedulerConfig(**(values | self._settings | settings))
        self.locks = ShakyLocks(self.lock_table, process)
        container = Container(
            config=config,
            mode=mode,
            wanted_duties=DUTIES_OF_MODE[mode],
            locks=self.locks,
            wakeup=self.wakeup,
        )
        overrides = {
            "clock": self.clock,
            "store": self.store,
            "tmux": self.tmux,
            "run_files": self.files,
            "processes": self.processes,
            "base_env": {"PATH": "/usr/bin:/bin"},
            # Only rows of old programs may have sessions there.
            "old_tmux": None,
        }
        for name, value in overrides.items():
            getattr(container, name).override(providers.Object(value))
        return container

    # -- the daemon -------------------------------------------------------------------------

    def restart_daemon(self, mode: str = "default", **settings: Any) -> None:
        """Kill the daemon and start another one: nothing it held in memory is left."""
        self.lock_table.end("daemon")
        self.container = self.make_container(mode, **settings)

    @property
    def daemon(self) -> Any:
        return self.container.core_scheduler()

    @property
    def queue(self) -> Any:
        return self.container.queue_manager()

    def tick(self, times: int = 1) -> None:
        """Let the daemon tick and the machine follow, with the usual pause after each."""
        for _ in range(times):
            self.daemon.tick()
            self.settle_machine()
            self.clock.advance(TICK_SEC)

    def tick_for(self, sec: float) -> None:
        self.tick(int(sec / TICK_SEC) + 1)

    # -- the queue --------------------------------------------------------------------------

    def write_spec(self, stem: str, front: str = "command: make all") -> Path:
        path = self.specs / f"{stem}.md"
        path.write_text(f"---\n{front}\n---\n# {stem}\n" if front else f"# {stem}\n")
        return path

    def add(self, stem: str = "build", front: str = "command: make all", **fields: Any) -> int:
        """Write a spec and queue it, knowing nothing of its front matter; return the id."""
        spec = self.write_spec(stem, front)
        values = {
            "spec_path": str(spec),
            "spec_key": str(spec),
            "project_path": str(self.project),
            "project_key": str(self.project),
            "name": stem,
            "enqueued_at": self.clock.now(),
        }
        return int(self.queue.enqueue(NewProject(**(values | fields)), again=True).project_id)

    def add_running(self, stem: str = "build", front: str = "command: make all") -> int:
        """Queue a project and tick until its command runs."""
        project_id = self.add(stem, front)
        self.tick()
        return project_id

    def get(self, project_id: int) -> Project:
        project = self.store.project(project_id)
        assert project is not None
        return project

    def status(self, project_id: int) -> str:
        return self.get(project_id).status

    def reason(self, project_id: int) -> str | None:
        return self.get(project_id).error_message

    def run(self, project_id: int) -> Run:
        """Return the project's newest run."""
        return self.store.runs_of(project_id)[-1]

    def facts(self, project_id: int) -> list[str]:
        return [fact.name for fact in self.store.facts(project_id=project_id)]

    # -- what happens inside a session ------------------------------------------------------

    def session(self, project_id: int) -> FakeSession:
        return self.tmux.sessions[self.run(project_id).session_name]

    def pane(self, project_id: int, role: str = "main") -> FakePane:
        panes = self.session(project_id).panes
        return next(pane for pane in panes if pane.window_name == role)

    def process(self, project_id: int, role: str = "main") -> ProcessIdentity:
        """Return the first process of a window, as it was started."""
        return self._programs[self.run(project_id).token, role]

    def has_program(self, project_id: int, role: str = "main") -> bool:
        return self.processes.is_alive(self.process(project_id, role))

    def finish(self, project_id: int, code: int = 0, role: str = "main", said: str = "") -> None:
        """Let a window's command end and its runner record that."""
        token = self.run(project_id).token
        self.files.write_log(token, role, said)
        self.files.write_exit(token, role, code)
        self.die(project_id, role, status=code)

    def die(
        self,
        project_id: int,
        role: str = "main",
        *,
        status: int | None = None,
        signal: int | None = None,
    ) -> None:
        """Let a window's command and runner end without a record."""
        self.processes.end(self.process(project_id, role))
        self.tmux.end_pane(self.pane(project_id, role).pane_id, status, signal)

    def report(self, project_id: int, outcome: Outcome, note: str | None = None) -> None:
        """Do as `tmux-orchestrator done` (or `fail`) inside the session."""
        self.queue.report(project_id, outcome, note, token=self.run(project_id).token)

    def settle_machine(self) -> None:
        """Start what new windows run, end what lost its terminal, and let tmux see who died."""
        seen = {}
        for session in self.tmux.sessions.values():
            for pane in session.panes:
                if session.plan is not None and pane.command is not None:
                    seen[session.plan.run_token, pane.window_name] = pane
        for key in seen.keys() - self._programs.keys():
            self._start(key, seen[key])
        for key, process in self._programs.items():
            if key not in seen and self.processes.is_alive(process):
                self.processes.end(process)
            elif key in seen and not seen[key].is_dead and not self.processes.is_alive(process):
                self.tmux.end_pane(seen[key].pane_id, signal=15)

    def _start(self, key: tuple[str, str], pane: FakePane) -> None:
        token, role = key
        if not self.files.may_start(token, role):
            self.tmux.end_pane(pane.pane_id, status=125)
            return
        process = self.processes.start(token, session=pane.pid, pid=pane.pid)
        self._programs[key] = process
        self.files.write_start(token, role, process.pid, process.started_ticks)
