"""PostgreSQL killed, stopped and out of reach under load; two hosts on one queue."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter

import psycopg
import pytest
from psycopg.rows import dict_row

from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.store_postgres import open_postgres_store
from scheduler_modules.queue_manager import QueueManager
from scheduler_modules.queue_moves import QueueMoves
from tests.integration.postgres_worker import Worker
from tests.lab.installation import ROOT, Installation, installation, wait_until
from tests.lab.promises import IS_LONG, TIMEOUT_SEC, Promise, rounds
from tests.postgres_cluster import Cluster, cluster

pytestmark = [pytest.mark.faults, pytest.mark.timeout(TIMEOUT_SEC)]

WORKERS = 3
AWAY_SEC = 60 if IS_LONG else 6


class OnPostgres(Installation):
    """An installation whose queue is in PostgreSQL; the test looks in by the server's socket."""

    server: Cluster
    name: str

    def query(self, sql, *values):
        with psycopg.connect(self.server.local_url(self.name), row_factory=dict_row) as connection:
            return connection.execute(sql.replace("?", "%s"), values).fetchall()

    def queue(self):
        """Return the queue, opened in this process, which is on none of the hosts."""
        if self._queue is None:
            store = open_postgres_store(self.server.local_url(self.name))
            self._queue = QueueManager(
                QueueMoves(store, SystemClock()), host="test", max_concurrent=1
            )
        return self._queue

    def statuses(self):
        rows = self.query("select id, status from project_queue")
        return {row["id"]: row["status"] for row in rows}


@contextlib.contextmanager
def on_postgres(server, name, url=None, prefix=(), **settings):
    with installation(SCHEDULER_DB_URL=url or server.url(name), **settings) as place:
        place.__class__ = OnPostgres
        place.server, place.name, place.prefix = server, name, prefix
        yield place


# -- killed under load --------------------------------------------------------------------------


def start_workers(url, folder):
    workers = []
    for number in range(WORKERS):
        with (
            (folder / f"w{number}.out").open("wb") as out,
            (folder / f"w{number}.err").open("wb") as err,
        ):
            workers.append(
                subprocess.Popen(
                    [
                        *(sys.executable, "-m", "tests.integration.postgres_worker"),
                        *(url, f"w{number}", str(folder / "stop")),
                    ],
                    cwd=ROOT,
                    stdout=out,
                    stderr=err,
                )
            )
    return workers


def told(folder, number):
    text = (folder / f"w{number}.out").read_text()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def all_succeeded_since(folder, moment):
    """Say whether each worker has got something done after that moment."""
    for number in range(WORKERS):
        with (folder / f"w{number}.out").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 500))
            last = [line for line in file.readlines() if line.startswith(b'["success", ')]
        if not last or json.loads(last[-1])[1] <= moment:
            return False
    return True


def most_in_a_second(moments):
    return max(
        (sum(start <= moment < start + 1 for moment in moments) for start in moments), default=0
    )


def test_promise_26_a_database_that_is_killed_under_load_loses_and_doubles_nothing(
    promise: Promise, tmp_path
):
    kills = rounds(3, 20)
    with cluster() as server:
        name = server.new_database()
        Worker(server.url(name), "first").store.close()
        workers = start_workers(server.url(name), tmp_path)
        slowest = 0.0
        for _ in range(kills):
            time.sleep(promise.random.uniform(1.0, 2.0))
            server.kill()
            time.sleep(promise.random.uniform(0.0, 3.0))
            server.start()
            back_at = time.monotonic()
            wait_until(lambda at=back_at: all_succeeded_since(tmp_path, at), 20)
            slowest = max(slowest, time.monotonic() - back_at)
        (tmp_path / "stop").touch()
        for number, worker in enumerate(workers):
            assert worker.wait(60) == 0, (tmp_path / f"w{number}.err").read_text()
        lines = [told(tmp_path, number) for number in range(WORKERS)]
        rows = server.execute("select id, status from project_queue", name)
        runs = server.execute("select project_id, token, outcome from project_run", name)

    added = {what[1] for log in lines for what in log if what[0] == "added"}
    claimed = Counter(what[1] for log in lines for what in log if what[0] == "claimed")
    lost = added - {row[0] for row in rows}
    doubled = [project_id for project_id, count in claimed.items() if count > 1]
    doubled += [project for project, count in Counter(run[0] for run in runs).items() if count > 1]
    assert (lost, doubled) == (set(), [])
    assert {status for _, status in rows} == {"completed"}
    assert {outcome for *_, outcome in runs} == {"completed"}
    troubles = sum(what[0] == "trouble" for log in lines for what in log)
    tried = [[what[1] for what in log if what[0] == "try"] for log in lines]
    assert min(map(len, tried)) > kills, "the kills came to nothing"
    tries = max(map(most_in_a_second, tried))
    assert slowest <= 10
    assert tries < 5
    promise.tell(
        f"{kills} kills, {len(added)} added, {sum(claimed.values())} claims acknowledged, 0 lost, "
        f"0 doubled, {troubles} calls refused; back after {slowest:.1f} s at most, at most {tries} "
        "tries in a second"
    )


