"""`doctor`: each check, when all is well and when it is not."""

import os
from pathlib import Path

import msgspec
import pytest

from scheduler_modules.agents import AGENT_PROFILES
from scheduler_modules.doctor import exit_code, findings_of
from scheduler_modules.doctor_database import check_clock, check_database, check_runs
from scheduler_modules.doctor_machine import check_agents, check_daemons, check_machine
from scheduler_modules.doctor_tmux import check_tmux
from scheduler_modules.doctor_values import (
    ClockFacts,
    DaemonFacts,
    DiskFacts,
    Level,
    ServerProcess,
    bad,
    ok,
    warn,
)
from scheduler_modules.errors import DatabaseUnavailable
from scheduler_modules.model import LaunchPlan, Project, Run, RunPhase
from scheduler_modules.tmux_values import ServerIdentity
from tests.cli_world import run_elsewhere
from tests.fakes.probes import (
    SOCKET,
    folder,
    healthy_database,
    healthy_machine,
    healthy_tmux,
)

NOW = 1_000_000.0
CLOCK = ClockFacts(now=NOW, since_boot_sec=5_000.0, boot_id="boot")
GIB = 1024**3


@pytest.fixture(autouse=True)
def _as_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def run_of(project_id=1, host="here", **fields):
    values = {
        "id": project_id,
        "project_id": project_id,
        "attempt": 1,
        "token": "f" * 32,
        "host": host,
        "daemon_id": "d",
        "session_name": "s",
        "phase": RunPhase.RUNNING,
        "claimed_at": NOW - 60,
        "server_pid": 100,
        "server_started_at": 1_000,
    }
    return Run(**(values | fields))


def project_of(number):
    return Project(
        id=number,
        spec_path="/s.md",
        status="processing",
        stored_status="processing",
        enqueued_at=NOW,
        name="s",
    )


def daemon(**fields):
    values = {
        "mode": "default",
        "pid": 77,
        "duties": ("launch", "checkin", "notify"),
        "holder": "pid 77",
        "silent_sec": 3.0,
        "environ": {},
    }
    return DaemonFacts(**(values | fields))


def named(findings, check):
    """Return the one finding of a check."""
    (found,) = [finding for finding in findings if finding.check == check]
    return found


def assert_level(found, level, *words):
    assert found.level is level, found
    for word in words:
        assert word in f"{found.says} {found.advice}", found
    assert bool(found.advice) == (level is not Level.OK), found


# -- all is well --------------------------------------------------------------------------------


def everything():
    yield from check_tmux(healthy_tmux(), [run_of()], [daemon()], {})
    yield from check_database(healthy_database())
    yield from check_runs(
        host="here",
        is_shared=False,
        processing=[project_of(1)],
        runs=[run_of()],
        daemons=[daemon()],
        clock=CLOCK,
    )
    yield from check_clock(healthy_database(newest_fact_at=NOW - 5), [], CLOCK, None)
    yield from check_machine(healthy_machine())
    yield from check_daemons([daemon()])
    yield from check_agents(
        AGENT_PROFILES,
        "claude",
        healthy_machine().programs,
        is_chosen=True,
        is_needed=True,
    )


def test_on_a_healthy_machine_every_check_is_fine_and_gives_no_advice():
    findings = list(everything())

    assert [found for found in findings if found.level is not Level.OK or found.advice] == []
    assert exit_code(findings) == 0


# -- tmux ---------------------------------------------------------------------------------------

