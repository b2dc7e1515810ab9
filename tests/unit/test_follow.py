"""`follow`: all windows of projects at once, and how the projects go on."""

import json

import pytest

from scheduler_modules.errors import DatabaseUnavailable
from tests.cli_world import CliWorld, Stream, run_elsewhere, steps

TWO_WINDOWS = "windows: [{role: one, command: a}, {role: two, command: b}]"


def say(cli, text, role="main", project_id=1):
    cli.files.write_log(cli.run(project_id).token, role, text)


def press_ctrl_c():
    raise KeyboardInterrupt


@pytest.fixture
def wide(make_cli):
    """A command line whose daemon runs up to three projects at once."""
    return make_cli(max_concurrent_projects=3)


@pytest.fixture
def make_cli(tmp_path):
    def make(**settings):
        return CliWorld(tmp_path, **settings)

    return make


# -- what is printed ----------------------------------------------------------------------------


def test_one_window_needs_no_prefix(cli):
    cli.add_running()
    say(cli, "one\n")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: say(cli, "two\n"), lambda: cli.finish(1))

    answer = cli.call("follow", "1")

    assert (answer.code, answer.out) == (0, "one\ntwo\n")


def test_each_window_of_a_project_has_its_prefix(cli):
    cli.add_running("web", TWO_WINDOWS)
    say(cli, "from one\n", "one")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: say(cli, "from two\n", "two"), lambda: cli.finish(1, role="one"))

    assert cli.call("follow", "1").rows == [["web/one", "from one"], ["web/two", "from two"]]


def test_windows_of_several_projects_are_read_at_once(wide):
    for stem in ("web", "docs"):
        wide.add(stem)
    wide.tick()
    wide.start_daemon()
    wide.meanwhile = steps(
        lambda: say(wide, "a\n", project_id=1),
        lambda: say(wide, "b\n", project_id=2),
        lambda: wide.finish(1),
        lambda: wide.finish(2),
    )

    answer = wide.call("follow", "--all")

    assert (answer.code, answer.rows) == (0, [["web/main", "a"], ["docs/main", "b"]])


def test_two_projects_of_one_name_are_told_apart(wide):
    wide.add("web")
    wide.add("docs", name="web")
    wide.tick()
    for number in (1, 2):
        say(wide, "x\n", project_id=number)
    wide.start_daemon()
    wide.meanwhile = steps(lambda: wide.finish(1), lambda: wide.finish(2))

    assert [row[0] for row in wide.call("follow", "1", "2").rows] == ["web/main", "web-2/main"]


def test_only_the_last_lines_are_printed_to_begin_with(cli):
    cli.add_running()
    say(cli, "".join(f"{number}\n" for number in range(30)))
    cli.start_daemon()
    cli.meanwhile = steps(lambda: cli.finish(1))

    assert cli.call("follow", "1", "-n", "2").lines == ["28", "29"]


def test_a_line_is_printed_once_it_is_whole(cli):
    cli.add_running()
    cli.start_daemon()
    cli.meanwhile = steps(
        lambda: say(cli, "10%\r50%"), lambda: say(cli, "\r100%\nlast"), lambda: cli.finish(1)
    )

    assert cli.call("follow", "1").lines == ["100%", "last"]


def test_nothing_that_is_printed_acts_on_the_terminal(cli):
    cli.add_running()
    say(cli, "\x1b[31mred\x1b]52;c;eA==\x07\n")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: cli.finish(1))

    assert cli.call("follow", "1").out == "red\n"


def test_what_has_ended_is_read_to_its_end(cli):
    cli.add_running()
    cli.finish(1, said="all there was\n")
    cli.tick()

    answer = cli.call("follow", "1")

    assert (answer.code, answer.out) == (0, "all there was\n")


def test_windows_have_colours_of_their_own_on_a_terminal(cli):
    cli.add_running("web", TWO_WINDOWS)
    say(cli, "from one\n", "one")
    say(cli, "from two\n", "two")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: cli.finish(1, role="one"))

    lines = cli.call("follow", "1", is_tty=True).lines

    assert lines == [
        "\x1b[36mweb/one │\x1b[0m from one",
        "\x1b[35mweb/two │\x1b[0m from two",
    ]


def test_no_colour_is_no_colour(cli):
    cli.add_running("web", TWO_WINDOWS)
    say(cli, "from one\n", "one")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: cli.finish(1, role="one"))

    assert cli.call("follow", "1", is_tty=True, NO_COLOR="1").lines == ["web/one │ from one"]


