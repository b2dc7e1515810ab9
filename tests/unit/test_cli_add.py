"""`add`: all specs or none, and the truth about what stands there already."""

import errno
import os

import pytest


def spec(cli, stem="parser", front="command: make all"):
    return str(cli.write_spec(stem, front))


def test_a_spec_is_queued_and_the_answer_says_where_it_stands(cli):
    cli.call("add", spec(cli, "first"))

    answer = cli.call("add", spec(cli, "second"))

    assert (answer.code, answer.out) == (0, "2  second  queued (1 ahead; 1 of 1 slots free)\n")


def test_paths_are_kept_absolute_and_without_symbolic_links(cli, monkeypatch):
    spec(cli, "real")
    (cli.specs / "link.md").symlink_to("real.md")
    monkeypatch.chdir(cli.specs)

    cli.call("add", "link.md")

    project = cli.get(1)
    path = os.path.realpath(cli.specs / "real.md")
    assert (project.spec_path, project.name, project.base_dir) == (
        path,
        "real",
        os.path.dirname(path),
    )


def test_the_options_say_folder_priority_and_batch(cli):
    cli.call("add", spec(cli), "--project", str(cli.project), "--priority", "7", "--batch", "night")

    project = cli.get(1)
    assert (project.project_path, project.priority, project.batch_id) == (
        os.path.realpath(cli.project),
        7,
        "night",
    )


def test_without_an_option_the_spec_says_the_priority(cli):
    cli.call("add", spec(cli, front="command: make\npriority: 3"))

    assert cli.get(1).priority == 3


def test_a_priority_given_as_zero_beats_the_spec(cli):
    cli.call("add", spec(cli, front="command: make\npriority: 3"), "--priority", "0")

    assert cli.get(1).priority == 0


def test_what_it_waits_for_is_named_instead_of_a_place(cli):
    first = spec(cli, "first")
    second = spec(cli, "second", "command: make\nafter: [first.md]")

    answer = cli.call("add", first, second)

    assert answer.lines[1] == "2  second  queued (after 1; 1 of 1 slots free)"


def test_what_it_waits_for_is_meant_from_the_folder_of_the_spec(cli, monkeypatch):
    cli.call("add", spec(cli, "first"))
    monkeypatch.chdir(cli.home)

    cli.call("add", spec(cli, "second", "command: make\nafter: [../specs/first.md, absent.md]"))

    assert [entry.project_id for entry in cli.store.dependencies(2)] == [1, None]


def test_waiting_for_what_is_not_queued_is_said_at_once(cli):
    answer = cli.call("add", spec(cli, front="command: make\nafter: [absent.md]"))

    assert "! after absent.md, which is not queued" in answer.out


def test_one_bad_spec_keeps_all_from_being_added(cli):
    good, bad = spec(cli, "good"), spec(cli, "bad", "comand: make")

    answer = cli.call("add", good, bad, str(cli.specs / "absent.md"))

    assert (answer.code, answer.out, cli.store.projects()) == (2, "", [])
    assert answer.err.splitlines() == [
        f'error: {bad}:2: unknown key "comand" (did you mean "command"?)',
        f"error: {cli.specs}/absent.md: no such file: check the path",
    ]


def test_a_spec_that_waits_for_itself_adds_nothing(cli):
    good, bad = spec(cli, "good"), spec(cli, "bad", "command: make\nafter: [bad.md]")

    answer = cli.call("add", good, bad)

    assert (answer.code, cli.store.projects()) == (2, [])
    assert "waits for" in answer.err


def test_a_missing_spec_is_added_where_that_is_allowed(cli):
    answer = cli.call("add", str(cli.specs / "Later_On.md"), "--allow-missing")

    assert (answer.code, cli.get(1).name) == (0, "later-on")


def test_a_broken_spec_is_refused_even_where_a_missing_one_is_allowed(cli):
    answer = cli.call("add", spec(cli, front="comand: x"), "--allow-missing")

    assert (answer.code, cli.store.projects()) == (2, [])


def test_a_missing_project_folder_is_refused(cli):
    answer = cli.call("add", spec(cli), "--project", str(cli.project / "absent"))

    assert (answer.code, cli.store.projects()) == (2, [])
    assert answer.err == f"error: project folder {cli.project}/absent does not exist\n"


def test_a_queued_spec_is_not_added_again_and_that_is_fine(cli):
    path = spec(cli)
    cli.call("add", path)

    answer = cli.call("add", path)

    assert (answer.code, answer.out) == (0, "1  parser  is queued already (not added again)\n")


