"""`edit`: specs in an editor, and what the queue keeps beside them by options."""

import os
import sys

import pytest

from tests.cli_world import Stream, run_elsewhere


def editor(cli, body):
    """Return the environment with an editor that runs these lines of Python on `path`."""
    script = cli.home / "editor.py"
    script.write_text(
        f"import os, pathlib, signal, sys\npath = pathlib.Path(sys.argv[-1])\n{body}\n"
    )
    return {"EDITOR": f"{sys.executable} {script}"}


def writes(front):
    return f"path.write_text('---\\n{front}\\n---\\n# x\\n')"


def call(cli, *argv, stdin="", **environ):
    return cli.call("edit", *argv, stdin=stdin, is_tty=True, NO_COLOR="1", **environ)


# -- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--priority", "-3"), "priority -3"),
        (("--group", "night"), "group night"),
        (("--group", "default"), "group default"),
        (("--start-at", "in 2h"), "starts tomorrow 00:13:20 (in 2h00m)"),
        (("--start-at", "now"), "starts at once"),
        (("--start-at", "None"), "starts at once"),
        (("--host", "workbench"), "host workbench"),
        (("--host", "any"), "host any"),
        (("--after", "none"), "after none"),
        (("--priority", "1", "--group", "x"), "priority 1, group x"),
    ],
)
def test_an_option_changes_what_is_queued(cli, options, said):
    cli.add("docs")

    answer = cli.call("edit", "docs", *options)

    assert (answer.code, answer.out) == (0, f"1  docs  {said}\n")


def test_all_that_was_asked_for_is_kept(cli):
    cli.add("docs")

    cli.call("edit", "1", "--priority", "4", "--group", "night", "--start-at", "in 1h")
    cli.call("edit", "1", "--host", "workbench")

    project = cli.get(1)
    kept = (project.priority, project.group, project.not_before, project.host)
    assert kept == (4, "night", cli.clock.now() + 3600, "workbench")


def test_what_was_asked_for_is_taken_back(cli):
    cli.add("docs", group="night", host="workbench", not_before=cli.clock.now() + 60)

    cli.call("edit", "1", "--group", "default", "--start-at", "now", "--host", "any")

    project = cli.get(1)
    assert (project.group, project.not_before, project.host) == ("", None, None)


@pytest.mark.parametrize("word", ["1", "lint", "path"])
def test_a_project_is_made_to_wait_for_an_id_a_name_or_a_spec(cli, word):
    cli.add("lint")
    cli.add("docs")

    answer = cli.call(
        "edit", "2", "--after", str(cli.specs / "lint.md") if word == "path" else word
    )

    assert answer.out == "2  docs  after lint.md\n"
    assert [entry.project_id for entry in cli.store.dependencies(2)] == [1]


def test_what_the_spec_itself_names_stays(cli):
    cli.add("lint")
    cli.add("api")
    cli.add("docs", "command: make\nafter: [lint.md]")

    more = cli.call("edit", "3", "--after", "api")
    none = cli.call("edit", "3", "--after", "none")

    assert more.out == "3  docs  after lint.md, api.md\n"
    assert none.out == "3  docs  after lint.md (as its spec says)\n"
    assert [entry.project_id for entry in cli.store.dependencies(3)] == [1]


def test_a_project_cannot_be_made_to_wait_for_itself(cli):
    cli.add("docs")

    answer = cli.call("edit", "1", "--priority", "3", "--after", "docs")

    assert (answer.code, cli.get(1).priority) == (2, 0)
    assert "neither would ever run" in answer.err


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--after", "nope"), 3, '--after "nope": no spec file and no project is called so'),
        (("--after", "99"), 3, "--after: project 99 not found"),
        (("--after", "d"), 2, '--after: "d" could be'),
        (("--after", "1-2"), 2, "names several projects"),
        (("--after", "none", "--after", "docs"), 2, "--after none stands alone"),
        (("--start-at", "21:00"), 2, '--start-at: "21:00" is past'),
        (("--host", "a b"), 2, "--host: give a machine's name"),
        (("--group", "a b"), 2, "allowed are up to 40"),
    ],
)
def test_a_wish_that_cannot_be_granted_changes_nothing(cli, options, code, said):
    cli.add("docs")
    cli.add("dots")
    before = cli.get(1)

    answer = cli.call("edit", "1", *options)

    assert (answer.code, said in answer.err, cli.get(1)) == (code, True, before)