TMUX = [
    ("tmux version", {"version": None, "problem": "not installed"}, Level.BAD, "install tmux"),
    ("tmux version", {"version": "3.1c"}, Level.BAD, "too old"),
    ("tmux version", {"version": "2.9a"}, Level.BAD, "too old"),
    ("tmux version", {"version": "3.2"}, Level.OK, "3.2"),
    ("tmux version", {"version": "next-3.6"}, Level.OK, "next-3.6"),
    ("tmux version", {"version": "openbsd-7.4"}, Level.OK, "openbsd"),
    ("tmux version", {"version": "master"}, Level.WARN, "master"),
    ("tmux server", {"server": None}, Level.OK, "none runs yet"),
    ("tmux server", {"problem": "did not answer within 5 s"}, Level.BAD, "did not answer"),
    (
        "tmux server",
        {"problem": "did not answer", "listeners": (ServerProcess(9, 1.0),)},
        Level.BAD,
        "kill -CONT 9",
    ),
    (
        "tmux server",
        {"server": None, "listeners": (ServerProcess(9, 1.0),)},
        Level.BAD,
        "kill -USR1 9",
    ),
    ("one server", {"listeners": (ServerProcess(100, 1.0),)}, Level.OK, "no other"),
    (
        "one server",
        {"listeners": (ServerProcess(9, 1.0), ServerProcess(100, 2.0))},
        Level.BAD,
        "kill -USR1 9",
    ),
    ("tmux socket", {"socket_folder": folder(SOCKET.parent, mode=0o755)}, Level.WARN, "chmod 700"),
    ("tmux socket", {"socket_folder": folder(SOCKET.parent, uid=12)}, Level.BAD, "uid 12"),
    ("tmux socket", {"socket_folder": folder(SOCKET.parent, is_there=False)}, Level.OK, "is made"),
    ("tmux socket", {"socket": folder(SOCKET, is_socket=False)}, Level.BAD, "no socket"),
    ("tmux socket", {"socket": folder(Path("/a" * 60), is_there=False)}, Level.BAD, "120 bytes"),
    ("socket place", {"socket": folder(Path("/tmp/x/s"))}, Level.WARN, "HOME"),
    (
        "socket place",
        {"socket": folder(Path("/var/tmp/s")), "is_own_server": False},
        Level.WARN,
        "TMUX_SOCKET",
    ),
    (
        "tmux settings",
        {"is_own_server": False, "options": {"exit-unattached": "on"}},
        Level.BAD,
        "exit-unattached off",
    ),
    ("tmux settings", {"options": {"exit-unattached": "on"}}, Level.OK, "our own"),
    (
        "tmux settings",
        {"is_own_server": False, "options": {"destroy-unattached": "on", "base-index": "1"}},
        Level.WARN,
        "no window 0",
    ),
    (
        "tmux settings",
        {"is_own_server": False, "options": {"destroy-unattached": "keep-last"}},
        Level.WARN,
        "destroy-unattached",
    ),
    (
        "tmux settings",
        {"is_own_server": False, "options": {"base-index": "1"}},
        Level.OK,
        "no window 0",
    ),
    ("tmux settings", {"is_own_server": False}, Level.OK, "yours"),
]


@pytest.mark.parametrize(("check", "fields", "level", "word"), TMUX)
def test_tmux(check, fields, level, word):
    findings = list(check_tmux(healthy_tmux(**fields), [], [], {}))

    assert_level(named(findings, check), level, word)


def test_without_tmux_nothing_more_is_asked_of_it():
    facts = healthy_tmux(version=None, problem="tmux is not installed")

    assert [found.check for found in check_tmux(facts, [], [], {})] == ["tmux version"]


@pytest.mark.parametrize(
    ("theirs", "ours", "is_own", "level"),
    [
        ({}, {}, True, Level.OK),
        ({"TMUX_SOCKET": "default"}, {}, True, Level.BAD),
        ({}, {"TMUX_SOCKET": "default"}, False, Level.BAD),
        ({"TMUX_TMPDIR": "/run/a"}, {"TMUX_TMPDIR": "/run/b"}, False, Level.BAD),
        ({"TMUX_TMPDIR": "/run/a"}, {"TMUX_TMPDIR": "/run/b"}, True, Level.OK),
        (None, {"TMUX_SOCKET": "default"}, False, Level.OK),
    ],
)
def test_a_daemon_with_another_socket_is_found(theirs, ours, is_own, level):
    facts = healthy_tmux(is_own_server=is_own)

    findings = check_tmux(facts, [], [daemon(environ=theirs)], ours)

    assert_level(named(findings, "same server"), level)


@pytest.mark.parametrize(
    ("run", "server", "level"),
    [
        (run_of(), ServerIdentity(100, 1_000), Level.OK),
        (run_of(), ServerIdentity(101, 1_000), Level.BAD),
        (run_of(), ServerIdentity(100, 2_000), Level.BAD),
        (run_of(server_pid=None), ServerIdentity(101, 1_000), Level.OK),
        (run_of(), None, Level.OK),
    ],
)
def test_runs_of_another_server_are_found(run, server, level):
    findings = check_tmux(healthy_tmux(server=server), [run], [daemon()], {})

    assert_level(named(findings, "same server"), level)


