"""A pipe by which commands say that they run: whoever reads it knows when, to the microsecond."""

import os
import queue
import threading
import time
from pathlib import Path
from typing import Self

from bench.lib import BenchError


class Fifo:
    """Lines that commands write to `path`, each with the moment it came (`perf_counter`).

    A thread waits for them: the moment is theirs, whatever the caller does meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "fifo"
        os.mkfifo(self.path)
        # Open for writing too, or reading would end with the first command that closes it.
        self._file = os.open(self.path, os.O_RDWR)
        self._lines: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def line(self, timeout_sec: float = 30) -> tuple[float, str]:
        """Return when the next line came, and the line.

        Raises:
            BenchError: none comes.
        """
        try:
            return self._lines.get(timeout=timeout_sec)
        except queue.Empty:
            raise BenchError("a command that was to run has not said so") from None

    def _read(self) -> None:
        rest = b""
        while not rest.startswith(_END):
            part = os.read(self._file, 65536)
            now = time.perf_counter()
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                self._lines.put((now, line.decode()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._file, _END)
        self._reader.join()
        os.close(self._file)


_END = b"\0"
