"""Whole lives of projects: verification, reports, resets, reloads, external launchers."""

import json
import os
import signal
import sys
import time

import pytest

from tests.lab.installation import ROOT, Installation, is_running, wait_until
from tests.lab.promises import TIMEOUT_SEC

pytestmark = [pytest.mark.faults, pytest.mark.timeout(TIMEOUT_SEC)]

VERB = f"{sys.executable} {ROOT / 'scheduler_entrypoint.py'}"


def shell(script: str) -> str:
    return "command: " + json.dumps(["sh", "-c", script])


def verify(script: str) -> str:
    return "verify: " + json.dumps(["sh", "-c", script])


def wait_for_phase(place: Installation, project_id: int, phase: str) -> None:
    wait_until(
        lambda: [run["phase"] for run in place.runs(project_id)][-1:] == [phase],
        explain=place.daemon_log,
    )


def facts(place: Installation, project_id: int) -> list[str]:
    rows = place.query("select name from event_log where project_id = ? order by id", project_id)
    return [row["name"] for row in rows]


# -- verification ---------------------------------------------------------------------------


def test_a_verification_that_fails_once_is_retried_and_passes(place):
    once = place.folder / "once"
    check = f"if [ -e {once} ]; then exit 0; fi; touch {once}; echo not yet; exit 1"
    project_id = place.enqueue("p", f"{shell('true')}\n{verify(check)}\nretries: 1")
    place.run_daemon()

    place.wait_for_status(project_id, "completed")

    first, second = place.runs(project_id)
    assert (first["reason"], second["reason"]) == ('verify failed: exit 1: "not yet"', None)


def test_a_closed_verification_window_is_a_loss(place):
    project_id = place.enqueue("p", f"{shell('true')}\n{verify('sleep 1000')}")
    place.run_daemon()
    wait_for_phase(place, project_id, "verifying")

    place.tmux("kill-window", "-t", f"={place.runs(project_id)[0]['session_name']}:verify")
    place.wait_for_status(project_id, "failed")

    assert place.runs(project_id)[0]["reason"] == "its window was closed"


def test_a_verification_goes_on_across_a_kill_of_the_daemon(place):
    count = place.folder / "count"
    check = f"echo x >>{count}; sleep 0.7"
    project_id = place.enqueue("p", f"{shell('true')}\n{verify(check)}")
    daemon = place.run_daemon()
    wait_for_phase(place, project_id, "verifying")

    place.stop_daemon(daemon, signal.SIGKILL)
    place.run_daemon()
    place.wait_for_status(project_id, "completed")

    assert count.read_text() == "x\n"


# -- reports --------------------------------------------------------------------------------


def test_done_from_inside_the_session_completes_while_the_command_runs_on(place):
    project_id = place.enqueue("p", shell(f"{VERB} done; sleep 1000"))
    place.run_daemon()

    place.wait_for_status(project_id, "completed")
    wait_until(lambda: place.runs(project_id)[0]["cleaned_at"])

    assert place.marked(place.runs(project_id)[0]["token"]) == []


def test_fail_from_inside_the_session_gives_its_reason(place):
    project_id = place.enqueue("p", shell(f"{VERB} fail 'no licence'; sleep 1000"))
    place.run_daemon()

    place.wait_for_status(project_id, "failed")

    assert place.runs(project_id)[0]["reason"] == "reported failed: no licence"


def test_a_stale_done_is_refused_and_changes_nothing(place):
    """A process of the old run reports after its project was reset and runs again."""
    project_id = place.enqueue("p", shell("sleep 1000"))
    place.run_daemon()
    wait_for_phase(place, project_id, "running")
    old = place.runs(project_id)[0]["token"]
    place.cli("reset", str(project_id), "--yes")
    wait_until(lambda: len(place.runs(project_id)) == 2)
    wait_for_phase(place, project_id, "running")

    late = place.try_cli("done", SCHEDULER_PROJECT_ID=str(project_id), SCHEDULER_RUN_ID=old)
    time.sleep(0.3)

    assert (late.returncode, late.stdout) == (4, "")
    assert "this run is over" in late.stderr
    assert place.status(project_id) == "processing"
    assert place.runs(project_id)[1]["reported"] is None


