"""The net below every test: nothing of the user's is touched, nothing of the tests' is left.

Tests see a clean environment, an empty HOME and a TMUX_TMPDIR of their own, and reach no network.
What the tests started carries a marker in its environment; what still runs at the end is named,
ended, and fails the run.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["tests.postgres_cluster"]
MARKER = "TEST_RUN_MARKER"
ENDING_SEC = 5
_KEPT = frozenset({"PATH", "SHELL", "USER", "LOGNAME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CI"})
_KEPT_PREFIXES = ("PYTHON", "PYENV_", "COVERAGE_", "COV_", "PIP_", "PYTEST_", "PROMISE_")
_LISTENING = 1 << 16

_root = pytest.StashKey[Path]()
_leftovers = pytest.StashKey[list[str]]()
_homes = count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Short, because the names of Unix sockets may have 107 bytes.
    root = Path(tempfile.mkdtemp(prefix="tot-"))
    config.stash[_root] = root
    _clean_environment(root)
    tempfile.tempdir = str(root)
    if config.option.basetemp is None:
        config.option.basetemp = str(root / "t")
    _close_network()


def _clean_environment(root: Path) -> None:
    for name in list(os.environ):
        if name not in _KEPT and not name.startswith(_KEPT_PREFIXES):
            del os.environ[name]
    folders = {"TMUX_TMPDIR": root / "tmux", "XDG_RUNTIME_DIR": root / "run", "HOME": root / "home"}
    for name, folder in folders.items():
        folder.mkdir(mode=0o700)
        os.environ[name] = str(folder)
    os.environ |= {
        "TMPDIR": str(root),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        MARKER: secrets.token_hex(16),
    }


def _close_network() -> None:
    for name in ("connect", "connect_ex"):
        _guard_address(name)


def _guard_address(method: str) -> None:
    original = getattr(socket.socket, method)

    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_local(address[0]):
            raise AssertionError(f"a test wants to reach {address[0]}: tests have no network")
        return original(self, address)

    setattr(socket.socket, method, guarded)


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(autouse=True)
def _own_surroundings(pytestconfig: pytest.Config) -> Iterator[None]:
    """Give each test an empty HOME, and undo what it does to environment and working folder."""
    environment, folder = dict(os.environ), Path.cwd()
    home = pytestconfig.stash[_root] / "homes" / str(next(_homes))
    home.mkdir(parents=True)
    os.environ["HOME"] = str(home)
    yield
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    root = session.config.stash[_root]
    deadline = time.monotonic() + ENDING_SEC
    while (left := _servers_below(root) + _marked_processes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    session.config.stash[_leftovers] = [what for what, _ in left]
    for _, end in left:
        subprocess.run(end, check=False, capture_output=True)
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _servers_below(root: Path) -> list[tuple[str, list[str]]]:
    """Return listening Unix sockets below a folder, each with the command that ends its server."""
    found = []
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        *fields, path = line.split(maxsplit=7)
        if path.startswith(f"{root}/") and int(fields[3], 16) & _LISTENING:
            found.append((f"server at {path}", ["tmux", "-S", path, "kill-server"]))
    return found


def _marked_processes() -> list[tuple[str, list[str]]]:
    """Return processes that tests of this run started, each with the command that ends it."""
    mark = f"{MARKER}={os.environ[MARKER]}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = mark in (folder / "environ").read_bytes().split(b"\0")
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        command = b" ".join(arguments).decode(errors="replace").strip()
        # Python's own helper ends with us.
        if is_ours and int(folder.name) != os.getpid() and "resource_tracker" not in command:
            kill = ["kill", f"-{signal.SIGKILL.value}", folder.name]
            found.append((f"process {folder.name}: {command[:150]}", kill))
    return found


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    left = config.stash.get(_leftovers, [])
    if left:
        terminalreporter.section("left running by the tests, and ended now", red=True)
        for what in left:
            terminalreporter.write_line(what)


def pytest_unconfigure(config: pytest.Config) -> None:
    root = config.stash.get(_root, None)
    if root is not None:
        shutil.rmtree(root, ignore_errors=True)
