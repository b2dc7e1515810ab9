"""`status`, `daemon status`, `daemon stop`, `config`, `completion`: how things stand."""

import pytest

from scheduler_modules.cli.output import Terminal
from scheduler_modules.errors import SchedulerError
from tests.cli_world import DAEMON_PID, Stream, run_elsewhere


def ended(cli, stem, *, success):
    project_id = cli.add(stem)
    cli.queue.claim_next("d")
    cli.queue.finish(project_id, success=success, reason=None if success else "exit 3")
    return project_id


def test_a_running_daemon_is_told_with_pid_and_duties(cli):
    cli.start_daemon()

    first = cli.call("status").lines[0]

    assert first.startswith(f"● daemon runs: default, pid {DAEMON_PID}, started ")
    assert first.endswith("duties: launch, checkin")


def test_without_a_daemon_the_first_line_says_so(cli):
    answer = cli.call("status", is_tty=True, NO_COLOR="1")

    assert answer.lines[0] == "✗ no daemon runs, so nothing is started"
    assert "next: tmux-orchestrator daemon start" in answer.err


def test_a_daemon_for_checkins_alone_starts_no_projects(cli):
    cli.locks.mode("checkin").try_acquire()

    assert cli.call("status").lines[0] == (
        "! daemon runs, but none that starts projects: checkin, this process"
    ).replace("this process", "daemon")


def test_when_all_is_well_it_says_that_nothing_needs_a_person(cli):
    cli.start_daemon()
    cli.add("docs")

    assert cli.call("status").lines[1:] == [
        "✓ nothing needs you",
        "○ next: 1  docs  (1 of 1 slots free)",
        "  1 queued",
    ]


def test_what_needs_a_person_is_listed_with_its_reason(cli):
    cli.start_daemon()
    cli.store.insert_row(spec_path="/s/old.md", status="zombie", error_message="no session")
    cli.call("add", str(cli.write_spec("b", "command: x\nafter: [a.md]")))

    answer = cli.call("status", is_tty=True, NO_COLOR="1")

    assert answer.lines[1:3] == [
        "! needs you: 1  old  no session",
        "! needs you: 2  b  after a.md, which is not queued",
    ]
    assert "next: tmux-orchestrator show 1" in answer.err


def in_trouble(cli):
    cli.start_daemon()
    cli.locks.mode("default").tell("tmux is not installed, or not on PATH")


def test_a_daemon_in_trouble_is_told_first_and_nothing_is_said_to_be_well(cli):
    in_trouble(cli)

    lines = cli.call("status").lines

    assert lines[0] == "! the daemon is in trouble: tmux is not installed, or not on PATH"
    assert lines[1].startswith("● daemon runs: ")
    assert "✓ nothing needs you" not in lines


def test_daemon_status_tells_of_trouble_too(cli):
    in_trouble(cli)

    assert cli.call("daemon", "status").lines[0] == (
        "! the daemon is in trouble: tmux is not installed, or not on PATH"
    )


@pytest.mark.parametrize("verb", [["status"], ["daemon", "status"]])
def test_json_tells_of_trouble(cli, verb):
    in_trouble(cli)

    told = cli.call(*verb, "--json").json

    trouble = "tmux is not installed, or not on PATH"
    assert (told["trouble"], told["daemons"][0]["trouble"]) == (trouble, trouble)


def test_what_runs_on_another_machine_is_said_to_hold_a_slot(cli):
    run_elsewhere(cli)

    assert "● running on workbench: 1  docs  (holds a slot)" in cli.call("status").lines
    (told,) = cli.call("status", "--json").json["elsewhere"]
    assert (told["id"], told["host"]) == (1, "workbench")


def test_what_failed_within_a_day_is_listed(cli):
    ended(cli, "docs", success=False)
    cli.clock.advance(60)

    assert "✗ failed 1m ago: 1  docs  exit 3" in cli.call("status").lines


