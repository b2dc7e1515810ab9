"""What holds for any spec at all."""

import shlex

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler_modules.argv_template import fill, split_command
from scheduler_modules.errors import InvalidInput, SpecError
from scheduler_modules.front_matter import read_front_matter
from scheduler_modules.spec import Spec, parse_spec
from scheduler_modules.utils import one_line

WORDS = st.sampled_from(
    [
        *("command", "windows", "role", "env", "after", "priority", "timeout_minutes", "agent"),
        *(": ", ":", "\n", "\n  ", "\n- ", "- ", " ", "{", "}", "[", "]", ", ", "'", '"', "\\"),
        *("&a", "*a", "!!str ", "! ", "|\n", ">-\n", "#", "? ", "%", "@", "~", "<<", "\t", "---\n"),
        *("claude", "make test", "{spec}", "5", "-1", "nan", "1e400", "\ufeff", "\0", "\x85", "é"),
        *('"\\0"', '"\\uD800"', "\ud800", "[" * 20, "\r", "...\n", "0x10", "1_0"),
    ]
)
FRONT_MATTER = st.one_of(st.text(), st.lists(WORDS, max_size=30).map("".join))
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
PLACEHOLDERS = ["spec", "project", "project_id", "batch_id", "session", "attempt"]
ARGUMENTS = st.lists(
    st.one_of(VALUES, st.sampled_from([f"{{{name}}}" for name in PLACEHOLDERS])), max_size=6
)


def outcome(text: str) -> Spec | SpecError:
    try:
        return parse_spec(text, "a.md")
    except SpecError as error:
        return error


@pytest.fixture(params=["C", "Python"], scope="module", autouse=True)
def _each_yaml_reader(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "Python":
            patch.delattr(yaml, "CBaseLoader")
        yield


@given(text=st.one_of(st.text(), FRONT_MATTER))
@settings(deadline=None)
def test_any_text_is_a_spec_or_a_spec_error(text):
    assert isinstance(outcome(text), Spec | SpecError)


@given(block=FRONT_MATTER)
@settings(deadline=None, max_examples=300)
def test_any_front_matter_is_a_spec_or_an_error_on_one_of_its_lines(block):
    text = f"---\n{block}\n---\n"

    result = outcome(text)

    if isinstance(result, SpecError):
        assert result.line is not None
        assert 1 <= result.line <= len(text.splitlines())
        assert str(result) == one_line(str(result), 1000)


@given(env=st.dictionaries(st.from_regex(r"\A[A-Z]{1,8}\Z"), VALUES, max_size=5))
@settings(deadline=None)
def test_what_is_written_as_yaml_is_read_back(env):
    env = {name: value for name, value in env.items() if name != "TMUX"}
    block = yaml.safe_dump({"env": env}, default_style='"', width=10_000)

    assert outcome(f"---\n{block}---\n") == Spec(name="a", env=env)


@given(
    program=st.text(st.characters(categories=["L"]), min_size=1), rest=st.lists(VALUES, max_size=4)
)
@settings(deadline=None)
def test_a_command_given_as_a_list_is_kept_as_it_is(program, rest):
    assert split_command([program, *rest]) == (program, *rest)


# Lines of the kind that is read without YAML's reader, and of those that only look like it.
PLAIN_WORDS = st.one_of(
    st.text("abk .-,_/0~", max_size=8),
    st.text("ab .-[],'\"&*{}|>?%@`=<$:#!", max_size=8).map("x".__add__),
    st.text("ab, ./-", max_size=8).map(lambda items: f"[{items}]"),
)
PLAIN_KEYS = st.sampled_from(["a", "b", "key_x", "on", "null", "y", "_"])
PLAIN_LINES = st.one_of(
    *[st.builds("{}: {}".format, PLAIN_KEYS, PLAIN_WORDS)] * 4, PLAIN_WORDS, st.just("")
)


@given(lines=st.lists(PLAIN_LINES, max_size=4))
@settings(deadline=None, max_examples=500)
def test_plain_front_matter_means_what_it_means_to_yaml(lines):
    try:
        read = read_front_matter("\n".join(["---", *lines, "---", ""]), "a.md")
    except SpecError:
        return

    # A comment is nothing to YAML, and makes it YAML's business.
    assert read == read_front_matter("\n".join(["---", *lines, "# comment", "---", ""]), "a.md")


@given(text=st.text(max_size=60))
@settings(deadline=None)
def test_a_command_line_that_is_accepted_is_what_shlex_makes_of_it(text):
    try:
        argv = split_command(text)
    except InvalidInput as error:
        assert str(error).isprintable()
    else:
        assert list(argv) == shlex.split(text)


@given(items=st.lists(VALUES, min_size=1, max_size=5).filter(lambda items: items[0].isalpha()))
@settings(deadline=None)
def test_a_quoted_command_line_is_never_taken_for_shell(items):
    assert split_command(shlex.join(items)) == tuple(items)


@given(argv=ARGUMENTS, values=st.fixed_dictionaries(dict.fromkeys(PLACEHOLDERS, VALUES)))
@settings(deadline=None)
def test_filling_in_never_changes_the_number_of_arguments(argv, values):
    assert len(fill(argv, values)) == len(argv)


@given(value=VALUES)
@settings(deadline=None)
def test_a_value_arrives_as_it_is(value):
    assert fill(("run", "{spec}"), {"spec": value}) == ("run", value)