# -- out of reach -------------------------------------------------------------------------------


def test_a_daemon_waits_for_its_database_says_so_and_goes_on():
    with cluster() as server:
        name = server.new_database()
        with on_postgres(server, name) as place:
            place.run_daemon()
            running = place.enqueue("running", place.ledger_command("sleep 4"))
            place.wait_for_status(running, "processing")
            lock = place.lock("default")
            # Let it come to rest: a step of each minute that fails is tried again in a minute.
            time.sleep(1)
            server.kill()

            wait_until(lambda: "cannot be used" in (lock.trouble() or ""), 15, lambda: "silent")
            time.sleep(AWAY_SEC - 5)
            assert place.daemons[0].poll() is None
            server.start()

            place.wait_for_status(running, "completed", timeout_sec=20)
            wait_until(lambda: lock.trouble() is None, 15, lambda: str(lock.trouble()))
            later = place.enqueue("later", place.ledger_command())
            place.wait_for_status(later, "completed", timeout_sec=20)
            assert sorted(line[:2] for line in place.ledger_lines()) == [(running, 1), (later, 1)]


def test_a_server_that_stands_still_holds_nothing_up_for_ever():
    with cluster() as server:
        name = server.new_database()
        with on_postgres(server, name) as place:
            place.run_daemon()
            running = place.enqueue("running", place.ledger_command("sleep 1"))
            place.wait_for_status(running, "processing")
            server.freeze()
            time.sleep(AWAY_SEC)
            server.thaw()

            place.wait_for_status(running, "completed", timeout_sec=40)
            assert [line[:2] for line in place.ledger_lines()] == [(running, 1)]


def test_a_daemon_that_starts_before_its_database_waits_for_it():
    with cluster() as server:
        name = server.new_database()
        server.stop()
        with on_postgres(server, name) as place:
            place.run_daemon()
            lock = place.lock("default")
            wait_until(lambda: "cannot be used" in (lock.trouble() or ""), 15, lambda: "silent")
            server.start()

            project = place.enqueue("late", place.ledger_command())
            place.wait_for_status(project, "completed", timeout_sec=20)


def test_a_daemon_whose_database_is_away_still_stops_at_once():
    with cluster() as server, on_postgres(server, server.new_database()) as place:
        daemon = place.run_daemon()
        server.kill()
        time.sleep(0.5)
        started = time.monotonic()

        assert place.stop_daemon(daemon) == 0
        assert time.monotonic() - started < 3


# -- two hosts ----------------------------------------------------------------------------------


