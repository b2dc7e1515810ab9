"""The command line with real processes: what a person at a terminal and a script see."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.installation import ROOT, installation, is_running, wait_until
from tests.legacy.old_databases import with_18_columns, with_broken_rules
from tests.tmux_world import person

pytestmark = pytest.mark.acceptance

ENTRY = [sys.executable, str(ROOT / "scheduler_entrypoint.py")]
HEAVY = (
    "alembic",
    "asyncio",
    "dependency_injector",
    "importlib.metadata",
    "psutil",
    "rich",
    "sqlalchemy",
    "structlog",
)


@pytest.fixture
def place():
    with installation() as made:
        yield made


@pytest.fixture
def old(place):
    """A place whose database is there already: what makes one loads more."""
    place.cli("list")
    return place


# -- a whole life -------------------------------------------------------------------------------


def test_from_a_spec_to_its_log(place):
    spec = place.write_spec("build", "command: sh -c 'echo compiled; exit 0'\nverify: test -d .")
    added = place.try_cli("add", str(spec))
    assert (added.returncode, added.stdout) == (
        0,
        "1  build  queued (0 ahead; 1 of 1 slots free)\n",
    )
    assert "daemon start" in added.stderr

    started = place.cli("daemon", "start")
    waited = place.try_cli("wait", "build", "--timeout", "30")
    stopped = place.cli("daemon", "stop")

    assert started.startswith("daemon started (pid ")
    assert waited.returncode == 0
    assert [line.split("\t")[2] for line in waited.stdout.splitlines()][-1] == "completed"
    assert stopped.endswith("running projects go on\n")
    assert place.cli("logs", "@last") == "compiled\n"
    assert place.json("list")["projects"][0]["state"] == "completed"
    assert [fact["name"] for fact in place.json("show", "1")["facts"]][-2:] == [
        "project_completed",
        "run_cleaned",
    ]


def test_a_failure_is_told_by_wait_list_and_status(place):
    place.add("broken", "command: sh -c 'echo no such table; exit 3'")
    place.cli("daemon", "start")

    waited = place.try_cli("wait", "broken")

    reason = 'exit 3: "no such table"'
    assert waited.returncode == 1
    assert place.cli("list").rstrip("\n").split("\t")[1:6:4] == ["failed", reason]
    assert reason in place.cli("status")
    place.cli("daemon", "stop")


def test_a_project_reports_itself_done_from_inside_its_session(place):
    command = json.dumps(["sh", "-c", f"{' '.join(ENTRY)} done && sleep 60"])
    place.add("agent", f"command: {command}")
    place.cli("daemon", "start")

    assert place.try_cli("wait", "agent", "--timeout", "30").returncode == 0

    assert place.json("show", "1")["runs"][0]["reported"] == "completed"
    place.cli("daemon", "stop")


def test_logs_are_followed_to_the_end(place):
    gate = place.folder / "gate"
    script = f"echo first; until test -e {gate}; do sleep 0.02; done; printf 'last\\n'"
    place.add("slow", "command: " + json.dumps(["sh", "-c", script]))
    place.cli("daemon", "start")
    reader = place.start_cli("logs", "-f", "slow")
    assert reader.stdout.readline() == "first\n"

    gate.touch()

    assert (reader.stdout.read(), reader.wait(timeout=20)) == ("last\n", 0)
    reader.stdout.close()
    reader.stderr.close()
    place.cli("daemon", "stop")


# -- the daemon ---------------------------------------------------------------------------------


def test_a_started_daemon_outlives_us_and_shows_its_old_name(place):
    place.cli("daemon", "start")

    told = place.json("daemon", "status")

    (daemon,) = told["daemons"]
    command = Path(f"/proc/{daemon['pid']}/cmdline").read_bytes().split(b"\0")
    assert command[1].endswith(b"/scheduler.py")
    assert command[2] == b"--daemon"
    assert os.getsid(daemon["pid"]) == daemon["pid"]
    assert os.readlink(f"/proc/{daemon['pid']}/fd/0") == os.devnull
    assert os.readlink(f"/proc/{daemon['pid']}/fd/2") == str(
        (place.home / "logs" / "daemon.out").resolve()
    )
    assert daemon["duties"] == ["launch", "checkin", "notify"]
    place.cli("daemon", "stop")
    wait_until(lambda: not is_running(daemon["pid"]))


def test_a_daemon_started_from_inside_a_session_does_not_belong_to_it(place):
    inside = {"SCHEDULER_RUN_ID": "f" * 32, "SCHEDULER_PROJECT_ID": "1", "TMUX": "/x,1,0"}
    place.cli("daemon", "start", **inside)

    (daemon,) = place.json("daemon", "status")["daemons"]

    environ = Path(f"/proc/{daemon['pid']}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0].decode() for entry in environ}
    assert names.isdisjoint(inside)
    assert f"TMUX_ORCHESTRATOR_HOME={place.home}".encode() in environ
    place.cli("daemon", "stop")


def test_starting_twice_leaves_one_daemon(place):
    first = place.json("daemon", "start")

    second = place.json("daemon", "start")

    assert (first["was_running"], second["was_running"]) == (False, True)
    assert first["pid"] == second["pid"]
    place.cli("daemon", "stop")


def test_starting_at_the_same_moment_leaves_one_daemon(place):
    starters = [place.start_cli("daemon", "start", "--json") for _ in range(4)]

    answers = [starter.communicate(timeout=60) for starter in starters]

    assert [starter.returncode for starter in starters] == [0] * 4, answers
    assert len({json.loads(out)["pid"] for out, _ in answers}) == 1
    assert len(place.json("daemon", "status")["daemons"]) == 1
    place.cli("daemon", "stop")


def test_daemons_of_two_modes_share_the_work(place):
    place.cli("daemon", "start", "--mode", "queue")
    place.cli("daemon", "start", "--mode", "checkin")
    wait_until(lambda: all(d["duties"] for d in place.json("daemon", "status")["daemons"]))

    told = {d["mode"]: d["duties"] for d in place.json("daemon", "status")["daemons"]}

    assert told == {"queue": ["launch", "notify"], "checkin": ["checkin"]}
    assert len(place.json("daemon", "stop")["stopped"]) == 2


def test_a_daemon_that_cannot_start_says_why(place):
    place.cli("list")
    (place.home / "task_queue.db").write_bytes(b"this is no database, whatever its name" * 100)

    answer = place.try_cli("daemon", "start")

    assert answer.returncode == 6
    assert answer.stderr.startswith(
        f"error: the daemon ended at once (exit 6): {place.home}/task_queue.db "
    )
    assert len(answer.stderr.splitlines()) == 1


def test_a_large_output_of_daemons_is_put_aside(place):
    place.cli("list")
    output = place.home / "logs" / "daemon.out"
    output.write_bytes(b"x" * 5_000_001)

    place.cli("daemon", "start")

    assert output.stat().st_size < 100_000
    assert output.with_name("daemon.out.1").stat().st_size == 5_000_001
    place.cli("daemon", "stop")


def test_a_daemon_in_the_foreground_ends_with_its_signal(place):
    process = place.start_cli("daemon", "run")
    wait_until(lambda: place.try_cli("daemon", "status", "-q").returncode == 0)
    command = Path(f"/proc/{process.pid}/cmdline").read_bytes()

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    assert b"scheduler.py\0--daemon" in command
    assert process.returncode == 0


# -- streams ------------------------------------------------------------------------------------


def shell(place, line):
    """Run a line in which `to` stands for our program."""
    entry = " ".join(ENTRY)
    return subprocess.run(
        ["bash", "-c", f'to() {{ {entry} "$@"; }}\n{line}'],
        check=False,
        env=place.environ,
        cwd=place.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("verb", ["list", "show 1", "config", "--help", "--version", "status"])
def test_a_full_stdout_is_one_line_and_exit_1(old, verb):
    old.add("a", "command: make")

    answer = shell(old, f"to {verb} >/dev/full")

    assert (answer.returncode, answer.stderr) == (
        1,
        "error: the answer cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("verb", ["list", "--help", "completion bash"])
def test_a_closed_stdout_is_one_line_and_exit_1(old, verb):
    old.add("a", "command: make")

    answer = shell(old, f"to {verb} >&-")

    assert (answer.returncode, answer.stderr) == (
        1,
        "error: the answer cannot be written: stdout is closed\n",
    )


def test_with_all_streams_closed_the_work_is_done_all_the_same(old):
    spec = old.write_spec("a", "command: make")

    answer = shell(old, f"to add -q {spec} <&- >&- 2>&-; to list -q")

    assert answer.stdout == "1\n"


def test_a_reader_that_leaves_early_hears_nothing_of_it(old):
    queue = old.queue()
    for number in range(300):
        old.enqueue(f"spec-{number}", "")
    queue.store.close()

    answer = shell(old, "to list --all --json | head -c 1; echo ${PIPESTATUS[0]}")

    assert (answer.stdout, answer.stderr) == ("{141\n", "")


def test_an_interrupted_wait_leaves_the_work_running(place):
    place.add("slow", "command: sleep 60")
    place.cli("daemon", "start")
    waiter = place.start_cli("wait", "1")
    while "running" not in waiter.stdout.readline():
        pass

    waiter.send_signal(signal.SIGINT)
    _, err = waiter.communicate(timeout=20)

    assert (waiter.returncode, err) == (130, "stopped waiting; the work goes on\n")
    assert place.status(1) == "processing"
    place.cli("daemon", "stop")


# -- a person at a terminal ---------------------------------------------------------------------


@pytest.fixture
def at_terminal(place, monkeypatch):
    """Let somebody type a verb at a terminal."""
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: person([*ENTRY, *arguments])


def test_a_person_sees_a_table(place, at_terminal):
    place.add("docs", "command: make")

    with at_terminal("list") as screen:
        screen.wait_for("○ queued".encode())


def test_a_person_attaches_to_a_running_project(place, at_terminal):
    place.add("talk", "command: sh -c 'echo good morning; exec cat'")
    place.cli("daemon", "start")
    wait_until(lambda: place.status(1) == "processing" and place.sessions())

    with at_terminal("attach", "talk") as screen:
        screen.wait_for(b"good morning")
        screen.type(b"hello\r")
        screen.wait_for(b"hello")
        screen.type_until(b"\x02d", b"detached")

    assert place.status(1) == "processing"
    place.cli("daemon", "stop")


def test_a_person_is_asked_before_running_work_is_ended(place, at_terminal):
    place.add("slow", "command: sleep 60")
    place.cli("daemon", "start")
    wait_until(lambda: place.status(1) == "processing")

    with at_terminal("reset", "slow") as screen:
        screen.wait_for(b"end its run and queue it again? [y/N]")
        screen.type(b"n\r")
        screen.wait_for(b"was left as it is")

    assert place.status(1) == "processing"
    place.cli("daemon", "stop")


def test_a_person_interrupts_a_wait_with_its_key(place, at_terminal):
    place.add("slow", "command: sleep 60")
    place.cli("daemon", "start")

    with at_terminal("wait", "1") as screen:
        screen.wait_for("● running".encode())
        screen.type(b"\x03")
        screen.wait_for(b"stopped waiting; the work goes on")

    place.cli("daemon", "stop")


def test_tab_completion_works_in_bash(place):
    script = place.cli("completion", "bash").replace("$1)", f"{' '.join(ENTRY)})")
    (place.folder / "complete.bash").write_text(script)
    line = (
        "source complete.bash; COMP_WORDS=(tmux-orchestrator lis); COMP_CWORD=1; "
        '_tmux_orchestrator_completion to; echo "${COMPREPLY[@]}"'
    )

    assert shell(place, line).stdout == "list\n"


# -- bad input ----------------------------------------------------------------------------------


def bad_specs(folder):
    """Return paths that are no specs, by what is said of them."""
    (folder / "empty").mkdir()
    (folder / "latin.md").write_bytes(b"# caf\xe9\n")
    os.mkfifo(folder / "pipe.md")
    with (folder / "huge.md").open("wb") as huge:
        huge.truncate(100 * 1_048_576)
    (folder / "loop.md").symlink_to("loop.md")
    unreadable = "/proc/self/mem"
    return {
        "no *.md in this folder": str(folder / "empty"),
        "not UTF-8 text: save it as UTF-8": str(folder / "latin.md"),
        "not a regular file: name a file with text": str(folder / "pipe.md"),
        "larger than 16 MiB": str(folder / "huge.md"),
        "cannot be read": str(folder / "loop.md"),
        "cannot be read (Input/output error)": unreadable,
        "no such file: check the path": str(folder / "absent.md"),
    }


def test_what_is_no_spec_is_refused_with_the_reason(old):
    folder = old.folder / "bad"
    folder.mkdir()
    specs = bad_specs(folder)

    answer = old.try_cli("add", *specs.values())

    assert answer.returncode == 2
    for said, (reason, path) in zip(answer.stderr.splitlines(), specs.items(), strict=True):
        assert said.startswith(f"error: {path}")
        assert reason in said
    assert old.cli("list") == ""


def test_no_name_of_a_spec_is_ever_a_command(place):
    names = [
        "a'b\"c.md",
        "$(touch pwned).md",
        "`touch pwned`.md",
        "a;touch pwned;.md",
        "#(touch pwned).md",
        "new\nline.md",
        "-rf.md",
        "\N{SECTION SIGN}.md",
        "~.md",
    ]
    for name in names:
        (place.specs / name).write_text("---\ncommand: 'true'\n---\n")
    run = subprocess.run(
        [*ENTRY, "add", "--", *names],
        check=False,
        env=place.environ,
        cwd=place.specs,
        capture_output=True,
        text=True,
    )
    place.cli("daemon", "start", MAX_CONCURRENT_PROJECTS="3")

    assert (run.returncode, len(run.stdout.splitlines())) == (0, len(names))
    assert place.try_cli("wait", "1-9", "--timeout", "60").returncode == 0
    assert list(place.folder.rglob("pwned")) == []
    place.cli("daemon", "stop")


def test_a_name_that_is_no_text_is_refused(old):
    answer = subprocess.run(
        [*ENTRY, "add", "--allow-missing", b"caf\xe9.md"],
        check=False,
        env=old.environ,
        cwd=old.folder,
        capture_output=True,
    )

    assert answer.returncode == 2
    assert b"the path is not UTF-8 text" in answer.stderr
    assert old.cli("list") == ""


@pytest.mark.parametrize(("number", "code"), [("0", 3), ("-1", 2), ("9" * 40, 3), ("one", 3)])
def test_an_id_that_is_none_is_one_line_and_changes_nothing(old, number, code):
    old.add("a", "command: make")

    answer = old.try_cli("retry", number)

    assert (answer.returncode, answer.stdout) == (code, "")
    assert len(answer.stderr.splitlines()) == 1
    assert old.status(1) == "queued"


# -- entry --------------------------------------------------------------------------------------


def test_old_flags_go_the_old_way(place):
    answer = place.try_cli("--queue-list")

    assert (answer.returncode, answer.stdout) == (0, "No queued projects\n")


def test_the_old_file_keeps_its_state_in_the_working_folder(place):
    environ = {k: v for k, v in place.environ.items() if k != "TMUX_ORCHESTRATOR_HOME"}
    work = place.folder / "work"
    work.mkdir(mode=0o700)
    spec = place.write_spec("docs", "command: make")

    answer = subprocess.run(
        [sys.executable, str(ROOT / "scheduler.py"), "add", "-q", str(spec)],
        check=False,
        env=environ,
        cwd=work,
        capture_output=True,
        text=True,
    )

    assert (answer.stdout, (work / "task_queue.db").exists()) == ("1\n", True)


@pytest.mark.parametrize(
    "arguments", [["list"], ["show", "1"], ["add", "SPEC"], ["status"], ["done", "1"]]
)
def test_everyday_verbs_load_nothing_heavy(old, arguments):
    old.add("docs", "")
    spec = str(old.write_spec("plain"))
    arguments = [spec if word == "SPEC" else word for word in arguments]
    script = (
        "import sys; from scheduler_entrypoint import main; code = main(sys.argv[1:]); "
        f"heavy = [name for name in {(*HEAVY, 'yaml')!r} if name in sys.modules]; "
        "print(heavy, file=sys.stderr)"
    )

    answer = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        check=False,
        env={**old.environ, "PYTHONPATH": str(ROOT)},
        cwd=old.folder,
        capture_output=True,
        text=True,
    )

    assert answer.stderr.splitlines()[-1] == "[]"


def test_an_old_daemon_flag_of_the_new_command_keeps_its_old_name(place):
    daemon = subprocess.Popen(
        [sys.executable, str(ROOT / "scheduler_entrypoint.py"), "--daemon", "--mode", "queue"],
        env=place.environ,
        cwd=place.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    place.daemons.append(daemon)
    command = Path(f"/proc/{daemon.pid}/cmdline")

    wait_until(lambda: b"scheduler.py\0--daemon\0--mode\0queue" in command.read_bytes())
    wait_until(lambda: place.try_cli("daemon", "status").returncode == 0)


def test_the_first_verb_on_an_old_file_says_once_what_it_did_to_it(place):
    with_18_columns(place.home / "task_queue.db")

    first, second = place.try_cli("list"), place.try_cli("list")

    backups = list((place.home / "backups").iterdir())
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stderr == (
        f"{place.home}/task_queue.db was brought up to date; as it was it is kept as {backups[0]}\n"
    )
    assert second.stderr == ""


def test_an_index_that_an_old_file_does_not_allow_is_told_in_words(place):
    with_broken_rules(place.home / "task_queue.db")

    said = place.try_cli("list").stderr

    assert "rows of an old program keep index" in said
    assert "database_index_skipped" not in said
