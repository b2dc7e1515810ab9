"""What the evidence says of a run's window: alive, ended, lost, or not known. Pure.

The order of truth: the exit code on disk; the dead pane's own status; then what is missing. "Not
known" is never taken for an end.
"""

import signal

import msgspec

from scheduler_modules.model import (
    Run,
)
from scheduler_modules.tmux_values import (
    PaneState,
    TmuxSnapshot,
)


class Alive(msgspec.Struct, frozen=True):
    """Its program runs."""


class Ended(msgspec.Struct, frozen=True):
    """Its program ended: with a code, or by a signal that took the runner with it."""

    exit_code: int | None
    signal_number: int | None = None

    @property
    def is_success(self) -> bool:
        return self.exit_code == 0


class Lost(msgspec.Struct, frozen=True):
    """It went away without telling how it ended."""

    reason: str


class Unknown(msgspec.Struct, frozen=True):
    """There is no telling yet; ask again."""


Verdict = Alive | Ended | Lost | Unknown


def judge_window(
    run: Run, pane_id: str | None, exit_code: int | None, snapshot: TmuxSnapshot, boot_id: str
) -> Verdict:
    """Judge one window of a run that was seen up.

    `exit_code` must have been read after `snapshot` was taken: a runner records it before its
    pane dies, so a dead pane without one really left none.
    """
    if exit_code is not None:
        return Ended(exit_code)
    if run.boot_id != boot_id:
        return Lost("the machine was restarted while it ran")
    if not is_same_server(run, snapshot):
        return Lost("the tmux server died while it ran")
    panes = snapshot.of_run(run.token)
    if not panes:
        return Lost("its tmux session was killed")
    pane = next((pane for pane in panes if pane.pane_id == pane_id), None)
    if pane is None:
        return Lost("its window was closed")
    return _judge_pane(pane)


def judge_session(run: Run, snapshot: TmuxSnapshot, boot_id: str) -> Verdict:
    """Judge a session that an external launcher made: it lives while one of its panes does."""
    if run.boot_id != boot_id:
        return Lost("the machine was restarted while it ran")
    if not is_same_server(run, snapshot):
        return Lost("the tmux server died while it ran")
    panes = [pane for pane in snapshot.of_run(run.token) if pane.session_id == run.session_id]
    if not panes:
        return Lost("its tmux session was killed")
    if all(pane.is_dead for pane in panes):
        return Lost("every program in its session ended without reporting done")
    return Alive()


def is_same_server(run: Run, snapshot: TmuxSnapshot) -> bool:
    """Return whether the server that was asked is the one the run was started on."""
    server = snapshot.server
    return server is not None and (server.pid, server.started_at) == (
        run.server_pid,
        run.server_started_at,
    )


def describe_end(end: Ended, last_line: str | None) -> str:
    """Return how a program ended, in words: `exit 3: "no such table: users"`."""
    if end.signal_number is not None:
        said = f"killed by {signal_name(end.signal_number)}"
    else:
        code = end.exit_code or 0
        said = f"exit {code}"
        if code > 128 and code - 128 in _SIGNALS:
            said += f" (killed by {signal_name(code - 128)})"
        elif code in _SHELL_CODES:
            said += f" ({_SHELL_CODES[code]})"
    return f'{said}: "{last_line}"' if last_line else said


def signal_name(number: int) -> str:
    """Return a signal's name, or its number in words where it has none."""
    return _SIGNALS.get(number, f"signal {number}")


_SIGNALS = {number.value: number.name for number in signal.Signals}
_SHELL_CODES = {126: "the command cannot be executed", 127: "the command was not found"}


def _judge_pane(pane: PaneState) -> Verdict:
    if not pane.is_dead:
        return Alive()
    if pane.dead_signal is not None:
        return Ended(None, pane.dead_signal)
    if pane.dead_status is not None:
        return Ended(pane.dead_status)
    return Unknown()