def test_a_row_of_an_old_program_cannot_be_waited_for_by_id(cli):
    cli.store.insert_row(spec_path="/s/old.md")
    cli.add("docs")

    answer = cli.call("edit", "2", "--after", "1")

    assert (answer.code, "give its spec's path" in answer.err) == (4, True)


@pytest.mark.parametrize("option", ["--priority=1", "--group=x", "--start-at=now", "--after=none"])
def test_what_runs_is_not_changed_by_options(cli, option):
    cli.add_running("docs")

    answer = cli.call("edit", "1", option)

    assert (answer.code, answer.err) == (4, "error: project 1 is running, not queued\n")


def test_several_are_changed_each_on_its_own(cli):
    cli.add_running("a")
    cli.add("b")

    answer = cli.call("edit", "1-2", "--priority", "2", "--json")

    assert answer.code == 4
    assert [entry["outcome"] for entry in answer.json["projects"]] == [None, "priority 2"]


# -- the editor ---------------------------------------------------------------------------------


def test_without_a_terminal_something_has_to_be_asked_for(cli):
    cli.add("docs")

    answer = cli.call("edit", "1", **editor(cli, "pass"))

    assert (answer.code, cli.get(1).held_at) == (2, None)
    assert "an editor needs a terminal" in answer.err


def test_the_spec_is_edited(cli):
    cli.add("docs")

    answer = call(cli, "1", **editor(cli, writes("command: make other")))

    assert (answer.code, answer.out) == (0, "1  docs  edited\n")
    assert "make other" in (cli.specs / "docs.md").read_text()


def test_a_spec_that_was_left_as_it_was_is_not_called_edited(cli):
    cli.add("docs")

    assert call(cli, "1", **editor(cli, "pass")).out == "1  docs  not changed\n"


def test_a_relative_path_of_an_old_program_is_meant_from_the_home_folder(
    cli, monkeypatch, tmp_path
):
    (cli.home / "rel.md").write_text("---\ncommand: make all\n---\n# x\n")
    monkeypatch.chdir(tmp_path)
    row = cli.store.insert_row(spec_path="rel.md", project_path=str(cli.project))

    answer = call(cli, str(row), **editor(cli, writes("command: make other")))

    assert (answer.code, (tmp_path / "rel.md").exists()) == (0, False)
    assert "make other" in (cli.home / "rel.md").read_text()


@pytest.mark.parametrize("status", ["queued", "processing", "failed"])
def test_a_spec_that_is_gone_is_not_made_anew(cli, status):
    row = cli.store.insert_row(spec_path="gone.md", status=status)

    answer = call(cli, str(row), **editor(cli, writes("command: make")))

    assert (answer.code, (cli.home / "gone.md").exists()) == (3, False)
    assert answer.err == f"error: project {row}: no such spec: {cli.home}/gone.md\n"
    assert cli.get(row).held_at is None


def test_a_queued_project_is_set_aside_while_it_is_open_and_not_longer(cli):
    cli.add("docs")

    call(cli, "1", **editor(cli, "pass"))

    assert cli.facts(1)[1:] == ["project_held", "project_released"]
    assert cli.get(1).held_at is None


def test_what_was_set_aside_before_stays_so(cli):
    cli.add("docs")
    cli.call("stash", "1")

    call(cli, "1", **editor(cli, "pass"))

    assert cli.get(1).held_at is not None


