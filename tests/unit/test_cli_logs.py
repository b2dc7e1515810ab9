"""`logs`: what was printed, now and while it comes."""

import json

import pytest

from tests.cli_world import Stream, steps


def running(cli, said="", front="command: make", stem="build"):
    project_id = cli.add_running(stem, front)
    cli.files.write_log(cli.run(project_id).token, "main", said)
    return project_id


def say(cli, text, role="main", project_id=1):
    cli.files.write_log(cli.run(project_id).token, role, text)


def test_what_a_project_printed_is_printed(cli):
    running(cli, "one\ntwo\n")

    answer = cli.call("logs", "1")

    assert (answer.code, answer.out) == (0, "one\ntwo\n")


def test_the_last_lines_are_enough(cli):
    running(cli, "one\ntwo\nthree\n")

    assert cli.call("logs", "1", "-n", "2").out == "two\nthree\n"


def test_an_unfinished_line_is_printed_too(cli):
    running(cli, "one\ntw")

    assert cli.call("logs", "1").out == "one\ntw\n"


def test_nothing_printed_is_nothing(cli):
    running(cli)

    assert cli.call("logs", "1").out == ""


def test_what_acts_on_a_terminal_is_taken_out(cli):
    running(cli, "\x1b[31mred\x1b[0m \x1b]52;c;eA==\x07\x9b1m\x07done\n")

    assert cli.call("logs", "1").out == "red done\n"


def test_raw_leaves_it_in(cli):
    running(cli, "\x1b[31mred\x1b[0m\n")

    assert cli.call("logs", "1", "--raw").out == "\x1b[31mred\x1b[0m\n"


def test_raw_bytes_are_not_touched(cli, capsysbinary):
    running(cli, "\r\nä\t")
    import sys

    cli.call_on(None, sys.stdout, sys.stderr, "logs", "1", "--raw")

    assert capsysbinary.readouterr().out == "\r\nä\t".encode()


def test_json_is_one_object_a_line(cli):
    running(cli, 'say "hi"\n')

    assert json.loads(cli.call("logs", "1", "--json").out) == {
        "id": 1,
        "attempt": 1,
        "window": "main",
        "line": 'say "hi"',
    }


def test_another_window_can_be_asked_for(cli):
    cli.add_running("web", "windows: [{role: one, command: a}, {role: two, command: b}]")
    say(cli, "from two\n", "two")

    assert cli.call("logs", "1", "-w", "two").out == "from two\n"


def test_the_verification_has_a_log_of_its_own(cli):
    running(cli, front="command: make\nverify: make test")
    say(cli, "tested\n", "verify")

    assert cli.call("logs", "1", "-w", "verify").out == "tested\n"


def test_an_unknown_window_is_refused_with_the_known_ones(cli):
    running(cli)

    answer = cli.call("logs", "1", "-w", "tester")

    assert (answer.code, answer.err) == (
        3,
        'error: no window "tester" in project 1; there are main\n',
    )


def test_an_earlier_attempt_can_be_asked_for(cli):
    running(cli, "first try\n", "command: make\nretries: 1")
    cli.finish(1, 1)
    cli.tick_for(40)
    say(cli, "second try\n")

    assert cli.call("logs", "1", "--attempt", "1").out == "first try\n"
    assert cli.call("logs", "1").out == "second try\n"


def test_an_attempt_that_never_was_is_not_found(cli):
    running(cli)

    answer = cli.call("logs", "1", "--attempt", "2")

    assert (answer.code, answer.err) == (3, "error: project 1 has no attempt 2\n")


def never_launched(cli):
    """Queue a project whose first run comes to nothing: its spec is not there."""
    project_id = cli.add("docs")
    (cli.specs / "docs.md").rename(cli.specs / "away.md")
    cli.tick(2)
    return project_id


def test_the_attempt_that_was_launched_is_meant_whatever_came_before_it(cli):
    never_launched(cli)
    (cli.specs / "away.md").rename(cli.specs / "docs.md")
    cli.call("retry", "1")
    cli.tick(2)
    say(cli, "hello\n")

    assert cli.call("logs", "1", "--attempt", "1").out == "hello\n"


def test_an_attempt_that_was_never_launched_says_why_it_has_no_log(cli):
    never_launched(cli)

    answer = cli.call("logs", "1", "--attempt", "1")

    assert (answer.code, answer.err) == (
        4,
        "error: attempt 1 of project 1 was not launched: "
        f"{cli.specs}/docs.md: no such file: check the path\n",
    )


