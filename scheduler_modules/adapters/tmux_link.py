"""Keeps one control-mode connection to a tmux server, and does without where there is none.

The connection is made when it is first needed, and again after it was lost. That it was lost
proves nothing about the server: only when that is gone, it is said to be.
"""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scheduler_modules.adapters.control_client import ControlClient, LinkLost
from scheduler_modules.adapters.tmux_answers import SERVER_FORMAT, Verdict, parse_server, verdict
from scheduler_modules.adapters.tmux_bell import Bell
from scheduler_modules.adapters.tmux_client import Answer, TmuxClient, clean_environment
from scheduler_modules.adapters.tmux_life import ServerLife
from scheduler_modules.adapters.tmux_protocol import Reply
from scheduler_modules.errors import TmuxUnavailable
from scheduler_modules.ports import Clock
from scheduler_modules.tmux_values import ServerIdentity
from scheduler_modules.utils import one_line

logger = logging.getLogger(__name__)

_SESSIONS_CHANGED = b"%sessions-changed"
_OF_WINDOWS = frozenset(
    {b"%window-add", b"%window-close", b"%unlinked-window-add", b"%unlinked-window-close"}
)
_WORTH_A_LOOK = _OF_WINDOWS | {_SESSIONS_CHANGED, b"%session-renamed"}
_READ_TRIES = 2


