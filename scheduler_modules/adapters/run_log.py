"""Reads the log of a window: its beginning, a mark where bytes were cut, and its newest end.

`window_log.sh` writes it: LOG holds the first CAP bytes, LOG.n those from n * CAP on; of these
the newest two are there. CAP is the size of LOG once there is any LOG.n. What is returned is what
programs printed: pass it through `utils.plain_text` before anybody sees it.
"""

from pathlib import Path

_FIRST_LOOK_BYTES = 65_536


class RunLog:
    """One log. It remembers how far it has been read, for `read_new`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read_all(self) -> bytes:
        """Return everything that is kept; `read_new` goes on after it."""
        content, self._position = self._read_from(0)
        return content

    def read_new(self) -> bytes:
        """Return what came since the last call of any method here; at first, everything.

        Bytes that were dropped before they were read leave a mark. A log that was begun anew is
        read from its start.
        """
        if self._end() < self._position:
            self._position = 0
        content, self._position = self._read_from(self._position)
        return content

    def tail_bytes(self, limit_bytes: int) -> bytes:
        """Return the last bytes; `read_new` goes on after them."""
        content, self._position = self._read_from(self._tail_start(limit_bytes))
        return content

    def tail_lines(self, count: int) -> bytes:
        """Return the last lines, the unfinished one included; `read_new` goes on after them."""
        limit_bytes = _FIRST_LOOK_BYTES
        content = self.tail_bytes(limit_bytes)
        while content.count(b"\n") <= count and limit_bytes < self._end():
            limit_bytes *= 8
            content = self.tail_bytes(limit_bytes)
        return b"".join(content.splitlines(keepends=True)[-count:]) if count > 0 else b""

    def _pieces(self) -> list[tuple[int, Path]]:
        """Return the files that are there with the place of their first byte, in order."""
        cap_bytes = _size(self._path)
        prefix = f"{self._path.name}."
        try:
            names = [entry.name for entry in self._path.parent.iterdir()]
        except FileNotFoundError:
            return []
        numbers = sorted(
            int(name.removeprefix(prefix))
            for name in names
            if name.startswith(prefix) and name.removeprefix(prefix).isdecimal()
        )
        ring = [(n * cap_bytes, self._path.with_name(f"{prefix}{n}")) for n in numbers]
        return [(0, self._path), *ring]

    def _end(self) -> int:
        return max((start + _size(path) for start, path in self._pieces()), default=0)

    def _tail_start(self, limit_bytes: int) -> int:
        """Return where to begin for so many bytes: never inside what was cut."""
        wanted = max(0, self._end() - limit_bytes)
        spans = [(start, start + _size(path)) for start, path in self._pieces()]
        before = [end for start, end in spans if start <= wanted]
        return min(wanted, max(before, default=0))

    def _read_from(self, position: int) -> tuple[bytes, int]:
        """Return the bytes from a place on, and the place after them."""
        parts: list[bytes] = []
        for start, path in self._pieces():
            try:
                with path.open("rb") as piece:
                    piece.seek(max(0, position - start))
                    content = piece.read()
            except FileNotFoundError:
                continue  # dropped since it was listed: the next one tells how much is missing
            if content and start > position:
                parts.append(f"\n[... {start - position} bytes cut here ...]\n".encode())
                position = start
            parts.append(content)
            position += len(content)
        return b"".join(parts), position


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
