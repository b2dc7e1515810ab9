"""A real tmux server of a test's own: never the user's, and gone when the test ends."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.waiting import wait_until


class TmuxServer:
    """A socket in a short folder of its own; whoever uses it first starts the server.

    `config` is what the server reads when it starts: empty for none at all.
    """

    def __init__(self, folder: Path, config: str = "") -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.config_file = folder / "tmux.conf"
        self.config_file.write_text(config)
        self._pids: set[int] = set()

    def run(self, *command: str, check: bool = True) -> str:
        """Run a plain tmux client on it; return what it printed."""
        done = subprocess.run(
            ["tmux", "-u", "-S", str(self.socket), "-f", str(self.config_file), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"tmux {command}: {done.stderr}")
        return done.stdout.rstrip("\n")

    def start(self) -> int:
        """Have it running, with one session named `base`; return its process id."""
        self.run(
            *("new-session", "-d", "-s", "base", "--", "sleep", "1000"),
            *(";", "set-option", "-t", "=base:", "destroy-unattached", "off"),
        )
        return self.pid()

    def pid(self) -> int:
        pid = int(self.run("display-message", "-p", "#{pid}"))
        self._pids.add(pid)
        return pid

    def hang(self) -> None:
        os.kill(self.pid(), signal.SIGSTOP)

    def wake(self) -> None:
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it as the kernel's out-of-memory killer would."""
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not _is_running(pid), "the tmux server to die")
        self._pids.discard(pid)

    def stop(self) -> None:
        self.wake()
        with suppress(subprocess.TimeoutExpired):
            self.run("kill-server", check=False)
        wait_until(lambda: not any(map(_is_running, self._pids)), "the tmux server to end")


@contextmanager
def throwaway_server(config: str = "") -> Iterator[TmuxServer]:
    """Give a server that ends with the block. Skips the test where tmux is missing."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    folder = Path(tempfile.mkdtemp(prefix="to-"))
    server = TmuxServer(folder, config)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
