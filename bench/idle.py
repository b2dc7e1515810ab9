"""What a daemon costs while nothing happens, with no session, with twenty, with two hundred.

All three are watched over the same stretch of time, which is long enough for what a daemon does
once a minute; a short stretch is scaled to a minute.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.house import House
from bench.lib import ROOT, Bench, Figure, Goal, wait_until
from bench.processes import cpu_sec, rss_mib, tree, tree_cpu_sec

SESSIONS = (0, 20, 200)
SETTLE_SEC = 5.0

GOALS = (
    *(
        Goal(f"idle.cpu.{count}", f"CPU of an idle daemon with {count} sessions", 0.3, "s/min")
        for count in SESSIONS
    ),
    *(
        Goal(f"idle.spawned.{count}", f"processes it starts with {count} sessions", 1, "/min")
        for count in SESSIONS
    ),
    *(
        Goal(f"idle.rss.{count}", f"its memory with {count} sessions", 70, "MiB")
        for count in SESSIONS
    ),
    Goal("idle.heavy", "daemons that have loaded SQLAlchemy or Alembic", 0, ""),
)


@dataclass
class Watched:
    """A daemon, and what it had used when the watch began."""

    house: House
    pid: int
    heard: Path
    cpu_sec: float = 0
    server_cpu_sec: float = 0
    spawned: int = 0

    def begin(self) -> None:
        self.cpu_sec, self.server_cpu_sec = tree_cpu_sec(self.pid), self._server_cpu_sec()
        self.spawned = self._heard("spawned")

    def figures(self, count: int, window_sec: float) -> Iterator[Figure]:
        a_minute = 60 / window_sec
        goals = {goal.name: goal for goal in GOALS}
        yield Figure(
            goals[f"idle.cpu.{count}"],
            (tree_cpu_sec(self.pid) - self.cpu_sec) * a_minute,
            {
                "window s": window_sec,
                "tmux server": (self._server_cpu_sec() - self.server_cpu_sec) * a_minute,
            },
        )
        spawned = self._heard("spawned") - self.spawned
        yield Figure(
            goals[f"idle.spawned.{count}"], spawned * a_minute, {"spawned": float(spawned)}
        )
        below = tree(self.pid)[1:]
        yield Figure(
            goals[f"idle.rss.{count}"],
            rss_mib(self.pid),
            {"its children": sum(rss_mib(pid) for pid in below)},
        )

    @property
    def is_heavy(self) -> bool:
        return self._heard("heavy") > 0

    def _heard(self, word: str) -> int:
        return self.heard.read_text().split().count(word) if self.heard.exists() else 0

    def _server_cpu_sec(self) -> float:
        server = self.house.tmux_pid()
        return 0.0 if server is None else cpu_sec(server)


def measure(bench: Bench) -> Iterator[Figure]:
    goals = {goal.name: goal for goal in GOALS}
    asked = {goal.name.rpartition(".")[2] for goal in GOALS if bench.wants(goal.name)}
    wanted = [count for count in SESSIONS if asked & {str(count), "heavy"}]
    with ExitStack() as stack:
        daemons = {count: _daemon(bench, stack, bench.size(count, count // 20)) for count in wanted}
        time.sleep(bench.size(int(SETTLE_SEC), 1))
        for daemon in daemons.values():
            daemon.begin()
        began = time.monotonic()
        time.sleep(bench.size(60, 2))
        window_sec = time.monotonic() - began
        for count, daemon in daemons.items():
            yield from daemon.figures(count, window_sec)
        heavy = sum(daemon.is_heavy for daemon in daemons.values())
        yield Figure(goals["idle.heavy"], float(heavy), {"daemons": float(len(daemons))})


def _daemon(bench: Bench, stack: ExitStack, sessions: int) -> Watched:
    """Start a daemon with so many quiet projects, and return once all of them run."""
    bench.say(f"starting a daemon with {sessions} sessions")
    folder = stack.enter_context(bench.place("idle"))
    heard = folder / "heard"
    house = stack.enter_context(House(folder, MAX_CONCURRENT_PROJECTS=str(max(1, sessions))))
    house.environ |= {"PYTHONPATH": str(ROOT / "bench" / "audit"), "BENCH_AUDIT": str(heard)}
    pid = stack.enter_context(house.at_work())
    if sessions:
        house.enqueue_many(sessions, "quiet", "command: sleep 9999")
        running = "select count(*) from project_run where phase = 'running'"
        wait_until(
            lambda: house.query(running)[0][0] >= sessions,
            f"{sessions} sessions: {house.daemon_log()[-300:]}",
            180,
            0.2,
        )
    return Watched(house, pid, heard)