def test_a_running_spec_is_not_added_again(cli):
    path = spec(cli)
    cli.call("add", path)
    cli.tick()

    answer = cli.call("add", path)

    assert (answer.code, answer.out) == (0, "1  parser  is running already (not added again)\n")


def test_a_spec_that_ended_just_now_is_refused_with_the_way_to_do_it(cli):
    path = spec(cli)
    cli.call("add", path)
    cli.tick()
    cli.finish(1)
    cli.tick()
    cli.clock.advance(119)

    answer = cli.call("add", path)

    assert (answer.code, answer.out) == (
        4,
        "1  parser  ended 1m ago: completed (not added again; --again queues it anyway)\n",
    )


def test_a_spec_that_failed_just_now_is_better_retried(cli):
    path = spec(cli)
    cli.call("add", path)
    cli.queue.claim_next("d")
    cli.queue.finish(1, success=False)

    answer = cli.call("add", path)

    assert (answer.code, answer.out) == (
        4,
        "1  parser  ended 0s ago: failed (not added again; retry 1 queues it again)\n",
    )


def test_with_again_a_spec_that_ended_just_now_is_added(cli):
    path = spec(cli)
    cli.call("add", path)
    cli.queue.claim_next("d")
    cli.queue.finish(1, success=True)

    answer = cli.call("add", path, "--again")

    assert (answer.code, len(cli.store.projects())) == (0, 2)


def test_what_can_be_added_is_added_beside_a_refused_one(cli):
    done, new = spec(cli, "done"), spec(cli, "new")
    cli.call("add", done)
    cli.queue.claim_next("d")
    cli.queue.finish(1, success=True)

    answer = cli.call("add", done, new)

    assert (answer.code, cli.status(2)) == (4, "queued")


def test_a_place_far_down_the_queue_is_not_counted_out(cli):
    for number in range(101):
        cli.add(f"spec-{number}")

    answer = cli.call("add", spec(cli, "last"))

    assert "queued (at least 100 ahead;" in answer.out


def test_what_waits_for_others_is_not_ahead(cli):
    cli.call("add", spec(cli, "first"))
    cli.call("add", spec(cli, "second", "command: make\nafter: [first.md]"))

    answer = cli.call("add", spec(cli, "third"))

    assert answer.out == "3  third  queued (1 ahead; 1 of 1 slots free)\n"


def test_what_waits_for_its_retry_is_not_ahead(cli):
    cli.add_running("docs", "command: make\nretries: 1")
    cli.finish(1, 3)
    cli.tick()

    answer = cli.call("add", spec(cli, "other"))

    assert answer.out == "2  other  queued (0 ahead; 1 of 1 slots free)\n"


def test_a_daemon_that_is_faster_than_the_answer_is_no_contradiction(cli, monkeypatch):
    enqueue = type(cli.queue).enqueue

    def enqueue_and_run(queue, new, **options):
        found = enqueue(queue, new, **options)
        queue.claim_next("d")
        return found

    monkeypatch.setattr(type(cli.queue), "enqueue", enqueue_and_run)

    answer = cli.call("add", spec(cli))

    assert answer.out == "1  parser  running\n"


def test_without_a_daemon_a_warning_says_how_to_start_one(cli):
    answer = cli.call("add", spec(cli))

    assert answer.err == (
        "warning: no daemon runs, so nothing is started; next: tmux-orchestrator daemon start\n"
    )


def test_a_daemon_for_checkins_alone_is_no_daemon_that_starts_projects(cli):
    cli.locks.mode("checkin").try_acquire()

    assert cli.call("add", spec(cli)).err == (
        "warning: no daemon runs that starts projects; next: tmux-orchestrator daemon start\n"
    )


def test_with_a_daemon_nothing_is_said_beside_the_answer(cli):
    cli.start_daemon()

    assert cli.call("add", spec(cli)).err == ""


def test_a_person_is_told_the_next_step(cli):
    cli.start_daemon()

    answer = cli.call("add", spec(cli), is_tty=True)

    assert "next: tmux-orchestrator follow 1" in answer.err


def test_nobody_is_told_to_wait_for_what_was_refused(cli):
    path = spec(cli)
    cli.call("add", path)
    cli.queue.claim_next("d")
    cli.queue.finish(1, success=True)
    cli.start_daemon()

    assert cli.call("add", path, is_tty=True).err == ""


