"""What a lock file says of its holder: for people, and for old programs that read it."""

import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

from scheduler_modules.ports import Clock
from scheduler_modules.utils import one_line

logger = logging.getLogger(__name__)

_REFRESH_SEC = 30
_BLOCK_BYTES = 1024
_MAX_TEXT_BYTES = 65_536
_MAX_COMMAND = 300
_MAX_TROUBLE = 300
_SIGNATURE = "tmux-orchestrator"


class HolderText:
    """Writes and reads the JSON text of one lock file.

    It is written in one piece over the old one and padded to whole blocks: an old program that
    reads an unfinished text takes the lock for broken and deletes its file.
    """

    def __init__(self, mode: str, clock: Clock) -> None:
        self._mode = mode
        self._clock = clock
        self._acquired_at = 0.0
        self._trouble: str | None = None
        self._written_boot_sec = 0.0
        self._size = 0

    def write(self, file: int, is_new: bool = False) -> None:
        """Write the text to a file whose lock we hold; a failure is only logged."""
        if is_new:
            self._acquired_at = self._clock.now()
            self._trouble = None
        import json

        text = json.dumps(self._fields())
        blocks = len(text) // _BLOCK_BYTES + 1
        content = f"{text:<{blocks * _BLOCK_BYTES - 1}}\n".encode("ascii")
        self._written_boot_sec = self._clock.since_boot_sec()
        self._size = len(content)
        try:
            os.pwrite(file, content, 0)
            if os.fstat(file).st_size != len(content):
                os.ftruncate(file, len(content))
        except OSError as error:
            logger.warning(
                "lock_text_not_written", extra={"mode": self._mode, "error": error.strerror}
            )

    def refresh(self, file: int) -> None:
        """Write the text again if it is 30 s old or somebody truncated it."""
        age_sec = self._clock.since_boot_sec() - self._written_boot_sec
        if age_sec >= _REFRESH_SEC or os.fstat(file).st_size != self._size:
            self.write(file)

    def tell(self, file: int, trouble: str | None) -> None:
        """Write the text again if what is in the way has changed."""
        trouble = None if trouble is None else one_line(trouble, _MAX_TROUBLE)
        if trouble != self._trouble:
            self._trouble = trouble
            self.write(file)

    def trouble(self, file: int) -> str | None:
        """Return what the text says is in the way of the holder."""
        said = _said(file).get("trouble")
        return one_line(str(said), _MAX_TROUBLE) if said else None

    def describe(self, file: int) -> str:
        """Say who the text claims the holder to be."""
        said = _said(file)
        if not _is_pid(said.get("pid")):
            return "another process"
        command = one_line(str(said.get("cmdline") or "unknown command"), 80)
        since = one_line(str(said.get("acquired_at") or said.get("timestamp") or "?"), 40)
        return f"pid {said['pid']} ({command}, since {since})"

    def _fields(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "timestamp": _iso_local(self._clock.now()),
            "hostname": os.uname().nodename,
            "signature": _SIGNATURE,
            "cmdline": " ".join(sys.orig_argv)[:_MAX_COMMAND],
            "cwd": _working_folder(),
            "mode": self._mode,
            "acquired_at": _iso_local(self._acquired_at),
            "trouble": self._trouble,
        }


def _said(file: int) -> dict[str, Any]:
    """Return what a lock file says; nothing where it is no text of a lock."""
    import json

    try:
        said = json.loads(os.pread(file, _MAX_TEXT_BYTES, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _is_pid(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 32


def _iso_local(at: float) -> str:
    # Old programs compare it with a clock reading that has no zone.
    return datetime.fromtimestamp(at, UTC).astimezone().replace(tzinfo=None).isoformat()


def _working_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - Path.cwd() is the same call
    except OSError:
        return ""
