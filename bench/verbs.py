"""What the everyday verbs cost, beside an interpreter that only imports what they must have.

    python bench/verbs.py [--reps N] [--out FILE]

Prints a table: CPU seconds and peak memory (medians) of each verb in a pipe, and the ratio to the
reference, measured in turn in one run. FILE gets the same as JSON, with machine and versions.
"""

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = [sys.executable, "-c", "import click, sqlite3"]
ENTRY = [sys.executable, str(ROOT / "scheduler_entrypoint.py")]
GOAL = 2.0


def cost(argv: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Run a command to its end; return its CPU seconds and its peak memory in MiB."""
    process = subprocess.Popen(
        argv, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"error: {argv} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def measure(folder: Path, reps: int) -> dict[str, dict[str, float]]:
    """Return the medians of each command, measured in turn."""
    environ = {**os.environ, "TMUX_ORCHESTRATOR_HOME": str(folder / "home")}
    specs = [folder / f"spec-{number}.md" for number in range(reps + 1)]
    for spec in specs:
        spec.write_text("---\ncommand: make\n---\n# Work\n")
    commands = {
        "reference": lambda _: REFERENCE,
        "add": lambda turn: [*ENTRY, "add", str(specs[turn])],
        "list": lambda _: [*ENTRY, "list"],
        "show": lambda _: [*ENTRY, "show", "1"],
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(reps + 1):
        for name, argv in commands.items():
            taken[name].append(cost(argv(turn), environ))
    # The first turn makes the database and the bytecode.
    return {
        name: {
            "cpu_sec": statistics.median(cpu for cpu, _ in rows[1:]),
            "peak_mib": statistics.median(peak for _, peak in rows[1:]),
        }
        for name, rows in taken.items()
    }


def main() -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=9, help="turns that count (default 9)")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    if options.reps < 1:
        parser.error("--reps must be at least 1")
    with tempfile.TemporaryDirectory(prefix="to-bench-") as folder:
        found = measure(Path(folder), options.reps)
    base = found["reference"]["cpu_sec"]
    print(f"{'':10} {'CPU ms':>8} {'ratio':>6} {'goal':>6} {'MiB':>6}")
    for name, row in found.items():
        row["ratio"] = row["cpu_sec"] / base if base else 0.0
        goal = "" if name == "reference" else f"<= {GOAL:g}"
        print(
            f"{name:10} {row['cpu_sec'] * 1000:8.1f} {row['ratio']:6.2f} {goal:>6} "
            f"{row['peak_mib']:6.1f}"
        )
    if options.out is not None:
        versions = {name: metadata.version(name) for name in ("click", "msgspec")}
        machine = {"cores": os.cpu_count(), "machine": platform.machine()}
        versions |= {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
        document = {"reps": options.reps, "verbs": found, **machine, "versions": versions}
        options.out.write_text(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