def test_paths_come_from_stdin_one_a_line(cli):
    paths = [spec(cli, "a b"), spec(cli, "c")]

    answer = cli.call("add", "-", stdin="\n".join(paths) + "\r\n\n")

    assert (answer.code, [project.name for project in cli.store.projects()]) == (0, ["a b", "c"])


@pytest.mark.parametrize("stdin", ["", "\n \n"])
def test_an_empty_stdin_is_refused(cli, stdin):
    assert cli.call("add", "-", stdin=stdin).code == 2


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "an empty path names no spec"),
        ("a\0b.md", "the path is not UTF-8 text: rename it"),
        ("broken-\udcff.md", "the path is not UTF-8 text: rename it"),
    ],
)
def test_a_path_that_cannot_be_kept_is_refused(cli, path, problem):
    answer = cli.call("add", path, "--allow-missing")

    assert (answer.code, cli.store.projects()) == (2, [])
    assert problem in answer.err


def test_a_relative_path_in_a_folder_that_is_gone_is_refused(cli, monkeypatch):
    folder = cli.specs / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()

    answer = cli.call("add", "a.md")

    assert (answer.code, len(answer.err.splitlines())) == (2, 1)


@pytest.mark.parametrize("batch", ["", " ", "a\nb", "x" * 101, "\udcff"])
def test_a_batch_without_a_usable_name_is_refused(cli, batch):
    assert cli.call("add", spec(cli), "--batch", batch).code == 2


@pytest.mark.parametrize("priority", ["1001", "-1001", "high", "9" * 30])
def test_a_priority_out_of_range_is_refused(cli, priority):
    assert cli.call("add", spec(cli), "--priority", priority).code == 2


def test_quiet_prints_the_ids_alone(cli):
    answer = cli.call("add", "-q", spec(cli, "a"), spec(cli, "b"))

    assert (answer.out, answer.err) == ("1\n2\n", "")


def test_json_tells_what_is_new_and_how_many_are_ahead(cli):
    path = spec(cli)
    cli.call("add", path)

    told = cli.call("add", "--json", path, spec(cli, "other")).json

    assert [(p["id"], p["is_new"], p["ahead"]) for p in told["projects"]] == [
        (1, False, 0),
        (2, True, 1),
    ]
    assert (told["slots"], told["free_slots"]) == (1, 1)


@pytest.mark.parametrize(
    "stem", ["a'b\"c", "$(touch pwned)", "a;b", "#(touch pwned)", "new\nline", "-x", "§§§"]
)
def test_odd_names_are_kept_and_shown_on_one_line(cli, stem):
    answer = cli.call("add", "--", spec(cli, stem))

    assert (answer.code, len(answer.lines)) == (0, 1)
    assert cli.get(1).spec_path.endswith(f"{stem}.md")


# -- folders ------------------------------------------------------------------------------------


@pytest.fixture
def folder(cli):
    """A folder with two specs, one more in a folder below, and what is none."""
    for name in ("b.md", "a.md", "below/c.md", ".hidden.md", ".git/d.md"):
        path = cli.specs / "many" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# work\n")
    (cli.specs / "many" / "notes.txt").touch()
    (cli.specs / "many" / "folder.md").mkdir()
    return cli.specs / "many"


def test_a_folder_means_its_specs_by_name_and_says_how_many(cli, folder):
    answer = cli.call("add", str(folder))

    assert [cli.get(number).name for number in (1, 2)] == ["a", "b"]
    assert (len(answer.lines), answer.err.splitlines()[0]) == (2, f"{folder}: 2 specs")


def test_folders_below_count_where_that_is_wanted(cli, folder):
    answer = cli.call("add", str(folder), "--recursive")

    assert [project.name for project in cli.store.projects()] == ["a", "b", "c"]
    assert answer.err.splitlines()[0] == f"{folder}: 3 specs"


def test_a_folder_may_come_from_stdin(cli, folder):
    assert cli.call("add", "-", stdin=f"{folder}\n").code == 0
    assert len(cli.store.projects()) == 2


@pytest.mark.parametrize(
    ("options", "more"), [((), "; --recursive"), (("--recursive",), "folder\n")]
)
def test_a_folder_without_specs_adds_nothing(cli, folder, options, more):
    (folder / "empty").mkdir()

    answer = cli.call("add", str(folder / "a.md"), str(folder / "empty"), *options)

    assert (answer.code, cli.store.projects()) == (2, [])
    assert "no *.md in this folder" in answer.err
    assert more in answer.err


