"""Command lines for tmux: nothing in them is taken for a command that is not one."""

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_modules.adapters.tmux_answers import (
    Verdict,
    parse_made,
    parse_panes,
    parse_server,
    verdict,
)
from scheduler_modules.adapters.tmux_arguments import (
    COMMAND_LIMIT_BYTES,
    LogWriter,
    adoption_line,
    creation_line,
    joined,
    literal_format,
)
from scheduler_modules.errors import TmuxRefused
from scheduler_modules.tmux_values import (
    PaneCommand,
    ServerIdentity,
    SessionPlan,
)

LOG = LogWriter(100)
PANE = "pane:$1 @2 %3 1700000000 0 4711 1700000001  42 abc demo:main"


def plan(**changes):
    window = PaneCommand(role="main", argv=("sleep", "1"), log_path="/logs/main.log")
    fields = {
        "name": "demo",
        "cwd": "/project",
        "env": {},
        "windows": (window,),
        "project_id": 42,
        "run_token": "abc",
    }
    return SessionPlan(**{**fields, **changes})


def commands(line):
    """Split a line where tmux does."""
    found = [[]]
    for argument in line:
        if argument == ";":
            found.append([])
        else:
            found[-1].append(argument)
    return found


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)))
def test_no_argument_ends_its_command(arguments):
    line = joined([["set-option", *arguments]])

    assert not any(argument.endswith(";") and argument[-2:] != "\\;" for argument in line)


def expanded(text):
    """Do as tmux does with the hashes of a format."""
    return re.sub(r"#+\[?", lambda run: run[0] if "[" in run[0] else run[0][::2], text)


@given(st.text(alphabet="#[a{(", max_size=20))
def test_what_tmux_makes_of_a_text_is_the_text(text):
    assert expanded(literal_format(text)) == text


@pytest.mark.parametrize(
    "text, literal",
    [
        ("#(touch x)", "##(touch x)"),
        ("#{pid}", "##{pid}"),
        ("a##b", "a####b"),
        ("a#", "a##"),
        ("#[fg=red]", "#[fg=red]"),
        ("###[x", "###[x"),
        ("plain", "plain"),
    ],
)
def test_a_text_is_written_so_that_its_formats_stay_text(text, literal):
    assert literal_format(text) == literal


def test_everything_a_session_needs_is_in_its_one_line():
    line = creation_line(plan(), {"A": "b"}, LOG, is_own_server=True)

    names = [command[0] for command in commands(line)]
    assert names[0] == "new-session"
    assert names.count("pipe-pane") == 1
    assert "remain-on-exit" in line


def test_options_of_windows_are_repeated_for_each():
    windows = tuple(PaneCommand(role=r, argv=("sleep", "1"), log_path="/l") for r in "abc")

    line = creation_line(plan(windows=windows), {}, LOG, is_own_server=True)

    assert line.count("remain-on-exit") == line.count("allow-rename") == 3
    assert line.count("pane-base-index") == line.count("pipe-pane") == 3


def test_no_option_of_the_server_is_set():
    line = creation_line(plan(), {}, LOG, is_own_server=False)

    for command in commands(line):
        if command[0] == "set-option":
            assert not {"-g", "-s", "-sg", "-gw"} & set(command)


def test_only_a_server_that_is_not_ours_is_asked_for_exit_unattached():
    assert "source-file" in creation_line(plan(), {}, LOG, is_own_server=False)
    assert "source-file" not in creation_line(plan(), {}, LOG, is_own_server=True)


def test_a_variable_that_ends_in_a_semicolon_keeps_it():
    line = creation_line(plan(), {"A": "b;", "C": "d\\;"}, LOG, is_own_server=True)

    assert "A=b\\;" in line
    assert "C=d\\\\;" in line


def test_the_log_s_path_is_quoted_for_the_shell_and_written_for_tmux():
    (*_, text) = LOG.pipe("%1", "/a b/100%/#(x)/it's;")

    shell = text.replace("%%", "%").replace("##", "#")
    assert shlex.split(shell)[-1] == "/a b/100%/#(x)/it's;"


def test_a_line_that_is_too_long_is_refused_in_words():
    with pytest.raises(TmuxRefused, match="put long values into a file"):
        joined([["x" * COMMAND_LIMIT_BYTES]])


