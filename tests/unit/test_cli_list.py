"""`list`: what needs a person first, one symbol and one word per state, cheap first page."""

import re

import pytest

from scheduler_modules.model import Outcome
from tests.cli_world import run_elsewhere

VERIFIED = "command: make\nverify: make test"


def ended(cli, stem, *, success=True, reason=None):
    project_id = cli.add(stem)
    cli.queue.claim_next("d")
    cli.queue.finish(project_id, success=success, reason=reason)
    cli.store.mark_cleaned(cli.run(project_id).token, cli.clock.now())
    return project_id


def test_what_needs_a_person_comes_first_then_running_queued_and_ended(cli):
    completed = ended(cli, "lint")
    failed = ended(cli, "migrate", success=False, reason="exit 3")
    running = cli.add_running("api")
    queued = cli.add("docs")
    stuck = cli.store.insert_row(spec_path="/specs/old.md", status="ZOMBIE")

    rows = cli.call("list").rows

    assert [int(row[0]) for row in rows] == [stuck, running, queued, failed, completed]


def test_a_record_has_id_state_name_priority_time_and_note(cli):
    cli.add("docs", priority=4)

    assert cli.call("list").rows == [["1", "queued", "docs", "4", "2023-11-14T22:13:20.000Z", "-"]]


@pytest.mark.parametrize("name", ["tab\there", "new\nline", "\x1b[31mred", "\x9bx"])
def test_a_name_never_breaks_a_record(cli, name):
    cli.add("docs", name=name)

    (row,) = cli.call("list").rows

    assert len(row) == 6
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", "".join(row))


def test_a_person_sees_a_table_with_symbols_and_relative_times(cli):
    cli.add_running("api-tests")
    cli.add("docs")
    cli.clock.advance(720)

    answer = cli.call("list", is_tty=True, NO_COLOR="1")

    header, running, queued = answer.lines
    assert header.split() == ["ID", "STATE", "PROJECT", "PRIO", "TIME", "NOTE"]
    assert running.split() == ["1", "●", "running", "api-tests", "0", "12m"]
    assert queued.split() == ["2", "○", "queued", "docs", "0", "waits", "12m"]


def test_an_ended_project_shows_how_long_it_took_and_when_that_was(cli):
    cli.add_running("lint")
    cli.clock.advance(120)
    cli.queue.finish(1, success=True)
    cli.clock.advance(480)

    table = cli.call("list", is_tty=True, NO_COLOR="1").lines

    assert table[1].split() == ["1", "✓", "completed", "lint", "0", "2m,", "8m", "ago"]


def test_colours_are_for_terminals_that_want_them(cli):
    cli.add_running()

    assert "\x1b[" in cli.call("list", is_tty=True).out
    for environ in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in cli.call("list", is_tty=True, **environ).out


def test_markup_in_a_name_is_text(cli):
    cli.add("docs", name="[bold]x[/bold]")

    assert "[bold]x[/bold]" in cli.call("list", is_tty=True, NO_COLOR="1").out


def test_a_table_is_never_wider_than_the_terminal(cli, monkeypatch):
    ended(cli, "a-very-long-name-of-a-project-" * 3, success=False, reason="because " * 40)
    monkeypatch.setenv("COLUMNS", "60")

    table = cli.call("list", is_tty=True, NO_COLOR="1").lines

    assert len(table) == 2
    assert max(len(line) for line in table) <= 60
    assert table[1].split()[:3] == ["1", "✗", "failed"]


def crowd(cli):
    """Queue projects whose every column is wide."""
    cli.store.insert_row(
        spec_path="/s/a.md", status="permanently_failed", error_message="why " * 40
    )
    for _ in range(11):
        cli.store.insert_row(
            spec_path="/s/a-project-of-a-name-that-is-long.md",
            status="processing",
            priority=-1000,
            started_at=cli.clock.now(),
        )
    cli.clock.advance(300_000)


