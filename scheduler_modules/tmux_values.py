"""What is said to and by a tmux server, as values. Frozen, pure."""

import functools
from collections.abc import Iterable, Mapping

import msgspec


class ServerIdentity(msgspec.Struct, frozen=True):
    """Which tmux server was asked. Ids of sessions and panes are worth nothing on another."""

    pid: int
    started_at: int


class PaneState(msgspec.Struct, frozen=True, kw_only=True):
    """One pane as tmux tells it."""

    session_id: str
    session_name: str
    session_created_at: int
    window_id: str
    window_index: int
    window_name: str
    pane_id: str
    pid: int
    activity_at: int
    is_dead: bool = False
    dead_status: int | None = None
    dead_signal: int | None = None
    run_token: str | None = None
    """Our user option on the session; None on sessions that are not ours."""
    project_id: int | None = None


class TmuxSnapshot(msgspec.Struct, frozen=True, dict=True):
    """All panes of the server in one look. `server` None: no server runs, hence no sessions."""

    server: ServerIdentity | None
    panes: tuple[PaneState, ...] = ()

    def of_session(self, session_name: str) -> tuple[PaneState, ...]:
        return tuple(pane for pane in self.panes if pane.session_name == session_name)

    def of_run(self, token: str) -> tuple[PaneState, ...]:
        return self._by_run.get(token, ())

    def session_names(self) -> frozenset[str]:
        return frozenset(pane.session_name for pane in self.panes)

    @functools.cached_property
    def _by_run(self) -> Mapping[str, tuple[PaneState, ...]]:
        found: dict[str, list[PaneState]] = {}
        for pane in self.panes:
            if pane.run_token is not None:
                found.setdefault(pane.run_token, []).append(pane)
        return {token: tuple(panes) for token, panes in found.items()}


class SessionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A session to be made: everything the adapter must set in one go."""

    name: str
    cwd: str
    env: Mapping[str, str]
    windows: tuple["PaneCommand", ...]
    project_id: int
    run_token: str


class PaneCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A window with its full argv (runner included) and the file its output is kept in."""

    role: str
    argv: tuple[str, ...]
    log_path: str


class PaneRef(msgspec.Struct, frozen=True, kw_only=True):
    """tmux's own ids of a new window."""

    role: str
    window_id: str
    pane_id: str


class CreatedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session just made, or one that was found as if it had been."""

    session_id: str
    server: ServerIdentity
    panes: tuple[PaneRef, ...]
    """The main window's first."""

    @classmethod
    def found(cls, server: ServerIdentity, panes: Iterable[PaneState]) -> "CreatedSession":
        """Return the session that the first of these panes is in, with all of them."""
        found = tuple(panes)
        return cls(
            session_id=found[0].session_id,
            server=server,
            panes=tuple(
                PaneRef(role=pane.window_name, window_id=pane.window_id, pane_id=pane.pane_id)
                for pane in found
            ),
        )
