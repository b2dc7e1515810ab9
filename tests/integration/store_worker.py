"""Works on a store in a process of its own, to be killed or starved while it does.

    python -m tests.integration.store_worker DATABASE ACT ...

ACT is `open`, `add COUNT [PREFIX]` (prints each id after its commit, then how long the longest
took), `fill` (adds until no space is left, makes room by removing FILLER, and adds once more) or
`forks`. Errors are shown and end it as the command line does.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from scheduler_modules.adapters.store_sqlite import open_sqlite_store
from scheduler_modules.errors import DatabaseUnavailable, DiskFull, SchedulerError
from scheduler_modules.model import NewProject
from scheduler_modules.store_port import QueueStore


def new_project(spec: str) -> NewProject:
    return NewProject(spec_path=spec, name="n", enqueued_at=1.0, spec_key=f"/specs/{spec}")


def add(store: QueueStore, count: str, prefix: str = "a") -> None:
    longest = 0.0
    for number in range(int(count)):
        started = time.monotonic()
        with store.transaction():
            project_id = store.add_project(new_project(f"{prefix}-{number}.md"))
            store.add_fact("project_queued", 1.0, project_id)
        longest = max(longest, time.monotonic() - started)
        print(project_id, flush=True)
    print(f"longest {longest:.3f}", flush=True)


def fill(store: QueueStore, filler: str) -> None:
    try:
        while True:
            with store.transaction():
                project_id = store.add_project(new_project("a.md"))
                store.add_fact("said", 1.0, project_id, detail={"text": "x" * 20_000})
            print(project_id, flush=True)
    except DiskFull as error:
        print(f"full: {error}", flush=True)
    Path(filler).unlink()
    print(store.add_project(new_project("b.md")), flush=True)


def forks(store: QueueStore) -> None:
    """Fork in every situation and print what came of it."""
    store.add_project(new_project("parent.md"))
    print("idle:", _in_child(lambda: store.add_project(new_project("child.md"))))
    ready, over = threading.Event(), threading.Event()

    def keep_open() -> None:
        store.counts()
        ready.set()
        over.wait(10)

    thread = threading.Thread(target=keep_open)
    thread.start()
    ready.wait(10)
    print("idle thread:", _in_child(lambda: store.add_project(new_project("child.md"))))
    over.set()
    thread.join()
    with store.transaction():
        store.add_project(new_project("parent.md"))
        print("own transaction:", _in_child(store.counts))
    print("leaving a transaction:", _leave_transaction_in_child(store))
    print("busy thread:", _fork_beside_a_writer(store))
    print("counts:", store.counts())


def _fork_beside_a_writer(store: QueueStore) -> str:
    ready, over = threading.Event(), threading.Event()

    def write() -> None:
        with store.transaction():
            store.add_project(new_project("parent.md"))
            ready.set()
            over.wait(10)

    thread = threading.Thread(target=write)
    thread.start()
    ready.wait(10)
    answer = _in_child(store.counts)
    over.set()
    thread.join()
    return answer


def _leave_transaction_in_child(store: QueueStore) -> str:
    reading, writing = os.pipe()
    sys.stdout.flush()
    try:
        with store.transaction():
            store.add_project(new_project("parent.md"))
            child = os.fork()
    except DatabaseUnavailable as error:
        _answer(writing, str(error))
    return _answer_of(child, reading, writing)


def _in_child(act: Callable[[], object]) -> str:
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            _answer(writing, str(act()))
        except DatabaseUnavailable as error:
            _answer(writing, str(error))
    return _answer_of(child, reading, writing)


def _answer(writing: int, text: str) -> NoReturn:
    os.write(writing, text.partition("task_queue.db ")[2].encode() or text.encode())
    sys.exit(0)


def _answer_of(child: int, reading: int, writing: int) -> str:
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def main() -> int:
    path, act, *arguments = sys.argv[1:]
    try:
        store = open_sqlite_store(Path(path))
        if act != "open":
            {"add": add, "fill": fill, "forks": forks}[act](store, *arguments)
        store.close()
    except SchedulerError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
