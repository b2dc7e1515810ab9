"""Daemon, tmux server and sessions killed under real projects: nothing lost, nothing run twice."""

import json
import os
import signal
import time
from collections import Counter

import pytest

from tests.lab.installation import Installation, is_running, wait_until
from tests.lab.promises import IS_LONG, TIMEOUT_SEC, Promise, rounds

pytestmark = [pytest.mark.faults, pytest.mark.timeout(TIMEOUT_SEC)]

VERIFIED = "verify: 'true'"


def sleeping(seconds: float = 1000) -> str:
    return f"command: sleep {seconds}"


# -- the daemon is killed -------------------------------------------------------------------


def judge_ledger(place: Installation) -> dict[str, int]:
    """Compare what ran (the ledger) with what was recorded; return the windows that were hit."""
    lines = Counter(place.ledger_lines())
    windows = Counter({"launched again": 0, "lost": 0, "adopted": 0})
    for project_id in place.statuses():
        runs = [run for run in place.runs(project_id) if run["launches"]]
        assert [run["attempt"] for run in runs] == list(range(1, len(runs) + 1))
        for run in runs:
            ran = lines.pop((project_id, run["attempt"], run["token"]), 0)
            assert ran == 1 or (run["outcome"] == "lost" and ran == 0), (tuple(run), ran)
            assert run["outcome"] == ("completed" if run is runs[-1] else "lost"), tuple(run)
            windows["launched again"] += run["launches"] > 1
            windows["lost"] += run["outcome"] == "lost"
    assert not lines, "ran without a record"
    facts = place.query("select name from event_log")
    windows["adopted"] = sum(fact["name"] == "run_adopted" for fact in facts)
    return dict(windows)


def is_between(place: Installation, what: str) -> bool:
    """Return whether the daemon is inside a named window right now."""
    return bool(
        place.query(
            {
                "claim and record": "select 1 from project_run where phase = 'starting'",
                "verify and end": "select 1 from project_run where phase = 'verifying'",
                "end and clearing up": "select 1 from project_run "
                "where ended_at is not null and cleaned_at is null",
            }[what]
        )
    )


