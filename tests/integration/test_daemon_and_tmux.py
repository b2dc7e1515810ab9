"""The daemon's one connection to tmux, and what happens to it under real projects."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.lab.installation import Installation, is_running, wait_until
from tests.lab.promises import rounds
from tests.tmux_world import person

pytestmark = pytest.mark.faults


def connection_of(daemon_pid: int) -> int | None:
    """Return the daemon's control-mode client: a child of its that runs `tmux -C`."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            argv = (folder / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue
        if parent == daemon_pid and b"-C" in argv:
            return int(folder.name)
    return None


def client_of(daemon) -> int:
    wait_until(lambda: connection_of(daemon.pid) is not None)
    found = connection_of(daemon.pid)
    assert found is not None
    return found


def test_a_killed_connection_is_made_anew_and_no_project_notices(place, promise):
    place.environ["MAX_CONCURRENT_PROJECTS"] = "3"
    ids = [place.enqueue(f"p{n}", place.ledger_command("sleep 0.3")) for n in range(50)]
    daemon = place.run_daemon()
    kills = 0
    while kills < rounds(5, 40) and "queued" in place.statuses().values():
        client = connection_of(daemon.pid)
        if client is not None:
            os.kill(client, signal.SIGKILL)
            kills += 1
            wait_until(lambda client=client: not is_running(client))
    statuses = place.wait_until_all_ended()

    assert set(statuses.values()) == {"completed"}
    assert sorted(project for project, _, _ in place.ledger_lines()) == ids
    assert kills
    promise.tell(f"connection killed {kills} times under 50 projects: each ran once")


def test_a_killed_daemon_leaves_no_connection_behind(place):
    place.enqueue("p", place.ledger_command("sleep 1000"))
    daemon = place.run_daemon()
    client = client_of(daemon)

    place.stop_daemon(daemon, signal.SIGKILL)

    wait_until(lambda: not is_running(client))
    wait_until(lambda: "control-mode" not in place.tmux("list-clients").stdout)
    names = place.tmux("list-sessions", "-F", "#{session_name}").stdout.split()
    assert names == place.sessions()


def test_a_hundred_queued_projects_outlive_the_server_that_eight_of_them_run_on(place, promise):
    place.environ["MAX_CONCURRENT_PROJECTS"] = "8"
    ids = [
        place.enqueue(f"p{n}", f"{place.ledger_command('sleep 0.2')}\nretries: 3")
        for n in range(100)
    ]
    place.run_daemon()
    kills = rounds(2, 10)
    for begun in range(8, 8 * kills + 8, 8):
        wait_until(lambda: list(place.statuses().values()).count("processing") == 8)
        wait_until(lambda begun=begun: len(place.ledger_lines()) >= begun)
        place.kill_tmux()
    statuses = place.wait_until_all_ended(240)

    assert set(statuses.values()) == {"completed"}
    judge(place, ids)
    promise.tell(
        f"server killed {kills} times under 8 of 100 projects: 100 completed, "
        f"{len(place.ledger_lines()) - 100} runs begun again, each marked as lost before"
    )


def judge(place: Installation, ids: list[int]) -> None:
    """Each project was completed by its last run; every earlier one is recorded as lost."""
    for project_id in ids:
        runs = place.runs(project_id)
        assert [run["outcome"] for run in runs] == ["lost"] * (len(runs) - 1) + ["completed"]
        tokens = [token for project, _, token in place.ledger_lines() if project == project_id]
        assert len(tokens) == len(set(tokens))
        assert set(tokens) <= {run["token"] for run in runs}


def test_a_hung_server_delays_and_loses_nothing(place):
    place.environ["TMUX_TIMEOUT_SEC"] = "0.5"
    place.environ["MAX_CONCURRENT_PROJECTS"] = "2"
    ids = [place.enqueue(f"p{n}", place.ledger_command("sleep 0.5")) for n in range(6)]
    daemon = place.run_daemon()
    wait_until(lambda: len(place.ledger_lines()) >= 2)
    server = place.tmux_pid()
    assert server is not None

    os.kill(server, signal.SIGSTOP)
    wait_until(lambda: place.count_events("step_failed") >= 1, explain=place.daemon_log)
    trouble = place.lock("default").trouble()
    os.kill(server, signal.SIGCONT)
    statuses = place.wait_until_all_ended()

    assert "tmux" in (trouble or "")
    assert set(statuses.values()) == {"completed"}
    assert sorted(project for project, _, _ in place.ledger_lines()) == ids
    assert place.stop_daemon(daemon) == 0


HOSTILE = """
set -g base-index 1
setw -g pane-base-index 1
set -g renumber-windows on
set -g destroy-unattached on
set -g detach-on-destroy off
set -g remain-on-exit off
set -g set-titles on
setw -g automatic-rename on
setw -g allow-rename on
set-hook -g after-new-session 'set -g @touched 1'
set-hook -g after-new-window 'set -g @touched 1'
"""


def test_projects_on_a_server_with_hostile_settings_run_to_their_end(place, tmp_path, monkeypatch):
    """Somebody's own server, with a second terminal that attaches and leaves while they run."""
    conf = tmp_path / "hostile.conf"
    conf.write_text(HOSTILE)
    socket = place.folder / "theirs.sock"
    place.environ |= {"TMUX_SOCKET": str(socket), "MAX_CONCURRENT_PROJECTS": "4"}
    monkeypatch.delenv("TMUX", raising=False)
    theirs = ["tmux", "-S", str(socket), "-f", str(conf)]
    try:
        # With destroy-unattached a session needs somebody to look at it.
        with person([*theirs, "new-session", "-s", "theirs"]):
            wait_until(lambda: "theirs" in ask(theirs, "list-sessions"))
            ids = [place.enqueue(f"p{n}", place.ledger_command("sleep 1")) for n in range(8)]
            daemon = place.run_daemon()
            wait_until(lambda: len(place.ledger_lines()) >= 4, explain=place.daemon_log)
            with person([*theirs, "attach-session", "-t", "=theirs"]):
                wait_until(lambda: ask(theirs, "list-clients").count("theirs") >= 2)
            statuses = place.wait_until_all_ended()

            assert set(statuses.values()) == {"completed"}
            assert sorted(project for project, _, _ in place.ledger_lines()) == ids
            assert "theirs" in ask(theirs, "list-sessions")
            assert place.stop_daemon(daemon) == 0
    finally:
        ask(theirs, "kill-server")


def ask(server: list[str], *command: str) -> str:
    done = subprocess.run(
        [*server, *command], capture_output=True, text=True, check=False, timeout=10
    )
    return done.stdout
