"""Taking projects off a queue on PostgreSQL, beside raw psycopg on the same server, as durable.

The server is our own, with its own folder, and syncs to disk as people have it.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from bench import claims
from bench.house import House
from bench.lib import Absent, Bench, Figure, Goal, per_pair
from tests.postgres_cluster import Cluster, binaries, cluster

CLIENTS = (1, 4)
GOALS = tuple(
    Goal(
        f"postgres.claim.{count}",
        f"claims/s of raw psycopg's, {count} client{'s' * (count > 1)}",
        0.5,
        is_floor=True,
    )
    for count in CLIENTS
)

# Source: the documentation of PostgreSQL, SELECT, "The Locking Clause".
_SCHEMA = """
create table job (id bigint generated always as identity primary key, status text not null,
                  priority integer not null, enqueued_at timestamptz not null default now(),
                  worker text, claimed_at timestamptz, payload text);
create index job_claim on job (priority desc, enqueued_at) where status = 'queued';
"""
_FILL = """
insert into job (status, priority, payload)
select 'queued', n * 7919 % 10, repeat('x', 200) from generate_series(1, {count}) n
"""
_CLAIM = """
update job set status = 'running', worker = %s, claimed_at = now()
 where id = (select id from job where status = 'queued' order by priority desc, enqueued_at
              limit 1 for update skip locked)
returning id
"""


def measure(bench: Bench) -> Iterator[Figure]:
    goals = {goal.name: goal for goal in GOALS}
    wanted = [count for count in CLIENTS if bench.wants(f"postgres.claim.{count}")]
    each = bench.size(100, 4)
    queued = (bench.reps + 1) * each * sum(wanted)
    with _server() as server, bench.place("pg") as folder:
        database = server.new_database()
        url = server.url(database)
        with House(folder, SCHEDULER_DB_URL=url, MAX_CONCURRENT_PROJECTS="1000") as house:
            bench.say(f"queueing {queued} projects")
            house.enqueue_many(queued, "p", "command: make")
            # As the server would by itself within a minute.
            server.execute("vacuum analyze", database)
            raw = _raw(server, queued)
            for count in wanted:
                yield _claims(bench, goals[f"postgres.claim.{count}"], house, raw, count, each)


@contextmanager
def _server() -> Iterator[Cluster]:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise Absent("psycopg is not installed (the extra `postgres`)") from error
    if binaries() is None:
        raise Absent("PostgreSQL is not installed (Debian: postgresql)")
    # It is made below the folder for temporary files, whose mode is changed for it: one of ours,
    # where the user that the server runs as can get to.
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=_open_to_all()) as folder,
        mock.patch.object(tempfile, "tempdir", folder),
        cluster() as server,
    ):
        yield server


def _open_to_all() -> str:
    places = (tempfile.gettempdir(), "/tmp", "/var/tmp")
    return next(place for place in places if Path(place).stat().st_mode & 0o001)


def _raw(server: Cluster, depth: int) -> Callable[[], claims.Take]:
    """Fill a plain table; return what connects to it and claims from it."""
    import psycopg

    database = server.new_database()
    server.execute(_SCHEMA, database)
    server.execute(_FILL.format(count=depth), database)
    server.execute("vacuum analyze job", database)
    url = server.url(database)

    def open_it() -> claims.Take:
        connection = psycopg.connect(url, autocommit=True)

        def take() -> int:
            row = connection.execute(_CLAIM, ("bench",), prepare=True).fetchone()
            assert row is not None
            return int(row[0])

        return take

    return open_it


def _claims(
    bench: Bench,
    goal: Goal,
    house: House,
    raw: Callable[[], claims.Take],
    clients: int,
    each: int,
) -> Figure:
    spent: dict[str, list[float]] = {"raw": [], "ours": []}
    twice = 0
    for turn in range(bench.reps + 1):
        for name, opener in (("raw", raw), ("ours", claims.opener(house.config))):
            taken = claims.at_once([opener] * clients, each)
            twice += taken.twice
            if turn:
                spent[name].append(taken.wall_sec)
        claims.end_all(house.queue())
    told = {
        "/s": clients * each / statistics.median(spent["ours"]),
        "raw/s": clients * each / statistics.median(spent["raw"]),
        "claimed twice": float(twice),
    }
    return Figure(goal, per_pair(spent["raw"], spent["ours"]), told)
