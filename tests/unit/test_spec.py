"""What a spec's front matter says, and how it is refused."""

import os
import socket
import sys

import pytest
import yaml

from scheduler_modules.errors import SpecError
from scheduler_modules.spec import (
    MAX_SPEC_BYTES,
    Spec,
    SpecWindow,
    parse_spec,
    project_name,
    read_spec,
    shown_path,
)


def parse(front_matter: str) -> Spec:
    return parse_spec(f"---\n{front_matter}\n---\n# Title\n", "specs/parser.md")


def refusal(front_matter: str) -> SpecError:
    with pytest.raises(SpecError) as refused:
        parse(front_matter)
    assert str(refused.value).isprintable()
    return refused.value


@pytest.fixture(params=["C", "Python"])
def _each_yaml_reader(request, monkeypatch):
    """Run the test with libyaml and with the reader for machines that lack it."""
    if request.param == "Python":
        monkeypatch.delattr(yaml, "CBaseLoader")


# -- what is accepted ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("front", "group"),
    [
        ("group: night", "night"),
        ('group: "2.b_c-D"', "2.b_c-D"),
        ("group: default", ""),
        ("group: DEFAULT", ""),
        ("priority: 1", None),
    ],
)
def test_a_spec_may_name_its_group(front, group):
    assert parse(front).group == group


@pytest.mark.parametrize("name", ["a b", "-x", "a/b", "x" * 41, '"\\u00e4"'])
def test_a_group_that_cannot_be_one_is_refused(name):
    error = refusal(f"command: make\ngroup: {name}")

    assert error.line == 3
    assert "give a name of at most 40 letters, digits, _, . and -" in str(error)


def test_front_matter_of_plain_lines_needs_no_yaml(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)

    spec = parse("command: make all\n\npriority: -5\nafter: [a.md, ../b.md]")

    assert (spec.command, spec.priority, spec.after) == (("make", "all"), -5, ("a.md", "../b.md"))


def test_every_key_is_understood():
    spec = parse(
        """\
command: ./build.sh --all
agent: claude
windows: [{role: developer, command: "vi notes"}, {role: tester}]
priority: -5
timeout_minutes: 1.5
after: [other-spec.md, ../x.md]
verify: [make, test]
retries: 2
checkin_minutes: 20
env: {NAME: value, WHEN: 1:30, YES: yes, NOTHING: }"""
    )

    assert spec == Spec(
        name="parser",
        command=("./build.sh", "--all"),
        agent="claude",
        windows=(SpecWindow("developer", ("vi", "notes")), SpecWindow("tester")),
        priority=-5,
        timeout_sec=90,
        after=("other-spec.md", "../x.md"),
        verify=("make", "test"),
        retries=2,
        checkin_minutes=20,
        env={"NAME": "value", "WHEN": "1:30", "YES": "yes", "NOTHING": ""},
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# Title\n---\npriority: 5\n---\n",
        "\n---\npriority: 5\n---\n",
        " ---\npriority: 5\n---\n",
        "----\npriority: 5\n---\n",
        "--- # x\npriority: 5\n---\n",
        "---\n---\n",
        "---\n...\npriority: 5\n",
        "---\n# only a comment\n\n---\n",
        "---\n~\n---\n",
        "---\nwindows: []\nafter: []\nenv: {}\n---\n",
    ],
)
def test_a_spec_that_says_nothing_leaves_every_default(text):
    assert parse_spec(text, "a.md") == Spec(name="a")


@pytest.mark.parametrize(
    "text",
    [
        "---\npriority: 5\n---\n",
        "---\npriority: 5\n---",
        "---\npriority: 5\n...\nmore: 1\n---\n",
        "\ufeff---\r\npriority: 5\r\n---\r\nbody",
        "---\rpriority: 5\r---\r",
        "--- \t\npriority: 5\n---  \n",
        "---\npriority: '5'\n---\n",
    ],
)
def test_front_matter_is_found_whatever_the_line_ends(text):
    assert parse_spec(text, "a.md").priority == 5


@pytest.mark.parametrize("path", ["old.json", "OLD.JSON"])
def test_a_json_spec_has_no_front_matter(path):
    assert parse_spec("---\npriority: 5\n---\n", path) == Spec(name="old")


def test_a_single_dependency_needs_no_list():
    assert parse("after: x.md").after == ("x.md",)


def test_a_dependency_named_twice_counts_once():
    assert parse("after: [x.md, y.md, x.md]").after == ("x.md", "y.md")


def test_a_time_out_of_none_is_not_the_same_as_no_time_out_given():
    assert (parse("timeout_minutes: 0").timeout_sec, parse("").timeout_sec) == (0, None)


