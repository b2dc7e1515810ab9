"""`retry`, `reset`, `remove`, `priority`: each project on its own, the worst exit code for all."""

import pytest

from scheduler_modules.errors import DatabaseUnavailable


def failed(cli, stem="docs"):
    project_id = cli.add(stem)
    cli.queue.claim_next("d")
    cli.queue.finish(project_id, success=False)
    cli.store.mark_cleaned(cli.run(project_id).token, cli.clock.now())
    return project_id


def test_a_failed_project_is_queued_again(cli):
    failed(cli)

    answer = cli.call("retry", "1")

    assert (answer.code, answer.out, cli.status(1)) == (0, "1  docs  queued again\n", "queued")


def test_a_running_project_cannot_be_retried(cli):
    cli.add_running("docs")

    answer = cli.call("retry", "1")

    assert (answer.code, cli.status(1)) == (4, "processing")
    assert "reset ends its run" in answer.err


@pytest.mark.parametrize("verb", ["retry", "reset"])
@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("queued", "project 1 (a) is queued already"),
        ("completed", "project 1 (a) is completed; add --again queues its spec as a new project"),
    ],
)
def test_what_waits_or_is_done_cannot_be_queued_again(cli, verb, status, said):
    cli.store.insert_row(spec_path="/s/a.md", status=status)

    answer = cli.call(verb, "1")

    assert (answer.code, answer.err) == (4, f"error: {said}\n")


def test_a_running_project_is_not_reset_in_a_pipe_without_a_yes(cli):
    cli.add_running("docs")

    answer = cli.call("reset", "1", stdin="y\n")

    assert (answer.code, cli.status(1)) == (2, "processing")
    assert answer.err == (
        "error: project 1 (docs) is running and reset would end that; say --yes if that is meant\n"
    )


def test_without_a_daemon_nobody_is_said_to_end_a_run(cli):
    cli.add_running("docs")
    cli.stop_daemon()

    answer = cli.call("reset", "1", "--yes")

    assert answer.out == (
        "1  docs  queued again; a daemon ends its run first, once one is started\n"
    )


def test_with_yes_a_running_project_is_reset(cli):
    cli.add_running("docs")

    answer = cli.call("reset", "1", "--yes")

    assert (answer.code, answer.out) == (0, "1  docs  queued again; its run is being ended\n")
    assert cli.status(1) == "queued"


@pytest.mark.parametrize(("said", "status"), [("y\n", "queued"), ("YES\n", "queued")])
def test_a_person_is_asked_and_may_say_yes(cli, said, status):
    cli.add_running("docs")

    answer = cli.call("reset", "1", stdin=said, is_tty=True)

    assert "project 1 (docs) is running; end its run and queue it again? [y/N]" in answer.err
    assert (answer.code, cli.status(1)) == (0, status)


@pytest.mark.parametrize("said", ["n\n", "\n", "", "perhaps\n"])
def test_anything_else_is_a_no(cli, said):
    cli.add_running("docs")

    answer = cli.call("reset", "1", stdin=said, is_tty=True)

    assert (answer.code, cli.status(1)) == (4, "processing")
    assert "project 1 was left as it is" in answer.err


def test_a_reset_of_what_does_not_run_needs_no_yes(cli):
    failed(cli)

    assert (cli.call("reset", "1").code, cli.status(1)) == (0, "queued")


def test_a_project_is_removed(cli):
    cli.add("docs")

    answer = cli.call("remove", "1")

    assert (answer.code, answer.out, cli.store.project(1)) == (0, "1  docs  removed\n", None)


def test_a_running_project_is_not_removed(cli):
    cli.add_running("docs")

    answer = cli.call("remove", "1")

    assert (answer.code, cli.status(1)) == (4, "processing")
    assert answer.err == "error: project 1 is running: fail it first, then remove it\n"


def test_what_a_running_project_needs_for_a_retry_is_not_removed(cli):
    needed = cli.add("lint")
    cli.queue.claim_next("d")
    cli.queue.finish(needed, success=True)
    cli.store.mark_cleaned(cli.run(needed).token, cli.clock.now())
    waiting = cli.add("web", after_keys=(str(cli.specs / "lint.md"),))
    cli.queue.claim_next("d")

    answer = cli.call("remove", str(needed))

    assert (answer.code, cli.status(needed), cli.status(waiting)) == (4, "completed", "processing")
    assert answer.err == (
        f"error: project {needed} (lint) is needed by project {waiting} (web), which may still "
        "run: remove that first\n"
    )


def test_a_priority_is_changed(cli):
    cli.add("docs")

    answer = cli.call("priority", "7", "1")

    assert (answer.code, answer.out, cli.get(1).priority) == (0, "1  docs  priority 7\n", 7)


def test_a_negative_priority_can_be_given(cli):
    cli.add("docs")

    assert cli.call("priority", "--", "-7", "1").code == 0
    assert cli.get(1).priority == -7


@pytest.mark.parametrize("priority", ["1001", "x", "9" * 40, ""])
def test_a_priority_that_is_none_is_refused(cli, priority):
    cli.add("docs")

    assert (cli.call("priority", priority, "1").code, cli.get(1).priority) == (2, 0)


def test_a_running_project_keeps_its_priority(cli):
    cli.add_running("docs")

    answer = cli.call("priority", "7", "1")

    assert (answer.code, answer.err) == (4, "error: project 1 is running, not queued\n")


