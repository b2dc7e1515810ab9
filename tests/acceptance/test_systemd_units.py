"""The units in systemd/ are sound, and keep what running projects rely on."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler_modules.config import load_config

REPOSITORY = Path(__file__).parents[2]
MODES = ("queue", "checkin")


def settings(mode):
    """Return the [Service] section; of a repeated key, the last."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read(REPOSITORY / "systemd" / f"tmux-orchestrator-{mode}.service")
    return parser["Service"]


@pytest.mark.parametrize("mode", MODES)
def test_the_unit_is_found_in_the_process_list_by_the_old_names(mode):
    assert re.search(rf"scheduler\.py.*--daemon --mode {mode}$", settings(mode)["ExecStart"])


@pytest.mark.parametrize("mode", MODES)
def test_a_stop_ends_the_daemon_and_nothing_else(mode):
    unit = settings(mode)

    assert (unit["KillMode"], unit["Restart"], unit["Type"]) == ("process", "always", "simple")


@pytest.mark.parametrize("mode", MODES)
def test_nothing_hides_tmux_or_touches_locks(mode):
    unit = settings(mode)

    assert not {"PrivateTmp", "ExecStartPre", "ExecStopPost", "NoNewPrivileges"} & set(unit)


@pytest.mark.parametrize("mode", MODES)
def test_systemd_finds_no_fault(mode, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    install(tmp_path)
    unit = tmp_path / f"tmux-orchestrator-{mode}.service"
    # verify wants a program that exists, and a test may run from any environment.
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text()))

    result = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", str(unit)],
        check=False,
        capture_output=True,
        text=True,
    )

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_installing_fills_in_the_path_of_the_checkout(tmp_path):
    install(tmp_path)

    unit = (tmp_path / "tmux-orchestrator-queue.service").read_text()

    assert f"ExecStart={REPOSITORY}/.venv/bin/python {REPOSITORY}/scheduler.py" in unit
    assert "%h/Tmux-Orchestrator" not in unit


def test_an_installed_unit_works_on_the_queue_that_the_verbs_work_on(tmp_path, monkeypatch):
    monkeypatch.delenv("TMUX_ORCHESTRATOR_HOME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    install(tmp_path)

    unit = (tmp_path / "tmux-orchestrator-queue.service").read_text()

    home = load_config(os.environ).config.home
    assert f"Environment=TMUX_ORCHESTRATOR_HOME={home}\n" in unit


def install(folder):
    subprocess.run(
        ["sh", str(REPOSITORY / "scripts" / "units.sh"), str(folder)],
        check=True,
        capture_output=True,
        env=os.environ,
    )
