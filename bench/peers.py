"""Other tools that do a part of what this one does. Told for comparison, with no goal."""

import statistics
import time
from collections.abc import Iterator

from bench.fifo import Fifo
from bench.house import House
from bench.lib import Bench, Figure, Goal, interleave, per_pair, timed
from bench.spooler import Spooler

GOALS = (
    Goal("peers.spooler.start", "enqueue until the command runs, idle: of task-spooler's"),
    Goal("peers.spooler.add", "time of the verb add, of `tsp COMMAND`"),
)


def measure(bench: Bench) -> Iterator[Figure]:
    goals = {goal.name: goal for goal in GOALS}
    with (
        bench.place("peers") as folder,
        Spooler(folder, 8) as spooler,
        House(folder) as house,
        house.at_work(),
        Fifo(folder) as fifo,
    ):
        command = ("sh", "-c", f"echo x >{fifo.path}")
        numbers = iter(range(1_000_000))

        def ours() -> float:
            time.sleep(0.05)
            new = house.new_project(f"p{next(numbers)}", f'command: sh -c "echo x >{fifo.path}"')
            began = time.perf_counter()
            house.queue().enqueue(new)
            return fifo.line()[0] - began

        def theirs() -> float:
            time.sleep(0.05)
            began = time.perf_counter()
            spooler.run("-n", *command)
            return fifo.line()[0] - began

        found = interleave({"tsp": theirs, "ours": ours}, bench.size(40, 3), warm=2)
        yield _figure(goals["peers.spooler.start"], found)

        def add() -> float:
            spec = house.write_spec(f"added-{next(numbers)}", "command: 'true'")
            return timed(lambda: house.cli("add", str(spec)))

        cases = {"tsp": lambda: timed(lambda: spooler.run("-n", "true")), "ours": add}
        found = interleave(cases, bench.size(2 * bench.reps, 2))
        yield _figure(goals["peers.spooler.add"], found)


def _figure(goal: Goal, found: dict[str, list[float]]) -> Figure:
    told = {f"{name} ms": 1000 * statistics.median(spent) for name, spent in found.items()}
    return Figure(goal, per_pair(found["ours"], found["tsp"]), told)
