"""What every bench is made of: goals, figures, a scratch folder, measuring in turn.

A figure is nearly always a ratio between two things done in turn in one run, because nothing else
survives another machine or a busy one. Times are seconds unless a name says otherwise.
"""

import math
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

Raw = Mapping[str, float | str]
"""Numbers behind a figure, by what they are called in the table."""


@dataclass(frozen=True)
class Goal:
    """A figure that is wanted. `limit` None: it is only told, for comparison."""

    name: str
    text: str
    limit: float | None = None
    unit: str = "x"
    is_floor: bool = False
    """The value must be at least `limit`; else at most."""

    def __str__(self) -> str:
        if self.limit is None:
            return "-"
        return f"{'>=' if self.is_floor else '<='} {self.limit:g}{_UNIT_SHOWN[self.unit]}"


_UNIT_SHOWN = {
    "x": " x",
    "ms": " ms",
    "MiB": " MiB",
    "s/min": " s/min",
    "/min": "/min",
    "/s": "/s",
    "": "",
}


@dataclass(frozen=True)
class Figure:
    """What was measured for a goal. `value` None: it could not be, and `note` says why."""

    goal: Goal
    value: float | None
    raw: Raw = field(default_factory=dict)
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "absent"
        if self.goal.limit is None:
            return "told"
        is_good = (
            self.value >= self.goal.limit if self.goal.is_floor else self.value <= self.goal.limit
        )
        return "ok" if is_good else "missed"

    @property
    def shown(self) -> str:
        return "-" if self.value is None else f"{number(self.value)}{_UNIT_SHOWN[self.goal.unit]}"


@dataclass(frozen=True)
class Bench:
    """What a theme gets: how much to do, where, and whether a figure is asked for at all."""

    folder: Path
    is_short: bool = False
    reps: int = 5
    seed: int = 1
    only: tuple[str, ...] = ()

    def wants(self, *names: str) -> bool:
        """Return whether any of these figures was asked for."""
        return not self.only or any(_matches(name, self.only) for name in names)

    def size(self, full: int, short: int) -> int:
        return short if self.is_short else full

    def random(self) -> random.Random:
        return random.Random(self.seed)

    def say(self, text: str) -> None:
        """Tell on stderr what is being done."""
        print(f"  {text}", file=sys.stderr, flush=True)

    @contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """Give a folder of its own, with a path short enough for a socket in it."""
        path = Path(tempfile.mkdtemp(prefix=f"{name[:6]}-", dir=self.folder))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def _matches(name: str, only: Sequence[str]) -> bool:
    return any(name == asked or name.startswith(f"{asked}.") for asked in only)


def interleave(
    cases: Mapping[str, Callable[[], float]], reps: int, warm: int = 1
) -> dict[str, list[float]]:
    """Call each in turn, round after round; return what each gave, without the first rounds."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(reps + warm):
        for name, act in cases.items():
            value = act()
            if turn >= warm:
                found[name].append(value)
    return found


def medians(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in found.items()}


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def ratio(value: float, reference: float) -> float:
    """Return how many times the reference the value is.

    Raises:
        BenchError: the reference took too little to be measured.
    """
    if reference <= 0:
        raise BenchError("the reference took too little to be measured")
    return value / reference


def per_pair(values: Sequence[float], references: Sequence[float]) -> float:
    """Return the median of the ratios of what was measured in the same round."""
    return statistics.median(ratio(a, b) for a, b in zip(values, references, strict=True))


def timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def number(value: float) -> str:
    """Return a number with three digits that mean something."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 4)}f}"


def wait_until(
    condition: Callable[[], object], what: str, timeout_sec: float = 60, pause_sec: float = 0.01
) -> None:
    """Return once it holds.

    Raises:
        BenchError: it never does.
    """
    deadline = time.monotonic() + timeout_sec
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"waited {timeout_sec:g} s in vain for {what}")
        time.sleep(pause_sec)


class BenchError(Exception):
    """Something could not be measured; the text says why."""


class Absent(BenchError):
    """A program that a figure needs is not here."""