def test_a_progress_bar_is_one_line(cli):
    running(cli, "10%\r20%\r\nend\r\n")

    assert cli.call("logs", "1").out == "20%\nend\n"


def test_a_project_that_never_ran_has_no_log(cli):
    cli.add("docs")

    answer = cli.call("logs", "1")

    assert (answer.code, answer.err) == (
        4,
        "error: project 1 is queued and has printed nothing\n",
    )


def test_a_project_that_could_not_be_launched_says_why_it_has_none(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="failed", error_message="no such file")

    answer = cli.call("logs", "1")

    assert answer.err == "error: project 1 is failed and has printed nothing: no such file\n"


def test_following_goes_on_until_the_project_has_ended(cli):
    running(cli, "one\n")
    cli.start_daemon()
    cli.meanwhile = steps(
        lambda: say(cli, "two\nthr"), lambda: say(cli, "ee\n"), lambda: cli.finish(1, said="bye")
    )

    answer = cli.call("logs", "-f", "1")

    assert (answer.code, answer.out) == (0, "one\ntwo\nthree\nbye\n")


def test_following_tells_a_line_that_is_written_over_once_it_has_ended(cli):
    running(cli)
    cli.start_daemon()
    cli.meanwhile = steps(
        lambda: say(cli, "10%\r20%\r"), lambda: say(cli, "\nend\n"), lambda: cli.finish(1)
    )

    assert cli.call("logs", "-f", "1").out == "20%\nend\n"


def test_following_does_not_hold_back_an_endless_line(cli):
    running(cli)
    cli.start_daemon()
    out = Stream()
    seen = []
    cli.meanwhile = steps(
        lambda: say(cli, "x" * 70_000),
        lambda: None,
        lambda: seen.append(len(out.getvalue())),
        lambda: cli.finish(1),
    )

    cli.call_on(Stream(), out, Stream(), "logs", "-f", "1")

    assert seen[0] > 70_000


def test_following_an_ended_project_just_prints(cli):
    running(cli, "one\n")
    cli.finish(1)
    cli.tick()

    assert cli.call("logs", "-f", "1").out == "one\n"
    assert cli.pauses == 0


def test_following_waits_for_a_project_that_is_still_queued(cli):
    cli.add("docs")
    cli.start_daemon()
    cli.meanwhile = steps(
        lambda: None, lambda: say(cli, "hello\n"), lambda: None, lambda: cli.finish(1)
    )

    answer = cli.call("logs", "-f", "1")

    assert answer.out == "hello\n"
    assert answer.err == "project 1 is not running yet; waiting for it\n"


def test_following_goes_on_with_the_retry(cli):
    running(cli, "first\n", "command: make\nretries: 1")
    cli.start_daemon()
    acts = [
        lambda: cli.finish(1, 1),
        *[lambda: None] * 70,
        lambda: say(cli, "second\n"),
        lambda: cli.finish(1),
    ]
    cli.meanwhile = steps(*acts)

    answer = cli.call("logs", "-f", "1")

    assert (answer.out, "attempt 2" in answer.err) == ("first\nsecond\n", True)


def test_following_one_attempt_ends_with_it(cli):
    running(cli, "first\n", "command: make\nretries: 1")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: cli.finish(1, 1))

    assert cli.call("logs", "-f", "1", "--attempt", "1").out == "first\n"
    assert cli.status(1) == "queued"


def test_following_ends_when_the_project_is_removed(cli):
    cli.add("docs")
    cli.meanwhile = steps(lambda: cli.queue.remove(1))

    answer = cli.call("logs", "-f", "1")

    assert (answer.code, "is gone" in answer.err) == (4, True)


def test_an_interrupt_says_that_the_work_goes_on(cli):
    running(cli, "one\n")

    def interrupt():
        raise KeyboardInterrupt

    cli.meanwhile = interrupt

    answer = cli.call("logs", "-f", "1")

    assert (answer.code, answer.out) == (130, "one\n")
    assert answer.err == "stopped reading; project 1 goes on\n"


@pytest.mark.parametrize("arguments", [["-n", "-1"], ["-n", "x"], ["--attempt", "0"], []])
def test_wrong_use_is_refused(cli, arguments):
    running(cli)

    assert cli.call("logs", *(["1", *arguments] if arguments else [])).code == 2