def test_json_is_one_object_a_line_steps_included(cli):
    cli.add_running()
    say(cli, "hello\n")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: cli.finish(1))

    found = [json.loads(line) for line in cli.call("follow", "1", "--json").lines]

    assert [entry.get("state") for entry in found] == ["running", None, "completed"]
    assert found[1] == {"id": 1, "attempt": 1, "window": "main", "line": "hello"}
    assert set(found[0]) == {"at", "id", "name", "state", "note"}


# -- how it goes on -----------------------------------------------------------------------------


def test_steps_are_announced_beside_the_data(cli):
    cli.add_running(front="command: make\nverify: make test")
    cli.start_daemon()
    cli.meanwhile = steps(
        lambda: cli.finish(1),
        lambda: None,
        lambda: cli.finish(1, role="verify", said="tested\n"),
    )

    answer = cli.call("follow", "1")

    assert answer.err.splitlines() == [
        "● 1 build running",
        "◐ 1 build verifying: make test",
        "✓ 1 build completed",
    ]
    assert answer.rows == [["build/verify", "tested"]]


def test_steps_stand_where_they_happen_among_the_lines(cli):
    cli.add_running(front="command: make\nverify: make test")
    say(cli, "made\n")
    cli.start_daemon()
    cli.meanwhile = steps(
        lambda: cli.finish(1, said="last\n"),
        lambda: say(cli, "testing\n", "verify"),
        lambda: cli.finish(1, role="verify", said="tested\n"),
    )

    found = [json.loads(line) for line in cli.call("follow", "1", "--json").lines]

    assert [entry.get("state") or entry["line"] for entry in found] == [
        "running",
        "made",
        "last",
        "verifying",
        "testing",
        "tested",
        "completed",
    ]


def test_prefixes_are_as_wide_as_the_widest(wide):
    wide.add("web")
    wide.add("documentation")
    wide.tick()
    say(wide, "x\n")
    wide.start_daemon()
    wide.meanwhile = steps(lambda: wide.finish(1), lambda: wide.finish(2))

    lines = wide.call("follow", "1-2", is_tty=True, NO_COLOR="1").lines

    assert lines == ["web/main           │ x"]


def test_quiet_leaves_the_steps_out(cli):
    cli.add_running()
    say(cli, "said\n")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: cli.finish(1))

    answer = cli.call("follow", "1", "-q")

    assert (answer.out, answer.err) == ("said\n", "")


def test_a_retry_is_announced_and_its_run_followed(cli):
    cli.add_running(front="command: make\nretries: 1")
    cli.start_daemon()
    cli.meanwhile = steps(
        lambda: cli.finish(1, 3, said="first go\n"),
        lambda: cli.clock.advance(40),
        *[lambda: None] * 3,
        lambda: cli.finish(1, 0, said="second go\n"),
    )

    answer = cli.call("follow", "1")

    assert (answer.code, answer.lines) == (0, ["first go", "second go"])
    assert "○ 1 build queued: retry 1 of 1" in answer.err
    assert "● 1 build running: attempt 2\n" in answer.err


def test_a_run_that_came_and_went_between_two_looks_is_read(cli):
    cli.add("build")
    cli.start_daemon()

    def all_of_it():
        cli.tick(2)
        cli.finish(1, said="quick\n")
        cli.tick()

    cli.meanwhile = steps(all_of_it)

    assert cli.call("follow", "1").out == "quick\n"


def test_what_a_person_queued_again_between_two_looks_is_announced(wide):
    for stem in ("web", "docs"):
        wide.add(stem)
    wide.tick()
    wide.start_daemon()

    def fail_again():
        wide.queue.retry(1)
        wide.tick(2)
        wide.finish(1, 4)
        wide.tick(2)

    wide.meanwhile = steps(
        lambda: wide.finish(1, 3), lambda: None, fail_again, lambda: wide.finish(2)
    )

    answer = wide.call("follow", "1-2")

    steps_of_1 = [line for line in answer.err.splitlines() if " 1 web " in line]
    assert steps_of_1 == ["● 1 web running", "✗ 1 web failed: exit 3", "✗ 1 web failed: exit 4"]


def test_many_that_are_queued_are_told_in_one_line(cli):
    cli.add_running()
    for number in range(30):
        cli.add(f"job-{number}")
    cli.meanwhile = press_ctrl_c

    answer = cli.call("follow", "--all")

    assert answer.err.splitlines()[:2] == [
        "● 1 build running",
        "○ 30 queued; each is told when it goes on",
    ]
    assert "job-" not in answer.err