def test_before_a_split_brain_is_healed_no_daemon_is_to_be_started():
    facts = healthy_tmux(
        server=ServerIdentity(101, 2_000),
        listeners=(ServerProcess(100, 1_000.0), ServerProcess(101, 2_000.0)),
    )

    found = named(check_tmux(facts, [run_of()], [], {}), "same server")

    assert_level(found, Level.BAD, "before a daemon is started")


# -- database -----------------------------------------------------------------------------------

DATABASE = [
    ("database", {"problem": "is damaged: restore"}, Level.BAD, "is damaged"),
    ("database", {"is_there": False}, Level.OK, "made by the first use"),
    ("database", {"is_behind": True}, Level.WARN, "older version"),
    ("SQLite version", {"version": "3.51.2"}, Level.WARN, "3.51.3"),
    ("SQLite version", {"version": "3.40.1"}, Level.WARN, "WAL-reset"),
    ("SQLite version", {"version": "3.52.0"}, Level.OK, "3.52.0"),
    ("SQLite version", {"version": "4.0"}, Level.OK, "4.0"),
    ("database content", {"damage": None}, Level.WARN, "in time"),
    ("database content", {"damage": ("row 7 missing",)}, Level.BAD, "row 7 missing"),
    ("database size", {"wal_bytes": 65 * 1024**2}, Level.WARN, "65.0 MiB"),
    ("database size", {"size_bytes": 2 * GIB, "free_bytes": GIB + 1}, Level.WARN, "vacuum"),
    ("database size", {"size_bytes": 2 * GIB, "free_bytes": GIB}, Level.OK, "1.0 GiB"),
    ("database size", {"size_bytes": 9_000, "free_bytes": 8_000}, Level.OK, "7.8 KiB"),
    ("backups", {"backups": 2}, Level.OK, "2 beside"),
]


@pytest.mark.parametrize(("check", "fields", "level", "word"), DATABASE)
def test_database(check, fields, level, word):
    findings = check_database(healthy_database(**fields))

    assert_level(named(findings, check), level, word)


@pytest.mark.parametrize("fields", [{"problem": "damaged"}, {"is_there": False}])
def test_a_database_that_cannot_be_read_is_not_looked_into(fields):
    findings = check_database(healthy_database(**fields))

    assert [found.check for found in findings] == ["database", "SQLite version"]


@pytest.mark.parametrize(
    ("fields", "level", "word"),
    [
        ({}, Level.OK, "PostgreSQL 15"),
        ({"problem": "connection refused"}, Level.BAD, "connection refused"),
        ({"is_there": False}, Level.OK, "first use"),
        ({"is_behind": True}, Level.WARN, "older version"),
    ],
)
def test_postgresql(fields, level, word):
    facts = healthy_database(is_postgres=True, version="15.3", **fields)

    (found,) = check_database(facts)

    assert_level(found, level, word)


# -- runs ---------------------------------------------------------------------------------------


def runs_checked(runs, *, processing=(), daemons=(), is_shared=False):
    return list(
        check_runs(
            host="here",
            is_shared=is_shared,
            processing=[project_of(number) for number in processing],
            runs=runs,
            daemons=list(daemons),
            clock=CLOCK,
        )
    )


@pytest.mark.parametrize(
    ("daemons", "level"),
    [([], Level.BAD), ([daemon(duties=("checkin",))], Level.BAD), ([daemon()], Level.OK)],
)
def test_running_projects_need_a_daemon(daemons, level):
    findings = runs_checked([run_of()], processing=[1], daemons=daemons)

    assert_level(named(findings, "running projects"), level)


def test_nothing_that_runs_needs_no_daemon():
    assert_level(named(runs_checked([]), "running projects"), Level.OK, "0 here")


def test_rows_that_another_program_left_running_are_found():
    findings = runs_checked([run_of(1)], processing=range(1, 9), daemons=[daemon()])

    assert_level(named(findings, "unknown runs"), Level.WARN, "2, 3, 4, 5, 6 and 2 more")


