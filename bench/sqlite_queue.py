"""The queue on SQLite: putting in, taking out, at every depth, beside raw loops as durable."""

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial

from bench import claims, query_plans, seed
from bench.house import House
from bench.lib import Bench, Figure, Goal, interleave, per_pair, timed
from bench.raw_sqlite import RawQueue

BLOCKS = {
    "not_before": "whose time has not come",
    "dependency": "that wait for another",
    "held": "that are held",
    "paused_group": "of a paused group",
    "full_group": "of a full group",
}
DEPTHS = {"1k": 1_000, "100k": 100_000, "1m": 1_000_000}
BLOCKED_PRIORITY = 100
PROCESSES = 16

_CLAIM = "claims/s of the raw loop's, 100,000 queued"
GOALS = (
    Goal("sqlite_queue.enqueue", "enqueue, one commit each: /s of raw commits", 0.3, is_floor=True),
    Goal(
        "sqlite_queue.enqueue.rule",
        "the same with 100,000 queued, the rule against duplicates at work",
        0.3,
        is_floor=True,
    ),
    Goal("sqlite_queue.claim.100k", _CLAIM, 0.4, is_floor=True),
    Goal("sqlite_queue.claim.1m", "a claim's time with 1,000,000 queued, of that with 1,000", 1.5),
    Goal("sqlite_queue.claim.finished", f"{_CLAIM}, 1,000,000 finished beside", 0.4, is_floor=True),
    *(
        Goal(
            f"sqlite_queue.claim.{name}",
            f"claims/s of the raw loop's, behind 100,000 {told}",
            0.4,
            is_floor=True,
        )
        for name, told in BLOCKS.items()
    ),
    Goal("sqlite_queue.scans", "statements that read a large table from end to end", 0, ""),
    Goal("sqlite_queue.crowd", "slowest claim of 16 processes, of the raw loop's slowest", 2),
    Goal("sqlite_queue.twice", "projects that two of 16 processes claimed", 0, ""),
)


def measure(bench: Bench) -> Iterator[Figure]:
    goals = {goal.name: goal for goal in GOALS}
    with ExitStack() as stack:
        queues = Queues(bench, stack)
        yield from _enqueues(bench, goals, queues)
        yield from _claims(bench, goals, queues)
        if bench.wants("sqlite_queue.scans"):
            yield query_plans.figure(goals["sqlite_queue.scans"], queues.deep("100k"))
        if bench.wants("sqlite_queue.crowd", "sqlite_queue.twice"):
            yield from _crowd(bench, goals, queues)


