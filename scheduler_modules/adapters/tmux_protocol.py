"""What goes over a control-mode connection: command lines out, replies and notices in. Pure.

Source: tmux(1), CONTROL MODE and PARSING SYNTAX; tried on tmux 3.3a.
"""

import re
from collections.abc import Sequence

import msgspec

# Within double quotes tmux reads `\ooo` as that byte. Everything it could take for more than
# itself goes that way, and everything beyond ASCII: a byte of 255 ends its input.
_SPECIAL = re.compile(rb"[^ !#%&\'()*+,\-./0-9:;<=>?@A-Z\[\]^_`a-z{|}]")


def command_line(command: Sequence[str]) -> bytes:
    """Return an argument list as one line for a control-mode client, without its end.

    The list means what it means to the tmux program: `;` alone or at the end of an argument parts
    commands, `\\;` at the end is a semicolon. Every other byte arrives as it is.
    """
    words: list[bytes] = []
    for argument in command:
        if argument.endswith("\\;"):
            words.append(_quoted(argument[:-2] + ";"))
        elif argument.endswith(";"):
            words += [_quoted(argument[:-1])] if argument != ";" else []
            words.append(b";")
        else:
            words.append(_quoted(argument))
    return b" ".join(words)


def _quoted(argument: str) -> bytes:
    raw = argument.encode(errors="surrogateescape")
    return b'"' + _SPECIAL.sub(lambda match: b"\\%03o" % match[0][0], raw) + b'"'


class Reply(msgspec.Struct, frozen=True):
    """What the commands of one line printed, and what stopped them if something did."""

    stdout: bytes
    error: bytes | None


class ReplyReader:
    """Takes apart what a control-mode client prints.

    A line of N commands gives N blocks, fewer after an error, more where a command runs others;
    hooks put blocks of their own between (their third field is 0). So the end of a reply is not
    counted but marked: whoever asks sends a second line that prints `mark`, which nobody else can
    know. What a program shows in its window may look like any line of the protocol; at worst it
    spoils the reply it is in.
    """

    def __init__(self) -> None:
        self.refusal = b""
        """The last error that belonged to no line of ours."""
        self._notices: list[bytes] = []
        self._mark: bytes | None = None
        self._rest = b""
        self._guard: bytes | None = None
        self._block: list[bytes] = []
        self._printed: list[bytes] = []
        self._error: bytes | None = None

    def expect(self, mark: bytes) -> None:
        """Begin a reply: it ends with a line of exactly `mark`."""
        self._mark = mark
        self._printed, self._error = [], None

    def feed(self, content: bytes) -> Reply | None:
        """Take in what came; return the expected reply once it is whole."""
        lines = (self._rest + content).split(b"\n")
        self._rest = lines.pop()
        reply = None
        for line in lines:
            if line == self._mark:
                # Not yet closed is the block of the mark itself.
                self._mark = self._guard = None
                reply = Reply(b"".join(self._printed), self._error)
            elif self._guard is None:
                self._take_outside(line)
            elif line.startswith((b"%end ", b"%error ")) and line.endswith(self._guard):
                self._close(is_error=line.startswith(b"%error "))
            else:
                self._block.append(line)
        return reply

    def take_notices(self) -> list[bytes]:
        """Return the lines between blocks that nobody has taken yet, oldest first."""
        taken, self._notices = self._notices, []
        return taken

    def _take_outside(self, line: bytes) -> None:
        if line.startswith(b"%begin "):
            self._guard, self._block = line[len(b"%begin") :], []
        elif line.startswith(b"%") and not line.startswith((b"%end ", b"%error ")):
            self._notices.append(line)

    def _close(self, *, is_error: bool) -> None:
        is_ours = self._guard is not None and self._guard.endswith(b" 1")
        self._guard = None
        if not is_ours:
            self.refusal = b" ".join(self._block) if is_error else self.refusal
        elif is_error:
            self._error = b"\n".join(self._block)
        else:
            self._printed += [line + b"\n" for line in self._block]
