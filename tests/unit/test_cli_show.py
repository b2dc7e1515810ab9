"""`show`: all there is to know, and what to do next."""

import msgspec
import pytest

from scheduler_modules.cli.words import fact_text
from scheduler_modules.errors import TmuxUnavailable
from scheduler_modules.model import Fact, Outcome


def section(answer, name):
    """Return the lines below a heading."""
    lines = answer.lines
    start = lines.index(f"  {name}:") + 1
    found = []
    for line in lines[start:]:
        if not line.startswith("    "):
            break
        found.append(line.strip())
    return found


def field(answer, name):
    return next(
        line.partition(":")[2].strip()
        for line in answer.lines
        if line.strip().startswith(f"{name}:")
    )


def test_the_first_line_answers(cli):
    cli.add_running("docs")

    assert cli.call("show", "1").lines[0] == "1  docs  ● running"


def test_times_are_exact(cli):
    cli.add("docs")

    assert field(cli.call("show", "1"), "queued") == "2023-11-14T22:13:20.000Z"


def test_the_plan_of_the_last_run_is_shown(cli):
    cli.add_running("docs", "command: sh -c 'a b'\nverify: make test\ntimeout_minutes: 90")

    answer = cli.call("show", "1")

    assert field(answer, "command") == "sh -c 'a b'"
    assert field(answer, "verify") == "make test"
    assert field(answer, "time limit") == "1h30m"
    assert field(answer, "retries") == "0 of 0 used"


def test_a_running_project_tells_how_to_enter_it(cli):
    cli.add_running("docs")

    answer = cli.call("show", "1")

    name = cli.run(1).session_name
    assert field(answer, "session") == name
    assert field(answer, "attach") == f"tmux -N -S /fake/tmux.sock attach-session -t={name}"


def test_a_session_that_is_gone_is_said_to_be(cli):
    cli.add_running("docs")
    cli.finish(1)
    cli.tick_for(2)

    answer = cli.call("show", "1")

    assert field(answer, "session") == f"{cli.run(1).session_name}, gone"
    assert "attach:" not in answer.out


def test_a_kept_session_can_still_be_entered(cli):
    cli.add_running("docs")
    cli.finish(1, 3)
    cli.tick_for(2)

    assert "attach-session" in field(cli.call("show", "1"), "attach")


def test_an_unreachable_tmux_does_not_make_a_session_gone(cli):
    cli.add_running("docs")
    cli.finish(1, 3)
    cli.tick_for(2)
    cli.tmux.goes_down()

    answer = cli.call("show", "1")

    assert (answer.code, field(answer, "session")) == (0, cli.run(1).session_name)


def never_launched(cli):
    """Queue a project whose run comes to nothing: its spec is not there. Return the reason."""
    cli.add("docs")
    (cli.specs / "docs.md").rename(cli.specs / "away.md")
    cli.tick(2)
    return f"{cli.specs}/docs.md: no such file: check the path"


def test_what_was_never_launched_has_no_session_and_no_processes(cli):
    never_launched(cli)

    answer = cli.call("show", "1")

    assert cli.facts(1)[-1] == "run_cleaned"
    assert "session" not in answer.out
    assert "processes" not in answer.out


def test_why_nothing_was_launched_is_told_once_and_in_full(cli):
    reason = never_launched(cli)

    answer = cli.call("show", "1")

    assert (answer.lines[0], field(answer, "reason")) == ("1  docs  ✗ failed", reason)
    assert answer.out.count("no such file") == 1


def test_a_long_reason_is_not_cut(cli):
    reason = "because " * 100 + "of this"
    cli.store.insert_row(spec_path="/s/a.md", status="failed", error_message=reason)

    assert field(cli.call("show", "1"), "reason") == reason


def test_a_run_that_was_never_launched_is_no_attempt(cli):
    reason = never_launched(cli)
    (cli.specs / "away.md").rename(cli.specs / "docs.md")
    cli.call("retry", "1")
    cli.tick(2)

    first, second = section(cli.call("show", "1"), "runs")

    assert first == f"-, not launched, 2023-11-14T22:13:20.000Z: {reason}"
    assert second.startswith("1, running, from ")