class TmuxLink:
    """The port `TmuxServer` over a connection, and by `plain` where control mode cannot be had.

    May be called from any thread; one call is carried at a time.
    """

    def __init__(self, plain: TmuxClient, clock: Clock) -> None:
        self.is_own, self.address = plain.is_own, plain.address
        self._plain = plain
        self._clock = clock
        self._lock = threading.RLock()
        self._client: ControlClient | None = None
        self._life = ServerLife(plain.pause)
        self._patience = _Patience(clock)
        self._bell = Bell()
        self._held: list[bytes] | None = None
        self._forgiven = _Forgiven(clock)
        self._is_open = True
        self._is_doing_without = False

    def socket_path(self) -> str:
        return self._plain.socket_path()

    def expect(self, server: ServerIdentity) -> None:
        """Take a server for ours from before we started, while its process lives."""
        with self._lock:
            if self._client is None:
                self._life.expect(server)

    def read(self, command: Sequence[str]) -> Answer:
        self._restore_socket()
        for _ in range(_READ_TRIES):
            with contextlib.suppress(LinkLost):
                return self._carry(command, self._plain.read, may_start_server=False)
        return self._plain.read(command)

    def call(
        self, command: Sequence[str], *, may_start_server: bool = True, path: str | None = None
    ) -> Answer:
        def without(command: Sequence[str]) -> Answer:
            return self._plain.call(command, may_start_server=may_start_server, path=path)

        return self._carry(command, without, may_start_server=may_start_server)

    def fileno(self) -> int:
        """Return the file that can be read when something may have been heard; -1: closed."""
        return self._bell.fileno()

    def drain(self) -> bool:
        """Take in, without waiting, what has come; True: something worth a look happened."""
        if not self._lock.acquire(blocking=False):
            # Whoever holds it is asking something, hears what comes meanwhile, and rings.
            return self._is_open and self._bell.answer()
        try:
            self._drop_if_useless()
            return self._is_open and self._bell.answer()
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def quietly(self) -> Iterator[Callable[[], None]]:
        """Within the block nothing rings. Its end does, if there was something to hear.

        What is given forgets what comes of one session that was made or ended in the block, now
        or in the next moments: tmux tells of it after it has answered. Of other people's doings
        it forgets no more than windows opened or closed in those.
        """
        with self._lock:
            self._drop_if_useless()
            before, held = self._client, list[bytes]()

            def forgive() -> None:
                if before is not None and self._client is before:
                    self._forgiven.grant()

            self._held = held
            try:
                yield forgive
            finally:
                self._held = None
                self._tell(held)

    def close(self) -> None:
        """End the connection in good order; its keeper is gone then. Calls do without it."""
        with self._lock:
            self._is_open = False
            if self._client is not None:
                client, self._client = self._client, None
                client.close(is_orderly=True)
            self._bell.close()

    def _carry(
        self,
        command: Sequence[str],
        without: Callable[[Sequence[str]], Answer],
        *,
        may_start_server: bool,
    ) -> Answer:
        with self._lock:
            while (client := self._usable_client()) is not None:
                try:
                    return _answer(self._ask(client, command))
                except LinkLost:
                    if not self._life.is_surely_dead():
                        raise
                    # What it may have done went with the server: not blindly repeated.
            if not may_start_server and self._is_absent():
                text = f"no server running on {self.socket_path()}"
                return Answer(stdout="", text=text, verdict=Verdict.NO_SERVER)
            return without(command)

    def _ask(self, client: ControlClient, command: Sequence[str]) -> Reply:
        try:
            reply = client.ask(command)
        except BaseException:
            # Half a question or half an answer is in the pipes.
            self._drop(client)
            raise
        self._hear(client)
        return reply

    def _hear(self, client: ControlClient) -> None:
        words = (notice.split(b" ", 1)[0] for notice in client.take_notices())
        heard = [word for word in words if word in _WORTH_A_LOOK]
        if self._held is not None:
            self._held += heard
        else:
            self._tell(heard)

    def _tell(self, heard: Sequence[bytes]) -> None:
        # All of them: each that is forgiven is so only once.
        if [word for word in heard if not self._forgiven.takes(word)]:
            self._bell.ring()

    def _usable_client(self) -> ControlClient | None:
        """Return the connection, made anew where needed; None: do without."""
        self._drop_if_useless()
        if self._client is not None or not self._is_open:
            return self._client
        if self._is_absent():
            self._require_dead_server()
            return None
        return self._connect() if self._patience.is_over() else None

    def _connect(self) -> ControlClient | None:
        client = ControlClient(
            self.address, clean_environment(), self._clock, self._plain.timeout_sec
        )
        try:
            reply = client.ask(["display-message", "-p", SERVER_FORMAT])
            server = parse_server(reply.stdout.decode(errors="replace"))
        except LinkLost:
            server = None
        except BaseException:
            client.close()
            raise
        if server is None:
            self._do_without(client.close())
            return None
        self._bell.add(client.fileno())
        self._client = client
        self._life.remember(server)
        self._patience.begin()
        self._is_doing_without = False
        logger.info("tmux_control_connected", extra={"server_pid": server.pid})
        return client

    def _do_without(self, reason: str) -> None:
        self._patience.lose(was_at_once=True)
        if not self._is_doing_without and not self._is_absent():
            logger.warning("tmux_control_unavailable", extra={"reason": reason})
            self._is_doing_without = True

    def _drop_if_useless(self) -> None:
        if (client := self._client) is not None:
            is_usable = client.listen()
            self._hear(client)
            if not is_usable:
                self._drop(client)

    def _drop(self, client: ControlClient) -> None:
        self._client = None
        self._bell.remove(client.fileno())
        client.close()
        # Whoever waits must look: what happens from now on is not heard.
        self._bell.ring()
        if not self._life.is_surely_dead():
            self._patience.lose()
            logger.warning("tmux_control_lost")

    def _is_absent(self) -> bool:
        """Return whether nobody listens at the socket, as tmux itself would find."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(self.socket_path())
            except (FileNotFoundError, ConnectionRefusedError):
                return True
            except OSError:
                # Something else: tmux says it in words.
                return False
        return False

    def _restore_socket(self) -> None:
        """Let a server we are connected to make its socket anew: nobody else can reach it."""
        if self.is_own and self._client is not None and not Path(self.socket_path()).exists():
            self._life.ask_for_its_socket()
            logger.warning("tmux_socket_restored", extra={"socket": self.socket_path()})

    def _require_dead_server(self) -> None:
        """Tell "no server" from one whose socket somebody removed.

        Raises:
            TmuxUnavailable: the server lives on. Ours is asked to make its socket anew.
        """
        if self._life.is_surely_alive():
            if self.is_own:
                self._life.ask_for_its_socket()
            raise TmuxUnavailable("the tmux server lives, but its socket is gone")


class _Forgiven:
    """What we heard, or are about to hear, of our own doings."""

    _SEC = 0.5

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changes = 0
        self._until = 0.0

    def grant(self) -> None:
        """Expect what comes of one session made or ended."""
        now = self._clock.since_boot_sec()
        self._changes = 1 if now > self._until else self._changes + 1
        self._until = now + self._SEC

    def takes(self, word: bytes) -> bool:
        """Return whether a notice was expected; each change of the sessions is so once."""
        if self._clock.since_boot_sec() > self._until:
            return False
        if word in _OF_WINDOWS:
            return True
        if word != _SESSIONS_CHANGED or self._changes == 0:
            return False
        self._changes -= 1
        return True


class _Patience:
    """How long to do without a connection that does not last."""

    _CALM_SEC = 60.0
    _MAX_PAUSE_SEC = 60.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun_at = self._not_before = self._pause_sec = 0.0

    def is_over(self) -> bool:
        return self._clock.since_boot_sec() >= self._not_before

    def begin(self) -> None:
        self._begun_at = self._clock.since_boot_sec()

    def lose(self, *, was_at_once: bool = False) -> None:
        """Pause before the next try: not at all after a long life, then 1 s, doubling."""
        now = self._clock.since_boot_sec()
        if was_at_once:
            self._pause_sec = max(1.0, self._pause_sec)
        elif now - self._begun_at > self._CALM_SEC:
            self._pause_sec = 0.0
        self._not_before = now + self._pause_sec
        self._pause_sec = min(self._MAX_PAUSE_SEC, max(1.0, 2 * self._pause_sec))


def _answer(reply: Reply) -> Answer:
    error = (reply.error or b"").decode(errors="replace")
    return Answer(
        stdout=reply.stdout.decode(errors="replace"),
        text=one_line(error),
        verdict=verdict(0 if reply.error is None else 1, error),
    )
