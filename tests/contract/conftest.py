"""The stores that every test of the store's contract runs on."""

import shutil
from pathlib import Path

import pytest

from scheduler_modules.adapters.store_postgres import open_postgres_store
from scheduler_modules.adapters.store_sqlite import open_sqlite_store
from scheduler_modules.store_port import QueueStore
from tests.contract.store_worlds import World
from tests.fakes.store import FakeStore


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("template") / "task_queue.db"
    open_sqlite_store(path).close()
    return path


@pytest.fixture(params=["fake", "sqlite", "postgres"])
def world(request, template, tmp_path):
    if request.param == "fake":
        yield World(FakeStore(), None)
        return
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        store = open_postgres_store(url)
        yield World(store, url)
        store.close()
        return
    path = tmp_path / "task_queue.db"
    shutil.copy(template, path)
    store = open_sqlite_store(path)
    yield World(store, path)
    store.close()


@pytest.fixture
def store(world) -> QueueStore:
    return world.store
