"""Which projects are meant by what was typed."""

import io

import pytest

from scheduler_modules.cli.refs import MAX_RANGE, expand, find_each, find_one, read_text
from scheduler_modules.errors import InvalidInput, NotFound, ProjectNotFound


def named(cli, *names):
    for number, name in enumerate(names):
        cli.add(f"spec-{number}", name=name)
    return cli.store


def ids(projects):
    return [project.id for project in projects]


def test_an_id_means_its_project(cli):
    assert find_one(named(cli, "a", "b"), "2").name == "b"


def test_leading_zeros_do_not_matter(cli):
    assert find_one(named(cli, "a"), "001").id == 1


@pytest.mark.parametrize(
    "token",
    ["0", "2", "-1", "+1", "9223372036854775807", "9223372036854775808", "1" * 30, "1" * 5000],
)
def test_an_id_nobody_has_is_not_found(cli, token):
    store = named(cli, "a")

    with pytest.raises(NotFound) as refusal:
        find_one(store, token)

    assert len(str(refusal.value)) < 100


def test_a_missing_id_is_known_as_such(cli):
    with pytest.raises(ProjectNotFound):
        find_one(named(cli), "7")


@pytest.mark.parametrize("token", ["parser", "Parser", "parser-t", "parser-two"])
def test_a_name_or_its_unique_beginning_means_its_project(cli, token):
    store = named(cli, "parser", "parser-two")

    assert find_one(store, token).name == ("parser-two" if "-" in token else "parser")


def test_a_beginning_of_several_names_is_refused_with_all_of_them(cli):
    store = named(cli, "parse-a", "parse-b")

    with pytest.raises(InvalidInput, match=r'"parse" could be 2 \(parse-b, queued\), 1 \(parse-a'):
        find_one(store, "parse")


def test_a_name_that_two_have_is_refused(cli):
    store = named(cli, "web", "web", "web-2")

    with pytest.raises(InvalidInput, match="give the id of one"):
        find_one(store, "web")


def again(cli, *statuses):
    """Queue one spec over and over; return the store."""
    for status in statuses:
        cli.store.insert_row(spec_path="/s/web.md", status=status)
    return cli.store


@pytest.mark.parametrize(
    ("statuses", "meant"),
    [
        (("failed", "processing", "queued", "completed"), 2),
        (("completed", "queued", "failed"), 2),
        (("completed", "failed"), 2),
        (("zombie", "completed"), 2),
    ],
)
def test_of_one_spec_the_running_the_queued_or_the_newest_is_meant(cli, statuses, meant):
    assert find_one(again(cli, *statuses), "web").id == meant
    assert find_one(cli.store, "we").id == meant


def test_what_runs_is_meant_though_another_spec_of_that_name_has_ended(cli):
    cli.store.insert_row(spec_path="/one/web.md", status="processing")
    cli.store.insert_row(spec_path="/two/web.md", status="failed")

    assert find_one(cli.store, "web").id == 1


@pytest.mark.parametrize("status", ["processing", "queued", "failed"])
def test_different_specs_in_the_same_state_are_told_apart_by_id(cli, status):
    cli.store.insert_row(spec_path="/one/web.md", status=status)
    cli.store.insert_row(spec_path="/two/web.md", status=status)

    with pytest.raises(InvalidInput, match="give the id of one"):
        find_one(cli.store, "web")


def test_a_beginning_of_several_names_is_refused_whatever_their_states(cli):
    cli.store.insert_row(spec_path="/s/parse-a.md", status="processing")
    cli.store.insert_row(spec_path="/s/parse-b.md", status="failed")

    with pytest.raises(InvalidInput, match="give the id of one"):
        find_one(cli.store, "parse")


def test_of_very_many_only_some_are_listed(cli):
    store = named(cli, *(f"web-{number}" for number in range(20)))

    with pytest.raises(InvalidInput, match="and 12 more"):
        find_one(store, "web")


def test_a_name_nobody_has_is_not_found(cli):
    with pytest.raises(NotFound, match='no project is named "nobody"'):
        find_one(named(cli, "a"), "nobody")


@pytest.mark.parametrize("token", ["", "  "])
def test_an_empty_name_means_nobody(cli, token):
    with pytest.raises(InvalidInput):
        find_one(named(cli, "a"), token)


def test_digits_of_other_scripts_are_a_name(cli):
    with pytest.raises(NotFound, match="is named"):
        find_one(named(cli, "a"), "٣")


def test_the_last_is_the_one_with_the_highest_id(cli):
    assert find_one(named(cli, "a", "b"), "@last").id == 2


def test_an_empty_queue_has_no_last(cli):
    with pytest.raises(NotFound, match="there is no project yet"):
        find_one(named(cli), "@last")


@pytest.mark.parametrize("token", ["1-2", "1,2"])
def test_several_are_refused_where_one_is_meant(cli, token):
    with pytest.raises(InvalidInput, match="give one"):
        find_one(named(cli, "a", "b"), token)


def test_a_range_means_all_that_are_there(cli):
    store = named(cli, "a", "b", "c")
    cli.queue.remove(2)

    assert ids(find_each(store, "1-9")) == [1, 3]


def test_a_range_without_anybody_is_not_found(cli):
    with pytest.raises(NotFound, match="no project has an id in 5-9"):
        find_each(named(cli, "a"), "5-9")


@pytest.mark.parametrize("token", ["3-1", f"1-{MAX_RANGE + 1}", f"1-{'9' * 40}"])
def test_a_backward_or_endless_range_is_refused(cli, token):
    with pytest.raises(InvalidInput, match="at most 10000 ids"):
        find_each(named(cli, "a"), token)


def test_a_range_beyond_all_ids_is_not_found(cli):
    with pytest.raises(NotFound):
        find_each(named(cli, "a"), f"{'9' * 40}-{'9' * 41}")


def test_a_name_with_a_hyphen_is_no_range(cli):
    assert ids(find_each(named(cli, "a-1"), "a-1")) == [1]


def test_lists_are_taken_apart_and_doubles_dropped():
    assert expand(["1,3-4", "x", "3-4", "x"], None) == ["1", "3-4", "x"]


def test_a_hyphen_stands_for_the_words_of_stdin():
    assert expand(["-", "7"], io.StringIO("1,2\n  x\n\n7")) == ["1", "2", "x", "7"]


def test_a_closed_stdin_is_refused():
    with pytest.raises(InvalidInput, match="stdin is closed"):
        expand(["-"], None)


def test_an_endless_stdin_is_refused():
    with pytest.raises(InvalidInput, match="more than 1,048,576 characters"):
        read_text(io.StringIO("x" * 1_048_577))


def test_a_stdin_that_is_no_text_is_refused():
    with pytest.raises(InvalidInput, match="not text"):
        read_text(io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