def test_promise_1_kill_of_the_daemon_loses_no_project(promise: Promise, place: Installation):
    count, kills = (50 if IS_LONG else 20), rounds(50, 200)
    place.environ["MAX_CONCURRENT_PROJECTS"] = "4"
    for number in range(count):
        extra = VERIFIED if number % 4 == 0 else ""
        work = f"sleep 0.{promise.random.randrange(1, 6)}"
        place.enqueue(f"p{number}", f"{place.ledger_command(work)}\nretries: 2\n{extra}")
    aims = ["claim and record"] * 3 + ["verify and end", "end and clearing up"]
    hits: Counter[str] = Counter()

    for round_number in range(kills):
        place.slow_tmux(promise.random.choice([0, 0, 0.05, 0.6]))
        daemon = place.run_daemon()
        if round_number % 2:
            # Any moment at all.
            time.sleep(promise.random.uniform(0.01, 0.5))
        else:
            aim = promise.random.choice(aims)
            deadline = time.monotonic() + 1
            while not (hit := is_between(place, aim)) and time.monotonic() < deadline:
                time.sleep(0.001)
            hits[aim] += hit
            time.sleep(promise.random.uniform(0, 0.02))
        place.stop_daemon(daemon, signal.SIGKILL)
        if "queued" not in place.statuses().values():
            # Nothing would be left to be killed under: another lot.
            for number in range(count):
                place.enqueue(
                    f"r{round_number}-{number}", f"{place.ledger_command('sleep 0.2')}\nretries: 2"
                )
    place.slow_tmux(0)
    place.run_daemon()
    statuses = place.wait_until_all_ended(120)
    wait_until(lambda: not is_between(place, "end and clearing up"))
    windows = judge_ledger(place)

    promise.tell(
        f"{len(statuses)} projects, daemon killed {kills} times, of these aimed at "
        f"{dict(hits)}: 0 lost, 0 run twice; windows hit: {windows}"
    )
    assert set(statuses.values()) == {"completed"}
    # A tmux client that outlived its daemon may have made one late: the minute's sweep sees it.
    wait_until(lambda: place.sessions() == [], 90, lambda: f"sessions: {place.sessions()}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_promise_5_a_restart_leaves_projects_running_and_follows_them(place, number):
    place.environ["MAX_CONCURRENT_PROJECTS"] = "3"
    gate = place.folder / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.05; done"
    ids = [place.enqueue(f"p{n}", place.ledger_command(wait)) for n in range(3)]
    daemon = place.run_daemon()
    wait_until(lambda: len(place.ledger_lines()) == 3)
    panes = place.pane_pids()

    place.stop_daemon(daemon, number)
    while_down = place.pane_pids()
    place.run_daemon()
    time.sleep(0.3)
    after = place.pane_pids()
    gate.touch()
    statuses = place.wait_until_all_ended()

    assert panes == while_down == after
    assert statuses == dict.fromkeys(ids, "completed")
    assert len(place.ledger_lines()) == 3
    assert [len(place.runs(project_id)) for project_id in ids] == [1, 1, 1]


def test_what_ended_while_no_daemon_ran_is_recorded_truthfully(place):
    place.environ["MAX_CONCURRENT_PROJECTS"] = "2"
    good = place.enqueue("good", "command: [sh, -c, 'sleep 0.5']")
    bad = place.enqueue("bad", "command: [sh, -c, 'sleep 0.5; echo no luck; exit 3']")
    daemon = place.run_daemon()
    wait_until(lambda: len(place.sessions()) == 2)
    place.stop_daemon(daemon, signal.SIGKILL)
    time.sleep(0.8)

    place.run_daemon()
    place.wait_until_all_ended()

    assert place.status(good) == "completed"
    assert (place.status(bad), place.runs(bad)[0]["reason"]) == ("failed", 'exit 3: "no luck"')


# -- stopping -------------------------------------------------------------------------------


def stop_time_sec(place: Installation, daemon) -> tuple[int, float]:
    began = time.monotonic()
    return place.stop_daemon(daemon), time.monotonic() - began


def test_sigterm_ends_the_daemon_within_two_seconds_and_projects_run_on(place):
    project_id = place.enqueue("p", sleeping())
    daemon = place.run_daemon()
    place.wait_for_status(project_id, "processing")
    wait_until(lambda: place.sessions() != [])

    code, took_sec = stop_time_sec(place, daemon)

    assert (code, took_sec < 2) == (0, True)
    assert len(place.sessions()) == 1


def test_sigterm_ends_the_daemon_within_two_seconds_though_tmux_hangs(place):
    project_id = place.enqueue("p", sleeping())
    daemon = place.run_daemon()
    place.wait_for_status(project_id, "processing")
    wait_until(lambda: place.sessions() != [])
    server = place.tmux_pid()
    os.kill(server, signal.SIGSTOP)
    time.sleep(0.5)

    code, took_sec = stop_time_sec(place, daemon)
    os.kill(server, signal.SIGCONT)

    assert (code, took_sec < 2) == (0, True)


def test_sigterm_at_any_moment_of_the_start_ends_the_daemon_in_order(promise, place):
    """Once its lock is taken it is a daemon, and must end like one."""
    codes = []
    for _ in range(rounds(4, 30)):
        daemon = place.start_daemon()
        wait_until(lambda: not place.lock("default").is_free())
        time.sleep(promise.random.uniform(0, 0.6))
        codes.append(place.stop_daemon(daemon))

    promise.tell(f"stopped {len(codes)} times while it started: exit codes {Counter(codes)}")
    assert set(codes) == {0}
    assert "Traceback" not in place.daemon_log()


# -- tmux goes away -------------------------------------------------------------------------


def test_promise_4_a_killed_tmux_server_is_noticed_and_healed(promise: Promise, place):
    count = rounds(10, 50)
    place.environ["MAX_CONCURRENT_PROJECTS"] = str(count)
    second = place.ledger_command('[ "$SCHEDULER_ATTEMPT" -gt 1 ] || sleep 1000')
    ids = [
        place.enqueue(f"p{number}", f"{second}\nretries: {number % 2}") for number in range(count)
    ]
    place.run_daemon()
    wait_until(lambda: len(place.ledger_lines()) == count, 60, place.daemon_log)

    place.kill_tmux()
    began = time.monotonic()
    wait_until(lambda: not place.query("select 1 from project_run where ended_at is null"))
    noticed_sec = time.monotonic() - began
    statuses = place.wait_until_all_ended()

    promise.tell(f"{count} sessions, server killed: all noticed within {noticed_sec:.2f} s")
    lost = [place.runs(project_id)[0] for project_id in ids]
    assert {run["reason"] for run in lost} == {"the tmux server died while it ran"}
    assert [statuses[i] for i in ids] == ["failed", "completed"] * (count // 2)
    assert [len(place.runs(i)) for i in ids] == [1, 2] * (count // 2)


def test_promise_7_a_session_killed_behind_the_daemons_back_is_found(promise: Promise, place):
    place.environ["MAX_CONCURRENT_PROJECTS"] = "2"
    healthy = place.enqueue("healthy", sleeping())
    daemon = place.run_daemon()
    worst_sec = 0.0
    for number in range(rounds(4, 100)):
        project_id = place.enqueue(f"p{number}", sleeping())
        wait_until(
            lambda id=project_id: [run["phase"] for run in place.runs(id)] == ["running"],
            explain=place.daemon_log,
        )
        session = place.runs(project_id)[0]["session_name"]
        began = time.monotonic()
        place.tmux("kill-session", "-t", f"={session}")
        place.wait_for_status(project_id, "failed")
        worst_sec = max(worst_sec, time.monotonic() - began)
        assert place.runs(project_id)[0]["reason"] == "its tmux session was killed"

    promise.tell(f"{number + 1} sessions killed, found within {worst_sec:.2f} s; 0 false alarms")
    assert place.status(healthy) == "processing"
    assert daemon.poll() is None


def test_a_closed_main_window_is_a_loss_and_the_rest_is_cleared_up(place):
    project_id = place.enqueue("p", f"{sleeping()}\nwindows: [{{role: other, command: sleep 999}}]")
    place.run_daemon()
    wait_until(lambda: len(place.sessions()) == 1 and place.runs(project_id)[0]["main_pane_id"])
    run = place.runs(project_id)[0]

    place.tmux("kill-window", "-t", f"={run['session_name']}:main")
    place.wait_for_status(project_id, "failed")
    wait_until(lambda: place.runs(project_id)[0]["cleaned_at"])

    assert place.runs(project_id)[0]["reason"] == "its window was closed"
    assert place.marked(run["token"]) == []
    assert place.sessions() == []


def test_a_hanging_tmux_changes_nothing_and_claims_nothing(place):
    place.environ["MAX_CONCURRENT_PROJECTS"] = "2"
    place.environ["TMUX_TIMEOUT_SEC"] = "0.3"
    running = place.enqueue("running", sleeping(1.5))
    place.run_daemon()
    wait_until(lambda: place.runs(running) and place.runs(running)[0]["phase"] == "running")
    server = place.tmux_pid()

    os.kill(server, signal.SIGSTOP)
    waiting = place.enqueue("waiting", place.ledger_command())
    time.sleep(2)
    while_stopped = place.statuses()
    os.kill(server, signal.SIGCONT)
    statuses = place.wait_until_all_ended()

    assert while_stopped == {running: "processing", waiting: "queued"}
    assert statuses == {running: "completed", waiting: "completed"}
    assert len(place.ledger_lines()) == 1
    assert place.count_events("step_failed") <= 6


def test_a_server_whose_socket_was_cleared_away_makes_it_anew_and_nothing_is_lost(place):
    project_id = place.enqueue("p", sleeping())
    place.run_daemon()
    wait_until(lambda: place.runs(project_id) and place.runs(project_id)[0]["phase"] == "running")
    server, socket = place.tmux_pid(), place.home / "run" / "tmux.sock"

    socket.unlink()
    wait_until(socket.exists, explain=place.daemon_log)

    wait_until(lambda: place.tmux_pid() == server)
    assert place.status(project_id) == "processing"
    assert place.count_events("tmux_socket_restored") >= 1


def test_a_daemon_that_starts_while_the_socket_is_gone_takes_no_project_for_lost(place):
    """A look at the processes tells that the server of its runs lives on."""
    project_id = place.enqueue("p", sleeping())
    daemon = place.run_daemon()
    wait_until(lambda: place.runs(project_id) and place.runs(project_id)[0]["phase"] == "running")
    server, socket = place.tmux_pid(), place.home / "run" / "tmux.sock"
    place.stop_daemon(daemon, signal.SIGKILL)

    socket.unlink()
    place.run_daemon()
    wait_until(lambda: socket.exists() and place.tmux_pid() == server, explain=place.daemon_log)
    wait_until(lambda: place.count_events("run_adopted") >= 1, explain=place.daemon_log)

    assert place.status(project_id) == "processing"
    assert len(place.runs(project_id)) == 1


# -- signals to other ends ------------------------------------------------------------------


def test_killed_clients_of_the_command_line_leave_the_daemon_alone(place):
    daemon = place.run_daemon()
    for _ in range(3):
        spec = place.write_spec("killed", "command: 'true'")
        adder = place.start_cli("add", str(spec))
        time.sleep(0.15)
        adder.kill()
        adder.wait()
    project_id = place.enqueue("p", place.ledger_command())

    place.wait_for_status(project_id, "completed")

    assert daemon.poll() is None


def test_the_database_stays_whole_after_all_that(place):
    project_id = place.enqueue("p", place.ledger_command())
    for _ in range(3):
        daemon = place.run_daemon()
        time.sleep(0.05)
        place.stop_daemon(daemon, signal.SIGKILL)

    assert place.query("pragma integrity_check")[0][0] == "ok"
    assert json.loads(place.cli("show", str(project_id), "--json"))["id"] == project_id
    assert not is_running(daemon.pid)
