"""Checks of the database, and of what it says about runs that should be somebody's."""

import math
import re
from collections.abc import Iterator, Sequence

import msgspec

from scheduler_modules.doctor_values import (
    ClockFacts,
    DaemonFacts,
    DatabaseFacts,
    Finding,
    bad,
    ok,
    warn,
)
from scheduler_modules.model import LaunchPlan, Project, Run
from scheduler_modules.utils import one_line, short_duration

SAFE_SQLITE = (3, 51, 3)
"""Before it, a checkpoint that meets a commit of another process could damage the file."""
LARGE_WAL_BYTES = 64 * 1024 * 1024
MUCH_FREE_BYTES = 256 * 1024 * 1024
MUCH_FREE_SHARE = 0.5
_SHOWN = 5
_LATE_SEC = 3600.0


def check_database(facts: DatabaseFacts) -> Iterator[Finding]:
    """Give all findings about the database itself."""
    if facts.is_postgres:
        yield check_postgres(facts)
        return
    yield check_file(facts)
    yield check_sqlite_version(facts)
    if facts.problem is None and facts.is_there:
        yield check_content(facts)
        yield check_size(facts)
        yield check_backups(facts)


def check_postgres(facts: DatabaseFacts) -> Finding:
    name = "database"
    if facts.problem is not None:
        advice = "see that the server runs and SCHEDULER_DB_URL is right; daemons wait for it"
        return bad(name, f"{facts.place}: {one_line(facts.problem)}", advice)
    if not facts.is_there:
        return ok(
            name, f"{facts.place}, PostgreSQL {facts.version}; tables come with the first use"
        )
    if facts.is_behind:
        return _behind(facts)
    return ok(name, f"{facts.place}, PostgreSQL {facts.version}")


def check_file(facts: DatabaseFacts) -> Finding:
    name = "database"
    if facts.problem is not None:
        return bad(name, facts.problem, "nothing works without it; it was left as it is")
    if not facts.is_there:
        return ok(name, f"{facts.place} is made by the first use")
    if facts.is_behind:
        return _behind(facts)
    return ok(name, f"{facts.place}, {_size(facts.size_bytes)}, schema is current")


def _behind(facts: DatabaseFacts) -> Finding:
    return warn(
        "database",
        f"{facts.place} is of an older version",
        "the next command brings it up to date; a file is backed up first",
    )


def check_sqlite_version(facts: DatabaseFacts) -> Finding:
    name = "SQLite version"
    numbers = tuple(int(part) for part in re.findall(r"[0-9]+", facts.version)[:3])
    safe = ".".join(map(str, SAFE_SQLITE))
    if numbers >= SAFE_SQLITE:
        return ok(name, facts.version)
    return warn(
        name,
        f"{facts.version} is older than {safe}: programs that share a file may damage it"
        " (WAL-reset bug)",
        f"ours keep clear of it; where old programs use this file too, get SQLite {safe}",
    )


def check_content(facts: DatabaseFacts) -> Finding:
    name = "database content"
    if facts.damage is None:
        return warn(
            name,
            "too large to be checked in time",
            "when idle: sqlite3 FILE 'pragma integrity_check'",
        )
    if facts.damage:
        told = one_line("; ".join(facts.damage), 200)
        return bad(name, f"damaged: {told}", "stop the daemon, restore a backup, look at the disk")
    return ok(name, "quick check found nothing wrong")


def check_size(facts: DatabaseFacts) -> Finding:
    name = "database size"
    if facts.wal_bytes > LARGE_WAL_BYTES:
        return warn(
            name,
            f"its write-ahead log has {_size(facts.wal_bytes)}: somebody reads without end",
            "find who has it open (fuser FILE), or restart the daemon",
        )
    is_mostly_free = facts.free_bytes > facts.size_bytes * MUCH_FREE_SHARE
    if is_mostly_free and facts.free_bytes > MUCH_FREE_BYTES:
        return warn(
            name,
            f"{_size(facts.free_bytes)} of {_size(facts.size_bytes)} are unused",
            "with the daemon stopped: sqlite3 FILE vacuum",
        )
    return ok(name, f"write-ahead log {_size(facts.wal_bytes)}, unused {_size(facts.free_bytes)}")


def check_backups(facts: DatabaseFacts) -> Finding:
    # Kept by changes of the schema alone: none is no fault.
    return ok("backups", f"{facts.backups} beside the database" if facts.backups else "none yet")


