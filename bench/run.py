"""Measures what the project promises, beside reference loops and peers.

    python bench/run.py [--short] [--only NAME ...] [--list] [--reps N] [--seed N] [--out FILE]

Prints one table on stdout, progress on stderr, and writes FILE as JSON. NAME is a theme or a
figure. A missed goal is told, not punished: the exit code is 1 only if something could not be
measured.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType

# A script's own folder stands first on the path; its modules are to be named by their package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.lib import Absent, Bench, Figure  # noqa: E402
from bench.report import document, print_table, write_json  # noqa: E402

THEMES = (
    "verbs",
    "sqlite_queue",
    "latency",
    "load",
    "sessions",
    "idle",
    "postgres",
    "peers",
)


def theme(name: str) -> ModuleType:
    """Return a theme: it has `GOALS`, and `measure(bench)` that gives a figure for each."""
    return import_module(f"bench.{name}")


def measure(name: str, bench: Bench) -> tuple[list[Figure], bool]:
    """Return the figures of one theme that are wanted, and whether all could be measured.

    What a theme did not come to is told as absent, with what kept it.
    """
    module = theme(name)
    wanted = [goal for goal in module.GOALS if bench.wants(goal.name)]
    found: dict[str, Figure] = {}
    kept, is_whole = "", True
    try:
        for figure in module.measure(bench):
            found[figure.goal.name] = figure
            print(f"  {figure.goal.name}: {figure.shown}", file=sys.stderr, flush=True)
    except Absent as error:
        kept = str(error)
    except Exception as error:  # noqa: BLE001 - one theme must not take the others along
        kept, is_whole = f"{type(error).__name__}: {error}", False
        print(f"  {kept}", file=sys.stderr, flush=True)
    return [found.get(goal.name, Figure(goal, None, note=kept)) for goal in wanted], is_whole


def run(bench: Bench, out: Path | None) -> int:
    """Measure every theme that is wanted; return the exit code."""
    started_at, load = time.time(), os.getloadavg()
    figures: list[Figure] = []
    durations: dict[str, float] = {}
    is_whole = True
    for name in THEMES:
        if not bench.wants(*(goal.name for goal in theme(name).GOALS)):
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        found, is_good = measure(name, bench)
        durations[name] = time.monotonic() - began
        figures += found
        is_whole &= is_good
    print_table(figures)
    if out is not None:
        write_json(out, document(bench, figures, durations, load, started_at))
    return 0 if is_whole else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--short", action="store_true", help="little of everything; times mean little"
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument(
        "--list", action="store_true", help="list themes and figures, measure nothing"
    )
    parser.add_argument("--reps", type=int, help="rounds that count (default 5; short: 2)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write everything here as JSON")
    options = parser.parse_args()
    if options.reps is not None and options.reps < 1:
        parser.error("--reps must be at least 1")
    known = {goal.name for name in THEMES for goal in theme(name).GOALS}
    for asked in options.only:
        if not any(name == asked or name.startswith(f"{asked}.") for name in known):
            parser.error(f"--only {asked}: no theme and no figure is called so; see --list")
    return options


def main() -> int:
    options = arguments()
    if options.list:
        for name in THEMES:
            for goal in theme(name).GOALS:
                print(f"{goal.name:32} {goal!s:12} {goal.text}")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    bench = Bench(
        folder=folder,
        is_short=options.short,
        reps=options.reps or (2 if options.short else 5),
        seed=options.seed,
        only=tuple(options.only),
    )
    try:
        return run(bench, options.out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