def test_a_run_of_another_machine_in_a_file_is_a_name_that_changed():
    findings = runs_checked([run_of(host="there")], daemons=[daemon()])

    assert_level(named(findings, "other machines"), Level.BAD, "HOST_NAME=there")


def plan_with(timeout_sec):
    plan = LaunchPlan(cwd="/", windows=(), timeout_sec=timeout_sec)
    return msgspec.json.encode(plan).decode()


@pytest.mark.parametrize(
    ("plan", "age_sec", "level"),
    [
        (plan_with(600), 500, Level.OK),
        (plan_with(600), 4_000, Level.OK),
        (plan_with(600), 5_000, Level.WARN),
        (plan_with(0), 900_000, Level.OK),
        (None, 900_000, Level.OK),
        ("{broken", 900_000, Level.OK),
    ],
)
def test_a_run_of_another_machine_that_should_have_timed_out_is_found(plan, age_sec, level):
    run = run_of(host="there", plan=plan, claimed_at=NOW - age_sec)

    findings = runs_checked([run], daemons=[daemon()], is_shared=True)

    assert_level(named(findings, "other machines"), level)


# -- clock --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("newest", "level"),
    [(None, Level.OK), (NOW - 9_999, Level.OK), (NOW + 30, Level.OK), (NOW + 3_700, Level.WARN)],
)
def test_facts_from_the_future_tell_of_a_clock_set_back(newest, level):
    findings = check_clock(healthy_database(newest_fact_at=newest), [], CLOCK, None)

    assert_level(named(findings, "clock"), level)


@pytest.mark.parametrize(
    ("started_at", "boot_sec", "boot_id", "level"),
    [
        (NOW - 100, 4_900.0, "boot", Level.OK),
        (NOW - 3_700, 4_900.0, "boot", Level.WARN),
        (NOW + 3_500, 4_900.0, "boot", Level.WARN),
        (NOW - 3_700, 4_900.0, "another boot", Level.OK),
        (None, None, "boot", Level.OK),
    ],
)
def test_a_clock_that_jumped_while_projects_ran_is_found(started_at, boot_sec, boot_id, level):
    run = run_of(started_at=started_at, started_boot_sec=boot_sec, boot_id=boot_id)

    findings = check_clock(healthy_database(), [run], CLOCK, None)

    assert_level(named(findings, "clock"), level)


def test_a_zone_that_does_not_exist_is_found():
    findings = check_clock(healthy_database(), [], CLOCK, "TZ=Mars/Base: no such zone")

    assert_level(named(findings, "time zone"), Level.BAD, "Mars/Base")


# -- machine ------------------------------------------------------------------------------------


def disk(free=50 * GIB, size=100 * GIB, inodes=1_000_000, free_inodes=900_000):
    facts = DiskFacts(
        folder="/home", size_bytes=size, free_bytes=free, inodes=inodes, free_inodes=free_inodes
    )
    return {"disks": (facts,)}


def secret(**fields):
    return {"secret_files": (folder(Path("/home/me/state/.env"), is_folder=False, **fields),)}


