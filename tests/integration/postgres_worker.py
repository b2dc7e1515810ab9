"""Works on a queue in PostgreSQL in a process of its own, whatever happens to the server.

    python -m tests.integration.postgres_worker URL NAME STOP_FILE

Adds, claims and finishes projects until STOP_FILE is there, then finishes what is left. Each thing
that was done is printed as a JSON list after it was acknowledged. What a lost answer left open is
taken up again from what the tables say, as a daemon does for its host.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from scheduler_modules.adapters import postgres_link
from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.store_postgres import open_postgres_store
from scheduler_modules.errors import DatabaseUnavailable
from scheduler_modules.model import NewProject
from scheduler_modules.queue_manager import QueueManager
from scheduler_modules.queue_moves import QueueMoves


def tell(*what: object) -> None:
    print(json.dumps(what), flush=True)


def count_tries() -> None:
    """Tell of each try to connect."""
    connect = postgres_link.plain_connection

    def counted(url):
        tell("try", time.monotonic())
        return connect(url)

    postgres_link.plain_connection = counted


class Worker:
    def __init__(self, url: str, name: str) -> None:
        self.store = open_postgres_store(url)
        self.name = name
        self.queue = QueueManager(
            QueueMoves(self.store, SystemClock()), host=name, max_concurrent=1000
        )
        self.added = 0

    def add(self) -> None:
        spec = f"{self.name}-{self.added}.md"
        self.added += 1
        done = self.queue.enqueue(
            NewProject(spec_path=spec, name=spec, enqueued_at=time.time(), spec_key=f"/{spec}")
        )
        tell("added", done.project_id)

    def claim(self) -> bool:
        claim = self.queue.claim_next(self.name)
        if claim is not None:
            tell("claimed", claim.project.id, claim.run.token)
        return claim is not None

    def finish(self) -> None:
        for run in self.store.open_runs(self.name):
            self.queue.finish(run.project_id, success=True)
            tell("finished", run.project_id, run.token)

    def persist(self, act: Callable[[], object]) -> None:
        """Do it; where the server is away, say so and wait a moment."""
        try:
            act()
        except DatabaseUnavailable as error:
            tell("trouble", time.monotonic(), str(error))
            threading.Event().wait(0.02)
        else:
            tell("success", time.monotonic())

    def work(self, stop: Path) -> None:
        while not stop.exists():
            for act in (self.add, self.claim, self.finish):
                self.persist(act)
        is_over = False

        def drain() -> None:
            nonlocal is_over
            self.finish()
            is_over = not self.claim()

        while not is_over:
            self.persist(drain)


if __name__ == "__main__":
    count_tries()
    Worker(*sys.argv[1:3]).work(Path(sys.argv[3]))
