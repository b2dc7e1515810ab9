"""What the tab key offers behind each verb, and in real shells."""

import os
import shutil
import subprocess
import sys

import pytest

from scheduler_modules.cli_handler import PROGRAM
from tests.cli_world import CliWorld
from tests.lab.installation import ROOT, installation

INSTRUCTION = {"_TMUX_ORCHESTRATOR_COMPLETE": "zsh_complete"}


@pytest.fixture
def cli(tmp_path):
    """A queue with something in each state; project n is in the n-th of these."""
    world = CliWorld(tmp_path, max_concurrent_projects=2)
    world.add("done-one")
    world.add("broken")
    world.tick()
    world.finish(1)
    world.finish(2, 3)
    world.tick(2)
    world.add("site", "windows: [{role: build, command: a}, {role: tests, command: b}]")
    world.add("stopped")
    world.tick(2)
    for stem, fields in (
        ("parser", {"group": "night", "batch_id": "tonight"}),
        ("held", {"held_at": 5.0}),
    ):
        world.add(stem, **fields)
    world.call("pause", "4")
    return world


@pytest.fixture
def offer(cli, monkeypatch, capsys):
    def ask(line):
        """Return what is offered for the last word of a line: value to help."""
        monkeypatch.setenv("COMP_WORDS", f"{PROGRAM} {line}")
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" "))))
        answer = cli.call(**INSTRUCTION)
        assert (answer.code, answer.err) == (0, "")
        fields = (answer.out or capsys.readouterr().out).splitlines()
        return dict(zip(fields[1::3], fields[2::3], strict=True))

    return ask


def ids(offers):
    return sorted(int(value) for value in offers if value.isdecimal())


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("attach", [3, 4]),
        ("done", [3, 4]),
        ("fail", [3, 4]),
        ("follow", [3, 4, 5, 6]),
        ("wait", [3, 4, 5, 6]),
        ("pause", [3, 5]),
        ("resume", [4, 6]),
        ("stash", [5]),
        ("edit", [5, 6]),
        ("priority 5", [5, 6]),
        ("retry", [2]),
        ("reset", [2, 3, 4]),
        ("remove", [1, 2, 5, 6]),
        ("logs", [1, 2, 3, 4]),
        ("show", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_verb_is_offered_what_it_can_be_about(offer, verb, expected):
    assert ids(offer(f"{verb} ")) == expected


def test_names_and_ids_tell_of_each_other(offer):
    offers = offer("attach ")

    assert offers["3"] == "site, running"
    assert offers["site"] == "3, running"
    assert "@last" in offers


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("show par", ["parser"]),
        ("show PAR", ["parser"]),
        ("show 5", ["5"]),
        ("show @", ["@last"]),
        ("show zzz", []),
    ],
)
def test_only_what_begins_so_is_offered(offer, line, expected):
    assert list(offer(line)) == expected


def test_what_stands_there_already_is_not_offered_again(offer):
    assert ids(offer("show ")) == [1, 2, 3, 4, 5, 6]
    assert ids(offer("wait 5 site ")) == [4, 6]


@pytest.mark.parametrize(
    "line", ["list --group ", "pause --group ", "group set ", "add x --group "]
)
def test_groups_are_offered(offer, line):
    assert {"default", "night"} <= offer(line).keys()


@pytest.mark.parametrize("line", ["list --batch ", "wait --batch ", "clean --batch "])
def test_batches_are_offered(offer, line):
    assert list(offer(line)) == ["tonight"]


def test_states_are_offered(offer):
    assert list(offer("list --state ")) == ["completed", "failed", "paused", "queued", "running"]


def test_windows_of_the_project_in_the_line_are_offered(offer):
    assert list(offer("logs site --window ")) == ["build", "tests"]
    assert list(offer("logs --window ")) == []


def test_verbs_are_offered(offer):
    assert list(offer("fol")) == ["follow"]


def test_options_are_offered(offer):
    assert "--json" in offer("list --js")


@pytest.mark.parametrize("name", ["two words; rm -rf $(x)", "pr\xfcfung", "\u6f22\u5b57"])
def test_any_name_that_can_be_seen_is_offered_as_it_is(cli, offer, name):
    cli.add("odd", name=name)

    assert name in offer("show ")


@pytest.mark.parametrize("name", ["bell\x07", "-rf"])
def test_a_name_that_is_no_word_to_type_is_offered_by_its_id(cli, offer, name):
    cli.add("odd", name=name)

    offers = offer("show ")

    assert "7" in offers
    assert name not in offers


