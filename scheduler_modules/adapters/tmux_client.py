"""Runs the tmux program: one client process for each call, and what its answer means.

`TmuxServer` is what any way of carrying commands to a server has to offer.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from scheduler_modules.adapters.tmux_answers import Verdict, verdict
from scheduler_modules.errors import TmuxUnavailable
from scheduler_modules.utils import one_line

_RETRY_PAUSES_SEC = (0.1, 0.3)
_KEPT_VARIABLES = frozenset(
    {"PATH", "HOME", "LANG", "TERM", "USER", "LOGNAME", "SHELL", "TZ"}
    | {"XDG_RUNTIME_DIR", "TMUX_TMPDIR"}
)


class Answer(msgspec.Struct, frozen=True):
    """What one client printed, and what that means."""

    stdout: str
    text: str
    """What it said on stderr, as one line."""
    verdict: Verdict


class TmuxServer(Protocol):
    """One server, and a way for commands to reach it.

    A command is an argument list as the tmux program takes it: `;` alone parts commands.

    Raises (both methods):
        TmuxUnavailable: there was no answer, or none in time.
    """

    @property
    def is_own(self) -> bool:
        """Whether we start it ourselves, with our configuration."""
        ...

    @property
    def address(self) -> Sequence[str]:
        """The arguments that name it to the tmux program."""
        ...

    def socket_path(self) -> str: ...

    def read(self, command: Sequence[str]) -> Answer:
        """Run a command that changes nothing; try again where the answer says nothing."""
        ...

    def call(
        self, command: Sequence[str], *, may_start_server: bool = True, path: str | None = None
    ) -> Answer:
        """Run a command, once. `may_start_server`: it may bring a server into being.

        `path`: PATH of the windows it makes, which `-e` alone does not set: tmux prefers that of
        a client without a session.
        """
        ...


class TmuxClient:
    """The port `TmuxServer` by one process for each call.

    `socket` is a path (it holds a `/`) or a name as `tmux -L` takes it; `default` is the server
    a plain `tmux` of the same user talks to. With `config_file` the server is ours: we start it
    with that configuration. Without, it is somebody else's and only our sessions are touched.
    `pause` waits for a number of seconds.
    """

    def __init__(
        self,
        socket: str,
        config_file: Path | None,
        timeout_sec: float,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self.is_own = config_file is not None
        self.address = ["-S" if "/" in socket else "-L", socket]
        self.timeout_sec = timeout_sec
        self._config = ["-f", str(config_file)] if config_file else []
        self.pause = pause or threading.Event().wait

    def read(self, command: Sequence[str]) -> Answer:
        answer = self.call(command)
        for pause_sec in _RETRY_PAUSES_SEC:
            if answer.verdict not in {Verdict.UNREACHABLE, Verdict.REFUSED}:
                break
            self.pause(pause_sec)
            answer = self.call(command)
        return answer

    def call(
        self, command: Sequence[str], *, may_start_server: bool = True, path: str | None = None
    ) -> Answer:
        # -u: the answer is UTF-8 whatever the locale is. A locale variable would do that too, but
        # a server keeps the environment it is born with and gives it to every pane.
        never = [] if may_start_server else ["-N"]
        argv = ["tmux", "-u", *never, *self._config, *self.address, *command]
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.timeout_sec,
                check=False,
                executable=None if path is None else _program(),
                env=clean_environment() | ({} if path is None else {"PATH": path}),
                # Ctrl-C at our terminal must not end a client half-way.
                start_new_session=True,
            )
        except subprocess.TimeoutExpired as error:
            raise TmuxUnavailable(f"tmux did not answer within {self.timeout_sec:g} s") from error
        except OSError as error:
            raise not_run(error) from error
        stderr = done.stderr.decode(errors="replace")
        return Answer(
            stdout=done.stdout.decode(errors="replace"),
            text=one_line(stderr),
            verdict=verdict(done.returncode, stderr),
        )

    def socket_path(self) -> str:
        flag, socket = self.address
        if flag == "-S":
            return socket
        return f"{os.environ.get('TMUX_TMPDIR') or '/tmp'}/tmux-{os.getuid()}/{socket}"  # noqa: S108


def _program() -> str | None:
    """Return where tmux is found by our own PATH, not by one that a spec names."""
    # Costs an everyday verb too much, and none of them gets here.
    import shutil

    return shutil.which("tmux")


def not_run(error: OSError) -> TmuxUnavailable:
    """Say why the tmux program could not be started."""
    if isinstance(error, FileNotFoundError):
        return TmuxUnavailable("tmux is not installed, or not on PATH")
    return TmuxUnavailable(f"tmux could not be run: {error.strerror}")


def remind_of_the_dead(server_pid: int, child_pids: Iterable[int]) -> bool:
    """Let a server collect children whose end it missed. True: there were some.

    When a pane ends, a tmux that keeps utmp records runs a program and is deaf to SIGCHLD for that
    moment (libutempter). If the pane's process ends in it, its status stays unknown until some
    other child ends; 16 of 100 did on a busy machine. The signal does nothing else.
    """
    if not any(_is_zombie(pid, server_pid) for pid in child_pids):
        return False
    with suppress(OSError):
        os.kill(server_pid, signal.SIGCHLD)
    return True


def _is_zombie(pid: int, parent_pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()
    except OSError:
        return False
    return fields[:2] == ["Z", str(parent_pid)]


def clean_environment() -> dict[str, str]:
    """Return what a client, and a server born of it, may know of our environment."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_VARIABLES or name.startswith("LC_")
    }
