"""The entry point: old flags go the old way, everything else to the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler_entrypoint import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder that is not the home folder."""
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir(mode=0o700)
    monkeypatch.chdir(work)
    monkeypatch.setenv("TMUX_ORCHESTRATOR_HOME", str(home))
    return home


def test_a_verb_goes_to_the_command_line(home, capsys):
    assert main(["list", "--json"]) == 0
    assert capsys.readouterr().out == '{"projects":[],"left_out":{}}\n'
    assert (home / "task_queue.db").exists()


@pytest.mark.parametrize("is_old", [True, False])
def test_an_old_flag_goes_the_old_way(home, capsys, is_old):
    assert main(["--queue-list"], cwd_is_home=is_old) == 0
    assert capsys.readouterr().out == "No queued projects\n"


def test_an_old_flag_with_its_value_attached_goes_the_old_way_too(home, capsys):
    assert main(["--queue-status=7"]) == 0
    assert capsys.readouterr().out == "Project 7 not found\n"


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
@pytest.mark.parametrize(("is_old", "start"), [(True, "usage: scheduler.py"), (False, "$ tmux-")])
def test_each_has_its_own_help(home, capsys, arguments, is_old, start):
    assert main(arguments, cwd_is_home=is_old) == 0
    assert capsys.readouterr().out.startswith(start)


@pytest.mark.parametrize("arguments", [["--nonsense"], ["nonsense"]])
def test_what_is_neither_is_refused_on_one_line(home, capsys, arguments):
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_old_file_keeps_state_in_the_working_folder(home, monkeypatch, capsys):
    monkeypatch.delenv("TMUX_ORCHESTRATOR_HOME")

    assert main(["list"], cwd_is_home=True) == 0
    assert Path("task_queue.db").exists()


def test_without_arguments_those_of_the_process_count(home, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tmux-orchestrator", "list", "--json"])

    assert main() == 0
    assert capsys.readouterr().out.startswith('{"projects"')


def run(folder, prelude, *arguments):
    """Run the entry point in a process where something is different."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"{prelude}\nimport sys\nfrom scheduler_entrypoint import main\nsys.exit(main())",
            *arguments,
        ],
        check=False,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "TMUX_ORCHESTRATOR_HOME": str(folder)},
        capture_output=True,
        text=True,
    )


def test_a_missing_library_is_one_line(tmp_path):
    (tmp_path / "click.py").write_text("raise ImportError(\"No module named 'click'\")\n")

    answer = run(tmp_path, "", "list")

    assert (answer.returncode, answer.stderr) == (
        1,
        "error: No module named 'click'; its virtual environment has it, `make run` makes one\n",
    )


def test_an_interrupt_before_anything_is_there_is_quiet(tmp_path):
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")

    answer = run(tmp_path, "", "list")

    assert (answer.returncode, answer.stderr) == (130, "")


def test_a_file_opened_later_never_stands_in_for_a_closed_stream(tmp_path):
    prelude = "import os\nfor number in (0, 1, 2): os.close(number)"
    folder = tmp_path / "home"

    run(folder, prelude, "add", "--allow-missing", "x.md")

    answer = run(folder, "", "list", "-q")
    assert (answer.stdout, answer.stderr) == ("1\n", "")
