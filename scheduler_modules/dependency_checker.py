"""Says which programs of the system are there. Installs nothing, ends nothing."""

import logging
import re
import shutil
import subprocess
from collections.abc import Callable

import msgspec

logger = logging.getLogger(__name__)

ASK_TIMEOUT_SEC = 5

_VERSION = re.compile(r"\d+(?:\.\d+)+[a-z]?")


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One program: where it was found, and its version as far as it tells."""

    name: str
    is_required: bool
    path: str | None
    version: str | None = None

    @property
    def is_missing(self) -> bool:
        return self.path is None


# Name, whether nothing works without it, and how to ask for its version.
_WANTED: tuple[tuple[str, bool, tuple[str, ...]], ...] = (
    ("tmux", True, ("-V",)),
    ("sh", True, ()),
    ("git", False, ("--version",)),
)


def ask_version(path: str, arguments: tuple[str, ...]) -> str | None:
    """Return the version a program tells of itself; None if it tells none."""
    try:
        answer = subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ASK_TIMEOUT_SEC,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(answer.stdout.decode(errors="replace"))
    return None if found is None else found.group()


class DependencyChecker:
    """Looks for tmux, sh and git. `bc` and psutil, which the old program wanted, are not needed."""

    def __init__(
        self,
        which: Callable[[str], str | None] = shutil.which,
        version_of: Callable[[str, tuple[str, ...]], str | None] = ask_version,
    ) -> None:
        self._which = which
        self._version_of = version_of

    def check(self) -> list[Program]:
        """Return every program that is wanted, found or not, the required ones first."""
        return [self._look(*wanted) for wanted in _WANTED]

    def verify_all_dependencies(self) -> bool:
        """Return whether every required program is there; what is missing is logged."""
        missing = [program for program in self.check() if program.is_missing]
        for program in missing:
            logger.log(
                logging.ERROR if program.is_required else logging.WARNING,
                "program_missing",
                extra={"program": program.name, "is_required": program.is_required},
            )
        return not any(program.is_required for program in missing)

    def _look(self, name: str, is_required: bool, arguments: tuple[str, ...]) -> Program:
        path = self._which(name)
        version = self._version_of(path, arguments) if path is not None and arguments else None
        return Program(name=name, is_required=is_required, path=path, version=version)