MACHINE = [
    ("Python", {"python": (3, 10, 4)}, Level.BAD, "3.10.4"),
    ("Python", {"python": (3, 11, 0)}, Level.OK, "3.11.0"),
    ("state folder", {"home": folder(is_there=False)}, Level.OK, "first use"),
    ("state folder", {"home": folder(is_folder=False)}, Level.BAD, "no folder"),
    ("state folder", {"home": folder(uid=5)}, Level.BAD, "uid 5"),
    ("state folder", {"home": folder(mode=0o777)}, Level.BAD, "chmod go-w"),
    ("state folder", {"home": folder(is_writable=False)}, Level.BAD, "cannot be written"),
    ("state folder", {"home": folder(mode=0o755)}, Level.WARN, "chmod 700"),
    ("state folder", {"home": folder(Path("/tmp/state"))}, Level.WARN, "lasts"),
    (".env", secret(mode=0o600), Level.OK, "only you"),
    (".env", secret(mode=0o640), Level.WARN, "chmod 600"),
    (".env", secret(mode=0o602), Level.BAD, "changed by others"),
    (".env", secret(mode=0o600, uid=7), Level.BAD, "changed by others"),
    ("disk", disk(), Level.OK, "50.0 GiB free"),
    ("disk", disk(free=90 * 1024**2), Level.BAD, "90 MiB"),
    ("disk", disk(free=GIB // 2), Level.WARN, "0.5 GiB"),
    ("disk", disk(free=GIB // 2, size=GIB), Level.OK, "0.5 GiB"),
    ("disk", disk(free_inodes=9_000), Level.WARN, "9,000 files"),
    ("disk", disk(inodes=0, free_inodes=0), Level.OK, "GiB free"),
    ("open files", {"open_files": 256}, Level.WARN, "ulimit -n"),
    ("open files", {"open_files": None}, Level.OK, "unlimited"),
    ("inotify", {"inotify_instances": None}, Level.WARN, "cannot be read"),
    ("inotify", {"inotify_instances": 8}, Level.WARN, "max_user_instances"),
    ("inotify", {"inotify_watches": 100}, Level.WARN, "max_user_watches"),
]


@pytest.mark.parametrize(("check", "fields", "level", "word"), MACHINE)
def test_machine(check, fields, level, word):
    findings = check_machine(healthy_machine(**fields))

    assert_level(named(findings, check), level, word)


# -- daemons, agents ----------------------------------------------------------------------------

DAEMON = [
    ({}, Level.OK, "pid 77 runs"),
    ({"trouble": "tmux cannot be asked"}, Level.BAD, "tmux cannot be asked"),
    ({"silent_sec": 600.0}, Level.BAD, "kill -CONT 77"),
    ({"silent_sec": None}, Level.OK, "runs"),
    ({"pid": None, "holder": "a process of another container"}, Level.OK, "another container"),
]


@pytest.mark.parametrize(("fields", "level", "word"), DAEMON)
def test_daemons(fields, level, word):
    findings = check_daemons([daemon(**fields)])

    assert_level(named(findings, "daemon"), level, word)


def test_no_daemon_is_a_warning():
    (found,) = check_daemons([])

    assert_level(found, Level.WARN, "daemon start")


def test_a_daemon_without_the_duty_to_launch_is_a_warning():
    findings = check_daemons([daemon(duties=("checkin",))])

    assert_level(named(findings, "duties"), Level.WARN, "launch: nobody", "checkin: 77")


def test_duties_of_a_daemon_that_cannot_be_seen_are_not_judged():
    findings = check_daemons([daemon(pid=None, duties=())])

    assert_level(named(findings, "duties"), Level.OK)


@pytest.mark.parametrize(
    ("wanted", "place", "is_chosen", "is_needed", "level"),
    [
        ("claude", "/bin/claude", True, True, Level.OK),
        ("claude", None, True, True, Level.BAD),
        ("claude", None, False, True, Level.WARN),
        ("claude", None, True, False, Level.OK),
    ],
)
def test_the_agent_that_is_needed_must_be_there(wanted, place, is_chosen, is_needed, level):
    findings = check_agents(
        AGENT_PROFILES, wanted, {"claude": place}, is_chosen=is_chosen, is_needed=is_needed
    )

    assert_level(named(findings, "agent claude"), level)


def test_an_agent_that_nobody_knows_is_bad():
    findings = check_agents(
        AGENT_PROFILES, "codec", {"claude": None}, is_chosen=True, is_needed=True
    )

    assert_level(named(findings, "agent"), Level.BAD, "codec", "claude")


# -- all of it ----------------------------------------------------------------------------------


def test_a_check_that_cannot_be_made_is_a_finding_and_the_others_go_on():
    def refuse():
        raise DatabaseUnavailable("task_queue.db is locked")

    findings = list(findings_of([("runs", refuse), ("rest", lambda: [ok("rest", "fine")])]))

    assert_level(findings[0], Level.BAD, "task_queue.db is locked")
    assert findings[1] == ok("rest", "fine")


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], 0),
        ([ok("a", "b")], 0),
        ([ok("a", "b"), warn("a", "b", "c")], 0),
        ([warn("a", "b", "c"), bad("a", "b", "c"), ok("a", "b")], 1),
    ],
)
def test_warnings_are_no_failure(findings, code):
    assert exit_code(findings) == code