def test_one_broken_spec_of_a_folder_keeps_all_from_being_added(cli, folder):
    (folder / "b.md").write_text("---\ncomand: x\n---\n")

    answer = cli.call("add", str(folder))

    assert (answer.code, cli.store.projects()) == (2, [])
    assert f"{folder}/b.md:2" in answer.err


@pytest.mark.parametrize("options", [(), ("--recursive",)])
def test_a_folder_that_cannot_be_read_is_said(cli, folder, options, monkeypatch):
    def refuse(path):
        # As the system does to all but root, who may read everything.
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    answer = cli.call("add", str(folder), *options)

    assert (answer.code, "cannot be read: Permission denied" in answer.err) == (2, True)


# -- groups, times, hosts -----------------------------------------------------------------------


def test_the_answer_names_the_slots_of_a_group_with_a_limit(cli):
    cli.call("group", "set", "night", "--limit", "2")

    answer = cli.call("add", spec(cli), "--group", "night")

    assert answer.out == "1  parser  queued (0 ahead; 1 of 2 slots free in night)\n"


def test_a_full_group_has_no_slot_left(cli):
    cli.call("group", "set", "night", "--limit", "1")
    cli.add("docs", group="night")
    cli.queue.claim_next("d")

    answer = cli.call("add", spec(cli), "--group", "night")

    assert answer.out == "2  parser  queued (0 ahead; 0 of 1 slots free in night)\n"


def test_a_group_without_a_limit_shares_the_slots_of_the_queue(cli):
    answer = cli.call("add", spec(cli), "--group", "night")

    assert answer.out == "1  parser  queued (0 ahead; 1 of 1 slots free)\n"
    assert cli.get(1).group == "night"


def test_the_spec_says_its_group_and_the_option_comes_first(cli):
    front = "command: make\ngroup: night"

    cli.call("add", spec(cli, "a", front), spec(cli, "b", front.replace("night", "default")))
    cli.call("add", spec(cli, "c", front), "--group", "day")
    cli.call("add", spec(cli, "d", front), "--group", "default")

    assert [cli.get(number).group for number in (1, 2, 3, 4)] == ["night", "", "day", ""]


def test_a_group_that_is_paused_is_named(cli):
    cli.call("group", "set", "night", "--limit", "2")
    cli.call("pause", "--group", "night")

    answer = cli.call("add", spec(cli), "--group", "night")

    assert answer.out == "1  parser  queued (group night is paused; 1 of 2 slots free in night)\n"


def test_a_start_time_is_kept_and_told(cli):
    answer = cli.call("add", spec(cli), "--start-at", "in 2h")

    assert answer.out == (
        "1  parser  queued (starts 2023-11-15T00:13:20.000Z; 1 of 1 slots free)\n"
    )
    assert cli.get(1).not_before == cli.clock.now() + 7200


def test_a_start_time_that_is_past_adds_nothing(cli):
    answer = cli.call("add", spec(cli), "--start-at", "21:00")

    assert (answer.code, cli.store.projects()) == (2, [])
    assert '--start-at: "21:00" is past: it is 22:13 now' in answer.err


def test_what_is_stashed_waits_for_a_person(cli):
    answer = cli.call("add", spec(cli), "--stash")

    assert answer.out == "1  parser  set aside (resume 1 lets it start)\n"
    assert cli.queue.claim_next("d") is None


def test_a_host_is_the_only_one_to_run_it(cli):
    answer = cli.call("add", spec(cli), "--host", "workbench")

    assert answer.out == "1  parser  queued (only on workbench; 1 of 1 slots free)\n"
    assert cli.queue.claim_next("d") is None


def test_a_host_that_cannot_be_one_adds_nothing(cli):
    assert (cli.call("add", spec(cli), "--host", "a b").code, cli.store.projects()) == (2, [])


def test_what_cannot_start_now_is_not_ahead(cli):
    for fields in (
        {"held_at": 1.0},
        {"not_before": cli.clock.now() + 60},
        {"host": "workbench"},
        {"group": "night"},
    ):
        cli.add(f"other-{len(cli.store.projects())}", **fields)
    cli.call("pause", "--group", "night")

    answer = cli.call("add", spec(cli))

    assert "queued (0 ahead;" in answer.out


