"""`clean`: ended projects and their logs go; what runs, waits or is needed stays."""

import pytest

from scheduler_modules.utils import iso_utc
from tests.cli_world import Answer, Stream


def ended(cli, stem, *, success=True, **fields):
    """Run a project to its end; its window has printed something."""
    project_id = cli.add(stem, **fields)
    cli.tick()
    cli.files.write_log(cli.run(project_id).token, "main", "said\n")
    cli.finish(project_id, 0 if success else 1)
    cli.tick(3)
    return project_id


def ids(cli):
    return sorted(project.id for project in cli.store.projects())


def keys(cli, stem):
    return (str(cli.specs / f"{stem}.md"),)


class Person(Stream):
    """Says yes, but only after something else has happened."""

    def __init__(self, act):
        super().__init__("y\n", is_tty=True)
        self._act = act

    def readline(self, *args):
        self._act()
        return super().readline(*args)


def call_answering(cli, act):
    """Type `clean`; `act` happens while its question stands there."""
    out, err = Stream(is_tty=True), Stream(is_tty=True)
    code = cli.call_on(Person(act), out, err, "clean")
    return Answer(code, out.getvalue(), err.getvalue())


def test_ended_projects_and_their_logs_go(cli):
    for stem, success in (("a", True), ("b", False)):
        ended(cli, stem, success=success)
    token = cli.run(1).token

    answer = cli.call("clean", "--yes")

    assert (answer.code, answer.out, ids(cli)) == (0, "2 projects forgotten\n", [])
    assert (cli.files.log(token, "main"), cli.files.exit_code(token, "main")) == ("", None)


def test_what_runs_waits_or_stands_still_stays(cli):
    running = cli.add_running("a")
    queued = cli.add("b")
    zombie = cli.store.insert_row(spec_path="/s/z.md", status="zombie")

    assert cli.call("clean", "--yes").out == ""
    assert ids(cli) == [running, queued, zombie]


def test_in_a_pipe_nothing_goes_without_a_yes(cli):
    ended(cli, "a")

    answer = cli.call("clean", stdin="y\n")

    assert (answer.code, ids(cli)) == (2, [1])
    assert answer.err == (
        "error: clean would forget 1 project with their logs; say --yes if that is meant\n"
    )


@pytest.mark.parametrize(("said", "code", "left"), [("y\n", 0, []), ("n\n", 4, [1])])
def test_a_person_sees_what_would_go_and_is_asked(cli, said, code, left):
    ended(cli, "a")
    cli.clock.advance(480)

    answer = cli.call("clean", stdin=said, is_tty=True, NO_COLOR="1")

    assert (answer.code, ids(cli)) == (code, left)
    assert "1  a  ✓ completed 8m ago" in answer.err
    assert "forget 1 project and delete their logs? [y/N]" in answer.err


def test_a_dry_run_shows_what_would_go_and_nothing_goes(cli):
    ended(cli, "a")

    answer = cli.call("clean", "--dry-run")

    assert (answer.code, ids(cli)) == (0, [1])
    assert answer.rows == [["1", "completed", "a", iso_utc(cli.get(1).completed_at)]]
    assert answer.err == "1 project would go\n"


def test_of_many_a_person_sees_the_first(cli):
    for number in range(12):
        cli.store.insert_row(spec_path=f"/s/{number}.md", status="completed")

    answer = cli.call("clean", "--dry-run", is_tty=True)

    assert (len(answer.lines), "and 2 more" in answer.err) == (10, True)


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (("--completed",), [2]),
        (("--failed",), [1, 3]),
        (("--completed", "--failed"), []),
        (("--keep", "1"), [3]),
        (("--keep", "2", "--completed"), [1, 2, 3]),
        (("--group", "night"), [1, 2]),
        (("--batch", "b"), [1, 3]),
    ],
)
def test_options_say_which(cli, options, left):
    ended(cli, "a")
    ended(cli, "b", success=False, batch_id="b")
    ended(cli, "c", group="night")

    assert cli.call("clean", "--yes", *options).code == 0
    assert ids(cli) == left


@pytest.mark.parametrize(("span", "left"), [("1h", [2]), ("3h", [1, 2]), ("10m", [])])
def test_only_what_ended_long_enough_ago_goes(cli, span, left):
    ended(cli, "a")
    cli.clock.advance(7200)
    ended(cli, "b")
    cli.clock.advance(1800)

    cli.call("clean", "--yes", "--older", span)

    assert ids(cli) == left


@pytest.mark.parametrize("columns", [{"completed_at": 5.0}, {"started_at": 5.0}, {}])
def test_rows_of_old_programs_that_say_little_are_as_old_as_they_tell(cli, columns):
    cli.store.insert_row(spec_path="/s/a.md", status="permanently_failed", **columns)

    cli.call("clean", "--yes", "--older", "1d")

    assert ids(cli) == []


@pytest.mark.parametrize("option", [("--older", "soon"), ("--older", "7"), ("--keep", "-1")])
def test_a_wish_that_is_none_removes_nothing(cli, option):
    ended(cli, "a")

    assert (cli.call("clean", "--yes", *option).code, ids(cli)) == (2, [1])


