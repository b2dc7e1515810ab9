"""Reads what tmux prints: panes, what was made, and what an error text means. Pure."""

import enum
import re
import signal

import msgspec

from scheduler_modules.model import PaneState, ServerIdentity

SERVER_FORMAT = "server:#{pid} #{start_time}"
PANE_FORMAT = (
    "pane:#{session_id} #{window_id} #{pane_id} #{session_created} #{window_index} #{pane_pid}"
    " #{window_activity} #{pane_dead} [#{pane_dead_status}] [#{pane_dead_signal}]"
    " #{q:@scheduler_project_id} #{q:@scheduler_run} #{session_name}:#{window_name}"
)
"""`q:` puts a backslash before every space of an option's value. Names come last: tmux keeps `:`
out of those of sessions, and newlines out of all."""

_SERVER = re.compile(r"server:(\d+) (\d+)")
_PANE = re.compile(
    r"pane:(\$\d+) (@\d+) (%\d+) (\d+) (\d+) (\d+) (\d*) ([01]?) \[(\d*)\] \[(\w*)\] (.*)"
)
_OPTIONS_AND_NAMES = re.compile(r"((?:\\.|[^\\ ])*) ((?:\\.|[^\\ ])*) ([^:]*):(.*)")
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
    for line in stdout.split("\n"):
        if match := _SERVER.fullmatch(line):
            return ServerIdentity(int(match[1]), int(match[2]))
    return None


def parse_panes(stdout: str) -> list[PaneState]:
    """Return the panes of every line of `PANE_FORMAT`; lines of other origin are passed over.

    Raises:
        ValueError: a line of ours is garbled. To drop it would be to call a pane gone.
    """
    # Not splitlines(): a window's name may hold U+2028 and others it takes for line ends.
    return [_pane(line) for line in stdout.split("\n") if line.startswith("pane:")]


def parse_made(stdout: str) -> list[Made]:
    """Return what a creating line printed, in the order it was made."""
    matches = (_MADE.fullmatch(line) for line in stdout.split("\n"))
    return [
        Made(match[1], match[2], match[3], ServerIdentity(int(match[4]), int(match[5])))
        for match in matches
        if match
    ]


def _pane(line: str) -> PaneState:
    head = _PANE.fullmatch(line)
    tail = _OPTIONS_AND_NAMES.fullmatch(head[11]) if head else None
    if head is None or tail is None:
        raise ValueError(f"not a pane: {line!r}")
    return PaneState(
        session_id=head[1],
        window_id=head[2],
        pane_id=head[3],
        session_created_at=int(head[4]),
        window_index=int(head[5]),
        pid=int(head[6]),
        activity_at=int(head[7] or 0),
        is_dead=head[8] == "1",
        dead_status=int(head[9]) if head[9] else None,
        dead_signal=_signal_number(head[10]),
        project_id=_number(_unquoted(tail[1])),
        run_token=_unquoted(tail[2]) or None,
        session_name=tail[3],
        window_name=tail[4],
    )


def _signal_number(text: str) -> int | None:
    """Return the number of a signal that tmux gives by number or, on some systems, by name."""
    if text.isdecimal():
        return int(text)
    known = signal.Signals.__members__.get(f"SIG{text.upper()}")
    return known.value if known else None


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