def test_visual_comes_before_editor(cli):
    cli.add("docs")
    good = editor(cli, "pass")["EDITOR"]

    answer = call(cli, "1", VISUAL=good, EDITOR="false")

    assert answer.code == 0


@pytest.mark.parametrize("name", ["nano", "vi"])
def test_without_a_wish_an_editor_that_is_there_is_taken(cli, name):
    cli.add("docs")
    program = cli.home / name
    program.write_text('#!/bin/sh\necho by me >>"$1"\n')
    program.chmod(0o755)

    answer = call(cli, "1", PATH=f"{cli.home}:/nowhere")

    assert (answer.code, (cli.specs / "docs.md").read_text().endswith("by me\n")) == (0, True)


@pytest.mark.parametrize(
    ("environ", "code", "said"),
    [
        ({"PATH": "/nowhere"}, 4, "no editor: set EDITOR, or install nano or vi"),
        ({"EDITOR": "'open"}, 2, "EDITOR: No closing quotation: close every quote"),
        ({"EDITOR": "/nowhere/ed"}, 4, "cannot be started: No such file"),
        ({"EDITOR": "false"}, 4, "the editor false did not end well (exit 1)"),
        ({"EDITOR": "sh -c 'kill -9 $$'"}, 4, "did not end well (signal 9)"),
    ],
)
def test_an_editor_that_does_not_work_leaves_the_project_as_it_was(cli, environ, code, said):
    cli.add("docs")

    answer = call(cli, "1", **{"PATH": os.environ["PATH"], **environ})

    assert (answer.code, cli.get(1).held_at) == (code, None)
    assert said in answer.err


@pytest.mark.parametrize("body", ["os.kill(os.getpid(), signal.SIGINT)", "sys.exit(130)"])
def test_ctrl_c_that_ends_the_editor_ends_us(cli, body):
    cli.add("docs")
    body = f"signal.signal(signal.SIGINT, signal.SIG_DFL)\n{body}"

    answer = call(cli, "1", **editor(cli, body))

    assert (answer.code, answer.err, cli.get(1).held_at) == (130, "interrupted\n", None)


class Interrupted(Stream):
    """A person who answers with Ctrl-C."""

    def readline(self, *args):
        raise KeyboardInterrupt


def test_ctrl_c_at_the_question_leaves_a_broken_spec_set_aside(cli):
    cli.add("docs")
    out, err = Stream(is_tty=True), Stream(is_tty=True)

    code = cli.call_on(
        Interrupted(is_tty=True), out, err, "edit", "1", **editor(cli, writes("comand: make"))
    )

    assert (code, cli.get(1).held_at) == (130, cli.clock.now())
    assert "project 1 stays set aside, for its spec cannot be used: edit 1 again" in err.getvalue()


def test_an_editor_that_fails_behind_a_broken_spec_leaves_it_set_aside(cli):
    cli.add("docs")
    body = f"{writes('comand: make')}\nsys.exit(1)"

    answer = call(cli, "1", **editor(cli, body))

    assert (answer.code, cli.get(1).held_at) == (4, cli.clock.now())
    assert f'{cli.specs}/docs.md:2: unknown key "comand"' in answer.err
    assert "resume 1" in answer.err


def test_a_spec_that_its_editor_took_away_leaves_its_project_set_aside(cli):
    cli.add("docs")

    call(cli, "1", **editor(cli, "path.unlink()\nsys.exit(1)"))

    assert cli.get(1).held_at is not None


def test_ctrl_c_is_for_the_editor_alone(cli):
    cli.add("docs")
    body = "os.kill(os.getppid(), signal.SIGINT)"

    assert call(cli, "1", **editor(cli, body)).code == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_what_ends_us_lets_the_project_go(cli, name):
    cli.add("docs")
    body = f"import time\nos.kill(os.getppid(), signal.{name})\ntime.sleep(60)"

    answer = call(cli, "1", **editor(cli, body))

    assert (answer.code, cli.get(1).held_at) == (130, None)


