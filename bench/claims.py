"""Takes projects off a queue and says how long that took; what was taken is put out of the way.

Slots are freed as on a machine that is at work: a few projects run at a time, not thousands.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.lib import BenchError
from scheduler_modules.compose import open_queue
from scheduler_modules.config import SchedulerConfig
from scheduler_modules.queue_manager import Claim, QueueManager

SLOTS = 8
PATIENCE_SEC = 4.0

Take = Callable[[], int]
"""Claims one thing and returns its id."""


@dataclass(frozen=True)
class Taken:
    """Claims of several processes at the same time."""

    sec: list[float]
    ids: list[int]
    wall_sec: float

    @property
    def slowest_sec(self) -> float:
        return max(self.sec)

    @property
    def twice(self) -> int:
        """How many ids were claimed more than once."""
        return len(self.ids) - len(set(self.ids))


def claim_sec(queue: QueueManager, count: int) -> float:
    """Claim so many projects, a few at a time; return the seconds of the claims alone.

    Where that takes too long, the rest is reckoned from those that were claimed.

    Raises:
        BenchError: the queue gave none.
    """
    spent, left = 0.0, count
    while left > 0 and spent < PATIENCE_SEC:
        taken = []
        for _ in range(min(SLOTS, left)):
            started = time.perf_counter()
            claim = queue.claim_next("bench")
            spent += time.perf_counter() - started
            if claim is None:
                raise BenchError("the queue gave nothing although projects wait")
            taken.append(claim)
        for claim in taken:
            end(queue, claim)
        left -= len(taken)
    return spent * count / (count - left)


def end(queue: QueueManager, claim: Claim) -> None:
    """Let a claimed project be over, with nothing of it alive."""
    queue.finish(claim.project.id, success=True)
    queue.store.mark_cleaned(claim.run.token, time.time())


def at_once(openers: Sequence[Callable[[], Take]], each: int) -> Taken:
    """Claim `each` times in every one of several processes that begin together.

    An opener is called in its process.
    """
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(len(openers)), context.Queue()
    processes = [
        context.Process(target=_claimer, args=(opener, each, barrier, answers))
        for opener in openers
    ]
    for process in processes:
        process.start()
    found = [answers.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    failed = [answer for answer in found if isinstance(answer, str)]
    if failed:
        raise BenchError(failed[0])
    began, ended = min(a[0] for a in found), max(a[1] for a in found)
    return Taken(
        sec=[sec for answer in found for sec in answer[2]],
        ids=[number for answer in found for number in answer[3]],
        wall_sec=ended - began,
    )


def _claimer(opener: Callable[[], Take], each: int, barrier: Any, answers: Any) -> None:
    try:
        take = opener()
        spent, ids = [], []
        barrier.wait(timeout=120)
        began = time.monotonic()
        for _ in range(each):
            started = time.perf_counter()
            ids.append(take())
            spent.append(time.perf_counter() - started)
        answers.put((began, time.monotonic(), spent, ids))
    except Exception as error:  # noqa: BLE001 - the parent tells it
        answers.put(f"{type(error).__name__}: {error}")


def opener(config: SchedulerConfig) -> Callable[[], Take]:
    """Return what opens the queue in a process and claims from it."""

    def open_it() -> Take:
        queue = open_queue(config)

        def take() -> int:
            claim = queue.claim_next("bench")
            if claim is None:
                raise BenchError("the queue gave nothing although projects wait")
            return claim.project.id

        return take

    return open_it


def end_all(queue: QueueManager) -> None:
    """Let everything that is claimed be over."""
    for run in queue.store.open_runs():
        queue.finish(run.project_id, success=True)
        queue.store.mark_cleaned(run.token, time.time())


def per_sec(count: int, spent_sec: Sequence[float]) -> float:
    """Return how many a second, in the median round."""
    return count / statistics.median(spent_sec)
