"""`wait`: to the end of all, or to the certainty that there will be none."""

import json

import pytest

from scheduler_modules.errors import SchedulerError
from tests.cli_world import steps


def nothing():
    pass


def states(answer):
    """Return each change that was told: id and state."""
    return [(int(row[1]), row[2]) for row in answer.rows]


def test_it_ends_with_0_when_all_have_completed(cli):
    cli.add_running("docs")
    cli.start_daemon()
    cli.meanwhile = steps(nothing, lambda: cli.finish(1))

    answer = cli.call("wait", "1")

    assert (answer.code, states(answer)) == (0, [(1, "running"), (1, "completed")])


def test_it_ends_with_1_when_one_has_failed(cli):
    cli.add_running("docs")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: cli.finish(1, 3))

    answer = cli.call("wait", "1")

    assert (answer.code, answer.rows[-1][2:]) == (1, ["failed", "docs", "exit 3"])


def test_a_retry_is_not_the_end(cli):
    cli.add_running("docs", "command: make\nretries: 1")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: cli.finish(1, 3), *[nothing] * 70, lambda: cli.finish(1, 0))

    answer = cli.call("wait", "1")

    assert answer.code == 0
    assert states(answer) == [
        (1, "running"),
        (1, "queued"),
        (1, "running"),
        (1, "completed"),
    ]


def test_a_line_has_time_id_state_name_and_note(cli):
    cli.store.insert_row(spec_path="/s/docs.md", status="failed", error_message="exit 3")

    assert cli.call("wait", "1").rows == [
        ["2023-11-14T22:13:20.000Z", "1", "failed", "docs", "exit 3"]
    ]


def test_what_has_ended_already_is_not_waited_for(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="completed")

    assert (cli.call("wait", "1").code, cli.pauses) == (0, 0)


def test_a_range_and_several_are_waited_for(cli):
    cli.add("a")
    cli.add("b")
    cli.start_daemon()
    cli.meanwhile = steps(nothing, lambda: cli.finish(1), nothing, lambda: cli.finish(2))

    assert cli.call("wait", "1-2", "b").code == 0


def test_with_all_everything_queued_or_running_is_waited_for(cli):
    cli.store.insert_row(spec_path="/s/old.md", status="failed")
    cli.add_running("a")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: cli.finish(2))

    answer = cli.call("wait", "--all")

    assert (answer.code, states(answer)) == (0, [(2, "running"), (2, "completed")])


def test_with_all_and_an_empty_queue_it_ends_at_once(cli):
    answer = cli.call("wait", "--all")

    assert (answer.code, answer.out, answer.err) == (0, "", "nothing is queued or running\n")


def test_waiting_for_nothing_is_wrong_use(cli):
    assert cli.call("wait").code == 2


def test_an_unknown_project_is_not_found(cli):
    assert cli.call("wait", "7").code == 3


def test_a_removed_project_has_not_completed(cli):
    cli.add("a")
    cli.meanwhile = steps(lambda: cli.queue.remove(1))

    answer = cli.call("wait", "1")

    assert (answer.code, states(answer)[-1]) == (1, (1, "removed"))


def test_time_is_up(cli):
    cli.add_running("docs")
    cli.start_daemon()

    answer = cli.call("wait", "1", "--timeout", "90")

    assert (answer.code, answer.err) == (
        4,
        "error: not ended after 1m: 1 (docs: running)\n",
    )


def test_a_timeout_of_0_looks_once(cli):
    cli.add_running("docs")
    cli.start_daemon()

    assert cli.call("wait", "1", "--timeout", "0").code == 4
    assert cli.pauses == 0


def blocked(cli, *others):
    """Queue a project that waits for a failed one; return nothing running, ids 1 and 2."""
    cli.call("add", str(cli.write_spec("first")))
    cli.call("add", str(cli.write_spec("second", "command: x\nafter: [first.md]")), *others)
    cli.queue.claim_next("d")
    cli.queue.finish(1, success=False)
    cli.store.mark_cleaned(cli.run(1).token, cli.clock.now())


