"""Run files in memory: a test writes what a runner or a window would have left."""

from collections.abc import Sequence
from pathlib import Path

from scheduler_modules.errors import InvalidInput
from scheduler_modules.model import RunStart
from scheduler_modules.utils import ROLE_PATTERN, SESSION_PATTERN, one_line, plain_text


class FakeRunFiles:
    """The port `RunFiles`. Paths are names only: nothing is on disk."""

    def __init__(self) -> None:
        self._starts: dict[tuple[str, str], RunStart] = {}
        self._exits: dict[tuple[str, str], int] = {}
        self._exited_at: dict[tuple[str, str], float] = {}
        self._logs: dict[tuple[str, str], str] = {}
        self._sessions: dict[str, str] = {}
        self._permits: set[str] = set()

    def runner_argv(self, token: str, role: str, argv: Sequence[str]) -> tuple[str, ...]:
        _check(token, role)
        self._permits.add(token)
        return ("/bin/sh", "/fake/runner.sh", f"/fake/runs/{token}.{role}", *argv)

    def start(self, token: str, role: str) -> RunStart | None:
        _check(token, role)
        return self._starts.get((token, role))

    def exit_code(self, token: str, role: str) -> int | None:
        _check(token, role)
        return self._exits.get((token, role))

    def exited_at(self, token: str, role: str) -> float | None:
        _check(token, role)
        return self._exited_at.get((token, role))

    def log_path(self, token: str, role: str) -> Path:
        _check(token, role)
        return Path(f"/fake/logs/runs/{token}/{role}.log")

    def last_line(self, token: str, role: str) -> str | None:
        _check(token, role)
        lines = plain_text(self._logs.get((token, role), "")).split("\n")
        last = next((line for line in reversed(lines) if line.strip()), None)
        return None if last is None else one_line(last, 500)

    def session_name(self, token: str) -> str | None:
        _check(token, "any")
        words = self._sessions.get(token, "").split()
        return words[0] if len(words) == 1 else None

    def remove(self, token: str) -> None:
        _check(token, "any")
        self._sessions.pop(token, None)
        self._permits.discard(token)
        for kept in (self._starts, self._exits, self._exited_at):
            for key in [key for key in kept if key[0] == token]:
                del kept[key]

    def remove_logs(self, token: str) -> None:
        _check(token, "any")
        for key in [key for key in self._logs if key[0] == token]:
            del self._logs[key]

    def log(self, token: str, role: str) -> str:
        """Return what the window has printed."""
        return self._logs.get((token, role), "")

    def may_start(self, token: str, role: str) -> bool:
        """Decide as the runner does whether it runs its command."""
        return token in self._permits and (token, role) not in self._starts

    def write_start(self, token: str, role: str, pid: int, started_ticks: int = 1) -> None:
        """Do as the runner does before it runs its command."""
        self._starts[token, role] = RunStart(pid, started_ticks)

    def write_exit(self, token: str, role: str, code: int, at: float | None = None) -> None:
        """Do as the runner does when its command has ended."""
        self._exits[token, role] = code
        if at is not None:
            self._exited_at[token, role] = at

    def write_session(self, token: str, text: str) -> None:
        """Do as an external launcher that tells the name of its session."""
        self._sessions[token] = text

    def write_log(self, token: str, role: str, text: str) -> None:
        """Let the window print something more."""
        self._logs[token, role] = self._logs.get((token, role), "") + text


def _check(token: str, role: str) -> None:
    if not SESSION_PATTERN.fullmatch(token) or not ROLE_PATTERN.fullmatch(role):
        raise InvalidInput(f"run token {token!r}, role {role!r}")