def test_what_failed_before_is_not(cli):
    cli.start_daemon()
    ended(cli, "docs", success=False)
    cli.clock.advance(86_401)

    assert cli.call("status").lines[1] == "✓ nothing needs you"


def test_counts_use_the_words_of_people(cli):
    ended(cli, "done", success=True)
    cli.add_running("runs")

    assert cli.call("status").lines[-1] == "  1 completed, 1 running"


@pytest.mark.parametrize("status", [None, "", " "])
def test_rows_without_a_status_are_counted_as_having_none(cli, status):
    cli.store.insert_row(spec_path="/s/old.md", status=status)

    assert cli.call("status").lines[-1] == "  1 (none)"
    assert cli.call("status", "--json").json["counts"] == {"": 1}


def test_an_empty_queue_has_no_counts(cli):
    assert cli.call("status").lines[-2:] == [
        "○ next: nothing  (1 of 1 slots free)",
        "  no projects yet",
    ]


def test_json_answers_the_same_questions(cli):
    cli.start_daemon()
    cli.add("docs")

    told = cli.call("status", "--json").json

    assert told["daemons"] == [
        {
            "mode": "default",
            "pid": DAEMON_PID,
            "since": told["daemons"][0]["since"],
            "duties": ["launch", "checkin"],
            "trouble": None,
        }
    ]
    assert (told["is_launching"], told["needs_you"], told["failed"]) == (True, [], [])
    assert (told["next"]["id"], told["slots"], told["free_slots"]) == (1, 1, 1)
    assert (told["counts"], told["home"]) == ({"queued": 1}, str(cli.home))


def test_quiet_says_nothing(cli):
    assert cli.call("status", "-q").out == ""


# -- daemon status, daemon stop -----------------------------------------------------------------


def test_daemon_status_is_0_while_one_starts_projects(cli):
    cli.start_daemon()

    answer = cli.call("daemon", "status")

    assert answer.code == 0
    assert answer.out.startswith(f"daemon runs: default, pid {DAEMON_PID}")


def test_daemon_status_is_7_without_one(cli):
    answer = cli.call("daemon", "status")

    assert (answer.code, answer.out) == (7, "no daemon runs that starts projects\n")


def test_daemon_status_is_7_with_one_for_checkins_alone(cli):
    cli.locks.mode("checkin").try_acquire()

    answer = cli.call("daemon", "status")

    assert (answer.code, len(answer.lines)) == (7, 2)


def test_an_old_daemon_counts_as_one(cli):
    cli.lock_table.seize("scheduler-queue", "an old daemon")

    assert cli.call("daemon", "status").code == 0


def test_daemon_status_as_json(cli):
    assert cli.call("daemon", "status", "--json").json == {
        "daemons": [],
        "is_launching": False,
        "trouble": None,
    }


def test_daemon_status_quietly_is_an_exit_code(cli):
    answer = cli.call("daemon", "status", "-q")

    assert (answer.code, answer.out, answer.err) == (7, "", "")


def test_the_daemon_that_holds_the_lock_is_stopped(cli):
    cli.start_daemon()
    process = cli.processes.identity(DAEMON_PID)
    cli.meanwhile = cli.stop_daemon

    answer = cli.call("daemon", "stop")

    assert (answer.code, cli.processes.is_alive(process)) == (0, False)
    assert answer.lines == [
        f"daemon stopped (default, pid {DAEMON_PID})",
        "running projects go on",
    ]


def test_stopping_without_a_daemon_is_fine(cli):
    answer = cli.call("daemon", "stop")

    assert (answer.code, answer.out) == (0, "no daemon was running\n")


def test_a_daemon_of_another_mode_is_left_alone(cli):
    cli.start_daemon()

    answer = cli.call("daemon", "stop", "--mode", "checkin", "--json")

    assert (answer.code, answer.json) == (0, {"stopped": []})
    assert cli.processes.identity(DAEMON_PID) is not None


