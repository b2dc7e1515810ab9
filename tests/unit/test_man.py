"""The manual page: current, complete, and clean roff."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler_modules.cli_handler import VERBS
from scripts import man

ROOT = Path(__file__).parents[2]


def test_the_page_says_what_the_verbs_say():
    assert man.PAGE.read_text(encoding="utf-8") == man.page(), "run: make man"


def test_the_check_of_the_script_agrees():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "man.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_a_page_that_is_behind_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(man, "ROOT", tmp_path)
    monkeypatch.setattr(man, "PAGE", tmp_path / "page.1")
    monkeypatch.setattr(man, "page", lambda: "new")
    (tmp_path / "page.1").write_text("old")

    assert man.main(["--check"]) == 1
    assert "make man" in capsys.readouterr().out
    assert (man.main([]), man.main(["--check"])) == (0, 0)


def test_every_verb_is_in_it():
    page = man.page()

    assert [entry.name for entry in VERBS if f'.SS "{entry.name}' not in page] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".hidden", "\\&.hidden"),
        ("'quoted", "\\&'quoted"),
        ("a\\b", "a\\eb"),
        ("--all", "\\-\\-all"),
        ("~/x `y`", "\\(ti/x \\(gay\\(ga"),
    ],
)
def test_nothing_in_a_text_is_a_command_to_roff(text, expected):
    assert man._text(text) == expected


def test_it_is_clean_roff():
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")

    done = subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8", str(man.PAGE)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "NAME" in done.stdout
