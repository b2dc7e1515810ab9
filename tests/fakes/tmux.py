"""A tmux server in memory: it can be hung, killed, and have its sessions ended by other people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from scheduler_modules.adapters.tmux_arguments import (
    KEEPER_PREFIX,
    LogWriter,
    check_session_name,
    check_token,
    creation_line,
    window_line,
)
from scheduler_modules.errors import SessionExists, SessionGone, TmuxUnavailable
from scheduler_modules.tmux_values import (
    CreatedSession,
    PaneCommand,
    PaneRef,
    PaneState,
    ServerIdentity,
    SessionPlan,
    TmuxSnapshot,
)


@dataclass
class FakePane:
    window_id: str
    pane_id: str
    window_index: int
    window_name: str
    pid: int
    activity_at: int
    command: PaneCommand | None = None
    """None in sessions of other people."""
    stays_when_dead: bool = True
    is_dead: bool = False
    dead_status: int | None = None
    dead_signal: int | None = None
    screen: list[str] = field(default_factory=list)


@dataclass
class FakeSession:
    session_id: str
    name: str
    created_at: int
    env: dict[str, str]
    panes: list[FakePane] = field(default_factory=list)
    plan: SessionPlan | None = None
    run_token: str | None = None
    project_id: int | None = None


class FakeTmux:
    """The port `Tmux`. What it refuses, it refuses by the same rules as the real one.

    The state is public: `server` (None while none runs) and `sessions` by name. `now` gives the
    times of creation and activity.
    """

    def __init__(self, now: Callable[[], float] = lambda: 1_700_000_000.0) -> None:
        self.server: ServerIdentity | None = None
        self.sessions: dict[str, FakeSession] = {}
        self.expected: set[ServerIdentity] = set()
        """The servers it was told of."""
        self._now = now
        self._is_down = False
        self._refusals: list[Exception] = []
        self._loses_answer = False
        self._pids = count(10_000)
        self._restart_ids()

    # -- the port ---------------------------------------------------------------------------

    def expect(self, server: ServerIdentity) -> None:
        self.expected.add(server)

    def snapshot(self) -> TmuxSnapshot:
        self._answer()
        return TmuxSnapshot(
            server=self.server,
            panes=tuple(
                _state(session, pane)
                for name, session in sorted(self.sessions.items())
                if not name.startswith(KEEPER_PREFIX)
                for pane in session.panes
            ),
        )

    def create_session(self, plan: SessionPlan) -> CreatedSession:
        creation_line(plan, plan.env, LogWriter(1), is_own_server=True)
        self._answer()
        if self._refusals:
            raise self._refusals.pop(0)
        if plan.name in self.sessions:
            raise SessionExists(plan.name)
        session = self._open_session(plan.name, dict(plan.env))
        session.plan, session.run_token, session.project_id = (
            plan,
            plan.run_token,
            plan.project_id,
        )
        refs = tuple(self._open_window(session, window) for window in plan.windows)
        if self._loses_answer:
            self._loses_answer = False
            raise TmuxUnavailable("tmux did not answer within 5 s")
        assert self.server is not None
        return CreatedSession(session_id=session.session_id, server=self.server, panes=refs)

    def add_window(
        self, session_id: str, window: PaneCommand, cwd: str, env: Mapping[str, str]
    ) -> PaneRef:
        self._answer()
        token = env.get("SCHEDULER_RUN_ID")
        session = next((s for s in self.sessions.values() if s.session_id == session_id), None)
        if session is None or not session.run_token or token not in {None, session.run_token}:
            raise SessionGone(f"{session_id!r} is no tmux session of ours")
        window_line(session.name, window, cwd, env, LogWriter(1))
        return self._open_window(session, window)

    def adopt_session(self, session_name: str, project_id: int, run_token: str) -> None:
        check_session_name(session_name)
        check_token(run_token)
        self._answer()
        session = self.sessions.get(session_name)
        if session is None:
            raise SessionGone(f"tmux has no session {session_name} any more")
        session.project_id, session.run_token = project_id, run_token
        for pane in session.panes:
            pane.stays_when_dead = True

    def kill_session(self, session_name: str, run_token: str, server: ServerIdentity) -> bool:
        check_session_name(session_name)
        check_token(run_token)
        self._answer()
        session = self.sessions.get(session_name)
        if session is None or session.run_token != run_token or server != self.server:
            return False
        del self.sessions[session_name]
        return True

    def capture(self, pane_id: str, lines: int = 50) -> str:
        self._answer()
        return "\n".join(self.pane(pane_id).screen[-lines:])

    def attach_argv(self, session_name: str) -> list[str]:
        return ["tmux", "-N", "-S", "/fake/tmux.sock", "attach-session", f"-t={session_name}"]

    # -- what happens to it -----------------------------------------------------------------

    def goes_down(self) -> None:
        """Stop answering; sessions live on."""
        self._is_down = True

    def comes_back(self) -> None:
        self._is_down = False

    def server_dies(self) -> None:
        """End the server with all sessions; the next session starts another one."""
        self.server = None
        self.sessions.clear()
        self._restart_ids()

    def refuse_next(self, error: Exception) -> None:
        """Let the next `create_session` raise this, with nothing made."""
        self._refusals.append(error)

    def lose_next_answer(self) -> None:
        """Let the next `create_session` make its session, but not answer in time."""
        self._loses_answer = True

    def end_pane(self, pane_id: str, status: int | None = None, signal: int | None = None) -> None:
        """End a pane's command. Neither status nor signal: dead, and nobody knows how."""
        pane = self.pane(pane_id)
        pane.is_dead, pane.dead_status, pane.dead_signal = True, status, signal
        if not pane.stays_when_dead:
            self.close_window(pane_id)

    def close_window(self, pane_id: str) -> None:
        """Close a pane's window, as a person would; the last one takes the session along."""
        session = self._session_of(pane_id)
        session.panes = [pane for pane in session.panes if pane.pane_id != pane_id]
        if not session.panes:
            del self.sessions[session.name]

    def close_session(self, name: str) -> None:
        """End a session, as a person would."""
        del self.sessions[name]

    def add_foreign_session(self, name: str, windows: tuple[str, ...] = ("shell",)) -> str:
        """Open a session of somebody else's; return its id."""
        session = self._open_session(name, {})
        for index, window_name in enumerate(windows):
            session.panes.append(self._new_pane(index, window_name, None))
        return session.session_id

    def show(self, pane_id: str, text: str) -> None:
        """Let a pane print lines."""
        pane = self.pane(pane_id)
        pane.screen += text.split("\n")
        pane.activity_at = int(self._now())

    def pane(self, pane_id: str) -> FakePane:
        session = self._session_of(pane_id)
        return next(pane for pane in session.panes if pane.pane_id == pane_id)

    # ---------------------------------------------------------------------------------------

    def _answer(self) -> None:
        if self._is_down:
            raise TmuxUnavailable("tmux did not answer within 5 s")

    def _restart_ids(self) -> None:
        # As in tmux, every server counts from zero.
        self._session_numbers, self._window_numbers = count(), count()

    def _open_session(self, name: str, env: dict[str, str]) -> FakeSession:
        if self.server is None:
            self.server = ServerIdentity(next(self._pids), int(self._now()))
        session = FakeSession(f"${next(self._session_numbers)}", name, int(self._now()), env)
        self.sessions[name] = session
        return session

    def _open_window(self, session: FakeSession, window: PaneCommand) -> PaneRef:
        index = max((pane.window_index for pane in session.panes), default=-1) + 1
        pane = self._new_pane(index, window.role, window)
        session.panes.append(pane)
        return PaneRef(role=window.role, window_id=pane.window_id, pane_id=pane.pane_id)

    def _new_pane(self, index: int, name: str, command: PaneCommand | None) -> FakePane:
        number = next(self._window_numbers)
        return FakePane(
            window_id=f"@{number}",
            pane_id=f"%{number}",
            window_index=index,
            window_name=name,
            pid=next(self._pids),
            activity_at=int(self._now()),
            command=command,
            stays_when_dead=command is not None,
        )

    def _session_of(self, pane_id: str) -> FakeSession:
        for session in self.sessions.values():
            if any(pane.pane_id == pane_id for pane in session.panes):
                return session
        raise SessionGone(f"tmux has no {pane_id} any more")


def _state(session: FakeSession, pane: FakePane) -> PaneState:
    return PaneState(
        session_id=session.session_id,
        session_name=session.name,
        session_created_at=session.created_at,
        window_id=pane.window_id,
        window_index=pane.window_index,
        window_name=pane.window_name,
        pane_id=pane.pane_id,
        pid=pane.pid,
        activity_at=pane.activity_at,
        is_dead=pane.is_dead,
        dead_status=pane.dead_status,
        dead_signal=pane.dead_signal,
        run_token=session.run_token,
        project_id=session.project_id,
    )