def test_of_a_mode_that_does_not_run_it_is_said_what_does(cli):
    cli.start_daemon()

    assert cli.call("daemon", "stop", "--mode", "queue").out == (
        "no queue daemon was running; left running: default\n"
    )


def test_a_plain_daemon_can_be_stopped_alone(cli):
    cli.start_daemon()
    cli.lock_table.seize("scheduler-checkin", "another")
    cli.meanwhile = cli.stop_daemon

    answer = cli.call("daemon", "stop", "--mode", "default")

    assert (answer.code, answer.lines[0]) == (0, f"daemon stopped (default, pid {DAEMON_PID})")
    assert "scheduler-checkin" in cli.lock_table.holders


def test_a_daemon_that_does_not_stop_is_said_after_ten_seconds(cli):
    cli.lock_table.pids["stubborn"] = DAEMON_PID
    cli.lock_table.seize("scheduler-queue", "stubborn")
    cli.processes.start(pid=DAEMON_PID, ignores_term=True)

    answer = cli.call("daemon", "stop")

    assert (answer.code, answer.err.splitlines()) == (
        1,
        [
            "waiting until the daemon stops (at most 10 s)",
            f"error: the daemon (pid {DAEMON_PID}) still runs 10 s after SIGTERM",
        ],
    )


def test_a_daemon_nobody_can_name_is_not_guessed(cli):
    cli.lock_table.seize("scheduler-queue", "somebody")

    answer = cli.call("daemon", "stop")

    assert (answer.code, "cannot be told: somebody" in answer.err) == (4, True)


def test_what_stands_in_the_place_of_a_lock_does_not_spoil_an_answer(cli, monkeypatch):
    def broken(self):
        raise SchedulerError("lock file x is a folder")

    monkeypatch.setattr("tests.fakes.lock.FakeLock.is_free", broken)

    answer = cli.call("add", str(cli.write_spec("docs")))

    assert (answer.code, cli.status(1)) == (0, "queued")
    assert "whether a daemon runs cannot be told: lock file x is a folder" in answer.err


# -- config, completion -------------------------------------------------------------------------


def test_settings_are_told_with_their_origin(cli):
    rows = cli.call("config").rows

    assert ["TMUX_ORCHESTRATOR_HOME", str(cli.home), "environment"] in rows
    assert ["KEEP_SESSIONS", "failed", "default"] in rows


def test_values_are_told_as_they_are_written(cli):
    rows = {row[0]: row[1:] for row in cli.call("config", KILL_GRACE_SEC="2.50").rows}

    assert rows["SMTP_USE_TLS"][0] == "true"
    assert rows["KILL_GRACE_SEC"] == ["2.5", "environment"]
    assert rows["RETRY_DELAY_SEC"][0] == "30"


def test_a_long_value_does_not_shift_the_column_of_origins(cli):
    command = "python3 /home/me/programs/agent.py --with {spec}"

    lines = cli.call("config", is_tty=True, NO_COLOR="1", PROJECT_COMMAND=command).lines

    at = next(n for n, line in enumerate(lines) if line.startswith("PROJECT_COMMAND"))
    assert lines[at].split(None, 1)[1] == command
    assert lines[at + 1] == " " * 64 + "environment"
    (tick,) = (line for line in lines if line.startswith("TICK_SEC"))
    assert tick.index("default") == 64


def test_a_secret_is_masked_everywhere(cli):
    for arguments in (["config"], ["config", "--json"]):
        for is_tty in (False, True):
            answer = cli.call(*arguments, is_tty=is_tty, SMTP_PASSWORD="hunter2")
            assert "hunter2" not in answer.out
            assert "***" in answer.out


def test_json_keeps_numbers_and_truths(cli):
    told = {s["name"]: s for s in cli.call("config", "--json").json["settings"]}

    assert told["TICK_SEC"]["value"] == 0.5
    assert told["SMTP_USE_TLS"]["value"] is True
    assert told["TMUX_ORCHESTRATOR_HOME"]["value"] == str(cli.home)
    assert told["SMTP_PASSWORD"]["is_secret"] is True