def test_a_timed_out_run_is_told_in_words(cli):
    cli.add_running("docs", "command: make\ntimeout_minutes: 1")
    cli.tick_for(90)

    assert section(cli.call("show", "1"), "runs")[0].startswith("1, timed out, from ")


def test_a_session_on_another_machine_is_entered_there(cli):
    cli.add_running("docs")
    run = cli.run(1)
    cli.store.save_run(msgspec.structs.replace(run, host="workbench"))

    answer = cli.call("show", "1", is_tty=True)

    assert field(answer, "session") == f"{run.session_name} on workbench; attach there"
    assert "attach-session" not in answer.out
    assert "next: tmux-orchestrator wait 1" in answer.err


def test_what_runs_is_never_said_to_be_processing(cli):
    cli.call("add", str(cli.write_spec("first")))
    cli.call("add", str(cli.write_spec("second", "command: x\nafter: [first.md]")))
    cli.tick()

    assert section(cli.call("show", "2"), "after")[0].startswith("○ 1 running")
    assert field(cli.call("show", "1"), "status") == "running"


def test_every_run_is_told_with_its_end(cli):
    cli.add_running("docs", "command: make\nretries: 1")
    cli.finish(1, 3)
    cli.tick()
    cli.tick_for(40)
    cli.finish(1, 0)
    cli.tick()

    first, second = section(cli.call("show", "1"), "runs")

    assert first.startswith("1, failed, from 2023-11-14T22:13:20.000Z, to ")
    assert "exit 3" in first
    assert second.startswith("2, completed, from ")


def test_a_run_that_was_launched_again_after_a_crash_says_so(cli):
    cli.add("docs")
    cli.tmux.refuse_next(TmuxUnavailable("tmux did not answer"))
    cli.tick(2)

    (run,) = section(cli.call("show", "1"), "runs")

    assert "launched again after a crash" in run


def test_what_a_run_said_of_itself_is_told(cli):
    cli.add_running("docs")
    cli.report(1, Outcome.FAILED, "no key")

    assert 'reported failed "no key"' in section(cli.call("show", "1"), "runs")[0]


def test_dependencies_are_told_with_their_state(cli):
    cli.call("add", str(cli.write_spec("first")))
    cli.call("add", str(cli.write_spec("second", "command: x\nafter: [first.md, absent.md]")))

    told = section(cli.call("show", "2"), "after")

    assert told == [
        f"○ 1 queued  {cli.specs}/first.md",
        f"○ not queued  {cli.specs}/absent.md",
    ]


def test_a_met_dependency_is_ticked_off(cli):
    cli.call("add", str(cli.write_spec("first")))
    cli.call("add", str(cli.write_spec("second", "command: x\nafter: [first.md]")))
    cli.queue.claim_next("d")
    cli.queue.finish(1, success=True)

    assert section(cli.call("show", "2"), "after")[0].startswith("✓ 1 completed")


def test_logs_are_told_by_window(cli):
    cli.add_running("docs", "windows: [{role: one, command: a}, {role: two, command: b}]")

    told = section(cli.call("show", "1"), "logs")

    token = cli.run(1).token
    assert told == [
        f"one          /fake/logs/runs/{token}/one.log",
        f"two          /fake/logs/runs/{token}/two.log",
    ]


def test_what_happened_is_told_in_order_with_offsets(cli):
    cli.add("docs")
    cli.clock.advance(90)
    cli.tick()

    told = section(cli.call("show", "1"), "what happened")

    assert [line.split()[1:3] for line in told] == [
        ["+0s", "queued"],
        ["+1m", "claimed"],
        ["+1m", "running"],
    ]