@pytest.mark.parametrize(
    ("begun", "name", "offered"),
    [
        ("", "two words", "two\\ words"),
        ("two\\ ", "two words", "two\\ words"),
        ("", "a'b$(x)", "a\\'b\\$\\(x\\)"),
        ("", "pr\xfcfung", "pr\xfcfung"),
        ("'tw", "two words", "two words"),
        ('"tw', "two words", "two words"),
        ("'a", "a'b", None),
        ('"a', "a$b", None),
    ],
)
def test_bash_is_offered_names_as_they_are_to_be_typed(
    cli, monkeypatch, capsys, begun, name, offered
):
    cli.add("odd", name=name)
    monkeypatch.setenv("COMP_WORDS", f"{PROGRAM}\nshow\n{begun}")
    monkeypatch.setenv("COMP_CWORD", "2")

    answer = cli.call(_TMUX_ORCHESTRATOR_COMPLETE="bash_complete")

    lines = (answer.out or capsys.readouterr().out).splitlines()
    plain = [line.removeprefix("plain,") for line in lines if line.startswith("plain,")]
    known = {"done-one", "broken", "site", "stopped", "parser", "held", "@last"}
    assert [word for word in plain if not word.isdecimal() and word not in known] == (
        [] if offered is None else [offered]
    )


def test_a_question_makes_nothing_and_complains_of_nothing(tmp_path, monkeypatch, capsys):
    world = CliWorld(tmp_path)
    world.probes.of_database.set(is_there=False)
    monkeypatch.setenv("COMP_WORDS", f"{PROGRAM} show ")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setattr(world.store, "counts", None)

    answer = world.call(**INSTRUCTION)

    assert (answer.code, answer.err) == (0, "")
    assert (answer.out + capsys.readouterr().out).strip() == ""


def test_a_database_that_fails_is_no_trace_in_the_line(cli, offer, monkeypatch):
    from scheduler_modules.errors import DatabaseUnavailable

    def refuse(*args, **kwargs):
        raise DatabaseUnavailable("it is gone")

    monkeypatch.setattr(cli.store, "counts", refuse)

    assert offer("show ") == {}


# -- real shells --------------------------------------------------------------------------------


@pytest.fixture
def shell_place():
    """An installation with two projects, and the program on PATH."""
    with installation() as place:
        place.add("parser", "command: make", "--group", "night")
        place.add("docs", "command: make")
        place.add("two words, $home", "command: make")
        bin_dir = place.folder / "bin"
        bin_dir.mkdir()
        program = bin_dir / PROGRAM
        program.write_text(
            f'#!/bin/sh\nexec {sys.executable} {ROOT / "scheduler_entrypoint.py"} "$@"\n'
        )
        program.chmod(0o755)
        place.environ["PATH"] = f"{bin_dir}:{os.environ['PATH']}"
        yield place


def run_shell(place, *argv):
    done = subprocess.run(
        argv, env=place.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def bash_offers(place, line):
    words = " ".join(f"'{word}'" for word in [PROGRAM, *line.split(" ")])
    script = place.folder / "complete.sh"
    script.write_text(
        f'eval "$({PROGRAM} completion bash)"\n'
        f"COMP_WORDS=({words})\n"
        "COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))\n"
        f'complete -p {PROGRAM} | grep -o -- "-F [^ ]*" | cut -c4- >name\n'
        f"$(cat name) {PROGRAM}\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--norc", str(script)],
        env=place.environ,
        cwd=place.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("edit pa", ["parser"]),
        ("edit 2", ["2"]),
        ("list --group n", ["night"]),
        ("attach ", [""]),
        ("fol", ["follow"]),
        ("show tw", ["two\\ words,\\ \\$home"]),
    ],
)
def test_bash_completes(shell_place, line, expected):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")

    assert bash_offers(shell_place, line) == expected


@pytest.mark.acceptance
def test_zsh_completes(shell_place):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    script = (
        "autoload -U compinit; compinit -u -D;"
        "compadd() { print -l -- ${@[(r)--,-1]} };"
        "_describe() { print -l -- ${(P)3} };"
        f'eval "$({PROGRAM} completion zsh)";'
        f"words=({PROGRAM} edit pa); CURRENT=3; _tmux_orchestrator_completion"
    )

    assert "parser" in run_shell(shell_place, "zsh", "-f", "-c", script).stdout


@pytest.mark.acceptance
def test_fish_completes(shell_place):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    script = f"{PROGRAM} completion fish | source; complete -C '{PROGRAM} edit pa'"

    assert "parser" in run_shell(shell_place, "fish", "--no-config", "-c", script).stdout


@pytest.mark.acceptance
def test_fish_completes_a_name_of_several_words(shell_place):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    script = f"{PROGRAM} completion fish | source; complete -C '{PROGRAM} show tw'"

    assert (
        "two words, $home\t3, "
        in run_shell(shell_place, "fish", "--no-config", "-c", script).stdout
    )


def test_every_row_of_the_table_is_a_verb():
    from scheduler_modules.cli import completions
    from scheduler_modules.cli_handler import VERBS

    known = {entry.name for entry in VERBS}

    assert {*completions._ONLY, *completions._NOT, *completions._WORDS} <= known
