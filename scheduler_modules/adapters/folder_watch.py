"""Sees at once when something worth a look appears in a folder."""

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path

from inotify_simple import INotify, flags  # type: ignore[import-untyped]

logger = logging.getLogger(__name__)

WORTH_A_LOOK = (".exit", ".session", ".signal")
"""How the names end that somebody waits for: the runner's exit codes, what an external launcher
says of its session, requests. Not its start, and nothing that is still being written."""
POLL_SEC = 1.0
"""How often a folder is looked at that cannot be watched."""

# A name that is only created holds nothing yet: whole is what was closed or moved in.
_MASK = flags.CLOSE_WRITE | flags.MOVED_TO | flags.DELETE_SELF | flags.MOVE_SELF | flags.ONLYDIR
_ENDS_WATCH = flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT | flags.IGNORED

_Look = tuple[int, int, int] | None
"""Device, number and last change of a folder; None while there is none."""


class FolderWatch:
    """The port `WakeupSource`: files in some folders, by inotify.

    A folder that is missing is looked for each `POLL_SEC` and watched once it is there; what may
    have come unseen counts as something. Where the system allows no more watches, the time of
    the folder's last change is looked at instead.

    Source: inotify(7).
    """

    reason = "files"

    def __init__(self, folders: Iterable[Path], suffixes: tuple[str, ...] = WORTH_A_LOOK) -> None:
        self._suffixes = suffixes
        self._watches: dict[Path, int | None] = dict.fromkeys(folders)
        self._looks: dict[Path, _Look] = {folder: _look(folder) for folder in self._watches}
        self._inotify: INotify | None = None
        self._is_degraded = False
        self._watch_all()

    @property
    def poll_sec(self) -> float | None:
        return POLL_SEC if None in self._watches.values() else None

    def fileno(self) -> int:
        return -1 if self._inotify is None else int(self._inotify.fileno())

    def drain(self) -> bool:
        """Take in what was heard; True: it matters, or something may have gone unheard."""
        has_come = self._read()
        # Also what was lost just now: a folder put in its place may be there already.
        return self._watch_all() or has_come

    def close(self) -> None:
        """Watch nothing any more."""
        self._watches.clear()
        self._stop()

    def _read(self) -> bool:
        if self._inotify is None:
            return False
        has_come = False
        for event in self._inotify.read(timeout=0):
            if event.mask & flags.Q_OVERFLOW:
                # Nobody knows what was lost, the end of a watch perhaps.
                self._stop()
                return True
            if event.mask & _ENDS_WATCH:
                self._forget(event.wd)
            has_come = has_come or event.name.endswith(self._suffixes)
        return has_come

    def _watch_all(self) -> bool:
        """Watch every folder that is not; True: one of them may have something new."""
        has_come, trouble = False, None
        for folder, watch in list(self._watches.items()):
            look, last_look = _look(folder), self._looks[folder]
            if watch is not None and _is_same_folder(look, last_look):
                continue
            self._looks[folder] = look
            # A folder whose parent was moved is still watched, under a name nobody means.
            self._forget(watch)
            try:
                self._watches[folder] = self._add(folder)
                has_come = True
            except (FileNotFoundError, NotADirectoryError):
                has_come = has_come or look != last_look
            except OSError as error:
                has_come = has_come or look != last_look
                trouble = f"{folder}: {error.strerror}"
        self._tell(trouble)
        return has_come

    def _add(self, folder: Path) -> int:
        if self._inotify is None:
            self._inotify = INotify(nonblocking=True)
        return int(self._inotify.add_watch(folder, _MASK))

    def _forget(self, watch: int | None) -> None:
        for folder in [folder for folder, its in self._watches.items() if its == watch]:
            self._watches[folder] = None
        if watch is not None and self._inotify is not None:
            # It may have ended by itself.
            with contextlib.suppress(OSError):
                self._inotify.rm_watch(watch)

    def _stop(self) -> None:
        if self._inotify is not None:
            self._inotify.close()
        self._inotify = None
        self._watches = dict.fromkeys(self._watches)

    def _tell(self, trouble: str | None) -> None:
        if trouble is not None and not self._is_degraded:
            logger.warning("folder_watch_degraded", extra={"error": trouble})
        elif trouble is None and self._is_degraded:
            logger.info("folder_watch_healed")
        self._is_degraded = trouble is not None


def _look(folder: Path) -> _Look:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _is_same_folder(look: _Look, other: _Look) -> bool:
    return look is not None and other is not None and look[:2] == other[:2]