@pytest.mark.parametrize("columns", [50, 60, 80, 200])
def test_id_state_and_priority_are_never_cut(cli, monkeypatch, columns):
    crowd(cli)
    monkeypatch.setenv("COLUMNS", str(columns))

    table = cli.call("list", is_tty=True, NO_COLOR="1").lines

    assert len(table) == 13
    assert all(len(line) <= columns for line in table)
    assert all(
        line.split()[:3] == [str(number), "●", "running"] for number, line in _numbered(table)
    )
    assert all(" -1000 " in line for line in table[1:-1])
    assert "✗ permanently_failed " in table[-1]


def _numbered(table):
    return enumerate(table[1:-1], start=2)


@pytest.mark.parametrize(
    ("columns", "name"), [(200, "a-project-of-a-name-that-is-long"), (70, "a-project")]
)
def test_the_note_gives_way_before_the_name(cli, monkeypatch, columns, name):
    crowd(cli)
    monkeypatch.setenv("COLUMNS", str(columns))

    line = cli.call("list", is_tty=True, NO_COLOR="1").lines[1]

    assert name in line
    assert ("started by another program" in line) == (columns == 200)


@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}])
def test_no_row_ends_in_blanks(cli, environ):
    crowd(cli)
    cli.add("waits")

    lines = cli.call("list", is_tty=True, **environ).lines

    shown = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert shown == [line.rstrip() for line in shown]


def test_a_verifying_project_shows_its_command(cli):
    cli.add_running("docs", VERIFIED)
    cli.finish(1)
    cli.tick()

    (row,) = cli.call("list").rows

    assert (row[1], row[5]) == ("verifying", "make test")


def test_a_project_that_reported_says_so(cli):
    cli.add_running()
    cli.report(1, Outcome.COMPLETED)

    assert cli.call("list").rows[0][5] == "reported completed"


def test_a_project_of_another_machine_says_where_it_runs(cli):
    run_elsewhere(cli)

    assert cli.call("list").rows[0][5] == "on workbench, starting"


def test_a_claimed_project_is_starting(cli):
    cli.add()
    cli.queue.claim_next("d")

    assert cli.call("list").rows[0][5] == "starting"


def test_a_processing_row_without_a_run_belongs_to_another_program(cli):
    cli.store.insert_row(spec_path="/specs/a.md", status="processing")

    assert cli.call("list").rows[0][1:6:4] == ["running", "started by another program"]


def test_a_queued_project_says_what_it_waits_for(cli):
    first = cli.add("first")
    cli.call("add", str(cli.write_spec("second", "command: x\nafter: [first.md]")))

    assert cli.call("list").rows[1][5] == f"after {first}"


def test_waiting_for_what_failed_needs_a_person(cli):
    failed = ended(cli, "first", success=False, reason="exit 1")
    running = cli.add_running("other")
    cli.call("add", str(cli.write_spec("second", "command: x\nafter: [first.md]")))

    rows = cli.call("list").rows

    assert [int(row[0]) for row in rows] == [3, running, failed]
    assert rows[0][5] == f"! after {failed}, which failed"


def test_a_dependency_that_is_over_in_another_way_is_named_so(cli):
    path = cli.write_spec("first")
    cli.call("add", str(path))
    cli.call("add", str(cli.write_spec("second", "command: x\nafter: [first.md]")))
    before = cli.get(1)
    cli.store.save_project(before, type(before)(**{**_fields(before), "status": "retried"}))

    assert "! after 1, which is retried" in cli.call("list").out


def _fields(project):
    return {name: getattr(project, name) for name in project.__struct_fields__}


def test_a_retry_says_which_when_and_why(cli):
    cli.add_running("migrate", "command: make\nretries: 2")
    cli.finish(1, 3, said="no such table: users\n")
    cli.tick()

    (row,) = cli.call("list").rows

    assert row[1] == "queued"
    assert re.fullmatch(
        r'retry 1 of 2 at 2023-11-14T22:13:\d\d\.\d00Z: exit 3: "no such table: users"', row[5]
    )
    told = cli.call("list", is_tty=True, NO_COLOR="1").out
    assert re.search(r'retry 1 of 2 in 2\ds: exit 3: "no such t', told)


def test_a_retry_whose_time_has_come_just_says_which(cli):
    cli.add_running("migrate", "command: make\nretries: 2")
    cli.finish(1, 3)
    cli.tick()
    cli.clock.advance(600)

    assert cli.call("list").rows[0][5] == "retry 1 of 2: exit 3"


