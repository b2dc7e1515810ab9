"""What a terminal sends when keys are pressed, as names of keys. Pure."""

import re
from collections.abc import Iterator

_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[@-~])")
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)?")
_PASTE, _PASTE_END = b"\x1b[200~", b"\x1b[201~"
_LONGEST_SEQUENCE = 32

_NAMED = {
    b"A": "up",
    b"B": "down",
    b"C": "right",
    b"D": "left",
    b"H": "home",
    b"F": "end",
    b"Z": "backtab",
    b"1~": "home",
    b"4~": "end",
    b"5~": "pgup",
    b"6~": "pgdn",
    b"7~": "home",
    b"8~": "end",
}
_CONTROLS = {
    0x03: "ctrl-c",
    0x04: "ctrl-d",
    0x08: "backspace",
    0x09: "tab",
    0x0A: "enter",
    0x0C: "ctrl-l",
    0x0D: "enter",
    0x20: "space",
    0x7F: "backspace",
}


class KeyDecoder:
    """Turns bytes into keys; what is not whole yet waits for more.

    What is pasted means nothing: a text full of letters must not press keys.
    """

    def __init__(self) -> None:
        self._held = b""
        self._is_pasting = False

    @property
    def has_more_to_come(self) -> bool:
        """Whether something has begun that is no key yet: maybe Esc, maybe more than that."""
        return bool(self._held) and not self._is_pasting

    def feed(self, content: bytes) -> list[str]:
        """Return the keys that are whole with this."""
        self._held += content
        return list(self._keys())

    def settle(self) -> list[str]:
        """Return what was held back as it is: nothing more belongs to it."""
        held, self._held = self._held, b""
        return ["esc"] if held.startswith(b"\x1b") and not self._is_pasting else []

    def _keys(self) -> Iterator[str]:
        while self._held:
            if self._is_pasting:
                if not self._skip_pasted():
                    return
                continue
            found = self._next()
            if found is None:
                return
            length, key = found
            self._is_pasting = self._held.startswith(_PASTE)
            self._held = self._held[length:]
            if key:
                yield key

    def _skip_pasted(self) -> bool:
        """Drop what is pasted; False: its end has not come yet."""
        before, end, after = self._held.partition(_PASTE_END)
        self._is_pasting = not end
        self._held = after if end else before[-len(_PASTE_END) :]
        return bool(end)

    def _next(self) -> tuple[int, str] | None:
        """Return how many bytes the next key has, and its name; None while it is not whole."""
        first = self._held[0]
        if first == 0x1B:
            return self._escape()
        if first < 0x20 or first in {0x20, 0x7F}:
            return 1, _CONTROLS.get(first, "")
        return self._letter()

    def _escape(self) -> tuple[int, str] | None:
        found = _SEQUENCE.match(self._held)
        if found:
            return found.end(), _NAMED.get(found[0][2:], "")
        if _UNFINISHED.fullmatch(self._held) and len(self._held) < _LONGEST_SEQUENCE:
            return None
        return 1, "esc"

    def _letter(self) -> tuple[int, str] | None:
        length = _letter_bytes(self._held[0])
        if len(self._held) < length:
            return None
        try:
            letter = self._held[:length].decode()
        except UnicodeDecodeError:
            return 1, ""
        return length, letter if letter.isprintable() else ""


def _letter_bytes(first: int) -> int:
    """Return how many bytes a letter of UTF-8 has that begins so."""
    if first >= 0xF0:
        return 4
    if first >= 0xE0:
        return 3
    return 2 if first >= 0xC0 else 1