# -- runs ---------------------------------------------------------------------------------------


def check_runs(
    *,
    host: str,
    is_shared: bool,
    processing: Sequence[Project],
    runs: Sequence[Run],
    daemons: Sequence[DaemonFacts],
    clock: ClockFacts,
) -> Iterator[Finding]:
    """Give what is said to run although nobody can be running it.

    `is_shared`: several machines may use the database. `runs`: all that have not ended.
    """
    yield check_followed(host, processing, runs, daemons)
    yield check_strangers(processing, runs)
    yield check_other_hosts(host, runs, clock, is_shared=is_shared)


def check_followed(
    host: str, processing: Sequence[Project], runs: Sequence[Run], daemons: Sequence[DaemonFacts]
) -> Finding:
    name = "running projects"
    own = [run.project_id for run in runs if run.host == host]
    if own and not any("launch" in daemon.duties for daemon in daemons):
        return bad(
            name,
            f"{_listed(own)} run here and no daemon sees to them",
            "tmux-orchestrator daemon start",
        )
    return ok(name, f"{len(own)} here, {len(processing)} in all")


def check_strangers(processing: Sequence[Project], runs: Sequence[Run]) -> Finding:
    name = "unknown runs"
    known = {run.project_id for run in runs}
    strangers = [project.id for project in processing if project.id not in known]
    if strangers:
        return warn(
            name,
            f"{_listed(strangers)}: marked as running by another program, without a run of ours",
            "a daemon fails them once their sessions are gone; at once: tmux-orchestrator reset ID",
        )
    return ok(name, "none")


def check_other_hosts(
    host: str, runs: Sequence[Run], clock: ClockFacts, *, is_shared: bool
) -> Finding:
    name = "other machines"
    others = [run for run in runs if run.host != host]
    if others and not is_shared:
        named = one_line(others[0].host, 60)
        return bad(
            name,
            f"{_listed([run.project_id for run in others])} run on {named!r}, this is {host!r}, and"
            " an SQLite file belongs to one machine",
            f"if this machine was called that: HOST_NAME={named} in .env; else reset them",
        )
    late = [run for run in others if clock.now - run.claimed_at > _limit_sec(run) + _LATE_SEC]
    if late:
        there, which = one_line(late[0].host, 60), _listed([run.project_id for run in late])
        return warn(
            name,
            f"{which} on {there} should have timed out long ago",
            f"see that a daemon runs on {there}, or reset them",
        )
    return ok(name, f"{len(others)} projects run on others" if others else "none is used")


def _limit_sec(run: Run) -> float:
    """Return the time limit that the run was started with; without end where there is none."""
    try:
        plan = msgspec.json.decode(run.plan or "", type=LaunchPlan)
    except msgspec.DecodeError:
        return math.inf
    return plan.timeout_sec or math.inf


def check_clock(
    facts: DatabaseFacts, runs: Sequence[Run], clock: ClockFacts, zone_problem: str | None
) -> Iterator[Finding]:
    """Compare the clock with what was recorded. `runs`: those of this machine."""
    name = "clock"
    ahead_sec = (facts.newest_fact_at or 0) - clock.now
    jumps = [abs(_jump_sec(run, clock)) for run in runs]
    if ahead_sec > 60:
        yield warn(
            name,
            f"what was recorded last is {short_duration(ahead_sec)} in the future: it was set back",
            "set it right; times in lists are wrong until then, time limits are not",
        )
    elif max(jumps, default=0) > 60:
        yield warn(
            name,
            f"it jumped by {short_duration(max(jumps))} while projects ran",
            "see that the machine keeps time (timedatectl); time limits are not touched by it",
        )
    else:
        yield ok(name, "it has not jumped, as far as can be seen")
    if zone_problem is not None:
        yield bad("time zone", zone_problem, "set TZ, or /etc/localtime, to a zone that exists")
    else:
        yield ok("time zone", "known")


def _jump_sec(run: Run, clock: ClockFacts) -> float:
    """Return by how much wall time and time since boot disagree since a run was started."""
    if run.boot_id != clock.boot_id or run.started_at is None or run.started_boot_sec is None:
        return 0.0
    return (clock.now - run.started_at) - (clock.since_boot_sec - run.started_boot_sec)


def _listed(ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, ids[:_SHOWN]))
    return shown + (f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else "")


def _size(count: int) -> str:
    for unit, one in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{count} bytes"
