"""What every tmux adapter does with a server, whatever carries its command lines there.

"There is no such session" and "tmux could not be asked" are different answers throughout.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from scheduler_modules.adapters import tmux_answers as answers
from scheduler_modules.adapters import tmux_arguments as arguments
from scheduler_modules.adapters.tmux_answers import Verdict
from scheduler_modules.adapters.tmux_client import Answer, TmuxServer, remind_of_the_dead
from scheduler_modules.errors import (
    SessionExists,
    SessionGone,
    TmuxRefused,
    TmuxUnavailable,
)
from scheduler_modules.tmux_values import (
    CreatedSession,
    PaneCommand,
    PaneRef,
    PaneState,
    ServerIdentity,
    SessionPlan,
    TmuxSnapshot,
)
from scheduler_modules.utils import one_line, plain_text

logger = logging.getLogger(__name__)

_ADOPTION_TRIES = 3
_LIST_ALL = ("list-panes", "-a", "-F", answers.PANE_FORMAT)


class TmuxSessions:
    """The port `Tmux`, whatever carries its command lines to the server."""

    def __init__(self, server: TmuxServer, log_cap_bytes: int) -> None:
        self._server = server
        self._log = arguments.LogWriter(log_cap_bytes)

    def snapshot(self) -> TmuxSnapshot:
        seen = self._look()
        unexplained = [pane.pid for pane in seen.panes if _ended_unexplained(pane)]
        if seen.server and remind_of_the_dead(seen.server.pid, unexplained):
            return self._look()
        return seen

    def _look(self) -> TmuxSnapshot:
        answer = self._server.read(
            ["display-message", "-p", answers.SERVER_FORMAT, ";", *_LIST_ALL]
        )
        if answer.verdict is Verdict.NO_SERVER:
            return TmuxSnapshot(server=None)
        server = answers.parse_server(answer.stdout)
        # A server without sessions names itself and then finds nothing to list.
        if server is None or answer.verdict not in {Verdict.DONE, Verdict.NO_TARGET}:
            raise _unavailable(answer)
        return TmuxSnapshot(server=server, panes=_panes(answer))

    def create_session(self, plan: SessionPlan) -> CreatedSession:
        env = _pane_environment(plan.env)
        line = arguments.creation_line(plan, env, self._log, is_own_server=self._server.is_own)
        _require_folder(plan.cwd)
        answer = self._create(line, env.get("PATH"))
        if answer.verdict is Verdict.DUPLICATE:
            raise SessionExists(plan.name)
        made = answers.parse_made(answer.stdout)
        if answer.verdict is not Verdict.DONE or len(made) != len(plan.windows):
            if made:
                self._undo("session", made[0].session_id, made[0].server)
            raise _refusal(answer)
        logger.info("tmux_session_created", extra={"session": plan.name})
        panes = zip(plan.windows, made, strict=True)
        return CreatedSession(
            session_id=made[0].session_id,
            server=made[0].server,
            panes=tuple(_pane_ref(window, one) for window, one in panes),
        )

    def _create(self, line: Sequence[str], path: str | None) -> Answer:
        """Run the creation line, starting our own server first where there is none.

        A server shows the command line it was born with to everybody, as long as it lives: that
        must not be one with a spec's environment in it. Nor may its PATH be a spec's.
        """
        answer = self._server.call(line, may_start_server=False, path=path)
        if answer.verdict is not Verdict.NO_SERVER:
            return answer
        if not self._server.is_own:
            return self._server.call(line)
        self._server.call(["start-server"])
        return self._server.call(line, may_start_server=False, path=path)

    def add_window(
        self, session_id: str, window: PaneCommand, cwd: str, env: Mapping[str, str]
    ) -> PaneRef:
        session_name = self._own_session(session_id, env.get("SCHEDULER_RUN_ID"))
        pane_env = _pane_environment(env)
        line = arguments.window_line(session_name, window, cwd, pane_env, self._log)
        _require_folder(cwd)
        answer = self._server.call(line, path=pane_env.get("PATH"))
        made = answers.parse_made(answer.stdout)
        if answer.verdict is Verdict.DONE and made:
            return _pane_ref(window, made[0])
        if made:
            self._undo("window", made[0].window_id, made[0].server)
        if answer.verdict in {Verdict.NO_TARGET, Verdict.NO_SERVER}:
            raise SessionGone(f"tmux session {session_name} is gone")
        raise _refusal(answer)

    def adopt_session(self, session_name: str, project_id: int, run_token: str) -> None:
        arguments.check_session_name(session_name)
        arguments.check_token(run_token)
        for _ in range(_ADOPTION_TRIES):
            # A window that closes between the two calls stops the second one half-way.
            panes = self._panes_of(f"={session_name}", f"session {session_name}")
            pairs = [(pane.window_id, pane.pane_id) for pane in panes]
            line = arguments.adoption_line(session_name, project_id, run_token, pairs)
            answer = self._server.call(line)
            if answer.verdict is Verdict.DONE:
                return
        raise _refusal(answer)

    def kill_session(self, session_name: str, run_token: str, server: ServerIdentity) -> bool:
        arguments.check_session_name(session_name)
        arguments.check_token(run_token)
        answer = self._server.call(arguments.kill_line(session_name, run_token, server))
        if answer.verdict is Verdict.DONE:
            return "killed" in answer.stdout.split()
        if answer.verdict in {Verdict.NO_TARGET, Verdict.NO_SERVER}:
            return False
        raise _unavailable(answer)

    def capture(self, pane_id: str, lines: int = 50) -> str:
        if not arguments.is_pane_id(pane_id):
            raise SessionGone(f"{pane_id!r} is no pane of tmux")
        answer = self._require_target(
            pane_id, ["capture-pane", "-p", "-t", pane_id, "-S", f"-{lines}"]
        )
        text = plain_text(answer.stdout).rstrip()
        if (last_line := text.rpartition("\n")[2]).startswith("Pane is dead ("):
            # tmux's own words at the foot of the screen, with nothing but blank lines above.
            text = text.removesuffix(last_line).rstrip()
        return "\n".join(text.split("\n")[-lines:])

    def attach_argv(self, session_name: str) -> list[str]:
        """Return the command a person types (or we exec) to attach to exactly that session.

        Called inside a tmux, which refuses to be nested by itself: it then switches the client
        where the server is the same, and leaves the outer tmux out of it where it is another.
        """
        # -N: do not start a server with a configuration that is not ours. The target is one word
        # with its flag, because zsh expands a word that begins with `=`.
        tmux, target = ["tmux", "-N", *self._server.address], f"-t={session_name}"
        outer_socket = os.environ.get("TMUX", "").partition(",")[0]
        if not outer_socket:
            return [*tmux, "attach-session", target]
        if os.path.realpath(outer_socket) == os.path.realpath(self._server.socket_path()):
            return [*tmux, "switch-client", target]
        return ["env", "-u", "TMUX", *tmux, "attach-session", target]

    def _own_session(self, session_id: str, run_token: str | None) -> str:
        """Return the name of a session of ours; `run_token` None: of any run.

        An id alone may belong to another session by now: a new server counts from zero again.
        """
        gone = SessionGone(f"{session_id!r} is no tmux session of ours")
        if not arguments.is_session_id(session_id):
            raise gone
        for pane in self._panes_of(session_id, f"session {session_id}"):
            if pane.run_token and run_token in {None, pane.run_token}:
                return pane.session_name
        raise gone

    def _panes_of(self, session: str, what: str) -> tuple[PaneState, ...]:
        listing = ["list-panes", "-s", "-t", f"{session}:", "-F", answers.PANE_FORMAT]
        return _panes(self._require_target(what, listing))

    def _require_target(self, what: str, command: list[str]) -> Answer:
        """Ask about something that may be gone.

        Raises:
            SessionGone: it is.
        """
        answer = self._server.read(command)
        if answer.verdict in {Verdict.NO_TARGET, Verdict.NO_SERVER}:
            raise SessionGone(f"tmux has no {what} any more")
        if answer.verdict is not Verdict.DONE:
            raise _unavailable(answer)
        return answer

    def _undo(self, kind: str, target_id: str, server: ServerIdentity) -> None:
        answer = self._server.call(arguments.undo_line(kind, target_id, server))
        if answer.verdict is not Verdict.DONE:
            logger.warning("tmux_undo_failed", extra={"target": target_id, "text": answer.text})


def _panes(answer: Answer) -> tuple[PaneState, ...]:
    try:
        panes = answers.parse_panes(answer.stdout)
    except ValueError as error:
        raise TmuxUnavailable(f"tmux gave an answer nobody understands: {error}") from error
    return tuple(
        pane for pane in panes if not pane.session_name.startswith(arguments.KEEPER_PREFIX)
    )


def _ended_unexplained(pane: PaneState) -> bool:
    return pane.is_dead and pane.dead_status is None and pane.dead_signal is None


def _pane_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return a session's environment: PATH and the like would come from the server's birth."""
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**own, "LANG": os.environ.get("LANG", "C.UTF-8"), **env}