class Queues:
    """Queues of every kind that is asked for, each filled once."""

    def __init__(self, bench: Bench, stack: ExitStack) -> None:
        self._bench = bench
        self._stack = stack
        self._made: dict[str, House] = {}
        self._raw: dict[str, RawQueue] = {}

    def raw(self, name: str, depth: int = 0) -> RawQueue:
        if name not in self._raw:
            folder = self._stack.enter_context(self._bench.place("raw"))
            raw = RawQueue(folder / "raw.db", self._rows(depth))
            self._stack.callback(raw.close)
            self._raw[name] = raw
        return self._raw[name]

    def empty(self, name: str) -> House:
        if name not in self._made:
            folder = self._stack.enter_context(self._bench.place(name))
            self._made[name] = self._stack.enter_context(
                House(folder, MAX_CONCURRENT_PROJECTS="1000")
            )
        return self._made[name]

    def deep(self, depth: str) -> House:
        """A queue in which everything may run."""
        return self._filled(f"deep-{depth}", partial(self._fill, DEPTHS[depth]))

    def beside_finished(self) -> House:
        return self._filled("finished", self._fill_beside_finished)

    def blocked(self, kind: str) -> House:
        """A queue whose first rows cannot run."""
        return self._filled(kind, partial(self._fill_blocked, kind))

    def _filled(self, name: str, fill: Callable[[House], None]) -> House:
        is_new = name not in self._made
        house = self.empty(name)
        if is_new:
            self._bench.say(f"filling a queue: {name}")
            fill(house)
        return house

    def _rows(self, count: int) -> int:
        return self._bench.size(count, max(count // 100, min(count, 300)))

    def _fill(self, count: int, house: House) -> None:
        template = house.enqueue("template", "command: make")
        _copy(house, template, self._rows(count) - 1)

    def _fill_beside_finished(self, house: House) -> None:
        template = house.enqueue("finished", "command: make")
        claims.claim_sec(house.queue(), 1)
        _copy(house, template, self._rows(DEPTHS["1m"]) - 1)
        self._fill(DEPTHS["100k"], house)

    def _fill_blocked(self, kind: str, house: House) -> None:
        blocked = partial(house.enqueue, front="command: make", priority=BLOCKED_PRIORITY)
        store = house.queue().store
        if kind == "not_before":
            template = blocked("later", not_before=4e9)
        elif kind == "dependency":
            template = blocked("dependent", after_keys=("/nobody/has/this.md",))
        elif kind == "held":
            template = blocked("held", held_at=1.0)
        elif kind == "paused_group":
            template = blocked("paused", group="paused")
            store.save_group("paused", None, 1.0)
        else:
            store.save_group("full", 1, None)
            blocked("first-of-group", group="full")
            house.queue().claim_next("bench")
            template = blocked("full", group="full")
        _copy(house, template, self._rows(DEPTHS["100k"]) - 1)
        runnable = house.enqueue("template", "command: make")
        _copy(house, runnable, self._rows(DEPTHS["1k"]) - 1)


def _copy(house: House, template: int, count: int) -> None:
    seed.copies(house.home / "task_queue.db", template, count)


def _enqueues(bench: Bench, goals: Mapping[str, Goal], queues: Queues) -> Iterator[Figure]:
    count = bench.size(200, 20)
    kinds = {"sqlite_queue.enqueue": queues.empty, "sqlite_queue.enqueue.rule": queues.deep}
    houses = {
        name: opened("enqueue" if name == "sqlite_queue.enqueue" else "100k")
        for name, opened in kinds.items()
        if bench.wants(name)
    }
    if not houses:
        return
    names = (f"e{n}" for n in itertools.count())
    raw = queues.raw("enqueue")

    def enqueue(house: House) -> float:
        # The text of the spec is not the queue's: it is written beforehand.
        new = [house.new_project(next(names)) for _ in range(count)]
        return timed(lambda: [house.queue().enqueue(project) for project in new])

    found = interleave(
        {"raw": lambda: timed(lambda: raw.enqueue(count))}
        | {name: partial(enqueue, house) for name, house in houses.items()},
        bench.reps,
    )
    for name in houses:
        told = {
            "/s": claims.per_sec(count, found[name]),
            "raw/s": claims.per_sec(count, found["raw"]),
        }
        yield Figure(goals[name], per_pair(found["raw"], found[name]), told)


def _claims(bench: Bench, goals: Mapping[str, Goal], queues: Queues) -> Iterator[Figure]:
    count = bench.size(128, 16)
    houses = _houses(bench, queues)
    if not houses:
        return
    raw = queues.raw("claim", DEPTHS["100k"])
    cases = {
        name: partial(claims.claim_sec, house.queue(), count) for name, house in houses.items()
    }
    found = interleave(
        {"raw": lambda: timed(lambda: [raw.claim() for _ in range(count)]), **cases}, bench.reps
    )
    raw_per_sec = claims.per_sec(count, found["raw"])
    for name in houses:
        goal = goals.get(f"sqlite_queue.claim.{name}")
        told = {"/s": claims.per_sec(count, found[name])}
        if goal is None:
            continue
        if name == "1m":
            told |= {"with 1k/s": claims.per_sec(count, found["1k"])}
            yield Figure(goal, per_pair(found["1m"], found["1k"]), told)
        else:
            told |= {"raw/s": raw_per_sec}
            yield Figure(goal, per_pair(found["raw"], found[name]), told)


def _houses(bench: Bench, queues: Queues) -> dict[str, House]:
    """Return the queues that the wanted figures are measured on."""
    houses: dict[str, House] = {}
    if bench.wants("sqlite_queue.claim.100k"):
        houses["100k"] = queues.deep("100k")
    if bench.wants("sqlite_queue.claim.1m"):
        houses |= {"1k": queues.deep("1k"), "1m": queues.deep("1m")}
    if bench.wants("sqlite_queue.claim.finished"):
        houses["finished"] = queues.beside_finished()
    for kind in BLOCKS:
        if bench.wants(f"sqlite_queue.claim.{kind}"):
            houses[kind] = queues.blocked(kind)
    return houses


def _crowd(bench: Bench, goals: Mapping[str, Goal], queues: Queues) -> Iterator[Figure]:
    """Give the slowest claim of many processes, and whether any two got the same."""
    each, crowd = bench.size(20, 4), bench.size(PROCESSES, 4)
    raw, house = queues.raw("crowd", DEPTHS["100k"]), queues.deep("100k")
    taken: dict[str, list[claims.Taken]] = {"raw": [], "ours": []}
    for turn in range(bench.reps + 1):
        for name, opened in (("raw", raw.opener()), ("ours", claims.opener(house.config))):
            found = claims.at_once([opened] * crowd, each)
            if turn:
                taken[name].append(found)
        claims.end_all(house.queue())
    slowest = {name: [one.slowest_sec for one in found] for name, found in taken.items()}
    yield Figure(
        goals["sqlite_queue.crowd"],
        per_pair(slowest["ours"], slowest["raw"]),
        {
            "processes": float(crowd),
            "ms": 1000 * statistics.median(slowest["ours"]),
            "raw ms": 1000 * statistics.median(slowest["raw"]),
        },
    )
    claimed = sum(len(one.ids) for one in taken["ours"])
    twice = sum(one.twice for one in taken["ours"])
    yield Figure(goals["sqlite_queue.twice"], float(twice), {"claims": float(claimed)})
