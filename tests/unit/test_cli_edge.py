"""The edge of the command line: help, wrong use, what goes wrong below, streams that break."""

import errno
import io
import json
from importlib import metadata

import pytest

from scheduler_modules.cli.output import Terminal, drop_stdout, json_text, process_terminal
from scheduler_modules.cli_handler import VERBS
from scheduler_modules.errors import DiskFull, OutputLost, ReaderGone
from tests.cli_world import Stream

SUBVERBS = [
    *(("daemon", verb) for verb in ("start", "stop", "status", "run")),
    *(("group", verb) for verb in ("list", "set", "remove")),
]


class BrokenStream(Stream):
    """A stdout that takes nothing; `when` it is written, or only when it is flushed."""

    def __init__(self, number, when="write"):
        super().__init__()
        self._number, self._when = number, when

    def write(self, text):
        if self._when == "write":
            raise OSError(self._number, "broken")
        return super().write(text)

    def flush(self):
        if self.getvalue() or self._when == "write":
            raise OSError(self._number, "broken")


@pytest.fixture
def installed_version(monkeypatch):
    """Say which version is installed; None: none is."""

    def install(number):
        def version(name):
            if number is None:
                raise metadata.PackageNotFoundError(name)
            return number

        monkeypatch.setattr(metadata, "version", version)

    return install


# -- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_fits_a_screen_and_starts_with_two_examples(cli, arguments):
    answer = cli.call(*arguments)

    assert answer.code == 0
    assert len(answer.lines) <= 24
    assert max(len(line) for line in answer.lines) <= 80
    assert all(line.startswith("$ tmux-orchestrator ") for line in answer.lines[:2])


def test_help_groups_the_verbs(cli):
    lines = cli.call("--help").lines

    starts = [line.split()[0] for line in lines if line[:1].isalpha()]
    assert starts[:5] == ["queue", "look", "talk", "run", "care"]


def test_help_names_every_verb(cli):
    words = cli.call("--help").out.split()

    assert [entry.name for entry in VERBS if entry.name not in words] == []


@pytest.mark.parametrize("words", [(verb.name,) for verb in VERBS] + SUBVERBS, ids="-".join)
def test_the_help_of_each_verb_starts_with_an_example_and_fits(cli, words):
    answer = cli.call(*words, "--help")

    assert answer.code == 0
    assert len(answer.lines) <= 40
    assert answer.lines[0].startswith("$ ")


def test_the_examples_of_the_root_can_be_parsed(cli):
    for line in cli.call("--help").lines[:2]:
        words = line.split()[2:]
        assert cli.call(words[0], "--help").code == 0


def test_the_version_is_one_line(cli):
    answer = cli.call("--version")

    assert (answer.code, len(answer.lines)) == (0, 1)
    assert answer.out.startswith("tmux-orchestrator ")


@pytest.mark.parametrize("arguments", [["--version", "--json"], ["--json", "--version"]])
def test_the_version_can_be_told_in_json(cli, installed_version, arguments):
    installed_version("1.2.3")

    assert cli.call(*arguments).json == {"version": "1.2.3"}


def test_without_an_installation_there_is_no_version(cli, installed_version):
    installed_version(None)

    assert "not installed" in cli.call("--version").out
    assert cli.call("--version", "--json").json == {"version": None}


