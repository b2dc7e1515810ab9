"""One file to wait for, whatever connection is behind it and whichever thread reads that."""

import contextlib
import os
import select


class Bell:
    """A file that can be read when any thread rang, or when an added file can be read."""

    def __init__(self) -> None:
        self._rung = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._any = select.epoll()
        self._any.register(self._rung, select.EPOLLIN)

    def fileno(self) -> int:
        return -1 if self._any.closed else self._any.fileno()

    def add(self, file: int) -> None:
        self._any.register(file, select.EPOLLIN)

    def remove(self, file: int) -> None:
        self._any.unregister(file)

    def ring(self) -> None:
        os.eventfd_write(self._rung, 1)

    def answer(self) -> bool:
        """Return whether it rang since the last answer."""
        with contextlib.suppress(BlockingIOError):
            return os.eventfd_read(self._rung) > 0
        return False

    def close(self) -> None:
        if not self._any.closed:
            self._any.close()
            os.close(self._rung)
