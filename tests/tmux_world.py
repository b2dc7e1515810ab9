"""A real tmux server with our adapter on it, and people who attach to it."""

import os
import pty
import shutil
import signal
import struct
import termios
import threading
import time
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

from scheduler_modules.adapters.run_files import DiskRunFiles
from scheduler_modules.adapters.tmux import SubprocessTmux
from scheduler_modules.adapters.tmux_control import ControlTmux
from scheduler_modules.tmux_values import (
    PaneCommand,
    SessionPlan,
)
from tests.tmux_server import TmuxServer, throwaway_server
from tests.waiting import wait_until

TOKEN = "0123456789abcdef0123456789abcdef"
NAME = "demo-impl-01234567"
SCREEN_SEC = 30
ADAPTERS = (SubprocessTmux, ControlTmux)


class World:
    """A server, our adapter on it, and what sessions leave in a folder."""

    def __init__(
        self, server: TmuxServer, folder: Path, *, is_own: bool, adapter=SubprocessTmux
    ) -> None:
        self.server, self.folder = server, folder
        config = server.config_file if is_own else None
        self.tmux = adapter(str(server.socket), config, timeout_sec=5, log_cap_bytes=2000)
        self.files = DiskRunFiles(folder / "runs", folder / "logs")

    def window(self, role, *argv):
        log = self.files.log_path(TOKEN, role)
        return PaneCommand(role=role, argv=argv, log_path=str(log))

    def runner_window(self, role, *argv):
        return self.window(role, *self.files.runner_argv(TOKEN, role, argv))

    def plan(self, *windows, name=NAME, cwd=None, env=None):
        return SessionPlan(
            name=name,
            cwd=str(cwd or self.folder),
            env=env or {},
            windows=windows or (self.window("main", "sleep", "1000"),),
            project_id=42,
            run_token=TOKEN,
        )

    def pane(self, pane_id):
        return next(p for p in self.tmux.snapshot().panes if p.pane_id == pane_id)

    def visitors(self):
        """Return the names of those who look at a session, our own connection left out."""
        format_ = "#{?client_control_mode,,#{client_name}}"
        return self.server.run("list-clients", "-F", format_).split()

    def close(self):
        if isinstance(self.tmux, ControlTmux):
            self.tmux.close()

    def until_dead(self, pane_id):
        wait_until(
            lambda: self.pane(pane_id).dead_status is not None or self.pane(pane_id).dead_signal,
            f"{pane_id} to end",
        )


@contextmanager
def own_world(folder, adapter=SubprocessTmux):
    """A server of ours, with no configuration to speak of."""
    with throwaway_server("set -s exit-empty off\n") as server:
        world = World(server, folder, is_own=True, adapter=adapter)
        yield world
        world.close()


@contextmanager
def foreign_world(folder, config="", adapter=SubprocessTmux):
    """A server of somebody else's that is running, with a session `base`."""
    with throwaway_server(config) as server:
        server.start()
        world = World(server, folder, is_own=False, adapter=adapter)
        yield world
        world.close()


@contextmanager
def person(argv):
    """Somebody at a terminal who runs a command and reads what it shows."""
    pid, master = pty.fork()
    if pid == 0:
        try:
            os.environ["TERM"] = "xterm-256color"
            os.execvp(argv[0], argv)
        finally:
            os._exit(99)
    ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    reader = Screen(master)
    try:
        yield reader
    finally:
        os.close(master)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class Screen:
    def __init__(self, master) -> None:
        self._master, self.shown = master, b""
        threading.Thread(target=self._read, daemon=True).start()

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait_for(self, text: bytes) -> None:
        wait_until(
            lambda: text in self.shown,
            f"{text!r} on the screen, not {self.shown[-500:]!r}",
            SCREEN_SEC,
        )

    def type_until(self, keys: bytes, text: bytes) -> None:
        """Type, each second again, until a text shows: what is typed too early is lost."""
        next_at = 0.0

        def is_shown() -> bool:
            nonlocal next_at
            if text not in self.shown and time.monotonic() >= next_at:
                self.type(keys)
                next_at = time.monotonic() + 1
            return text in self.shown

        wait_until(is_shown, f"{text!r} on the screen after {keys!r}", SCREEN_SEC)

    def _read(self) -> None:
        try:
            while content := os.read(self._master, 65536):
                self.shown += content
        except OSError:
            return


def tamper(folder: Path, script: str) -> None:
    """Put a program named `tmux` before the real one, which runs a script first."""
    programs = folder / "programs"
    programs.mkdir()
    wrapper = programs / "tmux"
    wrapper.write_text(f'#!/bin/sh\n{script}\nexec {shutil.which("tmux")} "$@"\n')
    wrapper.chmod(0o755)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
