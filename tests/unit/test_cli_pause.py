"""`pause`, `resume`, `stash`: queue, groups and projects stand still and go on."""

import pytest

from tests.cli_world import run_elsewhere


def words(cli):
    return {int(row[0]): (row[1], row[5]) for row in cli.call("list").rows}


# -- queued projects ----------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["pause", "stash"])
def test_a_queued_project_is_set_aside(cli, verb):
    cli.add("docs")

    answer = cli.call(verb, "docs")

    assert (answer.code, answer.out) == (0, "1  docs  set aside (resume 1 brings it back)\n")
    assert cli.queue.claim_next("d") is None


def test_what_was_set_aside_is_brought_back(cli):
    cli.add("docs")
    cli.call("stash", "1")

    answer = cli.call("resume", "1")

    assert (answer.code, answer.out) == (0, "1  docs  resumed\n")
    assert cli.queue.claim_next("d") is not None


@pytest.mark.parametrize(
    ("verb", "said"), [("stash", "is set aside already"), ("resume", "is not paused")]
)
def test_what_is_so_already_is_fine(cli, verb, said):
    cli.add("docs")
    if verb == "stash":
        cli.call("stash", "1")

    answer = cli.call(verb, "1")

    assert (answer.code, answer.out) == (0, f"1  docs  {said}\n")


def test_the_list_says_since_when_it_is_set_aside(cli):
    cli.add("docs")
    cli.call("pause", "1")
    cli.clock.advance(300)

    assert words(cli)[1] == ("paused", "stashed since 2023-11-14T22:13:20.000Z")
    assert "stashed 5m ago" in cli.call("list", is_tty=True).out


def test_what_has_ended_cannot_be_set_aside(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="completed")

    answer = cli.call("stash", "1")

    assert (answer.code, answer.err) == (4, "error: project 1 is completed, not queued\n")


def test_what_runs_cannot_be_stashed(cli):
    cli.add_running("docs")

    assert cli.call("stash", "1").code == 4


def test_one_that_cannot_be_paused_does_not_keep_the_others_from_it(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="failed")
    cli.add("docs")

    answer = cli.call("pause", "1-2", "nope")

    assert (answer.code, cli.get(2).held_at) == (4, cli.clock.now())
    assert len(answer.err.splitlines()) == 2


# -- running projects ---------------------------------------------------------------------------


def test_the_processes_of_a_running_project_are_stopped_and_go_on(cli):
    cli.add_running("docs")
    cli.start_daemon()

    paused = cli.call("pause", "docs")
    cli.tick()
    stopped = words(cli)[1]
    resumed = cli.call("resume", "docs")
    cli.tick()

    assert paused.out == "1  docs  paused; its processes are being stopped\n"
    assert stopped == ("paused", "paused since 2023-11-14T22:13:20.000Z")
    assert resumed.out == "1  docs  resumed; its processes go on\n"
    assert words(cli)[1] == ("running", "-")


def test_until_a_daemon_has_stopped_them_the_list_says_so(cli):
    cli.add_running("docs")
    cli.start_daemon()

    cli.call("pause", "1")

    assert words(cli)[1] == ("paused", "its processes are being stopped")


def test_without_a_daemon_nobody_is_said_to_stop_them(cli):
    cli.add_running("docs")
    cli.stop_daemon()

    answer = cli.call("pause", "1")

    assert answer.out == "1  docs  paused; a daemon has to see to that\n"
    assert words(cli)[1] == ("paused", "a daemon has to stop it")


def test_a_run_on_another_machine_is_left_to_its_daemon(cli):
    run_elsewhere(cli)
    cli.start_daemon()

    answer = cli.call("pause", "1")

    assert answer.out == "1  docs  paused; the daemon of workbench sees to that\n"
    assert words(cli)[1][0] == "paused"


@pytest.mark.parametrize(
    ("verb", "said"), [("pause", "is paused already"), ("resume", "is not paused")]
)
def test_a_run_that_is_so_already_is_fine(cli, verb, said):
    cli.add_running("docs")
    if verb == "pause":
        cli.call("pause", "1")

    answer = cli.call(verb, "1")

    assert (answer.code, answer.out) == (0, f"1  docs  {said}\n")


def test_what_another_program_runs_cannot_be_paused(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="processing")

    answer = cli.call("pause", "1")

    assert (answer.code, answer.err) == (4, "error: project 1 is run by another program\n")


# -- groups and the queue -----------------------------------------------------------------------


def test_a_paused_group_starts_nothing(cli):
    cli.add("docs", group="night")
    cli.add("lint")

    answer = cli.call("pause", "--group", "night")

    assert (answer.code, answer.out) == (0, "group night  paused\n")
    assert words(cli) == {1: ("paused", "group night is paused"), 2: ("queued", "-")}