def test_a_folded_command_is_one_line():
    assert parse("command: >-\n  make\n  test").command == ("make", "test")


def test_the_window_called_main_is_free_where_there_is_no_command():
    assert parse("windows: [{role: main}]").windows == (SpecWindow("main"),)


@pytest.mark.parametrize(
    ("front_matter", "field", "value"),
    [
        ("priority: -1000", "priority", -1000),
        ("priority: 1000", "priority", 1000),
        ("timeout_minutes: 525600", "timeout_sec", 525_600 * 60),
        ("retries: 0", "retries", 0),
        ("retries: 100", "retries", 100),
        ("checkin_minutes: 0", "checkin_minutes", 0),
        ("checkin_minutes: 10080", "checkin_minutes", 10_080),
    ],
)
def test_the_ends_of_each_range_belong_to_it(front_matter, field, value):
    assert getattr(parse(front_matter), field) == value


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("specs/My_Big_Thing.md", "my-big-thing"),
        ("a.b.json", "a.b"),
        ("!!!.md", "!!!"),
        ("", "project"),
        ("/", "project"),
    ],
)
def test_a_project_is_named_for_its_spec(path, name):
    assert project_name(path) == name


def test_the_name_of_an_odd_path_is_its_own_not_its_printed_form():
    assert parse_spec("", "a\nb.md").name == "a\nb"


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("front_matter", "line", "problem"),
    [
        ("\ncomand: x", 3, 'unknown key "comand" (did you mean "command"?)'),
        ("zzz: 1", 2, 'unknown key "zzz" (known: command, agent, windows, priority,'),
        ("<<: {a: b}", 2, 'unknown key "<<"'),
        ("command:", 2, "command has no value: give a command line or a list"),
        ("retries: 1\nverify: ~", 3, "verify has no value"),
        ("command: ''", 2, "command: the command is empty"),
        ("command: []", 2, "command: the command is empty"),
        ("command: a && b", 2, 'command: "&&" is for a shell'),
        ("command: a 'b", 2, "command: a quote or a final backslash has no partner"),
        ("command: {spec}", 2, "command: a mapping is not allowed; give a command line"),
        ("command:\n- a\n- [b]", 4, "command: a list is not allowed"),
        ("verify: A=1 make", 2, 'verify: "A=" before a command'),
        ("agent: cloude", 2, 'agent: unknown profile "cloude" (did you mean "claude"?)'),
        ("agent: zzz", 2, 'agent: unknown profile "zzz" (known: claude)'),
        ("agent: [claude]", 2, "agent: a list is not allowed; give the name"),
        ("priority: high", 2, 'priority: "high" is not allowed; give a whole number'),
        ("priority: 1.5", 2, "priority: "),
        ("priority: 1001", 2, "priority: "),
        ("priority: -1001", 2, "priority: "),
        ("priority:\n  [1]", 3, "priority: a list is not allowed"),
        ("timeout_minutes: -1", 2, "timeout_minutes: "),
        ("timeout_minutes: .nan", 2, "timeout_minutes: "),
        ("timeout_minutes: nan", 2, "timeout_minutes: "),
        ("timeout_minutes: inf", 2, "timeout_minutes: "),
        ("timeout_minutes: 1:30", 2, 'timeout_minutes: "1:30" is not allowed'),
        ("timeout_minutes: 525601", 2, "timeout_minutes: "),
        ("retries: -1", 2, "retries: "),
        ("retries: 101", 2, "retries: "),
        ("checkin_minutes: 10081", 2, "checkin_minutes: "),
        ("after: [a.md,\n ' ']", 3, "after: an entry is empty"),
        ("after:\n- a.md\n-", 4, "after: an entry is empty"),
        ("after: ''", 2, "after: an entry is empty"),
        ("after:\n- a.md\n- {b: c}", 4, "after: a mapping is not allowed"),
        ("after:\n" + "- a\n" * 101, 103, "after: at most 100"),
        ("windows: tester", 2, 'windows: "tester" is not allowed; give a list such as'),
        ("windows: {role: a}", 2, "windows: a mapping is not allowed"),
        ("windows:\n- tester", 3, 'windows: "tester" is not allowed'),
        ("windows:\n- role: a\n- command: b", 4, "windows: a window has no role"),
        ("windows:\n- role: a\n  comand: b", 4, 'unknown key "comand" (did you mean "command"?)'),
        ("windows:\n- role: a\n  command: b; c", 4, 'command: ";" is for a shell'),
        ("windows:\n- role: a\n- role: b\n- role: a", 5, 'role "a" is there twice'),
        ("windows: [{role: }]", 2, "role has no value"),
        ("windows: [{role: a b}]", 2, 'role "a b" is not allowed'),
        ("windows: [{role: -a}]", 2, 'role "-a" is not allowed'),
        ("windows: [{role: aé}]", 2, "is not allowed"),
        (f"windows: [{{role: {'a' * 33}}}]", 2, "is not allowed"),
        ("windows: [{role: verify}]", 2, 'role "verify" is kept for the scheduler'),
        ("windows: [{role: launcher}]", 2, 'role "launcher" is kept for the scheduler'),
        ("command: x\nwindows: [{role: main}]", 3, 'role "main" is the window of command'),
        ("windows:\n" + "".join(f"- role: r{i}\n" for i in range(33)), 35, "windows: at most 32"),
        ("env: [A]", 2, "env: a list is not allowed; give a mapping"),
        ("env:\n  A: b\n  1A: b", 4, 'env: name "1A" is not allowed'),
        ("env:\n  A: b\n  Ä: b", 4, "env: name"),
        ("env: {A-B: c}", 2, "env: name"),
        ("env:\n  A:\n    - b", 4, "env: A: a list is not allowed; give a text"),
        ("env: {SCHEDULER_RUN_ID: x}", 2, "env: SCHEDULER_RUN_ID is set by the scheduler"),
        ("env: {TMUX: x}", 2, "env: TMUX is set by the scheduler"),
        ("env:\n  A: b\n  B: " + "x" * 8192, 4, "env: more than 8 KiB"),
        ("command: run " + "x" * 4096, 2, "command: the command has 4101 bytes"),
    ],
)
def test_a_wrong_value_is_refused_with_its_line(front_matter, line, problem):
    error = refusal(front_matter)

    assert (error.line, error.path) == (line, "specs/parser.md")
    assert error.problem.startswith(problem) or problem in error.problem