class Hosts:
    """Network namespaces: the database's, and one for each host, each with a wire to it."""

    def __init__(self, count):
        self.mark = f"to{os.getpid() % 100_000}"
        self.names = [f"{self.mark}db", *(f"{self.mark}h{n}" for n in range(1, count + 1))]

    def prefix(self, number):
        """Return how to get to a host; 0 is the database's."""
        return ("ip", "netns", "exec", self.names[number])

    def address(self, number):
        """Return where a host finds the database."""
        return f"10.97.{number}.1"

    def make(self):
        for name in self.names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for number, name in enumerate(self.names[1:], start=1):
            near, far = f"{self.mark}a{number}", f"{self.mark}b{number}"
            ip(*f"link add {near} netns {self.names[0]} type veth peer {far} netns {name}".split())
            for where, link, last in ((self.names[0], near, 1), (name, far, 2)):
                ip("-n", where, "address", "add", f"10.97.{number}.{last}/24", "dev", link)
                ip("-n", where, "link", "set", link, "up")

    def cut(self, number, state="down"):
        """Pull a host's wire, or put it back (`up`)."""
        ip("-n", self.names[0], "link", "set", f"{self.mark}a{number}", state)

    def remove(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts():
    made = Hosts(2)
    try:
        made.make()
    except (OSError, subprocess.CalledProcessError) as error:
        made.remove()
        pytest.skip(f"network namespaces are not permitted here: {error}")
    yield made
    made.remove()


@contextlib.contextmanager
def two_hosts(hosts, **settings):
    """Two installations on two hosts, and the server on a third."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(cluster(prefix=hosts.prefix(0), host=hosts.address(1)))
        name = server.new_database()
        Worker(server.local_url(name), "first").store.close()
        places = [
            stack.enter_context(
                on_postgres(
                    server,
                    name,
                    f"postgresql://sched@{hosts.address(number)}:{server.port}/{name}",
                    hosts.prefix(number),
                    HOST_NAME=host,
                    **settings,
                )
            )
            for number, host in ((1, "alpha"), (2, "beta"))
        ]
        yield places


def spans(place):
    """Return begin and end of everything that ran on a host."""
    begun, over = {}, {}
    for line in place.ledger.read_text().splitlines() if place.ledger.exists() else ():
        what, token, moment = line.split()
        (begun if what == "begin" else over)[token] = float(moment)
    return {token: (moment, over[token]) for token, moment in begun.items()}


def noted(place, sleep_sec=0.3):
    # Each host has its own ledger: a command knows its home.
    return "command: " + json.dumps(
        [
            "sh",
            "-c",
            'L="$TMUX_ORCHESTRATOR_HOME/../ledger"; '
            'echo begin $SCHEDULER_RUN_ID $(date +%s.%N) >>"$L"; '
            f"sleep {sleep_sec}; "
            'echo end $SCHEDULER_RUN_ID $(date +%s.%N) >>"$L"',
        ]
    )


def test_two_hosts_share_a_queue_its_limit_and_no_project(hosts):
    count = rounds(8, 100)
    with two_hosts(hosts, MAX_CONCURRENT_PROJECTS="2") as (alpha, beta):
        for place in (alpha, beta):
            place.run_daemon()
        for number in range(count):
            # By the wire of a host, as a person there does.
            spec = alpha.write_spec(f"p{number}", noted(alpha))
            alpha.cli("add", str(spec), "--project", str(alpha.project))

        long = alpha.enqueue("long", noted(alpha, 2), priority=9)
        alpha.wait_for_status(long, "processing")
        listed = {project["id"]: project["host"] for project in beta.json("list")["projects"]}
        ended = alpha.wait_until_all_ended(timeout_sec=30 + count)
        runs = alpha.query("select project_id, host, token from project_run")
        ran = {"alpha": spans(alpha), "beta": spans(beta)}

    assert set(ended.values()) == {"completed"}
    assert Counter(run["project_id"] for run in runs) == dict.fromkeys(ended, 1)
    for run in runs:
        other = {"alpha": "beta", "beta": "alpha"}[run["host"]]
        assert run["token"] in ran[run["host"]]
        assert run["token"] not in ran[other]
    assert set(ran["alpha"]) and set(ran["beta"]), "one host did everything: nothing was shared"
    edges = sorted(
        edge
        for host in ran.values()
        for begin, end in host.values()
        for edge in ((begin, 1), (end, -1))
    )
    running = most = 0
    for _, step in edges:
        running += step
        most = max(most, running)
    assert most == 2
    assert listed[long] == next(run["host"] for run in runs if run["project_id"] == long)


def test_a_host_that_is_cut_off_keeps_its_project_and_ends_it_when_it_is_back(hosts):
    with two_hosts(hosts, MAX_CONCURRENT_PROJECTS="1") as (alpha, beta):
        alpha.run_daemon()
        project = alpha.enqueue("cut", noted(alpha, 2))
        alpha.wait_for_status(project, "processing")
        beta.run_daemon()
        hosts.cut(1)
        time.sleep(4)
        meanwhile = alpha.status(project)
        hosts.cut(1, "up")

        alpha.wait_for_status(project, "completed", timeout_sec=40)
        runs = alpha.query("select host, outcome from project_run")

    assert meanwhile == "processing"
    assert [(run["host"], run["outcome"]) for run in runs] == [("alpha", "completed")]