def test_the_length_of_a_line_counts_bytes():
    assert joined([["é" * (COMMAND_LIMIT_BYTES // 2 - 1)]])
    with pytest.raises(TmuxRefused):
        joined([["é" * (COMMAND_LIMIT_BYTES // 2)]])


def test_an_adopted_session_keeps_names_and_numbers_and_each_window_is_set_once():
    line = adoption_line("demo", 7, "abc", [("@1", "%1"), ("@1", "%2"), ("@2", "%3")])

    assert "move-window" not in line
    assert "rename-window" not in line
    assert line.count("allow-rename") == 2
    assert line.count("remain-on-exit") == 3


def test_a_pane_is_read_with_all_its_fields():
    (pane,) = parse_panes(PANE)

    assert (pane.session_id, pane.window_id, pane.pane_id) == ("$1", "@2", "%3")
    assert (pane.session_name, pane.window_name, pane.window_index) == ("demo", "main", 0)
    assert (pane.pid, pane.session_created_at, pane.activity_at) == (4711, 1700000000, 1700000001)
    assert (pane.project_id, pane.run_token, pane.is_dead) == (42, "abc", False)
    assert (pane.dead_status, pane.dead_signal) == (None, None)


@pytest.mark.parametrize(
    "dead, status, signal",
    [
        ("[3][]", 3, None),
        ("[][9]", None, 9),
        ("[][KILL]", None, 9),
        ("[][term]", None, 15),
        ("[][NOSUCH]", None, None),
        ("[][]", None, None),
    ],
)
def test_how_a_dead_pane_ended_is_read(dead, status, signal):
    (pane,) = parse_panes(PANE.replace("01  42", f"01 {dead} 42"))

    assert (pane.is_dead, pane.dead_status, pane.dead_signal) == (True, status, signal)


def test_names_may_hold_anything_tmux_lets_through():
    (pane,) = parse_panes(PANE.replace("demo:main", "my demo] [:a:b \u2028 [x]"))

    assert (pane.session_name, pane.window_name) == ("my demo] [", "a:b \u2028 [x]")


def test_options_of_somebody_else_are_read_as_far_as_they_mean_something():
    (pane,) = parse_panes(PANE.replace("42 abc", r"4\ 2 a\ b\\"))

    assert (pane.project_id, pane.run_token) == (None, "a b\\")


def test_a_session_without_our_options_is_not_ours():
    (pane,) = parse_panes(PANE.replace("42 abc demo", "  demo"))

    assert (pane.project_id, pane.run_token, pane.session_name) == (None, None, "demo")


def test_lines_that_are_not_ours_are_passed_over():
    assert len(parse_panes(f"said by a hook\n{PANE}\n")) == 1


@pytest.mark.parametrize("line", ["pane:", "pane:$1 @2 %3 x", PANE.replace("demo:", "demo")])
def test_a_garbled_pane_is_an_error_not_a_pane_less(line):
    with pytest.raises(ValueError, match="not a pane"):
        parse_panes(f"{PANE}\n{line}")


def test_the_server_is_found_among_other_lines():
    assert parse_server("x\nserver:12 34\n") == ServerIdentity(12, 34)
    assert parse_server("") is None


def test_what_was_made_is_read_in_order():
    made = parse_made("made:$0 @0 %0 12 34\nsaid by a hook\nmade:$0 @1 %1 12 34")

    assert [one.pane_id for one in made] == ["%0", "%1"]
    assert made[0].server == ServerIdentity(12, 34)


@pytest.mark.parametrize(
    "text, meaning",
    [
        ("no server running on /x/s", Verdict.NO_SERVER),
        ("error connecting to /x/s (No such file or directory)", Verdict.NO_SERVER),
        ("error connecting to /x/s (Connection refused)", Verdict.NO_SERVER),
        ("error connecting to /x/s (Permission denied)", Verdict.UNREACHABLE),
        ("error connecting to /x/s (Resource temporarily unavailable)", Verdict.UNREACHABLE),
        ("error creating /x/s (No such file or directory)", Verdict.UNREACHABLE),
        ("protocol version mismatch (client 8, server 7)", Verdict.UNREACHABLE),
        ("server exited unexpectedly", Verdict.UNREACHABLE),
        ("lost server", Verdict.UNREACHABLE),
        ("can't find session: demo", Verdict.NO_TARGET),
        ("can't find pane: %9", Verdict.NO_TARGET),
        ("no such session: =demo", Verdict.NO_TARGET),
        ("no current target", Verdict.NO_TARGET),
        ("duplicate session: demo", Verdict.DUPLICATE),
        ("something a later version says", Verdict.REFUSED),
        ("", Verdict.REFUSED),
    ],
)
def test_an_error_text_has_one_meaning(text, meaning):
    assert verdict(1, text) is meaning


def test_a_command_that_ended_with_0_is_done_whatever_it_said():
    assert verdict(0, "no server running on /x") is Verdict.DONE
