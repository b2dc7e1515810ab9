"""The folder that state is kept in: which it is, and whether it can be trusted."""

import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from scheduler_modules.config_values import is_plain, shown_in_error
from scheduler_modules.errors import ConfigError, DiskFull, UnusableHome

HOME_VARIABLE = "TMUX_ORCHESTRATOR_HOME"

_MAX_PATH_BYTES = 1000
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FULL = {errno.ENOSPC, errno.EDQUOT}


def choose_home(environ: Mapping[str, str], cwd: Path | None) -> tuple[Path, str]:
    """Return home as an absolute path, and what it was taken from.

    Raises:
        ConfigError: what was given is no usable path.
    """
    given = environ.get(HOME_VARIABLE, "")
    state = environ.get("XDG_STATE_HOME", "")
    if given.strip():
        text, origin = given, "environment"
    elif cwd is not None:
        text, origin = str(cwd), "working folder"
    elif state.startswith("/"):
        # The rule of XDG: what is not absolute is ignored.
        text, origin = f"{state}/tmux-orchestrator", "default, in XDG_STATE_HOME"
    else:
        text, origin = "~/.local/state/tmux-orchestrator", "default"
    return _absolute(text, origin, environ), origin


def expanded(variable: str, text: str, origin: str, environ: Mapping[str, str]) -> str:
    """Return the path with its leading `~` or `~user` replaced.

    Raises:
        ConfigError: nobody knows that home folder.
    """
    user, slash, rest = text.partition("/")
    folder = environ.get("HOME", "") if user == "~" else ""
    if not folder.startswith("/"):
        folder = _folder_of(user.removeprefix("~"))
    if not folder:
        allowed = "a path; that home folder is not known"
        raise ConfigError(variable, shown_in_error(text), allowed, origin)
    return folder.rstrip("/") + slash + rest


def _folder_of(user: str) -> str:
    """Return the home folder of an account, empty for our own; nothing if there is none."""
    import pwd

    try:
        account = pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())
    except (KeyError, ValueError):
        return ""
    return account.pw_dir


def _absolute(text: str, origin: str, environ: Mapping[str, str]) -> Path:
    if not is_plain(text) or len(text.encode()) > _MAX_PATH_BYTES:
        allowed = f"a path in UTF-8, at most {_MAX_PATH_BYTES} bytes, no control characters"
        raise ConfigError(HOME_VARIABLE, shown_in_error(text), allowed, origin)
    path = expanded(HOME_VARIABLE, text, origin, environ) if text.startswith("~") else text
    try:
        # Not resolve(): a symbolic link is the user's choice, and stays visible.
        return Path(os.path.abspath(path))  # noqa: PTH100
    except OSError as error:
        allowed = "an absolute path: the working folder is gone"
        raise ConfigError(HOME_VARIABLE, shown_in_error(text), allowed, origin) from error


def ensure_folders(home: Path, names: Sequence[str]) -> None:
    """Make home and these folders in it, mode 0700, where they are missing.

    A folder must be ours and not writable for group or others. A symbolic link in its place is
    followed only if we or root placed it.

    Raises:
        UnusableHome: home or a folder in it is none of this, or cannot be written.
        DiskFull: no space is left to make them.
    """
    with _our_errors(home):
        _make(home)
        _check(home)
    for name in names:
        folder = home / name
        with _our_errors(folder):
            _make(folder)
            _check(folder)


def _make(folder: Path) -> None:
    if os.path.lexists(folder):
        return
    # Like mkdir -p, but parents are ours alone too, as XDG asks.
    if not folder.parent.exists():
        _make(folder.parent)
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        return
    # An odd umask may have taken even our own rights.
    folder.chmod(0o700)


def _check(folder: Path) -> None:
    me = os.geteuid()
    link = folder.lstat()
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in {me, 0}:
        raise UnusableHome(folder, f"is a symbolic link of uid {link.st_uid}")
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnusableHome(folder, "is not a folder")
    if found.st_uid != me:
        raise UnusableHome(folder, f"belongs to uid {found.st_uid}, not to you (uid {me})")
    if found.st_mode & _OTHERS_WRITE:
        import shlex

        hint = f"chmod go-w {shlex.quote(str(folder))}"
        raise UnusableHome(folder, f"others may write in it; to go on: {hint}")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise UnusableHome(
            folder,
            "cannot be written: check its permissions and that its disk is not mounted read-only, "
            "or name another folder with --home",
        )


@contextmanager
def _our_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(f"no space left to make {folder}") from error
        raise UnusableHome(folder, f"cannot be used: {error.strerror}") from error