@pytest.mark.parametrize(
    ("name", "detail", "text"),
    [
        (
            "project_failed",
            {"outcome": "failed", "reason": "exit 3", "exit_code": 3},
            "failed: exit 3",
        ),
        (
            "project_failed",
            {"outcome": "timed_out", "reason": "timed out after 1h"},
            "failed: timed out after 1h",
        ),
        (
            "project_failed",
            {"outcome": "failed", "reason": "odd", "exit_code": 3},
            "failed (exit code 3): odd",
        ),
        ("project_failed", {"outcome": "timed_out"}, "failed (timed out)"),
        ("project_requeued", {"outcome": "lost"}, "queued again"),
        ("project_completed", {"outcome": "completed", "reason": None}, "completed"),
        ("run_adopted", {"session": "a-1"}, "its session was found again (session a-1)"),
        (
            "run_adopted",
            {"session": "a-1", "by": "launcher"},
            "its launcher has made its session (session a-1)",
        ),
        ("project_removed", {"status": "failed"}, "removed (status failed)"),
        ("project_queued", {"spec_path": "/s/a.md", "priority": 3}, "queued"),
        (
            "project_requeued",
            {"outcome": "lost", "reason": "gone", "retry": 1, "retries": 2},
            "queued again (retry 1): gone",
        ),
        ("project_reported", {"outcome": "failed", "note": "no key"}, "reported (failed): no key"),
        ("project_changed", {"priority": 3}, "changed (priority 3)"),
        ("project_changed", {"start_at": None}, "changed (starts at once)"),
        ("project_changed", {"start_at": 5.0}, "changed (starts 1970-01-01T00:00:05.000Z)"),
        ("project_reset", {"reason": "why", "was": "processing"}, "reset (was running): why"),
        ("something_new", {"some_thing": "a\nb"}, "something new (some thing a b)"),
    ],
)
def test_a_fact_is_told_in_words(name, detail, text):
    assert fact_text(Fact(id=1, at=0.0, name=name, detail=detail)) == text


@pytest.mark.parametrize(
    ("prepare", "step"),
    [
        (lambda cli: cli.add_running("docs"), "logs -f 1"),
        (lambda cli: cli.add("docs"), "wait 1"),
        (lambda cli: cli.store.insert_row(spec_path="/s/a.md", status="failed"), "retry 1"),
        (lambda cli: cli.store.insert_row(spec_path="/s/a.md", status="zombie"), "retry 1"),
        (
            lambda cli: cli.call("add", str(cli.write_spec("b", "command: x\nafter: [a.md]"))),
            "remove 1",
        ),
    ],
)
def test_a_person_is_told_the_next_step(cli, prepare, step):
    prepare(cli)

    assert f"next: tmux-orchestrator {step}" in cli.call("show", "1", is_tty=True).err


def test_what_blocks_a_project_is_the_next_to_be_shown(cli):
    cli.call("add", str(cli.write_spec("a")))
    cli.call("add", str(cli.write_spec("b", "command: x\nafter: [a.md]")))
    cli.queue.claim_next("d")
    cli.queue.finish(1, success=False)

    assert "show 1" in cli.call("show", "2", is_tty=True).err


def test_a_completed_project_leads_to_its_logs(cli):
    cli.add_running("docs")
    cli.finish(1)
    cli.tick()

    assert cli.call("show", "1", "--json").json["next"] == ["tmux-orchestrator logs 1"]


def test_a_completed_row_of_an_old_program_leads_nowhere(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="completed")

    assert cli.call("show", "1", "--json").json["next"] == []


def test_json_holds_runs_facts_logs_and_how_to_attach(cli):
    cli.add_running("docs")

    told = cli.call("show", "1", "--json").json

    assert (told["id"], told["state"], told["attempt"]) == (1, "running", 1)
    assert [fact["name"] for fact in told["facts"]] == cli.facts(1)
    assert told["runs"][0]["attempt"] == 1
    assert told["attach"][0] == "tmux"
    assert told["dependencies"] == []
    assert list(told["logs"]) == ["main"]


