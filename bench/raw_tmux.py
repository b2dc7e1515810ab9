"""The least that can be done with tmux: a server of our own and one bare control-mode client.

Source: tmux(1), CONTROL MODE, new-session, list-panes.
"""

import os
import select
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from bench.lib import Absent, BenchError

ANSWER_SEC = 30.0


class Server:
    """A tmux server on a socket of its own, with one session that stays; ended by `close`."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("tmux") is None:
            raise Absent("tmux is not installed")
        self.argv = ("tmux", "-u", "-S", str(folder / "raw.sock"), "-f", "/dev/null")
        self.run("new-session", "-d", "-s", "base", "-x", "200", "-y", "50", "--", "sleep", "9999")
        self.pid = int(self.run("display-message", "-p", "#{pid}"))

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [*self.argv, *command], capture_output=True, text=True, check=False, timeout=30
        )
        if done.returncode:
            raise BenchError(f"tmux {command[0]}: {done.stderr.strip()}")
        return done.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([*self.argv, "kill-server"], check=False, capture_output=True, timeout=30)


class Control:
    """One `tmux -C` client; each command waits for its own answer."""

    def __init__(self, argv: Sequence[str], session: str = "base") -> None:
        self._client = subprocess.Popen(
            [*argv, "-C", "attach-session", "-f", "no-output,ignore-size", "-t", f"={session}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._to, self._from = self._client.stdin, self._client.stdout.fileno()
        self._buffer = b""
        self._answer()

    def run(self, line: str, commands: int = 1) -> list[bytes]:
        """Return the lines of the answer; `commands` is how many the line holds."""
        self._to.write(f"{line}\n".encode())
        return [said for _ in range(commands) for said in self._answer()]

    def run_all(self, lines: Sequence[str]) -> None:
        """Send all at once, then take every answer."""
        self._to.write("".join(f"{line}\n" for line in lines).encode())
        for _ in lines:
            self._answer()

    def until_notice(self, beginning: bytes) -> None:
        """Return once the server has said such a thing."""
        while not self._line().startswith(beginning):
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._to.close()
        self._client.wait(10)

    def _answer(self) -> list[bytes]:
        while not self._line().startswith(b"%begin"):
            pass
        lines: list[bytes] = []
        while True:
            line = self._line()
            if line.startswith(b"%end"):
                return lines
            if line.startswith(b"%error"):
                raise BenchError(f"tmux: {b' '.join(lines).decode(errors='replace')}")
            lines.append(line)

    def _line(self) -> bytes:
        deadline = time.monotonic() + ANSWER_SEC
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                raise BenchError("tmux did not answer")
            part = os.read(self._from, 65536)
            if not part:
                raise BenchError("tmux hung up")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line
