"""Which programs are there."""

import sys

import pytest

from scheduler_modules.dependency_checker import DependencyChecker, Program, ask_version


def checker(*names: str) -> DependencyChecker:
    return DependencyChecker(
        which=lambda name: f"/bin/{name}" if name in names else None,
        version_of=lambda path, arguments: f"1.0 of {path}",
    )


def test_found_programs_are_told_with_path_and_version():
    assert checker("tmux", "sh", "git").check() == [
        Program(name="tmux", is_required=True, path="/bin/tmux", version="1.0 of /bin/tmux"),
        Program(name="sh", is_required=True, path="/bin/sh"),
        Program(name="git", is_required=False, path="/bin/git", version="1.0 of /bin/git"),
    ]


def test_a_missing_program_has_neither_path_nor_version():
    found = {program.name: program for program in checker("sh").check()}

    assert found["tmux"] == Program(name="tmux", is_required=True, path=None)
    assert found["tmux"].is_missing


@pytest.mark.parametrize(
    ("names", "is_fine", "told"),
    [
        (("tmux", "sh", "git"), True, []),
        (("tmux", "sh"), True, [("git", "WARNING")]),
        (("sh", "git"), False, [("tmux", "ERROR")]),
    ],
)
def test_only_a_required_program_is_missed(caplog, names, is_fine, told):
    assert checker(*names).verify_all_dependencies() is is_fine
    assert [(record.program, record.levelname) for record in caplog.records] == told


def test_nobody_asks_for_bc():
    assert "bc" not in {program.name for program in checker().check()}


def program(tmp_path, text):
    path = tmp_path / "program"
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o700)
    return str(path)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("print('tmux 3.3a')", "3.3a"),
        ("print('git version 2.39.5 (x)')", "2.39.5"),
        ("print('none')", None),
        ("import sys; sys.stdout.buffer.write(b'\\xff 1.2'); sys.exit(3)", "1.2"),
        ("import sys; print(sys.argv[1])", None),
    ],
)
def test_a_version_is_read_from_what_the_program_prints(tmp_path, text, version):
    assert ask_version(program(tmp_path, text), ("-V",)) == version


def test_a_program_that_cannot_be_started_has_no_version(tmp_path):
    assert ask_version(str(tmp_path / "nothing"), ("-V",)) is None


def test_this_machine_s_programs_are_found():
    assert all(not found.is_missing for found in DependencyChecker().check() if found.is_required)
