"""What `doctor` looks at, with real servers, files and processes."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from scheduler_modules.adapters.database_probe import PostgresProbe, SqliteProbe
from scheduler_modules.adapters.machine_probe import MachineProbe, zone_problem
from scheduler_modules.adapters.tmux_probe import TmuxProbe, servers_of
from scheduler_modules.compose import open_queue
from scheduler_modules.config import ensure_home, load_config
from scheduler_modules.model import NewProject
from tests.lab.installation import installation
from tests.tmux_server import throwaway_server
from tests.waiting import wait_until


@pytest.fixture
def server():
    with throwaway_server() as made:
        yield made


def config_of(tmp_path, **settings):
    environ = {"TMUX_ORCHESTRATOR_HOME": str(tmp_path / "home"), "TMUX_TIMEOUT_SEC": "1"}
    return load_config({**environ, **settings}).config


def probe_of(tmp_path, server):
    return TmuxProbe(config_of(tmp_path, TMUX_SOCKET=str(server.socket)))


# -- tmux ---------------------------------------------------------------------------------------


def test_a_server_is_seen_from_both_sides(tmp_path, server):
    pid = server.start()

    facts = probe_of(tmp_path, server).facts()

    assert facts.server.pid == pid
    assert [listener.pid for listener in facts.listeners] == [pid]
    assert abs(facts.listeners[0].started_at - facts.server.started_at) < 2
    assert facts.version[0].isdigit()
    assert facts.problem is None
    assert facts.socket.is_socket
    assert not facts.is_own_server


def test_where_no_server_runs_none_is_started(tmp_path):
    facts = TmuxProbe(config_of(tmp_path)).facts()

    assert (facts.server, facts.listeners, facts.problem) == (None, (), None)
    assert facts.is_own_server
    assert not (tmp_path / "home").exists()


def test_a_server_whose_socket_was_removed_is_found(tmp_path, server):
    pid = server.start()
    server.socket.unlink()

    facts = probe_of(tmp_path, server).facts()

    assert facts.server is None
    assert [listener.pid for listener in facts.listeners] == [pid]

    os.kill(pid, signal.SIGUSR1)
    wait_until(server.socket.exists, "the socket file to be back")
    assert probe_of(tmp_path, server).facts().server.pid == pid


def test_two_servers_of_one_socket_are_both_found(tmp_path, server):
    first = server.start()
    server.socket.unlink()
    second = server.start()
    try:
        facts = probe_of(tmp_path, server).facts()

        assert facts.server.pid == second
        assert {listener.pid for listener in facts.listeners} == {first, second}
    finally:
        os.kill(first, signal.SIGKILL)


def test_a_server_that_hangs_is_told_within_its_time(tmp_path, server):
    pid = server.start()
    server.hang()

    facts = probe_of(tmp_path, server).facts()

    assert "did not answer within 1 s" in facts.problem
    assert [listener.pid for listener in facts.listeners] == [pid]


def test_hostile_settings_are_read(tmp_path):
    with throwaway_server("set -s exit-unattached off\nset -g base-index 1\n") as server:
        server.start()

        options = probe_of(tmp_path, server).facts().options

    assert (options["exit-unattached"], options["base-index"]) == ("off", "1")
    assert {"destroy-unattached", "renumber-windows", "pane-base-index"} <= options.keys()


def test_a_missing_tmux_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    facts = TmuxProbe(config_of(tmp_path)).facts()

    assert (facts.version, facts.problem) == (None, "tmux is not installed, or not on PATH")


def test_other_peoples_sockets_are_not_taken_for_ours(tmp_path, server):
    server.start()

    assert servers_of(server.folder / "another") == ()


def test_a_socket_is_found_by_another_name_of_its_folder(tmp_path, server):
    pid = server.start()
    link = tmp_path / "link"
    link.symlink_to(server.folder)

    assert [found.pid for found in servers_of(link / server.socket.name)] == [pid]


# -- database -----------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path):
    """A database with one project in it, closed."""
    config = config_of(tmp_path)
    ensure_home(config)
    queue = open_queue(config)
    queue.enqueue(
        NewProject(spec_path="/a.md", spec_key="/a.md", name="a", enqueued_at=1.0), again=True
    )
    queue.store.close()
    return tmp_path / "home" / "task_queue.db"


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_database_is_looked_at_and_left_as_it_is(database):
    before, files = database.read_bytes(), listing(database.parent)

    facts = SqliteProbe(database).facts()

    assert (facts.problem, facts.is_there, facts.is_behind) == (None, True, False)
    assert facts.damage == ()
    assert facts.size_bytes == len(before)
    assert facts.newest_fact_at > 1_000_000
    assert (database.read_bytes(), listing(database.parent)) == (before, files)


def test_a_database_in_use_is_looked_at_too(database):
    with closing(sqlite3.connect(database)) as user:
        user.execute("insert into event_log (at, name) values (99999999999.0, 'x')")
        user.commit()

        facts = SqliteProbe(database).facts()

    assert facts.wal_bytes > 0
    assert facts.newest_fact_at == 99999999999.0


def test_what_is_not_there_is_not_made(tmp_path):
    facts = SqliteProbe(tmp_path / "none" / "task_queue.db").facts()

    assert (facts.is_there, facts.problem) == (False, None)
    assert listing(tmp_path) == []


def test_a_file_that_is_missing_from_its_folder_is_no_fault(tmp_path):
    assert not SqliteProbe(tmp_path / "task_queue.db").facts().is_there


def test_garbage_is_told(tmp_path):
    path = tmp_path / "task_queue.db"
    path.write_bytes(b"garbage" * 1000)

    assert "is not an SQLite database" in SqliteProbe(path).facts().problem


def test_damage_inside_is_found(database):
    content = bytearray(database.read_bytes())
    content[8192:12000] = b"\xff" * 3808
    database.write_bytes(content)

    facts = SqliteProbe(database).facts()

    assert facts.problem or facts.damage


def test_a_check_that_takes_too_long_is_given_up(database):
    with closing(sqlite3.connect(database)) as user:
        user.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)"
            " insert into event_log (at, name) select i, 'x' from n"
        )
        user.commit()
        user.execute("pragma wal_checkpoint(truncate)")

    assert SqliteProbe(database, check_sec=0).facts().damage is None


def test_an_old_database_is_behind(tmp_path):
    path = tmp_path / "task_queue.db"
    with closing(sqlite3.connect(path)) as old:
        old.execute("create table project_queue (id integer primary key, spec_path, status)")
        old.commit()

    facts = SqliteProbe(path).facts()

    assert (facts.is_behind, facts.problem) == (True, None)


def test_a_postgresql_that_cannot_be_reached_is_told_without_its_password(tmp_path):
    url = f"postgresql://me:s3cret@/queue?host={tmp_path}"

    facts = PostgresProbe(url).facts()

    assert facts.is_postgres
    assert facts.problem
    assert "s3cret" not in repr(facts)


def test_a_url_that_is_none_is_told(tmp_path):

    assert "SCHEDULER_DB_URL" in PostgresProbe("postgresql://[").facts().problem


# -- machine ------------------------------------------------------------------------------------


def test_the_machine_is_looked_at(tmp_path):
    (tmp_path / ".env").write_text("A=1")
    (tmp_path / ".env").chmod(0o640)

    facts = MachineProbe(tmp_path).facts(["/", str(tmp_path / "not" / "there")], ["sh", "no-such"])

    assert facts.python == sys.version_info[:3]
    assert facts.home.is_folder
    assert [file.mode for file in facts.secret_files] == [0o640]
    assert facts.disks[0].size_bytes >= facts.disks[0].free_bytes > 0
    assert len({disk.folder for disk in facts.disks}) == len(facts.disks) <= 2
    assert Path(facts.programs["sh"]).name == "sh"
    assert facts.programs["no-such"] is None
    assert facts.inotify_watches > 0


def test_a_read_only_file_system_is_seen_by_root_too():
    script = (
        "mount -t tmpfs none /mnt && mount -o remount,ro /mnt &&"
        f" {sys.executable} -c 'from pathlib import Path;"
        " from scheduler_modules.adapters.machine_probe import look_at;"
        ' print(look_at(Path("/mnt")).is_writable)\''
    )
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    if done.returncode:
        pytest.skip("private mounts are not permitted here")

    assert done.stdout == "False\n"


def test_the_environment_of_a_process_is_read(tmp_path):
    child = subprocess.Popen(["sleep", "60"], env={"TMUX_SOCKET": "default", "SECRET": "x"})
    try:
        probe = MachineProbe(tmp_path)
        wait_until(
            lambda: (
                probe.environ_of(child.pid, ["TMUX_SOCKET", "OTHER"]) == {"TMUX_SOCKET": "default"}
            ),
            "the child's environment",
        )
    finally:
        child.kill()
        child.wait()

    assert MachineProbe(tmp_path).environ_of(child.pid, []) is None


def test_when_a_file_was_written(tmp_path):
    file = tmp_path / "lock"
    file.write_text("x")
    os.utime(file, (1000, 1000))

    assert MachineProbe(tmp_path).written_at(file) == 1000
    assert MachineProbe(tmp_path).written_at(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("zone", "is_fine"),
    [
        ("", True),
        ("UTC", True),
        (":UTC", True),
        ("CET-1CEST", True),
        ("Mars/Base", False),
        ("Nowhere", False),
        ("/no/such/file", False),
        ("../../etc/passwd", False),
    ],
)
def test_a_zone_is_known_or_not(zone, is_fine):
    assert (zone_problem(zone) is None) == is_fine


# -- the verb -----------------------------------------------------------------------------------


def test_a_real_installation_at_work_has_nothing_bad():
    with installation() as place:
        place.run_daemon()
        place.add("site", "command: sleep 60")
        wait_until(lambda: "running" in place.cli("list"), "the project to run")

        found = place.json("doctor")

    assert [check for check in found["checks"] if check["level"] == "bad"] == []
    told = {check["check"]: check["says"] for check in found["checks"]}
    assert told["running projects"] == "1 here, 1 in all"
    assert told["database content"] == "quick check found nothing wrong"


def checks_of(place):
    return {
        check["check"]: check
        for check in json.loads(place.try_cli("doctor", "--json").stdout)["checks"]
    }


def test_a_server_out_of_reach_is_told_with_its_remedy():
    with installation() as place:
        daemon = place.run_daemon()
        place.add("site", "command: sleep 60")
        wait_until(lambda: "running" in place.cli("list"), "the project to run")
        # One that runs makes the socket file again by itself.
        place.stop_daemon(daemon)
        socket = place.home / "run" / "tmux.sock"
        pid = servers_of(socket)[0].pid
        socket.unlink()

        told = checks_of(place)["tmux server"]

        assert (told["level"], f"kill -USR1 {pid}" in told["advice"]) == ("bad", True)
        os.kill(pid, signal.SIGUSR1)
        wait_until(socket.exists, "the socket file to be back")
        assert checks_of(place)["tmux server"]["level"] == "ok"


def test_a_hostile_configuration_of_somebody_elses_server_is_told(tmp_path):
    hostile = "set -g destroy-unattached on\nset -g base-index 1\nset -g renumber-windows on\n"
    with throwaway_server(hostile) as server, installation(TMUX_SOCKET=str(server.socket)) as place:
        server.start()

        found = {check["check"]: check for check in place.json("doctor")["checks"]}

    assert found["tmux settings"]["level"] == "warn"
    assert "there is no window 0" in found["tmux settings"]["says"]
    assert "not started by us" in found["tmux server"]["says"]


def test_a_state_folder_on_a_read_only_disk_is_told_and_the_rest_goes_on():
    with installation() as place:
        place.cli("list")
        script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
        place.prefix = ("unshare", "--mount", "--map-root-user", "sh", "-c", script)
        place.prefix += (str(place.home),)
        done = place.try_cli("doctor", "--json")

    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("private mounts are not permitted here")
    found = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1
    assert (found["state folder"]["level"], done.stderr) == ("bad", "")
    assert "cannot be written" in found["state folder"]["says"]
    assert found["database content"]["level"] == "ok"
    assert found["tmux version"]["level"] == "ok"


def test_before_the_first_use_nothing_is_made(tmp_path):
    with installation() as place:
        home = place.folder / "fresh"

        done = place.try_cli("--home", str(home), "doctor")

        assert done.returncode == 0
        assert not home.exists()


# -- PostgreSQL ---------------------------------------------------------------------------------


def test_a_postgresql_is_looked_at(postgres_url):
    facts = PostgresProbe(postgres_url).facts()

    assert (facts.problem, facts.is_there, facts.is_behind) == (None, True, False)
    assert facts.version[0].isdigit()
    assert PostgresProbe(postgres_url).is_current()


def test_a_postgresql_without_our_tables_is_left_without_them(empty_postgres_url):
    facts = PostgresProbe(empty_postgres_url).facts()

    assert (facts.problem, facts.is_there) == (None, False)
    assert not PostgresProbe(empty_postgres_url).is_current()