# -- wrong use ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lsit"], 'unknown verb "lsit" (did you mean "list"?); see tmux-orchestrator --help'),
        (["qqq"], 'unknown verb "qqq" (tmux-orchestrator --help lists them)'),
        (["list", "--al"], 'unknown option "--al" (did you mean "--all"?); see'),
        (["list", "--qqq"], 'unknown option "--qqq"; see tmux-orchestrator list --help'),
        (["list", "x"], "got unexpected extra argument (x); see tmux-orchestrator list --help"),
        (["show"], "missing argument 'ID|NAME|@last'; see tmux-orchestrator show --help"),
        (["show", "-5"], 'error: "-5" is no id: ids begin at 1'),
        (["show", "-15"], 'error: "-15" is no id: ids begin at 1'),
        (["retry", "-q1"], 'error: "-1" is no id: ids begin at 1'),
        (
            ["daemon"],
            "error: daemon needs start, stop, status or run; see tmux-orchestrator daemon --help",
        ),
        (["list", "-n", "x"], "-n is a whole number from 0 to 1,000,000; see"),
        (["priority", "1001", "1"], "priority is a whole number from -1,000 to 1,000; see"),
        (["add", "a.md", "--priority", "x"], "--priority is a whole number from -1,000 to 1,000"),
        (["logs", "1", "--attempt", "0"], "--attempt is a whole number, 1 or more; see"),
        (["wait", "--all", "--timeout", "x"], "--timeout is a number from 0 to "),
        (["wait", "--all", "--timeout", "nan"], "--timeout: nan is no number of seconds; see"),
        (["completion", "csh"], "shell is one of bash, zsh, fish; see"),
        (["daemon", "fly"], 'unknown verb "fly" (tmux-orchestrator daemon --help lists them)'),
        (["daemon", "strt"], 'unknown verb "strt" (did you mean "start"?); see'),
        (["--home"], "option '--home' requires an argument"),
        (["--home", "", "list"], "--home: give a folder"),
        (["list", "--home", ""], "--home: give a folder"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(cli, arguments, said):
    answer = cli.call(*arguments)

    assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    assert answer.err.startswith("error: ")
    assert said in answer.err


def test_a_name_with_a_leading_hyphen_can_be_given_after_two(cli):
    cli.add("x", name="-odd")

    assert cli.call("show", "-q", "--", "-odd").out == "1\n"


@pytest.mark.parametrize(
    ("number", "code"),
    [("0", 3), ("-1", 2), ("9" * 19, 3), ("9" * 40, 3), ("one", 3), ("", 2), ("1.5", 3)],
)
@pytest.mark.parametrize(
    "verb", ["show", "retry", "reset", "remove", "fail", "done", "logs", "attach", "wait"]
)
def test_an_id_that_is_none_is_one_line_and_changes_nothing(cli, verb, number, code):
    cli.add()
    before = cli.get(1)

    answer = cli.call(verb, number, *(["why"] if verb == "fail" else []))

    assert (answer.code, answer.out, len(answer.err.splitlines())) == (code, "", 1)
    assert cli.get(1) == before


# -- options of all verbs -----------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--json", "list"], ["list", "--json"]])
def test_json_can_be_asked_for_before_and_after_the_verb(cli, arguments):
    assert cli.call(*arguments).json == {"projects": [], "left_out": {}}


@pytest.mark.parametrize("arguments", [["-q", "list"], ["list", "--quiet"]])
def test_quiet_can_be_asked_for_before_and_after_the_verb(cli, arguments):
    cli.add()

    assert cli.call(*arguments).out == "1\n"


@pytest.mark.parametrize("is_before", [True, False])
def test_another_home_can_be_asked_for_before_and_after_the_verb(cli, tmp_path, is_before):
    home = ["--home", str(tmp_path / "other")]
    arguments = [*home, "config"] if is_before else ["config", *home]

    assert cli.call(*arguments).rows[0][1:] == [str(tmp_path / "other"), "environment"]


# -- what goes wrong below ----------------------------------------------------------------------


def test_an_error_below_is_one_line_with_its_exit_code(cli, monkeypatch):
    def full(*arguments):
        raise DiskFull("task_queue.db:\nno space left")

    monkeypatch.setattr(cli.store, "counts", full)
    answer = cli.call("list")

    assert (answer.code, answer.err) == (8, "error: task_queue.db: no space left\n")


def test_a_bug_is_one_line_and_exit_1(cli, monkeypatch):
    def buggy(*arguments):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(cli.store, "counts", buggy)
    answer = cli.call("list")

    assert (answer.code, len(answer.err.splitlines())) == (1, 1)
    assert "ZeroDivisionError" in answer.err
    assert "Traceback" in cli.call("list", TMUX_ORCHESTRATOR_DEBUG="1").err


@pytest.mark.parametrize(("number", "code"), [(errno.EACCES, 1), (errno.ENOSPC, 8)])
def test_a_file_nobody_took_care_of_is_named(cli, monkeypatch, number, code):
    def broken(*arguments):
        raise OSError(number, "broken", "daemon.out")

    monkeypatch.setattr(cli.store, "counts", broken)
    answer = cli.call("list")

    assert (answer.code, answer.err) == (code, "error: daemon.out: broken\n")


def test_an_error_of_the_system_without_a_file_is_said_too(cli, monkeypatch):
    def broken(*arguments):
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(cli.store, "counts", broken)

    assert cli.call("list").err == "error: the system says: too many open files\n"


@pytest.mark.parametrize(("number", "code"), [(errno.EPIPE, 141), (errno.EIO, 1)])
def test_a_broken_stream_may_show_anywhere(cli, monkeypatch, number, code):
    monkeypatch.setattr("scheduler_modules.cli.edge.drop_stdout", lambda: None)

    def broken(*arguments):
        raise OSError(number, "broken")

    monkeypatch.setattr(cli.store, "counts", broken)

    assert cli.call("list").code == code


def test_an_interrupt_is_130(cli, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.store, "counts", interrupted)
    answer = cli.call("list")

    assert (answer.code, answer.err) == (130, "interrupted\n")


def test_the_working_folder_as_home_must_be_there(cli, tmp_path, monkeypatch):
    from scheduler_modules.cli.context import Cli
    from scheduler_modules.cli_handler import run_cli

    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    terminal = Terminal(Stream(), Stream(), Stream(), {})

    code = run_cli(["list"], Cli(terminal, {}, None, pause=None, cwd_is_home=True))

    assert code == 2
    assert terminal.stderr.getvalue().endswith("the working folder is gone\n")


# -- streams ------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["write", "flush"])
def test_a_full_stdout_is_one_line_and_exit_1(cli, monkeypatch, when):
    monkeypatch.setattr("scheduler_modules.cli.edge.drop_stdout", lambda: None)
    cli.add()
    err = Stream()

    code = cli.call_on(Stream(), BrokenStream(errno.ENOSPC, when), err, "list")

    assert (code, err.getvalue()) == (1, "error: the answer cannot be written: broken\n")


@pytest.mark.parametrize("when", ["write", "flush"])
def test_a_reader_that_has_gone_is_not_talked_to(cli, monkeypatch, when):
    monkeypatch.setattr("scheduler_modules.cli.edge.drop_stdout", lambda: None)
    cli.add()
    err = Stream()

    code = cli.call_on(Stream(), BrokenStream(errno.EPIPE, when), err, "list")

    assert (code, err.getvalue()) == (141, "")


def test_a_closed_stdout_is_one_line_and_exit_1(cli):
    cli.add()
    err = Stream()

    assert cli.call_on(Stream(), None, err, "list") == 1
    assert err.getvalue() == "error: the answer cannot be written: stdout is closed\n"


def test_a_closed_stdout_does_not_matter_where_nothing_is_printed(cli):
    cli.add_running()

    assert cli.call_on(Stream(), None, Stream(), "done", "1", "-q") == 0


@pytest.mark.parametrize("err", [None, BrokenStream(errno.ENOSPC)])
def test_an_error_nobody_can_be_told_is_still_an_exit_code(cli, err):
    assert cli.call_on(Stream(), Stream(), err, "show", "7") == 3


def test_questions_need_someone_to_answer(cli):
    cli.add_running()

    assert cli.call_on(None, Stream(), None, "reset", "1") == 2
    assert Terminal(None, None, None, {}).ask("sure?") is False


def test_a_stream_that_was_closed_is_no_terminal():
    stream = Stream(is_tty=True)
    stream.close()

    assert not Terminal(None, io.StringIO(), None, {}).is_interactive
    assert not Terminal(None, _closed(), None, {}).is_interactive


def _closed():
    stream = io.StringIO()
    stream.close()
    return stream


def test_what_the_encoding_of_stdout_cannot_write_is_spelled_out():
    raw = io.BytesIO()
    terminal = Terminal(None, io.TextIOWrapper(raw, encoding="ascii"), None, {})

    terminal.line("● ä \udcff")
    terminal.flush()

    assert raw.getvalue() == b"\\u25cf \\xe4 \\udcff\n"


def test_bytes_go_to_a_text_stream_as_text():
    stream = Stream()

    Terminal(None, stream, None, {}).write_bytes(b"a\xff")

    assert stream.getvalue() == "a\ufffd"


def test_bytes_for_a_full_stdout_are_said_to_be_lost():
    class Full(io.TextIOWrapper):
        def flush(self):
            pass

    raw = io.BytesIO()
    raw.write = _refuse
    terminal = Terminal(None, Full(io.BytesIO(), encoding="utf-8"), None, {})
    terminal.stdout = type("S", (), {"buffer": raw, "flush": lambda self: None})()

    with pytest.raises(OutputLost):
        terminal.write_bytes(b"x")


def _refuse(content):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_lone_half_of_a_character_can_be_told_in_json():
    assert json_text({"a": "\udcff"}) == '{"a":"\\udcff"}'
    assert json_text({"a": "ä"}) == '{"a":"ä"}'


def test_json_does_not_act_on_a_terminal():
    text = json_text({"a": "\x1b[1m\x9b1m\x85\u202e"})

    assert text == '{"a":"\\u001b[1m\\u009b1m\\u0085\\u202e"}'
    assert json.loads(text) == {"a": "\x1b[1m\x9b1m\x85\u202e"}


def test_styles_are_only_for_terminals():
    pretty = Terminal(None, Stream(is_tty=True), None, {})
    plain = Terminal(None, Stream(), None, {})

    assert pretty.red("x") == "\x1b[31mx\x1b[0m"
    assert pretty.green("x") != pretty.yellow("x") != pretty.bold("x") != pretty.dim("x")
    assert plain.red("x") == "x"


def test_the_terminal_of_this_process_has_its_streams(capsys):
    process_terminal({}).line("hello")

    assert capsys.readouterr().out == "hello\n"


def test_dropping_a_stdout_that_is_none_is_fine(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)

    drop_stdout()


def test_a_broken_pipe_has_the_code_of_its_signal():
    assert ReaderGone("gone").exit_code == 128 + 13