def test_a_person_sees_defaults_dimmed(cli):
    lines = cli.call("config", is_tty=True).lines

    assert lines[0].startswith("TMUX_ORCHESTRATOR_HOME")
    assert any(line.startswith("\x1b[2mSCHEDULER_DB_URL") for line in lines)


def test_a_bad_setting_is_said_on_one_line(cli):
    answer = cli.call("config", TICK_SEC="soon")

    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "TICK_SEC='soon' (environment): allowed is" in answer.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_of_each_shell_is_printed(cli, shell):
    answer = cli.call("completion", shell)

    assert (answer.code, answer.err) == (0, "")
    assert f"_TMUX_ORCHESTRATOR_COMPLETE={shell}_complete" in answer.out


def test_the_shell_is_taken_from_the_environment(cli):
    assert "zsh_complete" in cli.call("completion", SHELL="/usr/bin/zsh").out


@pytest.mark.parametrize("arguments", [[], ["tcsh"]])
def test_an_unknown_shell_is_refused(cli, arguments):
    answer = cli.call("completion", *arguments, SHELL="/bin/sh")

    assert (answer.code, answer.out) == (2, "")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("tmux-orchestrator li", "plain,list"),
        ("tmux-orchestrator daemon sto", "plain,stop"),
        ("tmux-orchestrator list --st", "plain,--state"),
        ("tmux-orchestrator add spe", "file,spe"),
        ("tmux-orchestrator add --project spe", "dir,spe"),
    ],
)
def test_words_are_completed(cli, monkeypatch, capsys, words, found):
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))

    assert cli.call(_TMUX_ORCHESTRATOR_COMPLETE="bash_complete").code == 0
    assert capsys.readouterr().out.strip() == found


@pytest.mark.parametrize("words", ["tmux-orchestrator lsit x", "tmux-orchestrator daemon strt x"])
def test_behind_a_word_that_is_no_verb_nothing_is_completed(cli, monkeypatch, capsys, words):
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))

    answer = cli.call(_TMUX_ORCHESTRATOR_COMPLETE="bash_complete")

    assert (answer.code, answer.err, capsys.readouterr().out.strip()) == (0, "", "")


@pytest.mark.parametrize("instruction", ["bash_complete", "bash_nonsense", "tcsh_complete", "x"])
def test_a_completion_nobody_asked_for_is_no_trace(cli, instruction):
    answer = cli.call(_TMUX_ORCHESTRATOR_COMPLETE=instruction)

    assert answer.code in {1, 2}
    assert "Traceback" not in answer.err


# -- pauses and times ---------------------------------------------------------------------------


def test_a_paused_queue_and_paused_groups_are_told(cli):
    cli.call("group", "set", "night", "--limit", "1")
    cli.call("pause", "--all", "--group", "night")
    cli.clock.advance(300)

    lines = cli.call("status").lines

    assert "⏸ the queue was paused 5m ago: nothing new starts" in lines
    assert "⏸ group night was paused 5m ago" in lines


def test_what_comes_by_itself_is_told_where_nothing_may_start(cli):
    cli.add("docs", not_before=cli.clock.now() + 900)

    lines = cli.call("status", is_tty=True, NO_COLOR="1").lines

    assert "○ next: 1  docs  starts 22:28:20 (in 15m)  (1 of 1 slots free)" in lines
    told = "○ next: 1  docs  starts 2023-11-14T22:28:20.000Z  (1 of 1 slots free)"
    assert told in cli.call("status").lines


def test_what_is_next_is_told_also_while_no_slot_is_free(cli):
    cli.add_running("docs")
    cli.add("lint")

    assert "○ next: 2  lint  (0 of 1 slots free)" in cli.call("status").lines


