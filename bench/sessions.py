"""Asking a tmux server with a thousand sessions for the state of all of them."""

import statistics
from collections.abc import Iterator

from bench.house import House
from bench.lib import Bench, BenchError, Figure, Goal, interleave, per_pair, timed
from bench.raw_tmux import Control
from scheduler_modules.compose import open_run_files
from scheduler_modules.ports import Tmux
from scheduler_modules.tmux_values import PaneCommand, SessionPlan

SESSIONS = 1000
LOOKS = 5
_FIELDS = (
    "#{session_id} #{window_id} #{pane_id} #{session_created} #{window_index} #{pane_pid}"
    " #{window_activity} #{pane_dead} #{pane_dead_status} #{pane_dead_signal}"
    " #{@scheduler_project_id} #{@scheduler_run} #{session_name} #{window_name}"
)

GOALS = (Goal("sessions.state", "the state of 1,000 sessions, of one list-panes -a", 1.3),)


def measure(bench: Bench) -> Iterator[Figure]:
    count = bench.size(SESSIONS, 10)
    with bench.place("panes") as folder, House(folder) as house, house.tmux_client() as tmux:
        _first_session(house, tmux)
        house.tmux_pid()
        with Control(("tmux", "-u", "-S", str(house.config.socket_path)), "first") as control:
            bench.say(f"making {count} sessions")
            _more(control, count)
            if len(tmux.snapshot().panes) < count:
                raise BenchError("the snapshot does not hold all sessions")

            def looks(line: str) -> float:
                return statistics.median(timed(lambda: control.run(line)) for _ in range(LOOKS))

            cases = {
                "raw": lambda: looks("list-panes -a"),
                "raw, as many fields": lambda: looks(f"list-panes -a -F '{_FIELDS}'"),
                "raw, two fields": lambda: looks("list-panes -a -F '#{pane_id} #{pane_dead}'"),
                "ours": lambda: statistics.median(timed(tmux.snapshot) for _ in range(LOOKS)),
            }
            found = interleave(cases, bench.reps)
    told = {f"{name} ms": 1000 * statistics.median(spent) for name, spent in found.items()}
    yield Figure(GOALS[0], per_pair(found["ours"], found["raw"]), told)


def _first_session(house: House, tmux: Tmux) -> None:
    """Start the server as the daemon would, with one session on it."""
    log = str(open_run_files(house.config).log_path("0" * 32, "main"))
    window = PaneCommand(role="main", argv=("sleep", "9999"), log_path=log)
    tmux.create_session(
        SessionPlan(
            name="first",
            cwd=str(house.project),
            env={},
            windows=(window,),
            project_id=1,
            run_token="0" * 32,
        )
    )


def _more(control: Control, count: int) -> None:
    """Make sessions that carry what those of projects carry."""
    for start in range(1, count, 50):
        lines = []
        for number in range(start, min(start + 50, count)):
            name = f"project-impl-{number:08x}"
            lines += [
                f"new-session -d -s {name} -n main 'exec sleep 9999'",
                f"set-option -t ={name}: @scheduler_project_id {number}",
                f"set-option -t ={name}: @scheduler_run {number:032x}",
            ]
        control.run_all(lines)
