"""How soon things happen: a command runs, its end is seen, a freed slot is filled.

The idle daemon waits a random while between any two, so that no clock of its own is met in step.
"""

import json
import statistics
import time
from collections.abc import Iterator, Mapping
from functools import partial

from bench.fifo import Fifo
from bench.house import House
from bench.lib import Bench, Figure, Goal, per_pair, percentile, wait_until
from bench.raw_tmux import Control, Server
from scheduler_modules.compose import open_run_files
from scheduler_modules.model import Task
from scheduler_modules.ports import Tmux
from scheduler_modules.tmux_values import PaneCommand, SessionPlan

SLOTS = 8
CHECKINS_A_MINUTE = 20
PAUSE_SEC = 0.02
"""Long enough for what was ended last to be gone."""

GOALS = (
    Goal("latency.start.median", "enqueue until the command runs, idle daemon: median", 15, "ms"),
    Goal("latency.start.p99", "the same: 99th percentile", 60, "ms"),
    Goal("latency.end", "the command's last act until its project is ended: median", 20, "ms"),
    Goal("latency.session", "making a project's session, of a raw control-mode new-session", 1.5),
    Goal("latency.session.run", "the same until its command runs, of the raw one's", 1.5),
    Goal(
        "latency.slot.median", "a slot freed until the next command runs, loaded: median", 50, "ms"
    ),
    Goal("latency.slot.p99", "the same: 99th percentile", 1000, "ms"),
)


def measure(bench: Bench) -> Iterator[Figure]:
    goals = {goal.name: goal for goal in GOALS}
    if bench.wants("latency.start", "latency.start.median", "latency.start.p99", "latency.end"):
        yield from _starts(bench, goals)
    if bench.wants("latency.session", "latency.session.run"):
        yield from _sessions(bench, goals)
    if bench.wants("latency.slot", "latency.slot.median", "latency.slot.p99"):
        yield from _slots(bench, goals)


def _starts(bench: Bench, goals: Mapping[str, Goal]) -> Iterator[Figure]:
    """Queue projects one by one while nothing else is to do; beside raw sessions."""
    gaps = bench.random()
    started, ended, floor = [], [], []
    with (
        bench.place("start") as folder,
        House(folder) as house,
        Fifo(folder) as fifo,
        house.at_work(),
        Server(folder) as server,
        Control(server.argv) as control,
    ):
        for number in range(bench.size(200, 6) + 2):
            time.sleep(gaps.uniform(0.02, 0.3))
            raw_sec = _raw_start(control, fifo, f"raw-{number}")
            time.sleep(gaps.uniform(0.02, 0.3))
            start_sec, end_sec = _start(house, fifo, f"p{number}")
            if number >= 2:
                floor.append(1000 * raw_sec)
                started.append(1000 * start_sec)
                ended.append(1000 * end_sec)
    told = {
        "p90": percentile(started, 90),
        "p99": percentile(started, 99),
        "max": max(started),
        "raw new-session": statistics.median(floor),
        "n": float(len(started)),
    }
    yield Figure(goals["latency.start.median"], statistics.median(started), told)
    floor_told = {"raw new-session p99": percentile(floor, 99)}
    yield Figure(goals["latency.start.p99"], percentile(started, 99), floor_told)
    told = {"p99": percentile(ended, 99), "max": max(ended), "n": float(len(ended))}
    yield Figure(goals["latency.end"], statistics.median(ended), told)


def _start(house: House, fifo: Fifo, name: str) -> tuple[float, float]:
    """Queue a project; return how long its command took to run, and its end to be recorded."""
    new = house.new_project(name, _command(f"echo {name} >{fifo.path}"))
    began = time.perf_counter()
    project_id = house.queue().enqueue(new).project_id
    ran_at, _ = fifo.line()
    wait_until(
        lambda: house.queue().get(project_id).status == "completed",
        f"project {project_id} to be completed",
        pause_sec=0.0005,
    )
    return ran_at - began, time.perf_counter() - ran_at


def _raw_start(control: Control, fifo: Fifo, name: str) -> float:
    began = time.perf_counter()
    control.run(f"new-session -d -s {name} \"exec sh -c 'echo {name} >{fifo.path}'\"")
    return fifo.line()[0] - began


def _command(script: str) -> str:
    return "command: " + json.dumps(["sh", "-c", script])