# -- the verb -----------------------------------------------------------------------------------


@pytest.fixture
def well(cli):
    """A command line on a healthy machine, with a daemon."""
    cli.start_daemon()
    (cli.home / "locks").mkdir(parents=True, exist_ok=True)
    return cli


def test_a_line_for_each_check_in_a_pipe(well):
    answer = well.call("doctor")

    assert answer.code == 0
    assert {row[0] for row in answer.rows} == {"ok"}
    assert {len(row) for row in answer.rows} == {4}
    assert ["ok", "tmux version", "3.4", "-"] in answer.rows


def test_what_is_bad_makes_the_exit_code_1(well):
    well.probes.of_tmux.set(version="3.0")

    answer = well.call("doctor")

    assert answer.code == 1
    assert ["bad", "tmux version", "3.0 is too old", "install tmux 3.2 or newer"] in answer.rows


def test_json_counts_the_levels(well):
    well.probes.of_database.set(version="3.40.1")

    found = well.call("doctor", "--json").json

    assert (found["warn"], found["bad"]) == (1, 0)
    assert found["ok"] == len(found["checks"]) - 1
    assert set(found["checks"][0]) == {"check", "level", "says", "advice"}


def test_quiet_is_an_exit_code_alone(well):
    well.probes.of_tmux.set(version=None)

    answer = well.call("doctor", "-q")

    assert (answer.code, answer.out) == (1, "")


def test_a_terminal_shows_symbols_and_what_to_do(well):
    well.probes.of_tmux.set(version="3.0")

    answer = well.call("doctor", is_tty=True, NO_COLOR="1")

    assert "✗ tmux version      3.0 is too old" in answer.lines
    assert "                    → install tmux 3.2 or newer" in answer.lines
    assert answer.err.startswith("1 bad, 0 warnings, ")


def test_a_terminal_is_told_when_all_is_fine(well):
    assert well.call("doctor", is_tty=True, NO_COLOR="1").err.endswith("checks are fine\n")


def test_a_long_line_is_wrapped_but_no_command_is_cut(well, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    well.probes.of_machine.set(home=folder(Path("/home/" + "x" * 70), mode=0o755))

    lines = well.call("doctor", is_tty=True, NO_COLOR="1").lines

    assert any("/home/" + "x" * 70 in line for line in lines)
    assert "! state folder      others may look into" in lines


def test_a_setting_that_is_wrong_is_told_as_a_finding(cli):
    answer = cli.call("doctor", MAX_CONCURRENT_PROJECTS="many")

    assert answer.code == 1
    assert answer.rows[0][:2] == ["bad", "settings"]
    assert "MAX_CONCURRENT_PROJECTS='many'" in answer.out


def test_runs_of_this_machine_without_a_daemon_are_bad(cli):
    cli.add_running()

    answer = cli.call("doctor")

    assert answer.code == 1
    assert "1 run here and no daemon sees to them" in answer.out


def test_the_folders_of_running_projects_must_have_room(well):
    well.add_running()

    well.call("doctor")

    assert well.probes.of_machine.folders == [str(well.project)]


def test_a_run_of_another_machine_in_a_file_is_bad(well):
    run_elsewhere(well)

    assert "HOST_NAME=workbench" in well.call("doctor").out


@pytest.mark.parametrize("fields", [{"is_there": False}, {"is_behind": True}, {"problem": "no"}])
def test_a_database_that_is_not_as_it_will_be_is_not_opened(well, fields, monkeypatch):
    well.probes.of_database.set(**fields)
    monkeypatch.setattr(well.store, "open_runs", None)

    assert "running projects" not in [row[1] for row in well.call("doctor").rows]


def test_a_daemon_that_hangs_is_found_by_its_lock(well):
    well.probes.of_machine.written["scheduler-default.lock"] = well.clock.now() - 900

    assert "it hangs or is stopped" in well.call("doctor").out


def test_a_daemon_on_another_socket_is_found_by_its_environment(well):
    well.probes.of_machine.environs[4242] = {"TMUX_SOCKET": "default"}

    assert "the daemon (pid 4242) has TMUX_SOCKET='default'" in well.call("doctor").out