def test_what_waits_for_a_failure_can_never_end(cli):
    blocked(cli)
    cli.start_daemon()

    answer = cli.call("wait", "2")

    assert (answer.code, answer.err) == (
        4,
        "error: can never end: 2 (second: queued, after 1, which failed)\n",
    )


def test_what_waits_for_that_in_turn_can_never_end_either(cli):
    blocked(cli, str(cli.write_spec("third", "command: x\nafter: [second.md]")))
    cli.start_daemon()

    answer = cli.call("wait", "3")

    assert (answer.code, "can never end: 3 (third: queued, after 2)" in answer.err) == (4, True)


def test_what_can_never_end_does_not_hide_what_can(cli):
    blocked(cli)
    cli.add("other")
    cli.start_daemon()
    cli.meanwhile = steps(nothing, lambda: cli.finish(3), nothing)

    answer = cli.call("wait", "2", "3")

    assert (answer.code, states(answer)[-1]) == (4, (3, "completed"))


def test_what_can_never_end_is_said_once_while_others_go_on(cli):
    blocked(cli)
    cli.add_running("other")
    cli.start_daemon()
    cli.meanwhile = steps(nothing, nothing, lambda: cli.finish(3))

    answer = cli.call("wait", "2", "3")

    stuck = "2 (second: queued, after 1, which failed)"
    assert answer.err.splitlines() == [
        f"warning: cannot end unless something changes: {stuck}",
        f"error: can never end: {stuck}",
    ]


def test_a_person_sees_what_can_never_end_below_the_table(cli):
    blocked(cli)
    cli.add_running("other")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: cli.finish(3))

    answer = cli.call("wait", "2", "3", is_tty=True, NO_COLOR="1")

    assert "! cannot end unless something changes: 2 (second: queued," in answer.out


def test_what_runs_besides_does_not_keep_a_wait_in_vain_going(cli):
    blocked(cli)
    cli.add_running("other")
    cli.start_daemon()

    answer = cli.call("wait", "1", "2")

    assert (answer.code, cli.pauses) == (4, 0)


def test_waiting_for_an_absent_spec_can_never_end(cli):
    cli.call("add", str(cli.write_spec("a", "command: x\nafter: [absent.md]")))
    cli.start_daemon()

    answer = cli.call("wait", "1")

    assert (answer.code, "after absent.md, which is not queued" in answer.err) == (4, True)


def test_what_is_met_does_not_hide_what_never_will_be(cli):
    cli.call("add", str(cli.write_spec("first")))
    cli.queue.claim_next("d")
    cli.queue.finish(1, success=True)
    cli.call("add", str(cli.write_spec("a", "command: x\nafter: [first.md, absent.md]")))
    cli.start_daemon()

    assert cli.call("wait", "2").code == 4


def test_without_a_daemon_it_gives_up_after_a_grace(cli):
    cli.add("docs")

    answer = cli.call("wait", "1")

    assert (answer.code, answer.err) == (
        7,
        "error: no daemon runs, so nothing is started; still 1 (docs: queued). "
        "next: tmux-orchestrator daemon start\n",
    )
    assert cli.clock.since_boot_sec() == 5_003.0


def test_a_daemon_that_comes_within_the_grace_is_soon_enough(cli):
    cli.add("docs")
    cli.meanwhile = steps(*[nothing] * 8, cli.start_daemon, nothing, lambda: cli.finish(1))

    assert cli.call("wait", "1").code == 0


def test_each_absence_of_a_daemon_has_its_own_grace(cli):
    cli.add("docs")
    cli.meanwhile = steps(
        *[nothing] * 8,
        cli.start_daemon,
        nothing,
        cli.stop_daemon,
        *[nothing] * 8,
        cli.start_daemon,
        lambda: cli.finish(1),
    )

    assert cli.call("wait", "1").code == 0


