"""`done`, `fail` and `attach`: talking to a running project."""

import os

import pytest

from scheduler_modules.model import Outcome
from tests.cli_world import run_elsewhere


def inside(cli, project_id=1):
    """Return the environment of a window of the project."""
    return {
        "SCHEDULER_PROJECT_ID": str(project_id),
        "SCHEDULER_RUN_ID": cli.run(project_id).token,
    }


def test_inside_its_session_a_project_is_done_without_an_id(cli):
    cli.add_running("docs")

    answer = cli.call("done", **inside(cli))

    assert (answer.code, answer.out) == (0, "1  docs  reported done\n")
    assert cli.run(1).reported is Outcome.COMPLETED


def test_done_is_a_claim_where_there_is_a_verification(cli):
    cli.add_running("docs", "command: make\nverify: make test")

    answer = cli.call("done", "1")

    assert answer.out == "1  docs  reported done; verify has the last word\n"


def test_inside_its_session_a_project_fails_with_a_reason(cli):
    cli.add_running("docs")

    answer = cli.call("fail", "no\nkey", **inside(cli))

    assert (answer.code, answer.out) == (0, "1  docs  reported failed: no key\n")
    assert (cli.run(1).reported, cli.run(1).reported_note) == (Outcome.FAILED, "no key")


def test_outside_the_project_is_named(cli):
    cli.add_running("docs")

    assert cli.call("fail", "docs", "wrong branch").code == 0
    assert cli.run(1).reported_note == "wrong branch"


def test_a_run_that_is_over_cannot_report_for_the_next_one(cli):
    cli.add_running("docs")
    old = inside(cli)
    cli.queue.reset(1)
    cli.tick_for(30)

    answer = cli.call("done", **old)

    assert (answer.code, cli.run(1).reported) == (4, None)
    assert answer.err == "error: project 1: this run is over, its report is refused\n"


def test_a_person_inside_one_session_may_report_for_another(cli):
    cli.add_running("one")
    surroundings = inside(cli)
    cli.queue.finish(1, success=True)
    cli.tick_for(30)
    cli.add_running("two")

    assert cli.call("done", "2", **surroundings).code == 0
    assert cli.run(2).reported is Outcome.COMPLETED


def test_naming_oneself_is_fenced_too(cli):
    cli.add_running("docs")
    old = inside(cli)
    cli.queue.reset(1)
    cli.tick_for(30)

    assert cli.call("done", "docs", **old).code == 4


def test_without_a_token_the_id_is_enough(cli):
    cli.add_running("docs")

    assert cli.call("done", SCHEDULER_PROJECT_ID="1").code == 0


@pytest.mark.parametrize("arguments", [["done"], ["fail", "why"]])
def test_outside_without_an_id_it_is_wrong_use(cli, arguments):
    cli.add_running("docs")

    answer = cli.call(*arguments)

    assert (answer.code, "give an id" in answer.err) == (2, True)


@pytest.mark.parametrize("arguments", [["done", "1"], ["fail", "1", "why"]])
def test_a_queued_project_has_nothing_to_report(cli, arguments):
    cli.add("docs")

    answer = cli.call(*arguments)

    assert (answer.code, answer.err) == (4, "error: project 1 is queued, not running\n")


def test_what_another_program_runs_takes_no_report(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="processing")

    answer = cli.call("done", "1")

    assert (answer.code, answer.err) == (4, "error: project 1 is run by another program\n")


@pytest.mark.parametrize("arguments", [["fail"], ["fail", "1", " "], ["fail", "1", "a", "b"]])
def test_a_failure_has_one_reason(cli, arguments):
    cli.add_running("docs")

    assert (cli.call(*arguments).code, cli.run(1).reported) == (2, None)


def test_json_repeats_what_was_reported(cli):
    cli.add_running("docs")

    assert cli.call("fail", "1", "why", "--json").json == {
        "id": 1,
        "reported": "failed",
        "reported_note": "why",
    }


def test_quiet_says_nothing(cli):
    cli.add_running("docs")

    assert cli.call("done", "1", "-q").out == ""


# -- attach -------------------------------------------------------------------------------------


@pytest.fixture
def executed(monkeypatch):
    """What this process would have become."""
    found = []
    monkeypatch.setattr(os, "execvp", lambda file, argv: found.append((file, argv)))
    return found


def test_a_running_project_is_entered(cli, executed):
    cli.add_running("docs")

    assert cli.call("attach", "docs", is_tty=True).code == 0

    argv = cli.tmux.attach_argv(cli.run(1).session_name)
    assert executed == [("tmux", argv)]


def test_a_session_kept_after_the_end_can_be_entered(cli, executed):
    cli.add_running("docs")
    cli.finish(1, 3)
    cli.tick_for(2)

    assert (cli.call("attach", "1", is_tty=True).code, len(executed)) == (0, 1)


def test_without_a_terminal_it_says_what_to_type(cli, executed):
    cli.add_running("docs")

    answer = cli.call("attach", "1")

    assert (answer.code, executed) == (4, [])
    assert answer.err.startswith("error: attach needs a terminal; from one, type: tmux -N ")


def test_a_queued_project_has_no_session(cli, executed):
    cli.add("docs")

    answer = cli.call("attach", "1", is_tty=True)

    assert (answer.code, executed) == (4, [])
    assert "project 1 (docs) is queued and has no session" in answer.err


def test_what_was_never_launched_has_no_session(cli, executed):
    cli.add("docs")
    (cli.specs / "docs.md").unlink()
    cli.tick(2)

    answer = cli.call("attach", "1", is_tty=True)

    assert "project 1 (docs) is failed and has no session" in answer.err


def test_a_session_on_another_machine_is_not_entered_here(cli, executed):
    run_elsewhere(cli)

    answer = cli.call("attach", "1", is_tty=True, NO_COLOR="1")

    assert (answer.code, answer.err) == (
        4,
        "error: project 1 (docs): its session is on workbench, attach there\n",
    )


def test_a_session_that_is_gone_leads_to_the_logs(cli, executed):
    cli.add_running("docs")
    cli.finish(1)
    cli.tick_for(2)

    answer = cli.call("attach", "1", is_tty=True)

    assert (answer.code, "its session is gone; see logs 1" in answer.err) == (4, True)


def test_a_session_that_is_not_up_yet_is_not_called_gone(cli, executed):
    cli.add("docs")
    cli.queue.claim_next("d")

    answer = cli.call("attach", "1", is_tty=True)

    assert (answer.code, "try again" in answer.err) == (4, True)


def test_an_unreachable_tmux_is_said(cli, executed):
    cli.add_running("docs")
    cli.tmux.goes_down()

    assert (cli.call("attach", "1", is_tty=True).code, executed) == (5, [])


def test_a_missing_tmux_is_said(cli, monkeypatch):
    cli.add_running("docs")

    def missing(file, argv):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "execvp", missing)

    answer = cli.call("attach", "1", is_tty=True)

    assert (answer.code, "tmux cannot be started: No such file" in answer.err) == (5, True)
