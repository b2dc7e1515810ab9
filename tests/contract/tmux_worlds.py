"""A tmux to try things on, in memory and for real by each adapter, driven by the same words."""

import os
from pathlib import Path

from scheduler_modules.adapters.tmux import SubprocessTmux
from scheduler_modules.adapters.tmux_control import ControlTmux
from scheduler_modules.tmux_values import (
    PaneCommand,
    SessionPlan,
)
from tests.fakes.tmux import FakeTmux
from tests.waiting import wait_until

TOKEN = "0123456789abcdef0123456789abcdef"
OTHER_TOKEN = "f" * 32
CONFIG = "set -s exit-empty off\n"


class FakeWorld:
    def __init__(self) -> None:
        self.tmux = FakeTmux()
        self.goes_down = self.tmux.goes_down
        self.comes_back = self.tmux.comes_back
        self.server_dies = self.tmux.server_dies
        self.end_pane = self.tmux.end_pane
        self.close_session = self.tmux.close_session
        self.close_window = self.tmux.close_window
        self.add_foreign_session = self.tmux.add_foreign_session
        self.show = self.tmux.show

    def command(self, role):
        return PaneCommand(role=role, argv=("sleep", "1000"), log_path=f"/logs/{role}.log")

    def folder(self):
        return "/project"


class RealWorld:
    """Panes wait for the name of a file with their exit code to appear."""

    def __init__(self, server, tmp_path: Path, adapter=SubprocessTmux) -> None:
        self._server = server
        self._tmp_path = tmp_path
        self._adapter = adapter
        self._opened = []
        self.tmux = self._open(timeout_sec=3)
        self.comes_back = server.wake
        self.server_dies = server.kill

    def command(self, role):
        script = 'until [ -f "$0.$TMUX_PANE" ]; do sleep 0.02; done; exit "$(cat "$0.$TMUX_PANE")"'
        argv = ("/bin/sh", "-c", script, str(self._tmp_path / "exit"))
        return PaneCommand(role=role, argv=argv, log_path=str(self._tmp_path / f"{role}.log"))

    def folder(self):
        return str(self._tmp_path)

    def goes_down(self):
        self._server.hang()
        self.tmux = self._open(timeout_sec=0.3)

    def end_pane(self, pane_id, status=None, signal=None):
        if signal is not None:
            os.kill(self._pane(pane_id).pid, signal)
        else:
            (self._tmp_path / "code").write_text(str(status))
            (self._tmp_path / "code").rename(self._tmp_path / f"exit.{pane_id}")
        # Dead without status or signal: tmux has not yet asked how it ended.
        wait_until(
            lambda: self._pane(pane_id).dead_status is not None or self._pane(pane_id).dead_signal,
            f"{pane_id} to end",
        )

    def close_session(self, name):
        self._server.run("kill-session", "-t", f"={name}")

    def close_window(self, pane_id):
        self._server.run("kill-window", "-t", pane_id)

    def add_foreign_session(self, name, windows=("shell",)):
        made = self._server.run(
            *("new-session", "-d", "-P", "-F", "#{session_id}", "-s", name, "-n", windows[0]),
            *("--", *self.command("shell").argv),
        )
        for window in windows[1:]:
            self._server.run("new-window", "-d", "-t", f"={name}:", "-n", window)
        return made

    def show(self, pane_id, text):
        Path(self._server.run("display-message", "-p", "-t", pane_id, "#{pane_tty}")).write_text(
            text + "\n"
        )
        last = text.split("\n")[-1]
        wait_until(lambda: last in self.tmux.capture(pane_id), f"{last!r} to be shown")

    def close(self):
        for tmux in self._opened:
            if isinstance(tmux, ControlTmux):
                tmux.close()

    def _open(self, timeout_sec):
        server = self._server
        tmux = self._adapter(str(server.socket), server.config_file, timeout_sec=timeout_sec)
        self._opened.append(tmux)
        return tmux

    def _pane(self, pane_id):
        return next(p for p in self.tmux.snapshot().panes if p.pane_id == pane_id)


def plan(world, name="demo-impl-01234567", roles=("main",), token=TOKEN, **changes):
    fields = {
        "name": name,
        "cwd": world.folder(),
        "env": {"SCHEDULER_RUN_ID": token},
        "windows": tuple(world.command(role) for role in roles),
        "project_id": 42,
        "run_token": token,
    }
    return SessionPlan(**{**fields, **changes})