def test_what_queued_projects_wait_for_is_spared(cli):
    ended(cli, "a")
    ended(cli, "b")
    cli.add("c", after_keys=(str(cli.specs / "a.md"),))

    answer = cli.call("clean", "--yes")

    assert answer.err == (
        "spared, for others that may still run need them: 1\n  1  a  is needed by 3 (c)\n"
    )
    assert ids(cli) == [1, 3]


def test_what_a_running_project_would_need_for_a_retry_is_spared(cli):
    ended(cli, "a")
    waiting = cli.add("b", "command: make\nretries: 1\nafter: [a.md]", after_keys=keys(cli, "a"))
    cli.tick()

    cli.call("clean", "--yes")
    cli.finish(waiting, 1)
    cli.tick_for(120)

    assert (ids(cli), cli.status(waiting)) == ([1, waiting], "processing")


def test_what_only_those_need_that_go_too_goes(cli):
    ended(cli, "a")
    ended(cli, "b", success=False, after_keys=keys(cli, "a"))
    cli.clock.advance(1)
    ended(cli, "a")

    answer = cli.call("clean", "--yes")

    assert (answer.code, answer.out, ids(cli)) == (0, "3 projects forgotten\n", [])


def test_what_those_need_that_are_spared_is_spared_too(cli):
    ended(cli, "a")
    ended(cli, "b", success=False, after_keys=keys(cli, "a"))
    waiting = cli.add("c", after_keys=keys(cli, "b"))

    answer = cli.call("clean", "--yes")

    assert answer.err.startswith("spared, for others that may still run need them: 2\n")
    assert ids(cli) == [1, 2, waiting]


def test_what_was_queued_again_while_a_person_was_asked_stays_with_its_logs(cli):
    failed = ended(cli, "a", success=False)
    token = cli.run(failed).token

    answer = call_answering(cli, lambda: cli.queue.retry(failed))

    assert (answer.code, cli.status(failed)) == (4, "queued")
    assert f"project {failed} changed meanwhile; it was left" in answer.err
    assert cli.files.log(token, "main") == "said\n"


def test_what_others_came_to_need_while_a_person_was_asked_stays(cli):
    needed = ended(cli, "a")

    answer = call_answering(cli, lambda: cli.add("b", after_keys=keys(cli, "a")))

    assert (answer.code, ids(cli)) == (4, [needed, 2])
    assert "needed by project 2 (b)" in answer.err


def test_a_run_that_is_still_being_ended_stays(cli):
    cli.add_running("a")
    cli.add("b")
    cli.queue.finish(1, success=False)
    ended_row = cli.store.insert_row(spec_path="/s/x.md", status="failed")

    answer = cli.call("clean", "--yes")

    assert (answer.code, answer.out) == (4, "1 project forgotten\n")
    assert ended_row not in ids(cli)
    assert "has not been ended yet" in answer.err


def test_json_tells_what_went(cli):
    ended(cli, "a")

    dry = cli.call("clean", "--dry-run", "--json").json
    told = cli.call("clean", "--yes", "--json").json

    assert (dry["removed"], told["removed"]) == (0, 1)
    assert dry["projects"] == told["projects"]
    assert [(row["id"], row["name"], row["status"]) for row in told["projects"]] == [
        (1, "a", "completed")
    ]


def test_quiet_shows_ids(cli):
    ended(cli, "a")

    assert cli.call("clean", "--dry-run", "-q").out == "1\n"
    assert cli.call("clean", "--yes", "-q").out == ""


def test_nothing_to_clean_is_fine(cli):
    answer = cli.call("clean", "--dry-run")

    assert (answer.code, answer.out, answer.err) == (0, "", "0 projects would go\n")


@pytest.mark.parametrize("options", [("--yes",), ("--completed", "--yes"), ()])
def test_where_nothing_would_go_it_is_said_so(cli, options):
    answer = cli.call("clean", *options)

    assert (answer.code, answer.out, answer.err) == (0, "", "nothing to forget\n")


def test_a_row_that_does_not_say_when_it_ended_is_shown_all_the_same(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="completed")

    assert cli.call("clean", "--dry-run").rows[0][3] == "-"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--group", "nope"), "there is no group 'nope'; `group list` shows them"),
        (("--batch", "nope"), 'no project is of batch "nope"'),
    ],
)
def test_a_group_or_batch_that_is_not_there_is_not_found(cli, option, said):
    ended(cli, "a")

    answer = cli.call("clean", "--yes", *option)

    assert (answer.code, answer.err, ids(cli)) == (3, f"error: {said}\n", [1])


def test_of_many_that_are_spared_the_first_are_named(cli):
    for number in range(12):
        ended(cli, f"a{number}")
        cli.add(f"w{number}", after_keys=keys(cli, f"a{number}"), held_at=1.0)

    answer = cli.call("clean", "--yes")

    assert (len(answer.err.splitlines()), "  and 2 more\n" in answer.err) == (13, True)
