"""Commands without a shell: what is split, what is refused, what is filled in."""

import pytest

from scheduler_modules.argv_template import MAX_COMMAND_BYTES, fill, split_command
from scheduler_modules.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("./build.sh --all", ("./build.sh", "--all")),
        ("  make   test \n", ("make", "test")),
        ("grep '|' notes", ("grep", "|", "notes")),
        ('echo "a && b" c\\;d', ("echo", "a && b", "c;d")),
        ("find . -exec wc {} \\;", ("find", ".", "-exec", "wc", "{}", ";")),
        ("awk '{print $1}' file", ("awk", "{print $1}", "file")),
        ("sh -c 'a && b > c; d | e'", ("sh", "-c", "a && b > c; d | e")),
        ("sh -c 'line one\nline two'", ("sh", "-c", "line one\nline two")),
        ("grep foo$ a", ("grep", "foo$", "a")),
        ("cp a~ b~c", ("cp", "a~", "b~c")),
        ("make CFLAGS=-O2", ("make", "CFLAGS=-O2")),
        ("run ''", ("run", "")),
        ("run a\\ ", ("run", "a ")),
        ("run\x1f", ("run\x1f",)),
    ],
)
def test_a_command_line_is_split_into_its_arguments(text, argv):
    assert split_command(text) == argv


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a && b", "&&"),
        ("a || b", "||"),
        ("a | b", "|"),
        ("a ; b", ";"),
        ("foo; bar", ";"),
        ("a > out", ">"),
        ("a >> out", ">>"),
        ("a < in", "<"),
        ("a &", "&"),
        ("a 2>&1", ">&"),
        ("echo $HOME/x", "$HOME"),
        ("echo ${HOME}", "${HOME"),
        ("touch $(date)", "$(date"),
        ("touch `date`", "`"),
        ("~/bin/run", "~"),
        ("run 'quoted' | tail", "|"),
    ],
)
def test_what_only_a_shell_could_do_is_refused_with_the_way_out(text, named):
    with pytest.raises(InvalidInput) as refused:
        split_command(text)

    assert str(refused.value).startswith(f'"{named}" is for a shell')
    assert "sh -c '...'" in str(refused.value)


@pytest.mark.parametrize("command", ["CC=gcc make", ["CC=gcc", "make"]])
def test_a_leading_assignment_points_to_env(command):
    with pytest.raises(InvalidInput, match=r'"CC=" before a command .* env:'):
        split_command(command)


@pytest.mark.parametrize("text", ["make\nmake test", "make \\\n test", "make \\\n"])
def test_several_lines_are_refused(text):
    with pytest.raises(InvalidInput, match="a command is one line"):
        split_command(text)


@pytest.mark.parametrize("text", ["echo 'a", 'echo "a', "echo a\\"])
def test_an_open_quote_is_refused(text):
    with pytest.raises(InvalidInput, match="has no partner"):
        split_command(text)


@pytest.mark.parametrize("command", ["", "  ", "''", [], ["", "a"], [" "]])
def test_an_empty_command_is_refused(command):
    with pytest.raises(InvalidInput, match="the command is empty"):
        split_command(command)


def test_a_list_is_taken_as_it_stands():
    assert split_command(["find", ".", "|", "$HOME", ""]) == ("find", ".", "|", "$HOME", "")


def test_the_longest_command_is_taken():
    longest = "é" * ((MAX_COMMAND_BYTES - 1) // 2)

    assert split_command([longest]) == (longest,)


def test_a_longer_command_is_refused_by_its_bytes():
    with pytest.raises(InvalidInput, match="put it into a script"):
        split_command(["é" * (MAX_COMMAND_BYTES // 2)])


def test_placeholders_are_filled_in_each_argument():
    argv = ("run", "{spec}", "--id={project_id}", "{spec}{spec}")

    filled = fill(argv, {"spec": "/a b", "project_id": "7"})

    assert filled == ("run", "/a b", "--id=7", "/a b/a b")


def test_other_braces_stay_as_they_are():
    argv = ("awk", "{print}", "{}", "{Spec}", "{ spec }", "${spec", "{{spec}}")

    assert fill(argv, {"spec": "S"}) == (*argv[:-1], "{S}")


def test_a_value_is_not_searched_for_placeholders_again():
    filled = fill(("{spec}", "{project}"), {"spec": "/x/{project}.md", "project": "/p"})

    assert filled == ("/x/{project}.md", "/p")


@pytest.mark.parametrize(
    "argv",
    [
        ("sh", "-c", "cat {spec}"),
        ("/bin/bash", "-lc", "cat '{spec}'"),
        ("timeout", "5", "dash", "-e", "-c", "--", 'cat "{spec}"'),
        ("python3.11", "-c", "open('{spec}')"),
        ("su", "someone", "-c", "cat {spec}"),
    ],
)
@pytest.mark.parametrize("path", ["/x/$(touch canary).md", "/x/a b.md", "/x/a'b", "/x/a\nb", "ä"])
def test_a_value_never_becomes_part_of_a_script(argv, path):
    with pytest.raises(InvalidInput, match=r"\{spec\} stands inside a script") as refused:
        fill(argv, {"spec": path})

    assert '"$1"' in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_value_no_shell_would_act_on_may_stand_in_a_script():
    assert fill(("sh", "-c", "cat {spec}"), {"spec": "/a/b-1.md"}) == ("sh", "-c", "cat /a/b-1.md")


@pytest.mark.parametrize(
    "argv",
    [
        ("sh", "-c", 'cat "$1"', "sh", "{spec}"),
        ("gcc", "-c", "{spec}"),
        ("sh", "run.sh", "{spec}"),
        ("bash", "--norc", "{spec}"),
        ("sh", "-c", "echo {other}"),
        ("sh", "-c"),
    ],
)
def test_any_value_may_be_an_argument_of_its_own(argv):
    assert fill(argv, {"spec": "/a b"}) == tuple(part.replace("{spec}", "/a b") for part in argv)
