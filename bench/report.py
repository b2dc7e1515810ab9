"""Tells what was measured: one table, and one JSON document with machine and versions."""

import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.lib import Bench, Figure, number

PACKAGES = (
    "alembic",
    "click",
    "dependency-injector",
    "msgspec",
    "psutil",
    "psycopg",
    "PyYAML",
    "rich",
    "SQLAlchemy",
    "structlog",
)
HEADINGS = ("figure", "goal", "measured", "", "numbers behind it")


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "model": _cpu_model(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
    }


def versions() -> dict[str, str | None]:
    """Return versions by program; None for what is not here."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "tmux": _said_by("tmux", "-V"),
        "postgres": _said_by("pg_ctl", "--version"),
        "task-spooler": _said_by("tsp", "-V"),
    }
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def document(
    bench: Bench,
    figures: Sequence[Figure],
    durations_sec: Mapping[str, float],
    load_before: Sequence[float],
    started_at: float,
) -> dict[str, Any]:
    """Return everything that was found, ready for JSON."""
    return {
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started_at)),
        "is_short": bench.is_short,
        "reps": bench.reps,
        "seed": bench.seed,
        "machine": machine() | {"load_before": list(load_before), "load_after": os.getloadavg()},
        "versions": versions(),
        "durations_sec": {name: round(sec, 1) for name, sec in durations_sec.items()},
        "figures": [_figure(figure) for figure in figures],
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def print_table(figures: Sequence[Figure]) -> None:
    """Print one line a figure: by rich on a terminal, plain columns in a pipe."""
    rows = [_row(figure) for figure in figures]
    if sys.stdout.isatty():
        _print_rich(rows)
        return
    widths = [max(len(row[at]) for row in (HEADINGS, *rows)) for at in range(4)]
    for row in (HEADINGS, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        print("  ".join((*cells, row[4])).rstrip())


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    told = [f"{name} {_shown(value)}" for name, value in figure.raw.items()]
    if figure.note:
        told.append(figure.note)
    return figure.goal.name, str(figure.goal), figure.shown, figure.verdict, ", ".join(told)


def _print_rich(rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    styles = {"ok": "green", "missed": "bold red", "absent": "yellow"}
    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=heading != HEADINGS[-1])
    for name, goal, shown, verdict, told in rows:
        style = styles.get(verdict, "dim")
        table.add_row(name, goal, shown, f"[{style}]{verdict}[/]", told)
    Console().print(table)


def _figure(figure: Figure) -> dict[str, Any]:
    goal = figure.goal
    return {
        "name": goal.name,
        "what": goal.text,
        "goal": goal.limit,
        "is_floor": goal.is_floor,
        "unit": goal.unit,
        "value": figure.value,
        "verdict": figure.verdict,
        "raw": dict(figure.raw),
        "note": figure.note,
    }


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else number(value)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "")


def _said_by(*argv: str) -> str | None:
    """Return the first line a program says of itself; None where it is missing."""
    if shutil.which(argv[0]) is None:
        return None
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    return (done.stdout or done.stderr).partition("\n")[0].strip()
