"""What a person or a script gets to read: stdout carries data, stderr carries talk."""

import io
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from scheduler_modules.errors import OutputLost, ReaderGone, SchedulerError
from scheduler_modules.utils import one_line

# JSON escapes C0 by itself. DEL, C1, line separators, and the marks that turn text around.
_LEFT_BY_JSON = r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
_DIM, _RED, _YELLOW, _GREEN, _BOLD = "2", "31", "33", "32", "1"
_LEAST_WIDTH = 40


class Terminal:
    """The three streams of one call, and how they may be written.

    In a pipe nothing is coloured and one record is one line. A stream is None where the caller
    closed it.
    """

    def __init__(
        self,
        stdin: TextIO | None,
        stdout: TextIO | None,
        stderr: TextIO | None,
        environ: Mapping[str, str],
    ) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.is_lost = False
        """Whether a write to stdout has failed; what is still buffered will fail as well."""
        self.is_json = False
        self.is_quiet = False
        self._may_color = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"

    @property
    def is_interactive(self) -> bool:
        """Whether a person reads stdout as it is written."""
        return _is_tty(self.stdout)

    @property
    def is_pretty(self) -> bool:
        """Whether tables and relative times are wanted, not records."""
        return self.is_interactive and not self.is_json and not self.is_quiet

    @property
    def has_person(self) -> bool:
        """Whether a person sits at both ends: what is typed and what is shown."""
        return _is_tty(self.stdin) and self.is_interactive

    @property
    def can_ask(self) -> bool:
        """Whether a question would be seen and could be answered."""
        return _is_tty(self.stdin) and _is_tty(self.stderr)

    @property
    def has_color(self) -> bool:
        return self._may_color and self.is_interactive

    # -- data -------------------------------------------------------------------------------

    def line(self, text: str = "") -> None:
        """Write one line of data.

        Raises:
            OutputLost, ReaderGone
        """
        self.write(text + "\n")

    def prose(self, text: str, look: Callable[[str], str] = str) -> None:
        """Write a sentence: on a terminal it is broken between words, in a pipe it is one line.

        `look` colours each line.

        Raises:
            OutputLost, ReaderGone
        """
        for line in _broken(text) if self.is_pretty else [text]:
            self.line(look(line))

    def write(self, text: str) -> None:
        """Write data as it is.

        Raises:
            OutputLost, ReaderGone
        """
        if self.stdout is None:
            raise OutputLost("the answer cannot be written: stdout is closed")
        try:
            _write(self.stdout, text)
        except OSError as error:
            self.is_lost = True
            raise output_error(error) from error

    def write_bytes(self, content: bytes) -> None:
        """Write bytes as they are.

        Raises:
            OutputLost, ReaderGone
        """
        self.flush()
        stream = getattr(self.stdout, "buffer", None)
        if stream is None:
            self.write(content.decode(errors="replace"))
            return
        try:
            stream.write(content)
            stream.flush()
        except OSError as error:
            self.is_lost = True
            raise output_error(error) from error

    def json(self, value: Any) -> None:
        """Write one JSON document on one line."""
        self.line(json_text(value))

    def flush(self) -> None:
        """Hand over what was written so far.

        Raises:
            OutputLost, ReaderGone
        """
        try:
            if self.stdout is not None:
                self.stdout.flush()
        except OSError as error:
            self.is_lost = True
            raise output_error(error) from error

    # -- talk -------------------------------------------------------------------------------

    def talk(self, text: str) -> None:
        """Say something beside the data; `--quiet` silences it."""
        if not self.is_quiet:
            self._say(text)

    def warn(self, text: str) -> None:
        """Say what the caller should know although it went well."""
        self.talk(f"{self._styled_talk('warning:', _YELLOW)} {one_line(text, 2000)}")

    def next_step(self, command: str) -> None:
        """Tell a person what to type next; scripts are not told."""
        if self.is_pretty:
            for line in _broken(f"    next: {command}"):
                self.talk(self._styled_talk(line, _DIM))

    def error(self, text: str) -> None:
        """Say on one line what is wrong; nothing silences it."""
        self._say(f"{self._styled_talk('error:', _RED)} {one_line(text, 10_000)}")

    def ask(self, question: str) -> bool:
        """Ask a person for a yes; anything else is a no."""
        if self.stdin is None or self.stderr is None:
            return False
        self.stderr.write(f"{question} [y/N] ")
        self.stderr.flush()
        return self.stdin.readline().strip().lower() in {"y", "yes"}

    # -- looks ------------------------------------------------------------------------------

    def dim(self, text: str) -> str:
        return _styled(text, _DIM, self.has_color)

    def bold(self, text: str) -> str:
        return _styled(text, _BOLD, self.has_color)

    def green(self, text: str) -> str:
        return _styled(text, _GREEN, self.has_color)

    def red(self, text: str) -> str:
        return _styled(text, _RED, self.has_color)

    def yellow(self, text: str) -> str:
        return _styled(text, _YELLOW, self.has_color)

    def styled(self, text: str, code: str) -> str:
        """Return data in a colour of that number (SGR), where colours are wanted."""
        return _styled(text, code, self.has_color)

    def dim_talk(self, text: str) -> str:
        return self._styled_talk(text, _DIM)

    def _styled_talk(self, text: str, code: str) -> str:
        return _styled(text, code, self._may_color and _is_tty(self.stderr))

    def _say(self, text: str) -> None:
        if self.stderr is None:
            return
        try:
            _write(self.stderr, text + "\n")
            self.stderr.flush()
        except OSError:
            # Nobody can be told any more; the exit code still says it.
            self.stderr = None


def process_terminal(environ: Mapping[str, str]) -> Terminal:
    """Return the streams of this process."""
    return Terminal(sys.stdin, _buffered(sys.stdout), sys.stderr, environ)


def _buffered(stream: TextIO | None) -> TextIO | None:
    """Return a stream that writes all or fails.

    With PYTHONUNBUFFERED a write that is cut short, by a full disk say, counts as done.
    """
    raw = getattr(stream, "buffer", None)
    if stream is None or not isinstance(raw, io.RawIOBase):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors=stream.errors, line_buffering=True
    )


def output_error(error: OSError) -> SchedulerError:
    """Return what a failed write to stdout means."""
    if isinstance(error, BrokenPipeError):
        return ReaderGone("nobody reads stdout any more")
    return OutputLost(f"the answer cannot be written: {error.strerror or error}")


def drop_stdout() -> None:
    """Let what is still buffered for stdout go nowhere, so that the interpreter ends in silence."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        return


def json_text(value: Any) -> str:
    """Return plain values as JSON on one line; nothing in it acts on a terminal."""
    import msgspec

    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        # Bytes of an argument or variable that are no UTF-8 come in as lone surrogates.
        import json

        return json.dumps(value, separators=(",", ":"))
    return re.sub(_LEFT_BY_JSON, lambda found: f"\\u{ord(found[0]):04x}", text)


def _broken(text: str) -> list[str]:
    """Return a text as lines that fit the terminal; words stay in one piece, to be copied."""
    import shutil
    import textwrap

    room = max(_LEAST_WIDTH, shutil.get_terminal_size().columns)
    if len(text) <= room:
        return [text]
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return textwrap.wrap(
        text, room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _is_tty(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _styled(text: str, code: str, is_wanted: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if is_wanted else text
