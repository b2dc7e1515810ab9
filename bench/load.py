"""What work costs: following projects, and carrying out a thousand that do nothing."""

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from bench.house import House
from bench.latency import SLOTS, add_checkins
from bench.lib import ROOT, Absent, Bench, Figure, Goal, interleave, per_pair, timed, wait_until
from bench.processes import cpu_sec, tree_cpu_sec
from bench.raw_tmux import Control, Server
from bench.spooler import Spooler

QUEUED = 100
ROUND_SEC = 10
NOOPS = 1000

GOALS = (
    Goal("load.cpu", "CPU for each managed project, of a loop that makes the old calls", 0.7),
    Goal(
        "load.drain",
        "no-op projects/s through 8 slots, of a bare control-mode new-session loop",
        0.25,
        is_floor=True,
    ),
    Goal("load.drain.spooler", "the same, of task-spooler's with 8 slots"),
)


def measure(bench: Bench) -> Iterator[Figure]:
    goals = {goal.name: goal for goal in GOALS}
    if bench.wants("load.cpu"):
        yield _following(bench, goals["load.cpu"])
    if bench.wants("load.drain", "load.drain.spooler"):
        yield from _drains(bench, goals)


def _following(bench: Bench, goal: Goal) -> Figure:
    """Watch both over the same stretches, each of which holds one round of the old calls.

    To each side belongs its own tmux server: what is asked of it, it has to answer.
    """
    round_sec = bench.size(ROUND_SEC, 1)
    spent: dict[str, list[float]] = {"ours": [], "old": []}
    with bench.place("load") as folder, ExitStack() as stack:
        house = stack.enter_context(House(folder, MAX_CONCURRENT_PROJECTS=str(SLOTS)))
        daemon = stack.enter_context(house.at_work())
        add_checkins(house)
        house.enqueue_many(QUEUED + SLOTS, "long", "command: sleep 9999")
        house.until_status(SLOTS, "processing")
        server = stack.enter_context(Server(folder))
        names = [f"old-{number}" for number in range(SLOTS)]
        for name in names:
            server.run("new-session", "-d", "-s", name, "--", "sleep", "9999")
        old = stack.enter_context(_old_loop(server, round_sec, names))
        ours_server = house.tmux_pid()

        def used() -> dict[str, float]:
            return {
                "ours": tree_cpu_sec(daemon) + (cpu_sec(ours_server) if ours_server else 0),
                "old": tree_cpu_sec(old) + cpu_sec(server.pid),
            }

        time.sleep(round_sec)
        for _ in range(bench.reps):
            before = used()
            time.sleep(round_sec)
            for name, cpu in used().items():
                spent[name].append(1000 * (cpu - before[name]) / SLOTS)
    told = {
        "ms each 10 s": statistics.median(spent["ours"]) * ROUND_SEC / round_sec,
        "old ms": statistics.median(spent["old"]) * ROUND_SEC / round_sec,
        "projects": float(SLOTS),
        "queued": float(QUEUED),
    }
    return Figure(goal, per_pair(spent["ours"], spent["old"]), told)


@contextmanager
def _old_loop(server: Server, round_sec: float, sessions: list[str]) -> Iterator[int]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-S", "-E", str(ROOT / "bench" / "old_loop.py")),
            *(server.argv[server.argv.index("-S") + 1], str(round_sec), *sessions),
        ]
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _drains(bench: Bench, goals: Mapping[str, Goal]) -> Iterator[Figure]:
    """Carry out a thousand no-ops in as many parts as there are rounds, beside the others."""
    count = bench.size(NOOPS // bench.reps, 8)
    with bench.place("drain") as folder, ExitStack() as stack:
        house = stack.enter_context(House(folder, MAX_CONCURRENT_PROJECTS=str(SLOTS)))
        daemon = stack.enter_context(house.at_work())
        server = stack.enter_context(Server(folder))
        control = stack.enter_context(Control(server.argv))
        drain = Drain(house, daemon, server, control, count)
        cases = {"raw": drain.raw, "ours": drain.ours}
        note = ""
        try:
            spooler = stack.enter_context(Spooler(folder, SLOTS))
            cases["spooler"] = lambda: timed(lambda: spooler.drain(count))
        except Absent as error:
            note = str(error)
        found = interleave(cases, bench.reps)
    told = {f"{name}/s": count / statistics.median(spent) for name, spent in found.items()}
    told |= {f"{name} CPU ms each": statistics.median(ms) for name, ms in drain.cpu_ms.items()}
    told["rounds of"] = float(count)
    yield Figure(goals["load.drain"], per_pair(found["raw"], found["ours"]), told)
    if note:
        yield Figure(goals["load.drain.spooler"], None, note=note)
    else:
        yield Figure(goals["load.drain.spooler"], per_pair(found["spooler"], found["ours"]))


class Drain:
    """Carries out no-ops, ours or bare ones; keeps what each cost in CPU, all ends included."""

    def __init__(
        self, house: House, daemon: int, server: Server, control: Control, count: int
    ) -> None:
        self._house, self._daemon, self._count = house, daemon, count
        self._server, self._control = server, control
        self._numbers = itertools.count()
        self.cpu_ms: dict[str, list[float]] = {"daemon": [], "tmux": [], "raw tmux": []}

    def ours(self) -> float:
        done, name = self._ended(), f"noop{next(self._numbers)}"
        server = self._house.tmux_pid()
        with ExitStack() as spent:
            spent.enter_context(self._spent("daemon", lambda: tree_cpu_sec(self._daemon)))
            if server is not None:
                spent.enter_context(self._spent("tmux", lambda: cpu_sec(server)))
            began = time.perf_counter()
            self._house.enqueue_many(self._count, name, "command: 'true'")
            wait_until(lambda: self._ended() >= done + self._count, "no-ops to end", 300, 0.02)
            return time.perf_counter() - began

    def raw(self) -> float:
        with self._spent("raw tmux", lambda: cpu_sec(self._server.pid)):
            began = time.perf_counter()
            for _ in range(self._count):
                self._control.run(f"new-session -d -s n{next(self._numbers)} 'exec true'")
            return time.perf_counter() - began

    @contextmanager
    def _spent(self, name: str, used: Callable[[], float]) -> Iterator[None]:
        before = used()
        yield
        self.cpu_ms[name].append(1000 * (used() - before) / self._count)

    def _ended(self) -> int:
        """Return how many projects are over, all of their processes too."""
        statement = "select count(*) from project_run where cleaned_at is not null"
        return int(self._house.query(statement)[0][0])