# -- resets ---------------------------------------------------------------------------------


def test_a_reset_during_verification_ends_it_and_starts_afresh(place):
    count = place.folder / "count"
    check = f"echo $$ >>{count}; [ $SCHEDULER_ATTEMPT = 2 ] || sleep 1000"
    project_id = place.enqueue("p", f"{shell('true')}\n{verify(check)}")
    place.run_daemon()
    wait_for_phase(place, project_id, "verifying")
    wait_until(count.exists)

    place.cli("reset", str(project_id), "--yes")
    place.wait_for_status(project_id, "completed")

    first, second = place.runs(project_id)
    assert (first["outcome"], second["outcome"]) == ("reset", "completed")
    assert not is_running(int(count.read_text().split()[0]))


def test_resets_at_any_moment_leave_one_run_and_one_session(promise, place):
    """Some hit the moment between claim and record: what was launched is then cleared up after."""
    project_id = place.enqueue("p", place.ledger_command("sleep 1000"))
    place.run_daemon()
    for _ in range(8):
        wait_until(lambda: place.status(project_id) == "processing", explain=place.daemon_log)
        time.sleep(promise.random.uniform(0, 0.05))
        place.queue().reset(project_id)
    wait_for_phase(place, project_id, "running")
    runs = place.runs(project_id)
    wait_until(lambda: place.sessions() == [runs[-1]["session_name"]])

    tokens = [token for _, _, token in place.ledger_lines()]
    promise.tell(f"8 resets, {len(tokens)} of the runs had begun")
    assert len(tokens) == len(set(tokens))
    assert {run["outcome"] for run in runs[:-1]} == {"reset"}
    assert all(place.marked(run["token"]) == [] for run in runs[:-1])


# -- reload ---------------------------------------------------------------------------------


def test_a_reload_takes_a_changed_setting_over_and_keeps_projects_running(place):
    (place.home / ".env").write_text("MAX_CONCURRENT_PROJECTS=1\n")
    ids = [place.enqueue(f"p{n}", shell("sleep 1000")) for n in range(3)]
    daemon = place.run_daemon()
    wait_until(lambda: len(place.sessions()) == 1)
    before = place.pane_pids()

    (place.home / ".env").write_text("MAX_CONCURRENT_PROJECTS=3\n")
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: len(place.sessions()) == 3, explain=place.daemon_log)

    assert before.items() <= place.pane_pids().items()
    assert [place.status(project_id) for project_id in ids] == ["processing"] * 3
    assert place.count_events("daemon_reloaded") == 1


def test_a_bad_setting_is_refused_at_a_reload_and_the_old_ones_hold(place):
    project_id = place.enqueue("p", shell("sleep 1000"))
    daemon = place.run_daemon()
    wait_for_phase(place, project_id, "running")

    (place.home / ".env").write_text("MAX_CONCURRENT_PROJECTS=many\n")
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: place.count_events("reload_refused") == 1, explain=place.daemon_log)

    assert "MAX_CONCURRENT_PROJECTS='many'" in place.daemon_log()
    assert daemon.poll() is None
    second = place.enqueue("q", shell("true"))
    place.queue().finish(project_id, success=False, reason="enough")
    place.wait_for_status(second, "completed")


def test_many_reloads_neither_lose_nor_double_anything(place):
    ids = [place.enqueue(f"p{n}", place.ledger_command("sleep 0.1")) for n in range(4)]
    daemon = place.run_daemon()
    while set(place.statuses().values()) != {"completed"}:
        daemon.send_signal(signal.SIGHUP)
        time.sleep(0.15)

    assert sorted(project for project, _, _ in place.ledger_lines()) == ids
    assert "Traceback" not in place.daemon_log()


