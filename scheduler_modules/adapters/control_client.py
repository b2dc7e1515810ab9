"""One control-mode client of a tmux server: asks line by line, hears what else happens there.

It sits in a session of its own, the keeper, which goes when it goes.
"""

import contextlib
import fcntl
import os
import secrets
import select
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from itertools import count
from typing import IO

from scheduler_modules.adapters import tmux_arguments as arguments
from scheduler_modules.adapters.tmux_client import not_run
from scheduler_modules.adapters.tmux_protocol import Reply, ReplyReader, command_line
from scheduler_modules.errors import TmuxUnavailable
from scheduler_modules.ports import Clock
from scheduler_modules.utils import one_line

_CHUNK_BYTES = 65_536
_PIPE_BYTES = 1_048_576
_LEAVING_SEC = 1.0


class LinkLost(TmuxUnavailable):
    """The connection ended before the answer came: what was asked may have been done or not."""


class ControlClient:
    """A running `tmux -C`. One question at a time: whoever shares it keeps a lock.

    Raises (making it, and `ask`):
        LinkLost: the client ended.
        TmuxUnavailable: it could not be started, or gave no answer in time.
    After any of them it can only be closed.

    Source: tmux(1), CONTROL MODE.
    """

    def __init__(
        self, address: Sequence[str], env: Mapping[str, str], clock: Clock, timeout_sec: float
    ) -> None:
        """`address` names the server to tmux; `env` is what the client knows of ours."""
        self._clock = clock
        self._timeout_sec = timeout_sec
        self._reader = ReplyReader()
        self._notices: list[bytes] = []
        self._keeper = arguments.KEEPER_PREFIX + secrets.token_hex(4)
        self._secret = secrets.token_hex(8)
        self._numbers = count()
        self._has_entered, self._is_moved = False, False
        # -N: nobody starts a server by looking at it.
        argv = ["tmux", "-u", "-N", "-C", *address, *arguments.keeper_line(self._keeper)]
        self._process = _start(argv, env)
        self._stdin, self._stdout = _raw(self._process.stdin), _raw(self._process.stdout)
        with contextlib.suppress(OSError):
            # A long answer fits in whole, so that the server need not wait for us in between.
            fcntl.fcntl(self._stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def fileno(self) -> int:
        """Return the file that can be read when something comes."""
        return self._stdout.fileno()

    def ask(self, command: Sequence[str] = ()) -> Reply:
        """Run an argument list for tmux and return what it printed. Empty: wait for notices of
        what was done before.
        """
        mark = f"{self._secret}-{next(self._numbers)}"
        self._reader.expect(mark.encode())
        line = command_line(command) + b"\n" if command else b""
        unsent = line + command_line(["display-message", "-p", mark]) + b"\n"
        deadline = self._clock.since_boot_sec() + self._timeout_sec
        while not self._has_entered:
            # tmux may run what it reads before it has let us in: as nobody, in no session.
            self._wait(deadline, has_more=False)
            self._receive()
        while True:
            unsent = unsent[self._send(unsent) :]
            if self._wait(deadline, has_more=bool(unsent)) and (reply := self._receive()):
                return reply

    def listen(self) -> bool:
        """Take in, without waiting, what has come. False: the client is of no use any more."""
        with contextlib.suppress(LinkLost):
            self._receive()
            return not self._is_moved
        return False

    def take_notices(self) -> list[bytes]:
        """Return the notices that nobody has taken yet, oldest first."""
        taken, self._notices = self._notices, []
        return taken

    def close(self, *, is_orderly: bool = False) -> str:
        """End the client and wait for it; the keeper goes with it. Return its last words.

        `is_orderly`: let it take its leave, which a server that hangs would not hear.
        """
        if self._is_moved:
            # The keeper ends when somebody leaves it. Nobody is there any more.
            with contextlib.suppress(LinkLost):
                self._send(command_line(["kill-session", "-t", f"={self._keeper}"]) + b"\n")
        self._stdin.close()
        if is_orderly or self._is_moved:
            with contextlib.suppress(TmuxUnavailable):
                deadline = self._clock.since_boot_sec() + min(self._timeout_sec, _LEAVING_SEC)
                while self._wait(deadline, has_more=False):
                    self._receive()
        self._process.kill()
        self._process.wait()
        self._stdout.close()
        with _raw(self._process.stderr) as stderr:
            said = stderr.read() or b""
        return one_line((self._reader.refusal + said).decode(errors="replace"))

    def _send(self, content: bytes) -> int:
        if not content:
            return 0
        try:
            return os.write(self._stdin.fileno(), content)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise LinkLost("the connection to tmux has ended") from error

    def _wait(self, deadline: float, *, has_more: bool) -> bool:
        """Wait until there is something to read, or room to write more; True: to read."""
        poller = select.poll()
        poller.register(self._stdout, select.POLLIN)
        if has_more:
            poller.register(self._stdin, select.POLLOUT)
        left_sec = max(0.0, deadline - self._clock.since_boot_sec())
        ready = poller.poll(left_sec * 1000)
        if not ready:
            raise TmuxUnavailable(f"tmux did not answer within {self._timeout_sec:g} s")
        return any(file == self._stdout.fileno() for file, _ in ready)

    def _receive(self) -> Reply | None:
        try:
            content = os.read(self._stdout.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return None
        if not content:
            raise LinkLost("the connection to tmux has ended")
        reply = self._reader.feed(content)
        for notice in self._reader.take_notices():
            self._notices.append(notice)
            self._follow(notice)
        return reply

    def _follow(self, notice: bytes) -> None:
        word, *words = notice.split(b" ", 2)
        if word == b"%session-changed" and words[1:] == [self._keeper.encode()]:
            self._has_entered = True
        elif word in {b"%session-changed", b"%exit"}:
            # In another session we would be one of those who look at it.
            self._is_moved = True


def _start(argv: Sequence[str], env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    try:
        # Ctrl-C at our terminal must not end it.
        return subprocess.Popen(
            [*_dying_with_us(env), *argv],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        raise not_run(error) from error


def _dying_with_us(env: Mapping[str, str]) -> list[str]:
    """Return what to put before a command so that the kernel ends it when our thread ends.

    A control client whose reader was killed may never leave by itself: the server keeps it for
    the answers it cannot get rid of, and then not even `kill-server` ends the server (tmux 3.3a).
    Where there is no such program it is left at that.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    setpriv = shutil.which("setpriv", path=env.get("PATH"))
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _raw(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101 - asked for above
    os.set_blocking(pipe.fileno(), False)
    return pipe