def test_without_a_daemon_nobody_is_said_to_end_old_processes(cli):
    cli.add_running()
    cli.stop_daemon()

    cli.call("reset", "1", "--yes")

    assert cli.call("list").rows[0][5] == "reset: a daemon has to end its old processes"


def test_a_reset_project_says_that_old_processes_are_being_ended(cli):
    cli.add_running()

    cli.call("reset", "1", "--yes")

    assert cli.call("list").rows[0][5] == "reset: old processes are being ended"


def test_a_failed_project_says_why(cli):
    ended(cli, "migrate", success=False, reason='exit 3: "no such table: users"')

    assert cli.call("list").rows[0][5] == 'exit 3: "no such table: users"'


def test_a_word_that_is_no_state_needs_a_person(cli):
    cli.store.insert_row(spec_path="/specs/old.md", status="Borked")

    told = cli.call("list", "--json").json["projects"][0]

    assert (told["state"], told["status"]) == ("borked", "borked")
    assert "retry puts it in the queue" in told["needs_you"]
    assert "? borked" in cli.call("list", is_tty=True, NO_COLOR="1").out


def test_the_first_page_is_short_and_says_what_is_left_out(cli):
    for number in range(12):
        ended(cli, f"done-{number}")
    for number in range(60):
        cli.add(f"spec-{number}")

    answer = cli.call("list")

    assert len(answer.lines) == 60
    assert answer.err == "2 more completed, 10 more queued: list --all\n"


def test_the_last_to_end_are_shown_whatever_their_ids(cli):
    first = cli.add("first")
    for number in range(12):
        ended_id = cli.store.insert_row(
            spec_path=f"/s/{number}.md", status="completed", completed_at=cli.clock.now() - 60
        )
    cli.queue.claim_next("d")
    cli.queue.finish(first, success=True)

    rows = cli.call("list", "-n", "3").rows

    assert [int(row[0]) for row in rows] == [first, ended_id, ended_id - 1]


def test_with_all_everything_is_shown(cli):
    for number in range(60):
        cli.add(f"spec-{number}")

    answer = cli.call("list", "--all")

    assert (len(answer.lines), answer.err) == (60, "")


def test_a_count_limits_queued_and_ended(cli):
    ended(cli, "done")
    cli.add("a")
    cli.add("b")

    assert len(cli.call("list", "-n", "1").lines) == 2
    assert cli.call("list", "-n", "0").lines == []


@pytest.mark.parametrize(
    ("state", "ids"),
    [
        ("queued", [3]),
        ("running", [2]),
        ("RUNNING", [2]),
        ("processing", [2]),
        ("completed", [1]),
        ("verifying", []),
    ],
)
def test_one_state_can_be_asked_for(cli, state, ids):
    ended(cli, "done")
    cli.add_running("runs")
    cli.add("waits")

    assert [int(row[0]) for row in cli.call("list", "--state", state).rows] == ids


def test_verifying_and_running_are_told_apart(cli):
    cli.add_running("docs", VERIFIED)
    cli.finish(1)
    cli.tick()

    assert cli.call("list", "--state", "verifying", "-q").out == "1\n"
    assert cli.call("list", "--state", "running", "-q").out == ""


def test_an_unknown_state_is_refused_with_the_known_ones(cli):
    answer = cli.call("list", "--state", "sleeping")

    assert answer.code == 2
    assert (
        'error: --state "sleeping": no such state; known: running, verifying, paused, queued'
        in (answer.err)
    )


def test_a_word_of_an_old_program_can_be_asked_for_where_it_is_used(cli):
    cli.store.insert_row(spec_path="/s/a.md", status="credit_paused")

    assert cli.call("list", "--state", "credit_paused", "-q").out == "1\n"


def test_a_batch_can_be_asked_for(cli):
    cli.add("a", batch_id="night")
    cli.add("b")

    answer = cli.call("list", "--batch", "night")

    assert ([row[0] for row in answer.rows], answer.err) == (["1"], "")


