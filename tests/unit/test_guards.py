"""The repository's own checks find what they are there to find."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def repository(tmp_path):
    """A repository that holds nothing but the guards."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scheduler_modules").mkdir()
    shutil.copy(SCRIPTS / "guards.py", tmp_path / "scripts")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def guard(repository):
    return run("guards.py", cwd=repository)


def run(script, *arguments, cwd=SCRIPTS.parent):
    return subprocess.run(
        [sys.executable, str(cwd / "scripts" / script), *map(str, arguments)],
        check=False,
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def test_a_clean_repository_passes(repository):
    (repository / "scheduler_modules" / "small.py").write_text("def one():\n    return 1\n")

    assert guard(repository).returncode == 0


def test_an_address_in_requirements_is_found(repository):
    (repository / "requirements.txt").write_text("--index-url https" + "://example.org/simple\n")

    result = guard(repository)

    assert (result.returncode, result.stdout) == (
        1,
        "requirements.txt: an address in a requirements file\n",
    )


def test_a_path_of_one_machine_is_found_with_its_line(repository):
    (repository / "notes.md").write_text("fine\nsee " + "/ro" + "ot/notes\n")

    assert "notes.md:2: an absolute path of one machine" in guard(repository).stdout


def test_a_path_below_another_folder_is_no_machine_path(repository):
    (repository / "notes.md").write_text("see docs" + "/ro" + "ot/notes\n")

    assert guard(repository).stdout == ""


def test_ignored_files_are_not_looked_at(repository):
    (repository / ".gitignore").write_text("build/\n")
    (repository / "build").mkdir()
    (repository / "build" / "log.txt").write_text("/ro" + "ot/x\n")

    assert guard(repository).stdout == ""


@pytest.mark.parametrize(("lines", "is_found"), [(400, False), (401, True)])
def test_a_module_has_at_most_400_lines(repository, lines, is_found):
    (repository / "scheduler_modules" / "long.py").write_text("x = 1\n" * lines)

    assert ("long.py: 401 lines" in guard(repository).stdout) is is_found


@pytest.mark.parametrize(("lines", "is_found"), [(50, False), (51, True)])
def test_a_function_has_at_most_50_lines(repository, lines, is_found):
    body = "    x = 1\n" * (lines - 1)
    (repository / "scheduler_modules" / "long.py").write_text(f"def long():\n{body}")

    assert ("long.py:1: long has 51 lines" in guard(repository).stdout) is is_found


@pytest.mark.parametrize(
    ("file", "imported", "is_found"),
    [
        ("scheduler_modules/low.py", "scheduler_entrypoint", True),
        ("scheduler_modules/low.py", "scheduler", True),
        ("scheduler_entrypoint.py", "scheduler", True),
        ("scheduler.py", "scheduler_entrypoint", False),
        ("scheduler_entrypoint.py", "scheduler_modules", False),
    ],
)
def test_nothing_imports_what_stands_above_it(repository, file, imported, is_found):
    (repository / file).write_text(f"def f():\n    from {imported} import x\n")

    assert (f"{file}:2: {imported} stands above" in guard(repository).stdout) is is_found


JUNIT = """<testsuites><testsuite>
<testcase classname="tests.a" name="test_one"/>
<testcase classname="tests.a" name="test_two">
  <skipped type="pytest.skip" message="no moon"/>
</testcase>
<testcase classname="tests.a" name="test_three">
  <skipped type="pytest.xfail" message="known"/>
</testcase>
</testsuite></testsuites>"""


def check_skips(tmp_path, allowed):
    (tmp_path / "junit.xml").write_text(JUNIT)
    (tmp_path / "allowed.txt").write_text(allowed)
    return run("check_results.py", "skips", tmp_path / "junit.xml", tmp_path / "allowed.txt")


def test_a_skip_on_the_list_is_allowed(tmp_path):
    result = check_skips(tmp_path, "# comment\n\nno moon  # it is daytime\n")

    assert (result.returncode, result.stdout) == (0, "skips: 1 in all, 0 not allowed\n")


def test_a_skip_that_is_not_on_the_list_fails_and_is_named(tmp_path):
    result = check_skips(tmp_path, "no sun  # it is night\n")

    assert result.returncode == 1
    assert "tests.a::test_two: no moon" in result.stdout


def test_a_pattern_without_a_reason_is_refused(tmp_path):
    assert check_skips(tmp_path, "no moon\n").returncode == 1


@pytest.mark.parametrize(("branches", "exit_code"), [(90, 0), (89, 1)])
def test_branches_must_be_covered_whatever_the_lines_are(tmp_path, branches, exit_code):
    totals = {
        "covered_lines": 100,
        "num_statements": 100,
        "covered_branches": branches,
        "num_branches": 100,
    }
    report = tmp_path / "coverage.json"
    report.write_text(json.dumps({"totals": totals}))

    assert run("check_results.py", "coverage", report, 90).returncode == exit_code


def test_the_list_of_allowed_skips_of_this_repository_can_be_read(tmp_path):
    (tmp_path / "junit.xml").write_text("<testsuites/>")
    allowed = SCRIPTS.parent / "tests" / "allowed_skips.txt"

    assert run("check_results.py", "skips", tmp_path / "junit.xml", allowed).returncode == 0
