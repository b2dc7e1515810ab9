"""`group`: what parts the queue has, and how many of each may run at once."""

import pytest


def test_the_default_group_is_always_listed(cli):
    assert cli.call("group", "list").rows == [["default", "-", "0", "0", "-"]]


@pytest.mark.parametrize("words", [("group",), ("groups",), ("group", "list")])
def test_a_group_is_listed_with_limit_and_counts(cli, words):
    cli.call("group", "set", "night", "--limit", "2")
    cli.add("docs", group="night")
    cli.tick()
    cli.add("lint", group="night")

    assert cli.call(*words).rows[1] == ["night", "2", "1", "1", "-"]


def test_a_person_sees_a_table(cli):
    cli.call("group", "set", "night", "--limit", "2")
    cli.call("pause", "--group", "night")
    cli.clock.advance(60)

    lines = cli.call("group", is_tty=True, NO_COLOR="1").lines

    assert [line.split() for line in lines] == [
        ["GROUP", "LIMIT", "RUNNING", "QUEUED"],
        ["default", "-", "0", "0"],
        ["night", "2", "0", "0", "⏸", "paused", "1m", "ago"],
    ]
    assert all(line == line.rstrip() for line in lines)


def test_json_tells_groups_and_the_queue_s_pause(cli):
    cli.call("pause", "--all")

    told = cli.call("--json", "group").json

    assert told == {
        "groups": [
            {"group": "default", "limit": None, "running": 0, "queued": 0, "paused_at": None}
        ],
        "queue_paused_at": "2023-11-14T22:13:20.000Z",
    }


def test_quiet_lists_names(cli):
    cli.call("group", "set", "night", "--limit", "2")

    assert cli.call("group", "-q").out == "default\nnight\n"


def test_a_limit_holds(cli):
    assert (
        cli.call("group", "set", "night", "--limit", "1").out == "group night  at most 1 at once\n"
    )
    for stem in ("a", "b"):
        cli.add(stem, group="night")

    cli.queue.claim_next("d")

    assert cli.store.next_claimable(cli.clock.now(), "here", 99) is None


def test_a_limit_is_taken_away(cli):
    cli.call("group", "set", "night", "--limit", "1")

    answer = cli.call("group", "set", "night", "--limit", "none")

    assert (answer.out, cli.call("group").rows[1][1]) == ("group night  no limit of its own\n", "-")


def test_the_default_group_may_have_a_limit(cli):
    cli.call("group", "set", "default", "--limit", "3")

    assert cli.call("group").rows == [["default", "3", "0", "0", "-"]]


@pytest.mark.parametrize("limit", ["0", "-1", "many", "1.5", "99999999", "٣", "2000000"])
def test_a_limit_that_is_none_is_refused(cli, limit):
    answer = cli.call("group", "set", "night", "--limit", limit)

    assert (answer.code, len(cli.call("group").rows)) == (2, 1)
    assert "give a number from 1 to 1,000,000, or none" in answer.err


@pytest.mark.parametrize("name", ["a b", "../x", "x" * 41])
def test_a_name_that_is_none_is_refused(cli, name):
    answer = cli.call("group", "set", name, "--limit", "1")

    assert (answer.code, len(cli.call("group").rows)) == (2, 1)
    assert "allowed are up to 40" in answer.err


def test_an_empty_name_is_no_group(cli):
    assert "give a group's name" in cli.call("group", "set", " ", "--limit", "1").err


def test_an_unused_group_is_removed(cli):
    cli.call("group", "set", "night", "--limit", "1")

    answer = cli.call("group", "remove", "night")

    assert (answer.code, answer.out) == (0, "group night  removed\n")
    assert len(cli.call("group").rows) == 1


def test_a_used_group_stays(cli):
    cli.add("docs", group="night")

    answer = cli.call("group", "remove", "night")

    assert (answer.code, len(cli.call("group").rows)) == (4, 2)


def test_json_tells_the_group_that_was_set_and_removed(cli):
    told = cli.call("group", "set", "night", "--limit", "2", "--json").json
    removed = cli.call("group", "remove", "night", "--json").json

    assert (told["group"], told["limit"], told["outcome"]) == ("night", 2, "at most 2 at once")
    assert removed == {"group": "night", "outcome": "removed"}


def test_quiet_says_nothing(cli):
    assert cli.call("group", "set", "night", "--limit", "2", "-q").out == ""


def test_an_unknown_word_is_no_group_verb(cli):
    answer = cli.call("group", "sett")

    assert (answer.code, 'did you mean "set"?' in answer.err) == (2, True)