def test_with_after_they_also_wait_for_that(cli):
    first, second = spec(cli, "first"), spec(cli, "second")
    cli.call("add", first, second)
    third = spec(cli, "third", "command: make\nafter: [first.md]")

    answer = cli.call("add", third, "--after", "second", "--after", first)

    assert "queued (after 1, 2;" in answer.out
    assert [entry.project_id for entry in cli.store.dependencies(3)] == [1, 2]


def test_with_after_a_folder_is_no_spec(cli, monkeypatch):
    cli.call("add", spec(cli, "docs"))
    (cli.specs / "docs").mkdir()
    monkeypatch.chdir(cli.specs)

    cli.call("add", spec(cli, "other"), "--after", "docs")

    assert [entry.project_id for entry in cli.store.dependencies(2)] == [1]


def test_what_is_to_be_waited_for_has_to_be_there(cli):
    answer = cli.call("add", spec(cli), "--after", "@last")

    assert (answer.code, cli.store.projects()) == (3, [])
    assert answer.err == "error: --after: @last: there is no project yet\n"


def test_json_tells_group_host_and_times(cli):
    told = cli.call("add", spec(cli), "--group", "night", "--host", "w", "--stash", "--json").json

    (project,) = told["projects"]
    assert (project["group"], project["host"], project["state"]) == ("night", "w", "paused")


@pytest.mark.parametrize("behind", [0, 1])
def test_what_is_behind_many_that_may_not_start_is_not_said_to_have_none_ahead(cli, behind):
    for number in range(101):
        cli.add(f"spec-{number}", held_at=None if number < behind else 1.0)

    answer = cli.call("add", spec(cli, "last"))

    assert answer.out.startswith(
        f"102  last  queued ({('behind others', 'at least 1 ahead')[behind]};"
    )


@pytest.mark.parametrize("word", ["now", "Now", "none"])
def test_at_once_is_a_start_time(cli, word):
    assert cli.call("add", spec(cli), "--start-at", word).code == 0
    assert cli.get(1).not_before is None


def test_options_that_a_queued_spec_did_not_get_are_named_with_what_gives_them(cli):
    cli.add("lint")
    cli.call("add", spec(cli))
    wanted = ("--priority", "-5", "--group", "night", "--host", "far", "--after", "lint")

    answer = cli.call("add", spec(cli), "--start-at", "in 2h", *wanted)

    assert (answer.code, cli.get(2).priority) == (4, 0)
    assert (
        "warning: 2 (parser) stands there already, without --priority -5, --group night, "
        "--host far, --start-at 'in 2h' and --after lint; next: tmux-orchestrator edit 2 "
        "--priority -5 --group night --host far --start-at 'in 2h' --after lint\n"
    ) in answer.err


def test_what_is_next_changes_what_was_not(cli):
    cli.start_daemon()
    cli.call("add", spec(cli))
    answer = cli.call("add", spec(cli), "--priority", "-5")
    (_, command) = answer.err.splitlines()[0].split("next: tmux-orchestrator ")

    assert cli.call(*command.split()).code == 0
    assert cli.get(1).priority == -5


def test_a_queued_spec_that_is_to_be_stashed_is_named_with_the_verb_for_it(cli):
    cli.call("add", spec(cli))

    answer = cli.call("add", spec(cli), "--stash")

    assert (answer.code, cli.get(1).held_at) == (4, None)
    assert "without --stash; next: tmux-orchestrator stash 1\n" in answer.err


def test_options_that_are_so_already_are_fine(cli):
    cli.add("lint")
    wanted = ("--priority", "3", "--group", "night", "--host", "far", "--after", "lint", "--stash")
    cli.call("add", spec(cli), "--start-at", "2030-01-01T00:00Z", *wanted)

    answer = cli.call("add", spec(cli), "--start-at", "2030-01-01T00:00Z", *wanted)

    assert (answer.code, "without" in answer.err) == (0, False)


def test_of_a_spec_that_runs_nothing_can_be_changed_any_more(cli):
    cli.call("add", spec(cli))
    cli.queue.claim_next("d")

    answer = cli.call("add", spec(cli), "--priority", "5")

    assert answer.code == 4
    assert "1 (parser) runs already, without --priority 5; it cannot be changed" in answer.err


def test_a_new_spec_gets_all_that_was_asked_for(cli):
    answer = cli.call("add", spec(cli), "--priority", "5", "--stash")

    assert (answer.code, "without" in answer.err) == (0, False)