def test_many_unfinished_projects_are_counted_not_listed(cli):
    for number in range(10):
        cli.add(f"spec-{number}")

    assert "8 (spec-7: queued) and 2 more" in cli.call("wait", "--all").err


def test_an_interrupt_says_that_the_work_goes_on(cli):
    cli.add_running("docs")

    def interrupt():
        raise KeyboardInterrupt

    cli.meanwhile = interrupt
    answer = cli.call("wait", "1")

    assert (answer.code, answer.err) == (130, "stopped waiting; the work goes on\n")


def test_json_is_one_object_for_each_change(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="completed")

    assert json.loads(cli.call("wait", "1", "--json").out) == {
        "at": "2023-11-14T22:13:20.000Z",
        "id": 1,
        "name": "a",
        "state": "completed",
        "note": None,
    }


def test_quiet_says_it_all_by_the_exit_code(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="failed")

    answer = cli.call("wait", "1", "-q")

    assert (answer.code, answer.out, answer.err) == (1, "", "")


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "x", "1e99"])
def test_a_timeout_that_is_no_time_is_refused(cli, value):
    assert cli.call("wait", "--all", "--timeout", value).code == 2


# -- on a terminal ------------------------------------------------------------------------------


def test_a_person_sees_progress_and_the_last_line_printed(cli):
    cli.add_running("docs")
    cli.add("later")
    cli.files.write_log(cli.run(1).token, "main", "compiling\n")
    cli.start_daemon()
    cli.meanwhile = steps(nothing, lambda: cli.finish(1), nothing, lambda: cli.finish(2))

    answer = cli.call("wait", "--all", is_tty=True)

    assert answer.code == 0
    for text in ("compiling", "0 of 2 ended", "1 of 2 ended", "2 of 2 ended"):
        assert text in answer.out


def test_what_goes_on_stands_above_what_waits_and_has_ended(cli):
    cli.store.insert_row(spec_path="/s/old.md", status="completed")
    cli.add("waits", priority=-1)
    cli.add_running("runs")

    answer = cli.call("wait", "1", "2", "3", "--timeout", "0", is_tty=True, NO_COLOR="1")

    shown = [line.split()[0] for line in answer.lines if line[:5].strip().isdigit()]
    assert shown[:3] == ["3", "2", "1"]


def test_a_verifying_project_shows_the_last_line_of_its_verification(cli):
    cli.add_running("docs", "command: make\nverify: make test")
    cli.finish(1)
    cli.tick()
    cli.files.write_log(cli.run(1).token, "verify", "testing\n")
    cli.start_daemon()

    assert "testing" in cli.call("wait", "1", "--timeout", "0", is_tty=True).out


def test_a_log_that_cannot_be_read_does_not_end_the_wait(cli, monkeypatch):
    cli.add_running("docs")
    cli.start_daemon()

    def broken(token, role):
        raise SchedulerError("disk broken")

    monkeypatch.setattr(cli.files, "last_line", broken)
    cli.meanwhile = steps(lambda: cli.finish(1))

    assert cli.call("wait", "1", is_tty=True).code == 0


def test_a_run_whose_spec_was_not_read_yet_has_no_last_line(cli):
    cli.add("docs")
    cli.queue.claim_next("d")
    cli.start_daemon()

    assert "starting" in cli.call("wait", "1", "--timeout", "0", is_tty=True).out


def test_a_person_is_told_that_no_daemon_runs_before_it_gives_up(cli):
    cli.add("docs")

    answer = cli.call("wait", "1", is_tty=True)

    assert (answer.code, "! no daemon runs" in answer.out) == (7, True)


def test_many_projects_do_not_fill_the_screen(cli):
    for number in range(40):
        cli.add(f"spec-{number}")

    answer = cli.call("wait", "--all", "--timeout", "0", is_tty=True, NO_COLOR="1")

    assert "and 10 more" in answer.out


# -- groups, batches, the first -----------------------------------------------------------------