def test_one_that_cannot_be_changed_does_not_keep_others_from_it(cli):
    failed(cli, "a")
    cli.add("b", priority=-1)
    failed(cli, "c")

    answer = cli.call("retry", "1,2-3,99")

    assert answer.code == 4
    assert [line.split()[0] for line in answer.lines] == ["1", "3"]
    assert answer.err.splitlines() == [
        "error: project 2 (b) is queued already",
        "error: project 99 not found",
    ]


def test_many_come_from_stdin(cli):
    for stem in ("a", "b", "c"):
        cli.add(stem)

    answer = cli.call("remove", "-", stdin="1 2\nc\n")

    assert (answer.code, cli.store.projects()) == (0, [])


def test_an_empty_stdin_changes_nothing(cli):
    answer = cli.call("remove", "-", stdin="\n")

    assert (answer.code, answer.out) == (0, "")


def test_json_tells_of_each_what_has_become_of_it(cli):
    failed(cli)

    told = cli.call("retry", "1", "nobody", "--json").json["projects"]

    assert told == [
        {
            "given": "1",
            "id": 1,
            "name": "docs",
            "outcome": "queued again",
            "error": None,
            "exit_code": 0,
        },
        {
            "given": "nobody",
            "id": None,
            "name": None,
            "outcome": None,
            "error": 'no project is named "nobody" or begins so',
            "exit_code": 3,
        },
    ]


def test_quiet_prints_the_ids_of_what_was_changed(cli):
    failed(cli)

    answer = cli.call("retry", "-q", "1", "2")

    assert (answer.code, answer.out, answer.err) == (3, "1\n", "error: project 2 not found\n")


def test_a_database_that_goes_away_is_said_once(cli, monkeypatch):
    failed(cli, "a")
    failed(cli, "b")

    def gone(*arguments, **named):
        raise DatabaseUnavailable("the database is gone")

    monkeypatch.setattr(cli.store, "save_project", gone)
    answer = cli.call("retry", "1-2")

    assert (answer.code, answer.err) == (6, "error: the database is gone\n")


@pytest.mark.parametrize("verb", ["retry", "reset", "remove"])
def test_no_project_is_wrong_use(cli, verb):
    assert cli.call(verb).code == 2


# -- all that failed ----------------------------------------------------------------------------


def test_all_that_failed_is_queued_again(cli):
    for stem in ("a", "b"):
        failed(cli, stem)
    cli.store.insert_row(spec_path="/s/c.md", status="completed")

    answer = cli.call("retry", "--failed")

    assert (answer.code, answer.lines) == (0, ["1  a  queued again", "2  b  queued again"])


@pytest.mark.parametrize("option", [("--group", "night"), ("--batch", "b")])
def test_only_the_failed_of_a_group_or_batch_are_queued_again(cli, option):
    failed(cli, "a")
    cli.add("b", group="night", batch_id="b")
    cli.queue.claim_next("d")
    cli.queue.finish(2, success=False)

    cli.call("retry", "--failed", *option)

    assert (cli.status(1), cli.status(2)) == ("failed", "queued")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--group", "nope"), "there is no group 'nope'; `group list` shows them"),
        (("--batch", "nope"), 'no project is of batch "nope"'),
    ],
)
def test_a_group_or_batch_that_is_not_there_is_not_found(cli, option, said):
    failed(cli, "a")

    answer = cli.call("retry", "1", "--failed", *option)

    assert (answer.code, answer.err, cli.status(1)) == (3, f"error: {said}\n", "failed")


def test_what_failed_in_a_group_that_was_removed_since_is_queued_again(cli):
    cli.add("a", group="night")
    cli.queue.claim_next("d")
    cli.queue.finish(1, success=False)
    cli.call("group", "remove", "night")

    assert cli.call("retry", "--failed", "--group", "night").code == 0


def test_what_failed_and_was_queued_anew_since_is_left(cli):
    failed(cli, "a")
    cli.add("a")

    answer = cli.call("retry", "--failed")

    assert (answer.code, answer.out, cli.status(1)) == (0, "", "failed")
    assert answer.err == "nothing has failed that was not queued anew\n"


def test_a_failed_row_of_an_old_program_is_queued_again(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="PERMANENTLY_FAILED")

    assert cli.call("retry", "--failed").lines == ["1  a  queued again"]


def test_ids_may_stand_beside_what_failed(cli):
    failed(cli, "a")
    cli.store.insert_row(spec_path="/s/z.md", status="zombie")

    cli.call("retry", "2", "--failed")

    assert (cli.status(1), cli.status(2)) == ("queued", "queued")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "give ids, or --failed"), (("1", "--group", "x"), "say --failed too")],
)
def test_what_is_to_be_retried_has_to_be_said(cli, arguments, said):
    failed(cli, "a")

    answer = cli.call("retry", *arguments)

    assert (answer.code, said in answer.err, cli.status(1)) == (2, True, "failed")


# -- negative numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("-5", "1"), ("--", "-5", "1"), ("--json", "-5", "1")])
def test_a_negative_priority_needs_no_dashes(cli, words):
    cli.add("docs")

    assert (cli.call("priority", *words).code, cli.get(1).priority) == (0, -5)


def test_an_option_that_is_unknown_is_no_number(cli):
    cli.add("docs")

    answer = cli.call("priority", "-x", "1")

    assert (answer.code, 'unknown option "-x"' in answer.err) == (2, True)


def test_a_negative_number_after_the_first_is_no_id(cli):
    answer = cli.call("priority", "-5", "-3")

    assert (answer.code, answer.err) == (2, 'error: "-3" is no id: ids begin at 1\n')