def test_a_reload_does_not_let_files_or_connections_pile_up(place):
    daemon = place.run_daemon()
    wait_until((place.home / "task_queue.db").exists)
    counts = []
    for number in range(5):
        daemon.send_signal(signal.SIGHUP)
        wait_until(lambda n=number: place.count_events("daemon_started") == n + 2)
        time.sleep(0.3)
        counts.append(len(os.listdir(f"/proc/{daemon.pid}/fd")))

    assert max(counts[1:]) <= counts[0] + 1, counts


# -- external launchers ---------------------------------------------------------------------


def launcher(place: Installation, script: str) -> str:
    path = place.folder / "launcher.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return f"{path} {{spec}} {{project}} {{project_id}}"


MAKE = "tmux new-session -d -s made-impl-0a1b2c3d 'sleep 1000'"


@pytest.mark.parametrize(
    ("spec_name", "script"),
    [
        ("any", f'{MAKE}; echo made-impl-0a1b2c3d >"$SCHEDULER_SESSION_FILE"'),
        ("any", f"{MAKE}; echo SESSION=made-impl-0a1b2c3d"),
        ("made", MAKE),
    ],
    ids=["names it in the file", "names it on its last line", "names it nowhere"],
)
def test_the_session_of_an_external_launcher_is_followed_to_its_end(place, spec_name, script):
    place.environ["LAUNCHER_COMMAND"] = launcher(place, script)
    project_id = place.enqueue(spec_name, "")
    place.run_daemon()
    wait_until(
        lambda: (
            "run_adopted" in facts(place, project_id)
            and place.runs(project_id)[0]["session_name"] == "made-impl-0a1b2c3d"
        ),
        explain=place.daemon_log,
    )
    place.cli("done", str(project_id))

    place.wait_for_status(project_id, "completed")
    wait_until(lambda: place.sessions() == [], explain=place.daemon_log)


def test_a_session_of_an_external_launcher_that_is_killed_is_a_loss(place):
    place.environ["LAUNCHER_COMMAND"] = launcher(place, f"{MAKE}; echo SESSION=made-impl-0a1b2c3d")
    project_id = place.enqueue("any", "")
    place.run_daemon()
    wait_until(lambda: "run_adopted" in facts(place, project_id), explain=place.daemon_log)

    place.tmux("kill-session", "-t", "=made-impl-0a1b2c3d")
    place.wait_for_status(project_id, "failed")

    assert place.runs(project_id)[0]["reason"] == "its tmux session was killed"


def test_an_external_launcher_that_fails_fails_the_project_with_its_last_line(place):
    place.environ["LAUNCHER_COMMAND"] = launcher(place, "echo no agents left; exit 7")
    project_id = place.enqueue("any", "")
    place.run_daemon()

    place.wait_for_status(project_id, "failed")

    assert place.runs(project_id)[0]["reason"] == 'exit 7: "no agents left"'


def test_an_external_launcher_that_makes_no_session_fails_the_project(place):
    place.environ |= {
        "LAUNCHER_COMMAND": launcher(place, "exit 0"),
        "LAUNCHER_SESSION_WAIT_SEC": "1",
    }
    project_id = place.enqueue("any", "")
    place.run_daemon()

    place.wait_for_status(project_id, "failed")

    assert place.runs(project_id)[0]["reason"] == (
        "the launcher ended with 0 but no session was created"
    )


def test_an_external_session_is_followed_across_a_kill_of_the_daemon(place):
    place.environ["LAUNCHER_COMMAND"] = launcher(place, f"{MAKE}; echo SESSION=made-impl-0a1b2c3d")
    project_id = place.enqueue("any", "")
    daemon = place.run_daemon()
    wait_until(lambda: "run_adopted" in facts(place, project_id), explain=place.daemon_log)

    place.stop_daemon(daemon, signal.SIGKILL)
    place.run_daemon()
    time.sleep(0.3)
    status = place.status(project_id)
    place.cli("done", str(project_id))
    place.wait_for_status(project_id, "completed")

    assert status == "processing"
    assert len(place.runs(project_id)) == 1