def _require_folder(cwd: str) -> None:
    # tmux would start the command somewhere else without a word.
    try:
        is_usable = Path(cwd).is_absolute() and Path(cwd).is_dir() and os.access(cwd, os.X_OK)
    except OSError:
        is_usable = False
    if not is_usable:
        raise TmuxRefused(f"{one_line(cwd)}: no folder that a command could be started in")


def _pane_ref(window: PaneCommand, made: answers.Made) -> PaneRef:
    return PaneRef(role=window.role, window_id=made.window_id, pane_id=made.pane_id)


def _unavailable(answer: Answer) -> TmuxUnavailable:
    return TmuxUnavailable(f"tmux could not be asked: {answer.text or 'it said nothing'}")


def _refusal(answer: Answer) -> TmuxRefused | TmuxUnavailable:
    if arguments.GUARD_PATH in answer.text:
        return TmuxRefused(
            "the tmux server has `exit-unattached on`: it would end every session when its last"
            " client leaves; turn it off, or leave TMUX_SOCKET empty for a server of our own"
        )
    # By its words alone: a client that cannot start a server ends with 0.
    if answers.verdict(1, answer.text) in {Verdict.NO_SERVER, Verdict.UNREACHABLE}:
        return _unavailable(answer)
    return TmuxRefused(f"tmux refused: {answer.text or 'it said nothing'}")