def test_a_filter_that_matches_nothing_is_named(cli):
    cli.add("a", batch_id="night")

    answer = cli.call("list", "--state", "failed", "--batch", "night", is_tty=True)

    assert (answer.out, answer.err) == ("", 'no project matches --state "failed" --batch "night"\n')


def test_quiet_prints_ids(cli):
    cli.add("a")
    cli.add("b")

    assert cli.call("list", "-q").out == "1\n2\n"


def test_json_has_numbers_snake_case_and_utc_times(cli):
    cli.add("docs", priority=2)

    (told,) = cli.call("list", "--json").json["projects"]

    assert (told["id"], told["priority"], told["queued_at"], told["started_at"]) == (
        1,
        2,
        "2023-11-14T22:13:20.000Z",
        None,
    )


def test_json_says_how_many_are_left_out(cli):
    cli.add("a")
    cli.add("b")

    assert cli.call("list", "-n", "1", "--json").json["left_out"] == {"queued": 1}


def test_an_empty_queue_is_no_data_and_one_remark(cli):
    answer = cli.call("list")

    assert (answer.code, answer.out, answer.err) == (0, "", "no projects\n")


def test_a_person_with_an_empty_queue_is_told_the_first_step(cli):
    assert "next: tmux-orchestrator add SPEC" in cli.call("list", is_tty=True).err


# -- groups, hosts, pauses, times ---------------------------------------------------------------


def heads(cli):
    return cli.call("list", is_tty=True, NO_COLOR="1").lines[0].split()


def test_groups_have_a_column_where_there_are_some(cli):
    cli.add("docs", group="night")
    cli.add("lint")

    lines = cli.call("list", is_tty=True, NO_COLOR="1").lines

    assert lines[0].split()[:5] == ["ID", "STATE", "PROJECT", "GROUP", "PRIO"]
    assert [line.split()[4] for line in lines[1:]] == ["night", "-"]


def test_hosts_have_a_column_where_others_are_meant(cli):
    run_elsewhere(cli)

    assert "HOST" in heads(cli)


def test_what_is_pinned_to_this_host_needs_no_column(cli):
    cli.add("docs", host="here")

    assert heads(cli) == ["ID", "STATE", "PROJECT", "PRIO", "TIME", "NOTE"]


def test_a_long_group_gives_way_before_the_line_does(cli, monkeypatch):
    cli.add("docs", group="g" * 40)
    monkeypatch.setenv("COLUMNS", "60")

    lines = cli.call("list", is_tty=True, NO_COLOR="1").lines

    assert max(len(line) for line in lines) <= 60
    assert "docs" in lines[1]


def test_records_of_a_pipe_have_no_more_fields_with_groups_and_hosts(cli):
    cli.add("docs", group="night", host="workbench")

    (row,) = cli.call("list").rows

    assert row[2:] == ["docs", "0", "2023-11-14T22:13:20.000Z", "only on workbench"]


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"not_before": 1_700_000_000 + 900}, "starts 22:28:20 (in 15m)"),
        ({"host": "w", "not_before": 1_700_000_000 + 60}, "only on w, starts 22:14:20 (in 1m)"),
        ({"held_at": 1_700_000_000 - 60, "host": "w"}, "stashed 1m ago"),
    ],
)
def test_the_note_says_what_keeps_it_from_starting(cli, monkeypatch, fields, note):
    cli.add("docs", **fields)
    monkeypatch.setenv("COLUMNS", "200")

    assert cli.call("list", is_tty=True, NO_COLOR="1").lines[1].endswith(note)


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"not_before": 1_700_000_000 + 900}, "starts 2023-11-14T22:28:20.000Z"),
        ({"not_before": 1_700_000_000 - 900}, "-"),
        ({"held_at": 1_700_000_000 - 60}, "stashed since 2023-11-14T22:12:20.000Z"),
    ],
)
def test_the_note_of_a_record_has_exact_times(cli, fields, note):
    cli.add("docs", **fields)

    assert cli.call("list").rows[0][5] == note
    assert (cli.call("list", "--json", is_tty=True).json["projects"][0]["note"] or "-") == note


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (("pause", "--all"), "the queue is paused"),
        (("stash", "1"), "stashed since 2023-11-14T22:13:20.000Z"),
    ],
)
def test_a_dead_end_is_told_before_a_pause(cli, what, why):
    cli.add("docs", "command: make", after_keys=("/specs/absent.md",))
    cli.call(*what)

    assert cli.call("list").rows[0][5] == f"! after absent.md, which is not queued; {why}"