def _sessions(bench: Bench, goals: Mapping[str, Goal]) -> Iterator[Figure]:
    """Make sessions as the daemon does, and bare ones over the same kind of connection."""
    count = bench.size(15, 3)
    with (
        bench.place("session") as folder,
        House(folder) as house,
        house.tmux_client() as tmux,
        Server(folder) as server,
        Control(server.argv) as control,
        Fifo(folder) as fifo,
    ):
        makers = {
            "ours": partial(_our_session, house, tmux, fifo),
            "raw": partial(_raw_session, control, fifo, ""),
            "raw with log": partial(_raw_session, control, fifo, "exec cat >/dev/null"),
        }
        made: dict[str, list[tuple[float, float]]] = {name: [] for name in makers}
        for turn in range(count * bench.reps + 2):
            for name, make in makers.items():
                time.sleep(PAUSE_SEC)
                took = make(f"{turn:032x}")
                if turn >= 2:
                    made[name].append(took)
    for at, name in enumerate(("latency.session", "latency.session.run")):
        ms = {maker: [1000 * took[at] for took in all_took] for maker, all_took in made.items()}
        told = {f"{maker} ms": statistics.median(values) for maker, values in ms.items()}
        yield Figure(goals[name], per_pair(ms["ours"], ms["raw"]), told)


def _our_session(house: House, tmux: Tmux, fifo: Fifo, token: str) -> tuple[float, float]:
    """Return how long the session took to be made, and its command to run."""
    files = open_run_files(house.config)
    command = ("sh", "-c", f"echo x >{fifo.path}; exec sleep 9999")
    window = PaneCommand(
        role="main",
        argv=files.runner_argv(token, "main", command),
        log_path=str(files.log_path(token, "main")),
    )
    plan = SessionPlan(
        name=f"ours-{token[-8:]}",
        cwd=str(house.project),
        env={"SCHEDULER_RUN_ID": token},
        windows=(window,),
        project_id=1,
        run_token=token,
    )
    began = time.perf_counter()
    made = tmux.create_session(plan)
    made_at = time.perf_counter()
    ran_at, _ = fifo.line()
    tmux.kill_session(plan.name, token, made.server)
    return made_at - began, ran_at - began


def _raw_session(control: Control, fifo: Fifo, log: str, token: str) -> tuple[float, float]:
    """The same with a bare new-session; `log`: shell text that takes its output."""
    name = f"raw-{token[-8:]}"
    line = f"new-session -d -s {name} \"exec sh -c 'echo x >{fifo.path}; exec sleep 9999'\""
    if log:
        line += f" ; pipe-pane -t ={name}: '{log}'"
    began = time.perf_counter()
    control.run(line, 2 if log else 1)
    made_at = time.perf_counter()
    ran_at, _ = fifo.line()
    control.run(f"kill-session -t ={name}")
    return made_at - began, ran_at - began


def _slots(bench: Bench, goals: Mapping[str, Goal]) -> Iterator[Figure]:
    """Keep a hundred projects queued behind eight slots, with check-ins falling due."""
    ends_wanted, lengths = bench.size(150, 8), bench.random()
    queued = 100 + ends_wanted
    with (
        bench.place("slots") as folder,
        Fifo(folder) as fifo,
        House(folder, MAX_CONCURRENT_PROJECTS=str(SLOTS)) as house,
    ):
        add_checkins(house)
        for number in range(queued):
            sec = lengths.uniform(1.0, 3.0) / bench.size(1, 5)
            script = f"echo start >{fifo.path}; sleep {sec:.2f}; echo end >{fifo.path}"
            house.enqueue(f"p{number}", _command(script))
        with house.at_work():
            lines = [fifo.line() for _ in range(SLOTS + 2 * ends_wanted)]
    starts = [at for at, word in lines if word == "start"][SLOTS:]
    ends = [at for at, word in lines if word == "end"]
    filled = [1000 * (start - end) for start, end in zip(starts, ends, strict=False)]
    told = {"p90": percentile(filled, 90), "max": max(filled), "n": float(len(filled))}
    yield Figure(goals["latency.slot.median"], statistics.median(filled), told)
    yield Figure(goals["latency.slot.p99"], percentile(filled, 99), {"max": max(filled)})


def add_checkins(house: House) -> None:
    """Have check-ins fall due all the time, evenly spread over each minute."""
    store = house.queue().store
    for number in range(CHECKINS_A_MINUTE):
        due = time.time() + number * 60 / CHECKINS_A_MINUTE
        store.add_task(
            Task(
                id=0,
                session_name=f"nobody-{number}",
                agent_role="main",
                window_index=0,
                next_run=due,
                interval_minutes=1,
                note="How is it going?",
            )
        )
