"""What `doctor` looks at, as a healthy machine has it; a test puts other values in its place."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from scheduler_modules.doctor_values import DatabaseFacts, MachineFacts, PathFacts, TmuxFacts
from scheduler_modules.tmux_values import ServerIdentity

HOME = Path("/home/me/state")
SOCKET = HOME / "run" / "tmux.sock"


def folder(path: Path = HOME, **fields: Any) -> PathFacts:
    return PathFacts(**({"path": path, "is_folder": True, "mode": 0o700} | fields))


class FakeProbe:
    """Returns the facts it was given last."""

    def __init__(self, facts: Any) -> None:
        self._facts = facts
        self.environs: dict[int, Mapping[str, str]] = {}
        self.written: dict[str, float] = {}
        self.folders: list[str] = []

    def set(self, **fields: Any) -> None:
        self._facts = msgspec.structs.replace(self._facts, **fields)

    def facts(self, folders: Iterable[str] = (), programs: Collection[str] = ()) -> Any:
        self.folders = list(folders)
        return self._facts

    def is_current(self) -> bool:
        return bool(self._facts.is_there and not self._facts.is_behind and not self._facts.problem)

    def environ_of(self, pid: int, names: Collection[str]) -> Mapping[str, str] | None:
        return self.environs.get(pid)

    def written_at(self, path: Path) -> float | None:
        return self.written.get(path.name)


class FakeProbes:
    """One of each."""

    def __init__(self) -> None:
        self.of_tmux = FakeProbe(healthy_tmux())
        self.of_database = FakeProbe(healthy_database())
        self.of_machine = FakeProbe(healthy_machine())


def healthy_tmux(**fields: Any) -> TmuxFacts:
    values: dict[str, Any] = {
        "version": "3.4",
        "socket": folder(SOCKET, is_folder=False, is_socket=True),
        "socket_folder": folder(SOCKET.parent),
        "server": ServerIdentity(100, 1_000),
    }
    return TmuxFacts(**(values | fields))


def healthy_database(**fields: Any) -> DatabaseFacts:
    values: dict[str, Any] = {
        "place": str(HOME / "task_queue.db"),
        "version": "3.51.3",
        "size_bytes": 1_000_000,
    }
    return DatabaseFacts(**(values | fields))


def healthy_machine(**fields: Any) -> MachineFacts:
    values: dict[str, Any] = {
        "python": (3, 12, 1),
        "uid": 0,
        "home": folder(),
        "open_files": 4096,
        "inotify_instances": 128,
        "inotify_watches": 65_536,
        "programs": {"claude": "/usr/bin/claude"},
    }
    return MachineFacts(**(values | fields))
