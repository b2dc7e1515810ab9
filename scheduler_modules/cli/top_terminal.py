"""The terminal of `top`: a screen of its own, keys as they are pressed, all given back at the end.

Whatever ends or stops the process, short of SIGKILL, the terminal is as it was before.
"""

import io
import os
import select
import signal
import termios
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any, TextIO

from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from scheduler_modules.cli.output import Terminal
from scheduler_modules.cli.top_keys import KeyDecoder
from scheduler_modules.errors import SchedulerError, StopNow

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?2004l\x1b[?25h\x1b[?1049l"
# So that a terminal that knows this shows the new screen at once, not line by line.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_ESC_WAIT_SEC = 0.05
_READ_BYTES = 4096
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Ended(StopNow):
    """A signal ends the program."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class RawTerminal:
    """Used as a context: the screen is ours inside it.

    `keys` waits in the thread that entered, which must be the main one: signals come there.
    """

    def __init__(self, stdin: TextIO, terminal: Terminal) -> None:
        self._in = stdin.fileno()
        self._terminal = terminal
        self._decoder = KeyDecoder()
        # It is asked what styles mean, and writes nothing.
        self._styles = Console(file=io.StringIO(), force_terminal=True)
        self._shown: list[str] = []
        self._before: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        self._wake_before = -1
        self._waker, self._wake_writer = -1, -1

    # -- taking and giving back -------------------------------------------------------------

    def __enter__(self) -> "RawTerminal":
        self._waker, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake_before = signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        try:
            for number in _ENDING:
                self._handle(number, _end)
            self._handle(signal.SIGTSTP, self._stop)
            for number in (signal.SIGWINCH, signal.SIGCONT):
                self._handle(number, _only_wake)
            self._take()
        except BaseException:
            self._give_back_all()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_back_all()

    def away(self, act: Callable[[], int]) -> int:
        """Do something that needs the terminal as it was, and take it again."""
        self._give_back()
        try:
            return act()
        finally:
            self._take()

    def _handle(self, number: int, act: Callable[[int, FrameType | None], None]) -> None:
        self._handlers[number] = signal.signal(number, act)

    def _take(self) -> None:
        self._before = termios.tcgetattr(self._in)
        mine = termios.tcgetattr(self._in)
        mine[3] &= ~(termios.ICANON | termios.ECHO)
        mine[6][termios.VMIN], mine[6][termios.VTIME] = 1, 0
        # Ctrl-C and Ctrl-Z stay signals.
        termios.tcsetattr(self._in, termios.TCSADRAIN, mine)
        self._shown = []
        self._write(_ENTER)

    def _give_back(self) -> None:
        before, self._before = self._before, None
        if before is None:
            return
        # A process in the background that sets its terminal is stopped by it, for ever maybe.
        quiet = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            termios.tcsetattr(self._in, termios.TCSADRAIN, before)
            self._write(_LEAVE)
        except (OSError, SchedulerError, termios.error):
            # The terminal has gone: there is nothing left to give back.
            return
        finally:
            signal.signal(signal.SIGTTOU, quiet)

    def _give_back_all(self) -> None:
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()
        signal.set_wakeup_fd(self._wake_before)
        os.close(self._waker)
        os.close(self._wake_writer)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        """Give the terminal back, stop as the shell wants, and take it again when woken."""
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._stop)
        self._take()

    # -- keys and screen --------------------------------------------------------------------

    def keys(self, timeout_sec: float, others: Sequence[int] = ()) -> list[str]:
        """Wait for keys, a signal, one of these files, or the end of the time; return the keys.

        Raises:
            Ended: a signal ends the program, or the terminal is gone.
        """
        files = [self._in, self._waker, *(file for file in others if file >= 0)]
        ready, _, _ = select.select(files, [], [], max(0.0, timeout_sec))
        if self._waker in ready:
            os.read(self._waker, _READ_BYTES)
        found = self._read() if self._in in ready else []
        while self._decoder.has_more_to_come:
            ready, _, _ = select.select([self._in], [], [], _ESC_WAIT_SEC)
            found += self._read() if ready else self._decoder.settle()
        return found

    def _read(self) -> list[str]:
        try:
            content = os.read(self._in, _READ_BYTES)
        except OSError:
            content = b""
        if not content:
            raise Ended(signal.SIGHUP)
        return self._decoder.feed(content)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in cells."""
        try:
            found = os.get_terminal_size(self._in)
        except OSError:
            return 80, 24
        return max(1, found.columns), max(1, found.lines)

    def show(self, lines: Sequence[Text], *, is_afresh: bool = False) -> None:
        """Draw these lines; only those that have changed are sent, unless `is_afresh`."""
        drawn = [self._drawn(line) for line in lines]
        if is_afresh or len(drawn) != len(self._shown):
            self._shown = [""] * len(drawn)
            changes = ["\x1b[2J"]
        else:
            changes = []
        for number, (line, before) in enumerate(zip(drawn, self._shown, strict=True), start=1):
            if line != before:
                # Cleared first: at the end of a full line that would take its last cell away.
                changes.append(f"\x1b[{number};1H\x1b[2K{line}")
        self._shown = drawn
        if changes:
            self._write(f"{_BEGIN}{''.join(changes)}{_END}")

    def _drawn(self, line: Text) -> str:
        return "".join(self._segment(found) for found in line.render(self._styles)).rstrip()

    def _segment(self, segment: Segment) -> str:
        if not segment.style:
            return segment.text
        style = segment.style
        if not self._terminal.has_color:
            style = style.without_color
        return style.render(segment.text, color_system=ColorSystem.STANDARD)

    def _write(self, text: str) -> None:
        self._terminal.write(text)
        self._terminal.flush()


def _end(number: int, _frame: FrameType | None) -> None:
    raise Ended(number)


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: that it came ends the wait."""