def test_all_of_a_group_are_waited_for(cli):
    cli.start_daemon()
    cli.add("a", group="night")
    cli.add("b", held_at=1.0)
    cli.meanwhile = steps(nothing, lambda: cli.finish(1))

    answer = cli.call("wait", "--group", "night")

    assert (answer.code, states(answer)) == (
        0,
        [(1, "queued"), (1, "running"), (1, "completed")],
    )


def test_a_batch_is_waited_for_with_what_has_ended(cli):
    cli.start_daemon()
    cli.add("a", batch_id="b")
    cli.queue.claim_next("d")
    cli.queue.finish(1, success=False)

    answer = cli.call("wait", "--batch", "b")

    assert (answer.code, states(answer)) == (1, [(1, "failed")])


def test_a_group_that_is_not_there_is_not_found(cli):
    answer = cli.call("wait", "--group", "nope")

    assert (answer.code, answer.err) == (
        3,
        "error: there is no group 'nope'; `group list` shows them\n",
    )


def test_a_batch_that_is_not_there_is_not_found(cli):
    answer = cli.call("wait", "--batch", "nope")

    assert (answer.code, answer.err) == (3, 'error: no project is of batch "nope"\n')


def test_with_any_the_first_to_end_is_enough(cli):
    cli.start_daemon()
    cli.add("a")
    cli.add("b", held_at=1.0)
    cli.meanwhile = steps(nothing, lambda: cli.finish(1))

    answer = cli.call("wait", "1", "2", "--any")

    assert (answer.code, states(answer)[-1]) == (0, (1, "completed"))


def test_with_any_a_failure_of_the_first_is_one(cli):
    cli.start_daemon()
    cli.add("a")
    cli.add("b", held_at=1.0)
    cli.meanwhile = steps(nothing, lambda: cli.finish(1, 3))

    assert cli.call("wait", "--all", "--any").code == 1


def test_with_any_the_one_that_ended_before_all_others_counts(cli):
    for stem, success in (("a", False), ("b", True)):
        cli.add(stem)
        cli.queue.claim_next("d")
        cli.queue.finish({"a": 1, "b": 2}[stem], success=success)
        cli.store.mark_cleaned(cli.run({"a": 1, "b": 2}[stem]).token, cli.clock.now())
        cli.clock.advance(5)

    answer = cli.call("wait", "2", "1", "--any", "-q")

    assert (answer.code, answer.out) == (1, "1\n")


def test_with_any_and_nothing_to_wait_for_it_ends_at_once(cli):
    answer = cli.call("wait", "--all", "--any", "-q")

    assert (answer.code, answer.out) == (0, "")


def test_what_is_paused_is_waited_for(cli):
    cli.start_daemon()
    cli.add("a")
    cli.call("stash", "1")
    cli.meanwhile = steps(lambda: cli.call("resume", "1"), nothing, nothing, lambda: cli.finish(1))

    answer = cli.call("wait", "1")

    assert (answer.code, states(answer)[0][1]) == (0, "paused")


def test_a_paused_project_is_not_called_so_twice(cli):
    cli.add_running("tick")
    cli.call("pause", "1")
    cli.tick()
    cli.stop_daemon()

    answer = cli.call("wait", "1")

    assert answer.code == 7
    assert "; still 1 (tick: paused since 2023-11-14T22:13:20.000Z). next: " in answer.err


class ClaimedMeanwhile:
    """A store whose queue is claimed from just before a project is read."""

    def __init__(self, world):
        self._store, self._world = world.store, world

    def __getattr__(self, name):
        return getattr(self._store, name)

    def project(self, number):
        self._world.queue.claim_next("d")
        return self._store.project(number)


def test_a_project_claimed_while_it_is_looked_at_is_not_of_another_program(cli):
    cli.add("docs")
    cli.store = ClaimedMeanwhile(cli)

    answer = cli.call("wait", "--all", "--timeout", "0")

    assert answer.rows[0][2:] == ["running", "docs", "starting"]