def test_a_group_can_be_asked_for(cli):
    cli.add("docs", group="night")
    cli.add("lint")

    assert cli.call("list", "--group", "night", "-q").out == "1\n"
    assert cli.call("list", "--group", "default", "-q").out == "2\n"


def test_a_group_without_projects_is_named(cli):
    answer = cli.call("list", "--group", "default")

    assert answer.err == 'no project matches --group "default"\n'


def test_what_is_paused_can_be_asked_for(cli):
    cli.add_running("api")
    cli.add("docs")
    cli.add("lint")
    cli.call("pause", "1", "2")

    assert cli.call("list", "--state", "paused", "-q").out == "1\n2\n"
    assert cli.call("list", "--state", "queued", "-q").out == "3\n"
    assert cli.call("list", "--state", "running", "-q").out == ""


def test_json_tells_group_host_and_pause(cli):
    cli.add("docs", group="night", host="workbench", held_at=cli.clock.now())
    cli.add("lint", not_before=cli.clock.now() + 60)

    held, early = cli.call("list", "--json").json["projects"]

    keys = ("state", "status", "group", "host", "held_at", "start_at", "paused")
    at = "2023-11-14T22:13:20.000Z"
    assert [held[key] for key in keys] == [
        *("paused", "queued", "night", "workbench", at, None, "project")
    ]
    assert [early[key] for key in keys] == [
        *("queued", "queued", "default", None, None, "2023-11-14T22:14:20.000Z", None)
    ]


@pytest.mark.parametrize(
    ("what", "paused"), [(("--all",), "queue"), (("--group", "default"), "group")]
)
def test_json_tells_what_is_paused(cli, what, paused):
    cli.add("docs")
    cli.call("pause", *what)

    assert cli.call("list", "--json").json["projects"][0]["paused"] == paused


def test_a_wait_for_a_retry_is_no_start_time(cli):
    cli.add("docs", "command: make\nretries: 1")
    cli.tick()
    cli.finish(1, 1)
    cli.tick(3)

    (told,) = cli.call("list", "--json").json["projects"]

    assert (told["start_at"], told["not_before"] is None) == (None, False)


class CountingStore:
    """Passes calls on and remembers what was asked for without a limit."""

    def __init__(self, store):
        self._store = store
        self.unlimited = []

    def __getattr__(self, name):
        return getattr(self._store, name)

    def projects(self, statuses=None, **wanted):
        if wanted.get("limit") is None:
            self.unlimited.append(statuses)
        return self._store.projects(statuses, **wanted)


@pytest.mark.parametrize("verb", [("list",), ("show", "docs"), ("status",)])
def test_no_first_page_reads_more_than_it_can_show(cli, verb):
    cli.add_running("docs")
    for status in ("queued", "failed", "zombie"):
        cli.store.insert_row(spec_path=f"/s/{status}.md", status=status)
    counting = cli.store = CountingStore(cli.store)

    assert cli.call(*verb).code == 0

    # What runs is counted to tell the free slots: never more than the limit.
    assert [asked for asked in counting.unlimited if asked != ["processing"]] == []


def test_json_tells_what_a_project_waits_for(cli):
    first = cli.add("lint")
    spec_key = str(cli.specs / "lint.md")
    cli.add("docs", after_keys=(spec_key, "/specs/absent.md"))

    told = cli.call("list", "--json").json["projects"][0]["waits_for"]

    assert told == [
        {"spec_path": spec_key, "project_id": first, "status": "queued", "is_met": False},
        {"spec_path": "/specs/absent.md", "project_id": None, "status": None, "is_met": False},
    ]


# -- limits and filters -------------------------------------------------------------------------


def test_a_limit_counts_what_the_filter_lets_through(cli):
    for number in range(5):
        cli.add(f"held-{number}", held_at=1.0, priority=9)
    for number in range(4):
        cli.add(f"waits-{number}")

    answer = cli.call("list", "--state", "queued", "-n", "2")

    assert [row[0] for row in answer.rows] == ["6", "7"]
    assert answer.err == "2 more queued: leave out -n\n"