def test_a_broken_spec_is_said_with_its_line_and_edited_again(cli):
    cli.add("docs")
    body = (
        "if 'comand' in path.read_text():\n"
        f"    {writes('command: make')}\n"
        "else:\n"
        f"    {writes('comand: make')}"
    )

    answer = call(cli, "1", stdin="y\n", **editor(cli, body))

    assert (answer.code, cli.get(1).held_at) == (0, None)
    assert f'error: {cli.specs}/docs.md:2: unknown key "comand"' in answer.err
    assert "edit it again? [y/N]" in answer.err


def test_a_spec_that_is_left_broken_keeps_its_project_from_starting(cli):
    cli.add("docs")

    answer = call(cli, "1", stdin="n\n", **editor(cli, writes("comand: make")))

    assert (answer.code, cli.get(1).held_at) == (2, cli.clock.now())
    assert "project 1 stays set aside: edit 1 again, or let it go on" in answer.err


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("command: make\\npriority: 7", "edited, priority 7"),
        ("command: make\\ngroup: night", "edited, group night"),
        ("command: make\\nafter: [lint.md]", "edited, after lint.md"),
    ],
)
def test_what_the_spec_has_come_to_say_is_taken_over(cli, front, said):
    cli.add("docs")

    assert call(cli, "1", **editor(cli, writes(front))).out == f"1  docs  {said}\n"


def test_what_was_wished_besides_the_spec_stays(cli):
    cli.add("lint")
    cli.add("api")
    cli.add("docs", "command: make\nafter: [lint.md]", after_keys=(str(cli.specs / "lint.md"),))
    cli.call("edit", "3", "--after", "api", "--priority", "3")

    call(cli, "3", **editor(cli, writes("command: make")))

    assert [entry.project_id for entry in cli.store.dependencies(3)] == [2]
    assert cli.get(3).priority == 3


def test_a_spec_that_was_broken_before_can_be_mended(cli):
    cli.add("docs", "comand: make")

    answer = call(cli, "1", **editor(cli, writes("command: make\\npriority: 3")))

    assert (answer.code, answer.out) == (0, "1  docs  edited\n")


def test_the_spec_of_what_runs_is_edited_with_a_warning(cli):
    cli.add_running("docs")

    answer = call(cli, "1", **editor(cli, writes("command: make other")))

    assert (answer.code, answer.out) == (0, "1  docs  edited; counts from its next run\n")
    assert "project 1 is running: changes count from its next run" in answer.err


def test_the_spec_of_what_runs_elsewhere_is_no_different(cli):
    run_elsewhere(cli)

    assert call(cli, "1", **editor(cli, "pass")).code == 0


def test_the_spec_of_what_has_ended_is_edited_and_nothing_starts(cli):
    cli.add_running("docs")
    cli.queue.finish(1, success=False)

    answer = call(cli, "1", **editor(cli, writes("command: make other")))

    assert "it is failed, and nothing runs it unless it is queued again" in answer.out


def test_a_broken_spec_of_what_runs_is_left_as_it_is(cli):
    cli.add_running("docs")

    answer = call(cli, "1", stdin="n\n", **editor(cli, writes("comand: make")))

    assert (answer.code, "its spec was left as it is" in answer.err) == (2, True)


def test_a_spec_that_cannot_be_read_names_nothing(cli):
    cli.add("lint")
    cli.add("docs", "comand: make")

    answer = cli.call("edit", "2", "--after", "lint")

    assert answer.out == "2  docs  after lint.md\n"


def test_a_folder_in_the_place_of_a_spec_cannot_be_used(cli):
    row = cli.store.insert_row(spec_path=str(cli.specs), project_path=str(cli.project))

    answer = call(cli, str(row), stdin="n\n", **editor(cli, "pass"))

    assert (answer.code, cli.get(row).held_at) == (2, cli.clock.now())