@pytest.mark.usefixtures("_each_yaml_reader")
@pytest.mark.parametrize(
    ("front_matter", "line", "problem"),
    [
        ("priority: 1\na: b: c", 3, "quote a value that holds a colon"),
        ("priority: 1\n\tretries: 2", 3, "indent with spaces"),
        ("command: @x", 2, "quote a value that begins with @"),
        ("command: 'x", 2, "close the quote"),
        ("priority: 1\nretries: 2\n bad: 3", 4, "not valid YAML"),
        ("priority: - 1", 2, "begin a list on a line of its own"),
        ("command: {spec} x", 2, "begins with a quote, { or ["),
        ('command: "a" b', 2, "quote all of a value"),
        ("- a", 2, "lines of the form key: value"),
        ("words", 2, "lines of the form key: value"),
        ("priority: 1\n--- x", 3, "a second YAML document"),
        ("priority: 1\npriority: 2", 3, '"priority" stands already on line 2'),
        ("env:\n  A: 1\n  B: 2\n  A: 3", 5, '"A" stands already on line 3'),
        ("priority: 1\n? [a]\n: b", 3, "a key must be a word"),
        ("command: &x a", 2, "anchors and aliases"),
        ("windows: &x []", 2, "anchors and aliases"),
        ("priority: 1\nverify: *x", 3, "anchors and aliases"),
        ("command: !!str a", 2, "tags (!) are refused"),
        ("env: !x {}", 2, "tags (!) are refused"),
        ("priority: 1\nverify: !!python/name:os.system", 3, "tags (!) are refused"),
        ("env:\n  A: [[[[[[[[1]]]]]]]]", 3, "nested deeper than 8 levels"),
        ("env: " + "[" * 50_000, 2, "nested deeper than 8 levels"),
        ('env:\n  A: "\\0"', 3, "a NUL"),
        ("priority: 1\ncommand: a\x1bb", 3, "invisible character '\\x1b'"),
        ("priority: 1\ncommand: a\u2028b", 3, "invisible character '\\u2028'"),
        ("command: \ud800", 2, "invisible character '\\ud800'"),
        ("priority: 1\n#" + "x" * 65_536, 1, "larger than 64 KiB"),
        ("#" + "é" * 40_000, 1, "larger than 64 KiB"),
    ],
)
def test_yaml_of_the_wrong_kind_is_refused_with_its_line(front_matter, line, problem):
    error = refusal(front_matter)

    assert error.line == line
    assert problem in error.problem


@pytest.mark.usefixtures("_each_yaml_reader")
@pytest.mark.parametrize("escape", ["\\uD800", "\\UFFFFFFFF", "\\U00110000"])
def test_an_escape_that_is_no_character_is_refused(escape):
    assert refusal(f'command: "{escape}"').line == 2


