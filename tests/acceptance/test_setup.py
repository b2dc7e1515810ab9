"""scripts/setup.sh says in one line what it cannot install, and installs nothing twice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PLAIN_TOOLS = ("sh", "dirname", "mktemp", "rm", "cat", "cksum", "tail", "env", "id", "true")


class Machine:
    """A machine whose PATH holds a few programs; each call of a stub is noted."""

    def __init__(self, folder):
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.bin.mkdir()
        for name in PLAIN_TOOLS:
            if (found := shutil.which(name)) is not None:
                (self.bin / name).symlink_to(found)
        self.add("python3", f'exec "{sys.executable}" "$@"')

    def add(self, name, body):
        script = self.bin / name
        script.unlink(missing_ok=True)
        script.write_text(f"#!/bin/sh\necho {name} \"$@\" >>'{self.calls}'\n{body}\n")
        script.chmod(0o755)

    def noted(self):
        return self.calls.read_text() if self.calls.exists() else ""

    def set_up(self, venv=Path(sys.prefix)):
        return subprocess.run(
            ["sh", str(REPOSITORY / "scripts" / "setup.sh"), "run"],
            check=False,
            env={"PATH": str(self.bin), "VENV": str(venv), "TMPDIR": os.environ["TMPDIR"]},
            capture_output=True,
            text=True,
        )


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_nothing_is_said_where_nothing_is_missing(machine):
    machine.add("tmux", "")

    result = machine.set_up()

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_without_apt_get_one_line_says_what_is_missing(machine):
    result = machine.set_up()

    assert result.returncode == 1
    assert result.stderr == (
        "not installed: tmux (there is no apt-get here; use this system's own package manager)\n"
    )


def test_without_root_one_line_says_what_to_type(machine):
    machine.add("apt-get", "")
    machine.add("id", "echo 1000")
    machine.add("sudo", "exit 1")

    result = machine.set_up()

    assert result.returncode == 1
    assert result.stderr == (
        "not installed: tmux (that needs root; type: sudo apt-get install tmux)\n"
    )


def test_sudo_is_used_where_it_asks_for_no_password(machine):
    machine.add("id", "echo 1000")
    machine.add("sudo", 'shift; exec "$@"')
    machine.add("apt-get", "exit 0")

    result = machine.set_up()

    assert result.returncode == 0
    assert "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get" in machine.noted()


def test_package_lists_are_fetched_when_the_first_try_fails(machine):
    machine.add("id", "echo 0")
    lists = machine.bin / "lists"
    machine.add(
        "apt-get",
        f"""case $* in
            *update*) : >'{lists}' ;;
            *) [ -e '{lists}' ] ;;
        esac""",
    )

    result = machine.set_up()

    assert result.returncode == 0
    assert machine.noted().count("install -y") == 2


def test_a_failing_apt_get_is_quoted_in_one_line(machine):
    machine.add("id", "echo 0")
    machine.add("apt-get", "echo 'E: no such thing'; exit 100")

    result = machine.set_up()

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "not installed: tmux (apt-get failed: E: no such thing; type: apt-get install tmux)"
    )


def test_an_environment_of_the_callers_own_must_be_one(machine, tmp_path):
    machine.add("tmux", "")

    result = machine.set_up(venv=tmp_path)

    assert result.returncode == 1
    assert "is no virtual environment" in result.stderr
