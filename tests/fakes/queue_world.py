"""A queue on fakes: store, clock, two tmux servers, and rows in any state."""

import itertools
from typing import Any

import msgspec

from scheduler_modules.model import (
    LaunchPlan,
    NewProject,
    Project,
    Run,
    WindowPlan,
)
from scheduler_modules.queue_control import QueueControl
from scheduler_modules.queue_manager import QueueManager
from scheduler_modules.queue_moves import QueueMoves
from scheduler_modules.run_ledger import RunLedger
from scheduler_modules.tmux_values import (
    CreatedSession,
    PaneCommand,
    SessionPlan,
)
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore
from tests.fakes.tmux import FakeTmux

PLAN = LaunchPlan(cwd="/p", windows=(WindowPlan(role="main", argv=("true", "x")),))


class QueueWorld:
    """`tmux` is our server, `old_tmux` the user's own."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        self.tmux = FakeTmux(self.clock.now)
        self.old_tmux = FakeTmux(self.clock.now)
        self.moves = QueueMoves(self.store, self.clock)
        tokens = (f"{number:08x}" + "0" * 24 for number in itertools.count(1))
        self.queue = QueueManager(
            self.moves, host="here", max_concurrent=99, new_token=lambda: next(tokens)
        )
        self.control = QueueControl(self.moves)
        self.ledger = RunLedger(self.moves, retry_delay_sec=30)

    def old_row(self, spec_path: str = "/specs/web.md", **columns: Any) -> int:
        """Insert a row as an old program would; `age_sec` sets its start."""
        if "age_sec" in columns:
            columns["started_at"] = self.clock.now() - columns.pop("age_sec")
        return self.store.insert_row(spec_path=spec_path, **columns)

    def enqueue(self, stem: str = "web", **fields: Any) -> int:
        path = f"/specs/{stem}.md"
        new = NewProject(
            **{"spec_path": path, "name": stem, "enqueued_at": self.clock.now(), "spec_key": path}
            | fields
        )
        return self.queue.enqueue(new).project_id

    def claim(self, stem: str = "web") -> Run:
        """Queue a project and claim it; its session is not made yet."""
        self.enqueue(stem)
        claim = self.queue.claim_next("daemon")
        assert claim is not None
        return claim.run

    def start(self, stem: str = "web", plan: LaunchPlan = PLAN) -> Run:
        """Queue a project, claim it and bring its session up on our server."""
        run = self.claim(stem)
        created = self.open_session(run)
        return self.ledger.record_session(
            self.ledger.record_plan(run, plan), created, adopted=False
        )

    def open_session(self, run: Run) -> CreatedSession:
        window = PaneCommand(role="main", argv=("true", "x"), log_path="/logs/main.log")
        return self.tmux.create_session(
            SessionPlan(
                name=run.session_name,
                cwd="/p",
                env={},
                windows=(window,),
                project_id=run.project_id,
                run_token=run.token,
            )
        )

    def project(self, project_id: int) -> Project:
        return self.queue.get(project_id)

    def status_of(self, project_id: int) -> str:
        return self.queue.get(project_id).status


def with_timeout(timeout_sec: float) -> LaunchPlan:
    return msgspec.structs.replace(PLAN, timeout_sec=timeout_sec)