def test_what_runs_is_not_limited_where_paused_is_asked_for(cli):
    cli.add_running("api")
    cli.add("docs")
    cli.add("lint")
    cli.call("pause", "1", "2", "3")

    told = cli.call("list", "--state", "paused", "-n", "1", "--json").json

    assert ([one["id"] for one in told["projects"]], told["left_out"]) == ([1, 2], {"queued": 1})


@pytest.mark.parametrize(
    ("wanted", "left_out"),
    [
        (("--group", "night"), {"completed": 1, "queued": 2}),
        (("--batch", "b"), {"queued": 1}),
        (("--batch", "b", "--group", "default"), {}),
        (("--state", "completed"), {"completed": 2}),
        (("--state", "completed", "--group", "night"), {"completed": 1}),
    ],
)
def test_what_a_limit_leaves_out_of_a_filter_is_counted(cli, wanted, left_out):
    for number in range(2):
        cli.add(f"done-{number}", group="night")
        cli.queue.claim_next("d")
        cli.queue.finish(number + 1, success=True)
    ended(cli, "other")
    for number in range(3):
        cli.add(f"spec-{number}", group="night", batch_id="b" if number else None)
    cli.add("else", batch_id="c")

    assert cli.call("list", *wanted, "-n", "1", "--json").json["left_out"] == left_out


def test_a_filter_without_a_limit_leaves_nothing_out(cli):
    for number in range(60):
        cli.add(f"spec-{number}", group="night")

    told = cli.call("list", "--group", "night", "--json").json

    assert (len(told["projects"]), told["left_out"]) == (60, {})


def test_what_waits_in_vain_comes_first_however_far_behind_it_stands(cli):
    for number in range(60):
        cli.add(f"spec-{number}", priority=1)
    stuck = cli.add("stuck", after_keys=("/specs/absent.md",))

    for asked in ((), ("-n", "1"), ("--group", "default", "-n", "1")):
        assert cli.call("list", *asked).rows[0][0] == str(stuck)
    assert cli.call("list", "--group", "night", "-n", "1").rows == []
    assert cli.call("list", "--json").json["left_out"] == {"queued": 10}


def test_more_in_vain_than_are_looked_for_are_said_to_be_at_least_so_many(cli):
    for number in range(52):
        cli.add(f"spec-{number}", after_keys=("/specs/absent.md",))

    said = cli.call("list").err.splitlines()

    assert said == [
        "2 more queued: list --all",
        "at least 50 wait for what will not come by itself",
    ]


# -- what changes while it is looked at ---------------------------------------------------------


class Looks:
    """A store whose look at open runs is another one; passes all else on."""

    def __init__(self, store, open_runs):
        self._store = store
        self.open_runs = open_runs

    def __getattr__(self, name):
        return getattr(self._store, name)


def test_a_run_that_ends_between_two_looks_is_told_as_ended(cli):
    cli.add_running("docs")
    real = cli.store

    def after_its_end():
        cli.queue.finish(1, success=True)
        return real.open_runs()

    cli.store = Looks(real, after_its_end)

    assert [row[1] for row in cli.call("list").rows] == ["completed"]


def test_a_run_that_is_found_only_at_the_second_look_is_told(cli):
    cli.add_running("docs", "command: make")
    cli.store = Looks(cli.store, list)

    assert [row[1:6:4] for row in cli.call("list").rows] == [["running", "-"]]


def test_a_project_removed_while_it_is_read_is_told_as_it_was(cli):
    cli.store.insert_row(spec_path="/s/docs.md", status="processing")
    real = cli.store

    def after_its_removal():
        real.remove_project(real.project(1))
        return []

    cli.store = Looks(real, after_its_removal)

    assert [row[1] for row in cli.call("list").rows] == ["running"]


@pytest.mark.parametrize("option", ["--group", "--batch"])
def test_a_group_or_batch_that_is_not_there_is_not_found(cli, option):
    cli.add("a")

    answer = cli.call("list", option, "nope")

    assert (answer.code, answer.out, "nope" in answer.err) == (3, "", True)