def test_what_is_due_beyond_what_was_looked_at_is_told_by_its_time(cli):
    for number in range(51):
        cli.add(f"a{number}", held_at=1.0, priority=1)
    cli.add("docs", not_before=cli.clock.now() + 900)

    told = cli.call("status", is_tty=True, NO_COLOR="1").out

    assert "○ next: nothing before 22:28:20 (in 15m)  (1 of 1 slots free)" in told


def test_json_tells_pauses_and_the_next_time(cli):
    cli.add("docs", not_before=cli.clock.now() + 900)
    cli.call("pause", "--group", "default")
    before = cli.call("status", "--json").json
    cli.call("pause", "--all")

    told = cli.call("status", "--json").json

    assert (before["paused_at"], told["paused_at"]) == (None, "2023-11-14T22:13:20.000Z")
    assert told["paused_groups"] == ["default"]
    assert told["next_due"] == "2023-11-14T22:28:20.000Z"


@pytest.mark.parametrize("words", [("daemon", "--json", "status"), ("daemon", "status", "--json")])
def test_what_all_verbs_share_may_stand_before_a_verb_of_a_verb(cli, words):
    assert cli.call(*words).json["is_launching"] is False


# -- what needs a person, however long the queue ------------------------------------------------


def test_what_waits_in_vain_needs_a_person_however_far_behind_it_stands(cli):
    cli.start_daemon()
    for number in range(60):
        cli.add(f"spec-{number}", priority=1)
    cli.add("stuck", after_keys=("/specs/absent.md",))

    lines = cli.call("status").lines

    assert lines[1] == "! needs you: 61  stuck  after absent.md, which is not queued"
    assert "✓ nothing needs you" not in lines


def test_more_than_are_looked_for_are_said_to_be_at_least_so_many(cli):
    for number in range(52):
        cli.add(f"spec-{number}", after_keys=("/specs/absent.md",))

    told = cli.call("status", "--json").json

    assert "! at least 51 need you: these are the first" in cli.call("status").lines
    assert (len(told["needs_you"]), told["has_more_needs_you"]) == (50, True)


def test_what_is_paused_while_it_runs_and_what_is_stashed_are_told(cli):
    cli.add_running("docs")
    cli.add("lint")
    cli.call("pause", "1", "2")
    cli.tick()

    told = cli.call("status", "--json").json
    lines = cli.call("status").lines

    assert "⏸ paused: 1  docs  (holds a slot)" in lines
    assert "⏸ 1 queued project is stashed: list --state paused" in lines
    assert ([one["id"] for one in told["paused"]], told["stashed"]) == ([1], 1)


def test_a_long_line_is_broken_between_words_on_a_terminal_only(cli, monkeypatch):
    cli.add("docs", name="docs", after_keys=(f"/specs/{'x' * 30}.md",))
    monkeypatch.setenv("COLUMNS", "50")

    lines = cli.call("status", is_tty=True, NO_COLOR="1").lines

    assert lines[1:3] == ["! needs you: 1  docs  after", f"  {'x' * 30}.md, which is not"]
    assert cli.call("status").lines[1].endswith("which is not queued")


def test_a_long_next_step_is_broken_between_words(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stderr = Stream(is_tty=True)

    Terminal(None, Stream(is_tty=True), stderr, {"NO_COLOR": "1"}).next_step(
        "retry 1 2 " + "x" * 50
    )

    assert stderr.getvalue().splitlines() == ["    next: retry 1 2", "      " + "x" * 50]


def test_only_the_symbol_of_a_daemon_that_runs_is_coloured(cli, monkeypatch):
    cli.start_daemon()
    monkeypatch.setenv("COLUMNS", "40")

    first, second = cli.call("status", is_tty=True).lines[:2]

    assert first.startswith("\x1b[32m●\x1b[0m daemon runs: default")
    assert second.startswith("  ") and "\x1b" not in second
