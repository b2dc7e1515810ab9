"""The everyday verbs, beside an interpreter that only imports what they must have.

Each is a process of its own, in a pipe and on a terminal, on a new database and on one that an old
program left with 22 columns and a `.env` beside it. The first round makes databases and bytecode.
"""

import itertools
import os
import pty
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench import seed
from bench.house import House
from bench.lib import ROOT, Bench, BenchError, Figure, Goal, per_pair
from tests.legacy.old_databases import with_22_columns

VERBS = ("add", "list", "show")
WAYS = {"pipe": 2.0, "terminal": 3.0, "old": 2.0}
REFERENCE = (sys.executable, "-c", "import click, sqlite3")
PROJECTS = 20

_TOLD = {
    "pipe": "CPU in a pipe",
    "terminal": "CPU on a terminal",
    "old": "CPU in a pipe, on an old 22-column database with a .env",
}
GOALS = (
    *(
        Goal(f"verbs.{verb}.{way}", f"{verb}: {_TOLD[way]}, of `import click, sqlite3`", limit)
        for way, limit in WAYS.items()
        for verb in VERBS
    ),
    *(Goal(f"verbs.{verb}.rss", f"{verb}: peak memory", 30, "MiB") for verb in VERBS),
    Goal("verbs.list.100k", "first page of list: time with 100,000 rows, of that with 100", 1.3),
)


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    wall_sec: float
    cpu_sec: float
    peak_mib: float


def measure(bench: Bench) -> Iterator[Figure]:
    goals = {goal.name: goal for goal in GOALS}
    peaks: dict[str, list[float]] = {verb: [] for verb in VERBS}
    is_rss_wanted = bench.wants(*(f"verbs.{verb}.rss" for verb in VERBS))
    for way in WAYS:
        if is_rss_wanted or bench.wants(*(f"verbs.{verb}.{way}" for verb in VERBS)):
            yield from _one_way(bench, goals, way, peaks)
    if is_rss_wanted:
        for verb in VERBS:
            told = dict(zip(WAYS, peaks[verb], strict=True))
            yield Figure(goals[f"verbs.{verb}.rss"], max(peaks[verb]), told)
    if bench.wants("verbs.list.100k"):
        yield _pages(bench, goals["verbs.list.100k"])


def _one_way(
    bench: Bench, goals: Mapping[str, Goal], way: str, peaks: dict[str, list[float]]
) -> Iterator[Figure]:
    """Give each verb's figure for one way of calling it; keep its memory in `peaks`."""
    with bench.place("verbs") as folder, House(folder) as house:
        if way == "old":
            with_22_columns(house.home / "task_queue.db")
            (house.home / ".env").write_text("MAX_CONCURRENT_PROJECTS=3\nLOG_LEVEL=INFO\n")
        for number in range(PROJECTS):
            house.enqueue(f"waits-{number}", "command: make")
        last_id = max(house.statuses())
        fresh = (house.write_spec(f"spec-{n}", "command: make") for n in itertools.count())
        found: dict[str, list[Cost]] = {name: [] for name in ("reference", *VERBS)}
        for turn in range(bench.size(2 * bench.reps + 1, bench.reps) + 1):
            commands = {
                "reference": REFERENCE,
                "add": house.argv("add", str(next(fresh))),
                "list": house.argv("list"),
                "show": house.argv("show", str(last_id)),
            }
            for name, argv in commands.items():
                spent = cost(argv, house.environ, on_terminal=way == "terminal")
                if turn:
                    found[name].append(spent)
    base = [spent.cpu_sec for spent in found["reference"]]
    for verb in VERBS:
        cpu = [spent.cpu_sec for spent in found[verb]]
        peak = statistics.median(spent.peak_mib for spent in found[verb])
        peaks[verb].append(peak)
        yield Figure(
            goals[f"verbs.{verb}.{way}"],
            per_pair(cpu, base),
            {
                "ms": 1000 * statistics.median(cpu),
                "reference ms": 1000 * statistics.median(base),
                "MiB": peak,
            },
        )


def _pages(bench: Bench, goal: Goal) -> Figure:
    with (
        bench.place("few") as few_in,
        bench.place("many") as many_in,
        House(few_in) as few,
        House(many_in) as many,
    ):
        for house, count in ((few, 100), (many, bench.size(100_000, 1000))):
            template = house.enqueue("template", "command: make")
            seed.copies(house.home / "task_queue.db", template, count - 1)
        took: dict[str, list[float]] = {"few": [], "many": []}
        for turn in range(bench.size(2 * bench.reps + 1, bench.reps) + 1):
            for name, house in (("few", few), ("many", many)):
                spent = cost(house.argv("list"), house.environ)
                if turn:
                    took[name].append(spent.wall_sec)
    told = {
        "ms": 1000 * statistics.median(took["many"]),
        "with 100 ms": 1000 * statistics.median(took["few"]),
    }
    return Figure(goal, per_pair(took["many"], took["few"]), told)


def cost(argv: tuple[str, ...], environ: Mapping[str, str], *, on_terminal: bool = False) -> Cost:
    """Run a command to its end and return what it took.

    Raises:
        BenchError: it did not end with 0.
    """
    told, told_by_child = os.pipe()
    probe = (sys.executable, "-S", "-E", str(ROOT / "bench" / "cost.py"), str(told_by_child))
    near, far = pty.openpty() if on_terminal else os.pipe()
    process = subprocess.Popen(
        [*probe, *argv],
        env={**environ, "TERM": "xterm-256color"},
        stdin=far if on_terminal else subprocess.DEVNULL,
        stdout=far,
        stderr=far,
        pass_fds=[told_by_child],
        cwd=ROOT,
    )
    os.close(told_by_child)
    os.close(far)
    said = _read_all(near)
    line = os.read(told, 1000).decode()
    os.close(told)
    process.wait()
    code, wall, cpu, peak = line.split()
    if code != "0":
        raise BenchError(f"{argv} ended with {code}: {said[-300:].decode(errors='replace')}")
    return Cost(float(wall), float(cpu), float(peak))


def _read_all(source: int) -> bytes:
    """Return everything that comes; a terminal whose last user is gone answers with an error."""
    parts = []
    try:
        while part := os.read(source, 65536):
            parts.append(part)
    except OSError:
        pass
    os.close(source)
    return b"".join(parts)