def test_no_token_leaves_us_but_in_the_paths_of_logs(cli):
    cli.add_running("docs")

    told = cli.call("show", "1", "--json").json

    assert cli.run(1).token not in str({**told, "logs": {}})


def test_quiet_prints_the_id(cli):
    cli.add("docs")

    assert cli.call("show", "docs", "-q").out == "1\n"


def test_a_row_without_a_run_is_shown_too(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="completed", session_name="old-impl-1")

    answer = cli.call("show", "1")

    assert field(answer, "session") == "old-impl-1, gone"


def test_a_plan_that_cannot_be_read_is_left_out(cli):
    cli.add_running("docs")
    run = cli.run(1)
    cli.store.save_run(
        type(run)(**{n: getattr(run, n) for n in run.__struct_fields__} | {"plan": "{broken"})
    )

    answer = cli.call("show", "1")

    assert (answer.code, "command:" in answer.out) == (0, False)


def test_group_host_and_times_are_shown(cli):
    cli.add("docs", group="night", host="workbench", not_before=cli.clock.now() + 60)

    answer = cli.call("show", "1")

    assert field(answer, "group") == "night"
    assert field(answer, "only on") == "workbench"
    assert field(answer, "starts") == "2023-11-14T22:14:20.000Z"


def test_what_is_set_aside_is_shown_with_the_way_back(cli):
    cli.add("docs")
    cli.call("stash", "1")

    answer = cli.call("show", "1", is_tty=True, NO_COLOR="1")

    assert field(answer, "set aside") == "2023-11-14T22:13:20.000Z"
    assert answer.lines[0] == "1  docs  ⏸ paused  stashed 0s ago"
    assert "next: tmux-orchestrator resume 1" in answer.err


@pytest.mark.parametrize("what", ["--all", "--group default"])
def test_what_stands_below_a_pause_is_shown_with_the_way_back(cli, what):
    cli.add("docs")
    cli.call("pause", *what.split())

    told = cli.call("show", "1", "--json").json

    assert told["next"] == [f"tmux-orchestrator resume {what}"]


def test_a_paused_run_is_shown_with_the_way_back(cli):
    cli.add_running("docs")
    cli.call("pause", "1")
    cli.tick()
    cli.clock.advance(60)

    told = cli.call("show", "1", "--json").json

    assert told["next"] == ["tmux-orchestrator resume 1"]
    assert (told["state"], told["note"]) == ("paused", "paused since 2023-11-14T22:13:20.000Z")
    assert "paused 1m ago" in cli.call("show", "1", is_tty=True).lines[0]


def test_a_paused_run_of_before_a_boot_is_not_said_to_be_paused_since(cli):
    cli.add_running("docs")
    cli.call("pause", "1")
    cli.tick()
    cli.clock.reboot()

    assert cli.call("show", "1", "--json").json["note"] is None


def test_a_pause_of_what_starts_is_said_to_come(cli):
    cli.add("docs")
    cli.queue.claim_next("d")
    cli.call("pause", "1")

    note = cli.call("show", "1", "--json").json["note"]

    assert note == "paused once it has started, starting"


def test_what_a_person_changed_is_told_in_words(cli):
    cli.add("lint")
    cli.add("docs")
    cli.call("edit", "2", "--priority", "3", "--group", "default", "--start-at", "in 1h")
    cli.call("edit", "2", "--after", "lint", "--host", "workbench")
    cli.call("edit", "2", "--host", "any", "--after", "none")
    cli.call("stash", "2")
    cli.call("resume", "2")

    lines = cli.call("show", "2").lines

    told = [line.split("  ")[-1].strip() for line in lines[lines.index("  what happened:") + 1 :]]
    assert told == [
        "queued",
        "changed (priority 3)",
        "changed (group default)",
        "changed (starts 2023-11-14T23:13:20.000Z)",
        "changed (after lint.md)",
        "changed (host workbench)",
        "changed (after none)",
        "changed (host any)",
        "paused",
        "resumed",
    ]
