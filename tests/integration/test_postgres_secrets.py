"""The database's password stays with those who connect: it is in no file, window, plan or list."""

from pathlib import Path

import pytest

from tests.integration.test_postgres_faults import on_postgres
from tests.lab.installation import wait_until
from tests.postgres_cluster import cluster

SECRET = "hunter2-marker"

pytestmark = pytest.mark.faults


def with_password(url):
    return url.replace("sched@", f"sched:{SECRET}@")


def test_a_password_in_the_home_serves_the_windows_and_is_nowhere_else():
    with cluster() as server:
        name = server.new_database()
        with on_postgres(server, name) as place:
            del place.environ["SCHEDULER_DB_URL"]
            settings = place.home / ".env"
            settings.write_text(f"SCHEDULER_DB_URL={with_password(server.url(name))}\n")
            settings.chmod(0o600)
            place.run_daemon(SCHEDULER_DB_URL=server.url(name))
            project = place.enqueue("p", "command: sh -c 'env >seen; sleep 1000'")
            place.wait_for_status(project, "processing")
            (token,) = [row["token"] for row in place.query("select token from project_run")]
            wait_until(lambda: len(place.marked(token)) > 1)
            environments = [Path(f"/proc/{n}/environ").read_bytes() for n in place.marked(token)]

            said = [place.cli("config"), place.cli("show", "1"), place.cli("status")]
            done = place.try_cli("done", "1", SCHEDULER_DB_URL=server.url(name))

            written = [
                path.read_bytes()
                for path in place.home.rglob("*")
                if path.is_file() and path != settings
            ]
            plans = [str(row["plan"]) for row in place.query("select plan from project_run")]
            assert (done.returncode, done.stderr) == (0, "")
            place.wait_for_status(project, "completed")

    assert environments
    assert SECRET not in "".join([*said, *plans])
    assert SECRET.encode() not in b"".join([*environments, *written])


def test_a_wrong_address_in_the_home_is_told_without_its_password():
    with cluster() as server, on_postgres(server, "nowhere") as place:
        url = with_password(server.url("nowhere"))
        told = [
            place.try_cli("list", SCHEDULER_DB_URL=url),
            place.try_cli("list", SCHEDULER_DB_URL=f"mysql://me:{SECRET}@host/q"),
            place.try_cli("list", SCHEDULER_DB_URL=f"postgresql://me:{SECRET}@[::1/q"),
        ]

    assert [done.returncode for done in told] == [6, 2, 6]
    assert all(done.stderr.count("\n") == 1 for done in told)
    assert SECRET not in "".join(done.stdout + done.stderr for done in told)
