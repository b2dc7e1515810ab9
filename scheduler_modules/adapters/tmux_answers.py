"""Reads what tmux prints: panes, what was made, and what an error text means. Pure."""

import enum
import re
import signal

import msgspec

from scheduler_modules.tmux_values import (
    PaneState,
    ServerIdentity,
)

SERVER_FORMAT = "server:#{pid} #{start_time}"
PANE_FORMAT = (
    "pane:#{session_id} #{window_id} #{pane_id} #{session_created} #{window_index} #{pane_pid}"
    " #{window_activity} #{?pane_dead,[#{pane_dead_status}][#{pane_dead_signal}],}"
    " #{q:@scheduler_project_id} #{q:@scheduler_run} #{session_name}:#{window_name}"
)
"""`q:` puts a backslash before every space of an option's value. Names come last: tmux keeps `:`
out of those of sessions, and newlines out of all."""

_MAX_DIGITS = 18
_SERVER = re.compile(r"^server:(\d+) (\d+)$", re.MULTILINE)
_QUOTED = r"([^\\ \n]*(?:\\.[^\\ \n]*)*)"
_PANE = re.compile(
    r"^pane:(\$\d+) (@\d+) (%\d+) (\d+) (\d+) (\d+) (\d*) ((?:\[\d*\]\[\w*\])?)"
    rf" {_QUOTED} {_QUOTED} ([^:\n]*):(.*)$",
    re.MULTILINE,
)
_MADE = re.compile(r"made:(\$\d+) (@\d+) (%\d+) (\d+) (\d+)")


class Verdict(enum.Enum):
    """What an answer of tmux means."""

    DONE = enum.auto()
    NO_SERVER = enum.auto()
    NO_TARGET = enum.auto()
    """It was asked about a session, window or pane that is not there."""
    DUPLICATE = enum.auto()
    UNREACHABLE = enum.auto()
    REFUSED = enum.auto()


class Made(msgspec.Struct, frozen=True):
    """A window that a command made."""

    session_id: str
    window_id: str
    pane_id: str
    server: ServerIdentity


_MEANINGS = (
    (r"no server running on |error connecting to .* \((No such file|Connection refused)",
     Verdict.NO_SERVER),
    (r"error connecting to |lost server|server exited|protocol version mismatch"
     r"|couldn't create |error creating |unsafe permissions|server version is too old",
     Verdict.UNREACHABLE),
    (r"can't find (session|window|pane)|no such (session|window|pane)|no current (target|session)"
     r"|session not found", Verdict.NO_TARGET),
    (r"duplicate session", Verdict.DUPLICATE),
)  # fmt: skip


def verdict(exit_code: int, stderr: str) -> Verdict:
    """Say what an ended tmux command told us. A text nobody knows is a refusal."""
    if exit_code == 0:
        return Verdict.DONE
    for pattern, meaning in _MEANINGS:
        if re.search(pattern, stderr, re.DOTALL):
            return meaning
    return Verdict.REFUSED


def parse_server(stdout: str) -> ServerIdentity | None:
    """Return the server that printed `SERVER_FORMAT`; None where no line of it is there."""
    match = _SERVER.search(stdout)
    return ServerIdentity(int(match[1]), int(match[2])) if match else None


def parse_panes(stdout: str) -> list[PaneState]:
    """Return the panes of every line of `PANE_FORMAT`; lines of other origin are passed over.

    Raises:
        ValueError: a line of ours is garbled. To drop it would be to call a pane gone.
    """
    # One pattern over the whole text: a thousand panes are read in a few milliseconds.
    found = _PANE.findall(stdout)
    if len(found) != stdout.count("\npane:") + stdout.startswith("pane:"):
        raise ValueError(f"not a pane: {_first_garbled(stdout)!r}")
    return [_pane(*fields) for fields in found]


def parse_made(stdout: str) -> list[Made]:
    """Return what a creating line printed, in the order it was made."""
    matches = (_MADE.fullmatch(line) for line in stdout.split("\n"))
    return [
        Made(match[1], match[2], match[3], ServerIdentity(int(match[4]), int(match[5])))
        for match in matches
        if match
    ]


def _first_garbled(stdout: str) -> str:
    # Not splitlines(): a window's name may hold U+2028 and others it takes for line ends.
    lines = (line for line in stdout.split("\n") if line.startswith("pane:"))
    return next(line for line in lines if not _PANE.fullmatch(line))


def _pane(
    session_id: str,
    window_id: str,
    pane_id: str,
    created: str,
    index: str,
    pid: str,
    activity: str,
    end: str,
    project: str,
    token: str,
    session_name: str,
    window_name: str,
) -> PaneState:
    status, signal_text = end[1:-1].split("][") if end else ("", "")
    return PaneState(
        session_id=session_id,
        window_id=window_id,
        pane_id=pane_id,
        session_created_at=int(created),
        window_index=int(index),
        pid=int(pid),
        activity_at=int(activity or 0),
        is_dead=end != "",
        dead_status=int(status) if status else None,
        dead_signal=_signal_number(signal_text) if signal_text else None,
        project_id=_number(project),
        run_token=(_unquoted(token) if "\\" in token else token) or None,
        session_name=session_name,
        window_name=window_name,
    )


def _signal_number(text: str) -> int | None:
    """Return the number of a signal that tmux gives by number or, on some systems, by name."""
    if text.isdecimal():
        return int(text)
    known = signal.Signals.__members__.get(f"SIG{text.upper()}")
    return known.value if known else None


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else None


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