@pytest.mark.parametrize("text", ["---", "---\n", "---\npriority: 1", "---\n ---\n ...\n----\n"])
def test_front_matter_that_never_ends_is_refused_where_it_begins(text):
    with pytest.raises(SpecError, match=r"^a.md:1: front matter begins here and never ends"):
        parse_spec(text, "a.md")


def test_an_error_in_an_oddly_named_spec_is_one_printable_line():
    with pytest.raises(SpecError) as refused:
        parse_spec("---\n", "a\n\x1b[31mb.md")

    assert str(refused.value).startswith("'a\\n\\x1b[31mb.md':1: ")
    assert str(refused.value).isprintable()


def test_a_path_that_prints_well_is_shown_as_it_is():
    assert shown_path("specs/größe $(x).md") == "specs/größe $(x).md"


# -- files -----------------------------------------------------------------------------------


def file_refusal(path) -> str:
    with pytest.raises(SpecError) as refused:
        read_spec(path)
    return str(refused.value)


def test_a_spec_file_is_read(tmp_path):
    path = tmp_path / "My_Spec.md"
    path.write_bytes("\ufeff---\r\nenv: {A: ü}\r\n---\r\n".encode())

    assert read_spec(path) == Spec(name="my-spec", env={"A": "ü"})


def test_the_largest_spec_is_read(tmp_path):
    path = tmp_path / "a.md"
    path.write_bytes(b"---\npriority: 5\n---\n".ljust(MAX_SPEC_BYTES, b"x"))

    assert read_spec(path).priority == 5


def test_a_larger_spec_is_refused_by_its_size(tmp_path):
    path = tmp_path / "a.md"
    path.touch()
    os.truncate(path, 100 * 1_048_576)

    assert file_refusal(path) == (
        f"{path}: larger than 16 MiB: keep the spec short, point to data by path"
    )


def test_a_missing_spec_is_refused(tmp_path):
    assert "no such file" in file_refusal(tmp_path / "a.md")


def test_a_spec_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()

    assert "no such file" in file_refusal(tmp_path / "file" / "a.md")


def test_a_folder_is_refused(tmp_path):
    assert "this is a folder" in file_refusal(tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.md")

    assert "not a regular file" in file_refusal(tmp_path / "a.md")


def test_a_pipe_put_there_at_the_last_moment_is_not_waited_for_either(tmp_path, monkeypatch):
    path = tmp_path / "a.md"
    path.touch()
    really_open = os.open

    def swap_then_open(name, flags):
        path.unlink()
        os.mkfifo(path)
        return really_open(name, flags)

    monkeypatch.setattr(os, "open", swap_then_open)

    assert "not a regular file" in file_refusal(path)


def test_a_device_is_refused(tmp_path):
    (tmp_path / "a.md").symlink_to("/dev/zero")

    assert "not a regular file" in file_refusal(tmp_path / "a.md")


def test_a_socket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.md")

        assert "not a regular file" in file_refusal(tmp_path / "a.md")


def test_a_file_that_grows_past_its_size_is_read_only_to_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "a.md"
    path.write_text("text")
    really_read = os.read
    monkeypatch.setattr(os, "read", lambda fd, count: really_read(fd, 4) and b"x" * count)

    assert "larger than 16 MiB" in file_refusal(path)


def test_a_link_to_itself_is_refused(tmp_path):
    path = tmp_path / "a.md"
    path.symlink_to(path)

    assert "cannot be read (Too many levels of symbolic links)" in file_refusal(path)


def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = tmp_path / "a.md"
    path.touch(mode=0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        message = file_refusal(path)
    finally:
        os.seteuid(user)

    assert "cannot be read (Permission denied)" in message


def test_a_path_longer_than_any_may_be_is_refused(tmp_path):
    assert "cannot be read (File name too long)" in file_refusal(tmp_path / ("a" * 300))


@pytest.mark.parametrize("name", ["a\0b.md", "a\ud800b.md"])
def test_a_path_that_is_none_is_refused(tmp_path, name):
    message = file_refusal(tmp_path / name)

    assert "a path cannot hold a NUL or broken characters" in message
    assert message.isprintable()


@pytest.mark.parametrize("raw", [b"one\ntwo\nthr\xffee\n", b"one\n\ntwo\xc3(\n"])
def test_a_file_that_is_not_utf_8_is_refused_with_the_line(tmp_path, raw):
    path = tmp_path / "a.md"
    path.write_bytes(raw)

    assert file_refusal(path) == f"{path}:3: not UTF-8 text: save it as UTF-8"


def test_a_wrong_key_in_a_file_is_refused_with_path_and_line(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("---\npriority: 1\ncomand: x\n---\n")

    assert file_refusal(path).startswith(f'{path}:3: unknown key "comand"')
