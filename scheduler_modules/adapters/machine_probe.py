"""Looks at folders, disks, limits and programs of this machine, and changes nothing."""

import os
import resource
import shutil
import stat
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from scheduler_modules.doctor_values import DiskFacts, MachineFacts, PathFacts

_INOTIFY = Path("/proc/sys/fs/inotify")
_LOCAL_ZONE = Path("/etc/localtime")
_SETTINGS = (".env", "config.toml")


def look_at(path: Path) -> PathFacts:
    """Return what is at a path, links followed; where nothing is, or it is out of reach, that."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return PathFacts(path=path, is_there=False)
    return PathFacts(
        path=path,
        is_folder=stat.S_ISDIR(found.st_mode),
        is_socket=stat.S_ISSOCK(found.st_mode),
        uid=found.st_uid,
        mode=stat.S_IMODE(found.st_mode),
        is_writable=os.access(path, os.W_OK, effective_ids=True),
    )


class MachineProbe:
    """This machine, as seen from a state folder."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def facts(self, folders: Iterable[str], programs: Collection[str]) -> MachineFacts:
        """Return what surrounds us. `folders`: where else there must be room."""
        settings = (look_at(self._home / name) for name in _SETTINGS)
        return MachineFacts(
            python=sys.version_info[:3],
            uid=os.geteuid(),
            home=look_at(self._home),
            secret_files=tuple(file for file in settings if file.is_there),
            disks=_disks([str(self._home), *folders]),
            open_files=_open_files(),
            inotify_instances=_number(_INOTIFY / "max_user_instances"),
            inotify_watches=_number(_INOTIFY / "max_user_watches"),
            zone_problem=zone_problem(os.environ.get("TZ", "")),
            programs={name: shutil.which(name) for name in programs},
        )

    def environ_of(self, pid: int, names: Collection[str]) -> Mapping[str, str] | None:
        """Return these variables as a process was started with; None where it may not be read."""
        try:
            content = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return None
        pairs = (entry.partition(b"=") for entry in content.split(b"\0"))
        found = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
        return {name: found[name] for name in names if name in found}

    def written_at(self, path: Path) -> float | None:
        """Return when a file was last written; None if there is none."""
        try:
            return path.stat().st_mtime
        except OSError:
            return None


def zone_problem(zone: str) -> str | None:
    """Return why local times cannot be told, given what TZ says; None: they can."""
    name = zone.removeprefix(":")
    if name.startswith("/") or (not name and _LOCAL_ZONE.exists()):
        return None if not name or Path(name).exists() else f"TZ={zone}: there is no such file"
    if not name:
        # Without any zone the machine keeps UTC.
        return None
    if any(letter.isdigit() for letter in name) and "/" not in name:
        # The form with rules of its own, such as CET-1CEST.
        return None
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return f"TZ={zone}: no such zone is known here, local times are UTC"
    return None


def _disks(folders: Iterable[str]) -> tuple[DiskFacts, ...]:
    """Return each file system once; a folder that is not there yet counts as the one above it."""
    found: dict[int, DiskFacts] = {}
    for folder in folders:
        place = _nearest(Path(folder))
        try:
            device, space = place.stat().st_dev, os.statvfs(place)
        except OSError:
            continue
        found.setdefault(
            device,
            DiskFacts(
                folder=str(place),
                size_bytes=space.f_blocks * space.f_frsize,
                free_bytes=space.f_bavail * space.f_frsize,
                inodes=space.f_files,
                free_inodes=space.f_favail,
            ),
        )
    return tuple(found.values())


def _nearest(path: Path) -> Path:
    return next((place for place in (path, *path.parents) if place.exists()), Path("/"))


def _open_files() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