def test_those_of_many_that_start_later_are_told_then(cli):
    cli.add_running()
    for number in range(30):
        cli.add(f"job-{number}")
    cli.start_daemon()
    cli.meanwhile = steps(
        lambda: cli.finish(1), lambda: None, lambda: None, lambda: None, press_ctrl_c
    )

    assert "● 2 job-0 running" in cli.call("follow", "--all").err


def test_json_tells_each_of_many(cli):
    for number in range(30):
        cli.add(f"job-{number}")
    cli.meanwhile = press_ctrl_c

    assert len(cli.call("follow", "--all", "--json").lines) == 30


def test_a_database_that_goes_away_is_told_once_and_waited_for(cli, monkeypatch):
    cli.add_running()
    cli.start_daemon()
    real = cli.store.open_runs

    def refuse(host=None):
        raise DatabaseUnavailable("task_queue.db cannot be opened")

    def come_back():
        monkeypatch.setattr(cli.store, "open_runs", real)
        cli.finish(1, said="at last\n")

    # The daemon of this world shares the store: it stands still meanwhile.
    def go():
        cli.stop_daemon()
        monkeypatch.setattr(cli.store, "open_runs", refuse)

    def start():
        come_back()
        cli.start_daemon()

    cli.meanwhile = steps(go, *[lambda: None] * 5, start)

    answer = cli.call("follow", "1")

    assert (answer.code, answer.out) == (0, "at last\n")
    assert answer.err.count("task_queue.db cannot be opened") == 1
    assert "the database answers again" in answer.err


def test_one_that_failed_makes_the_exit_code_1(wide):
    for stem in ("web", "docs"):
        wide.add(stem)
    wide.tick()
    wide.start_daemon()
    wide.meanwhile = steps(lambda: wide.finish(1, 3), lambda: wide.finish(2))

    answer = wide.call("follow", "1-2")

    assert answer.code == 1
    assert "✗ 1 web failed: exit 3" in answer.err


def test_one_that_was_removed_makes_the_exit_code_1(cli):
    cli.add("build")
    cli.start_daemon()
    cli.meanwhile = steps(lambda: cli.queue.remove(1))

    answer = cli.call("follow", "1")

    assert answer.code == 1
    assert "? 1 removed" in answer.err


def test_what_can_never_end_is_not_followed_for_ever(cli):
    cli.add("build", f"after: [{cli.specs}/nowhere.md]")
    cli.start_daemon()
    cli.store.set_dependencies(1, (str(cli.specs / "nowhere.md"),))

    answer = cli.call("follow", "1")

    assert answer.code == 4
    assert "can never end" in answer.err


def test_without_a_daemon_it_says_so_and_goes_on(cli):
    cli.add("build")
    cli.meanwhile = steps(
        *[lambda: None] * 30,
        cli.start_daemon,
        lambda: None,
        lambda: None,
        lambda: cli.finish(1, said="at last\n"),
    )

    answer = cli.call("follow", "1")

    assert (answer.code, answer.out) == (0, "at last\n")
    assert answer.err.count("no daemon runs") == 1


def test_a_run_of_another_machine_is_named_and_not_read(cli):
    run_elsewhere(cli)
    cli.start_daemon()
    cli.meanwhile = steps(lambda: None, press_ctrl_c)

    answer = cli.call("follow", "1")

    assert (answer.code, answer.out) == (130, "")
    assert "on workbench" in answer.err


def test_ctrl_c_leaves_the_work_running(cli):
    cli.add_running()

    cli.meanwhile = press_ctrl_c

    answer = cli.call("follow", "1")

    assert answer.code == 130
    assert answer.err.endswith("stopped reading; the work goes on\n")
    assert cli.status(1) == "processing"


def test_which_projects_has_to_be_said(cli):
    answer = cli.call("follow")

    assert (answer.code, answer.err) == (2, "error: which projects? give ids, or --all\n")


def test_nothing_to_follow_is_fine(cli):
    answer = cli.call("follow", "--all")

    assert (answer.code, answer.err) == (0, "nothing is queued or running\n")


def test_each_look_is_handed_over_at_once(cli):
    cli.add_running()
    out = Stream()
    seen = []
    cli.start_daemon()
    cli.meanwhile = steps(
        lambda: say(cli, "now\n"), lambda: seen.append(out.getvalue()), lambda: cli.finish(1)
    )

    cli.call_on(Stream(), out, Stream(), "follow", "1")

    assert seen == ["now\n"]