def test_what_runs_in_a_paused_group_goes_on(cli):
    cli.add("docs", group="night")
    cli.tick()

    assert cli.call("pause", "--group", "night").out == "group night  paused; 1 running goes on\n"


@pytest.mark.parametrize("word", ["default", "-", "DEFAULT"])
def test_the_default_group_has_a_word(cli, word):
    cli.add("docs")

    assert cli.call("pause", "--group", word).out == "group default  paused\n"
    assert words(cli)[1] == ("paused", "group default is paused")


def test_a_group_goes_on(cli):
    cli.add("docs", group="night")
    cli.call("pause", "--group", "night")

    answer = cli.call("resume", "--group", "night")

    assert (answer.out, words(cli)[1]) == ("group night  goes on\n", ("queued", "-"))


def test_several_groups_are_paused_at_once_and_an_unknown_one_is_named(cli):
    cli.call("group", "set", "night", "--limit", "1")

    answer = cli.call("pause", "--group", "night", "--group", "nope")

    assert (answer.code, answer.out) == (3, "group night  paused\n")
    assert "no group 'nope'" in answer.err


def test_a_paused_queue_starts_nothing(cli):
    cli.add_running("lint")
    cli.add("docs")

    answer = cli.call("pause", "--all")

    assert (answer.code, answer.out) == (0, "the queue  paused; 1 running goes on\n")
    assert words(cli)[2] == ("paused", "the queue is paused")


@pytest.mark.parametrize(
    ("verb", "said"), [("pause", "is paused already"), ("resume", "is not paused")]
)
def test_a_queue_that_is_so_already_is_fine(cli, verb, said):
    if verb == "pause":
        cli.call("pause", "--all")

    answer = cli.call(verb, "--all")

    assert (answer.code, answer.out) == (0, f"the queue  {said}\n")


def test_a_queue_goes_on(cli):
    cli.add("docs")
    cli.call("pause", "--all")

    answer = cli.call("resume", "--all")

    assert (answer.out, words(cli)[1]) == ("the queue  goes on\n", ("queued", "-"))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(("--all",), "the queue is paused"), (("--group", "default"), "group default is paused")],
)
def test_what_is_resumed_below_a_pause_is_told_of_it(cli, arguments, why):
    cli.add("docs")
    cli.call("stash", "1")
    cli.call("pause", *arguments)

    assert cli.call("resume", "1").out == f"1  docs  resumed, but {why}\n"


def test_an_ended_project_is_not_paused(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="completed")
    cli.call("pause", "--all")

    assert cli.call("resume", "1").out.endswith("is not paused\n")


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_what_is_meant_has_to_be_said(cli, verb):
    answer = cli.call(verb)

    assert answer.code == 2
    assert answer.err == (
        f"error: {verb} what? give projects, --group NAME, or --all for the queue\n"
    )


def test_json_tells_of_projects_groups_and_queue(cli):
    cli.add("docs", group="night")

    told = cli.call("pause", "1", "--group", "night", "--group", "nope", "--all", "--json").json

    assert told["queue"] == "paused"
    assert [(entry["group"], entry["outcome"]) for entry in told["groups"]] == [
        ("night", "paused"),
        ("nope", None),
    ]
    assert told["projects"][0]["outcome"] == "set aside (resume 1 brings it back)"


def test_quiet_prints_the_ids_of_what_was_paused(cli):
    cli.add("docs")

    answer = cli.call("pause", "1", "--group", "nope", "--all", "-q")

    assert (answer.code, answer.out, len(answer.err.splitlines())) == (3, "1\n", 1)


def test_a_spec_that_cannot_be_used_is_named_when_its_project_may_start_again(cli):
    cli.add("docs", "comand: make")
    cli.call("stash", "1")

    answer = cli.call("resume", "1")

    assert (answer.code, answer.out) == (0, "1  docs  resumed\n")
    assert answer.err == (
        f'warning: {cli.specs}/docs.md:2: unknown key "comand" (did you mean "command"?): '
        "project 1 fails at its turn unless that is mended; next: tmux-orchestrator edit 1\n"
    )


def test_what_is_to_go_on_says_who_has_to_let_it(cli):
    cli.add_running("docs")
    cli.start_daemon()
    cli.call("pause", "1")
    cli.tick()
    cli.call("resume", "1")
    pending = words(cli)[1]
    cli.stop_daemon()

    assert pending == ("running", "its processes are being let go on")
    assert words(cli)[1] == ("running", "stopped; a daemon has to let it go on")
