"""What the reference says of the command line is so."""

import json
import re
from pathlib import Path

import click
import pytest

from scheduler_modules import errors
from scheduler_modules.cli_handler import VERBS, make_root

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def read(name):
    return (REFERENCE / name).read_text()


def command(name):
    root = make_root()
    return root.get_command(click.Context(root), name)


def options_of(name):
    """Return the long options of a verb that not all verbs have."""
    shared = {"--json", "--quiet", "--home", "--help"}
    own = command(name)
    subs = getattr(own, "commands", {}).values()
    words = {opt for sub in (own, *subs) for param in sub.params for opt in param.opts}
    return {word for word in words if word.startswith("--")} - shared


def section(text, title):
    """Return what stands below a heading."""
    return re.split(r"^## ", text.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


TITLES = {
    **dict.fromkeys(("done", "fail"), "done and fail"),
    **dict.fromkeys(("pause", "resume", "stash"), "pause, resume and stash"),
}


@pytest.mark.parametrize("name", [entry.name for entry in VERBS])
def test_each_verb_is_described_with_all_its_options(name):
    described = section(read("cli.md"), TITLES.get(name, name))

    assert described
    assert [option for option in options_of(name) if option not in described] == []


def test_every_exit_code_is_in_the_table():
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}

    told = {
        int(code) for code in re.findall(r"^\| (\d+) \|", read("exit-codes.md"), flags=re.MULTILINE)
    }

    assert set(map(int, told)) == codes


def test_the_json_of_the_reference_can_be_read():
    blocks = re.findall(r"```json\n(.*?)```", read("json.md"), flags=re.DOTALL)

    assert len(blocks) > 8
    for block in blocks:
        json.loads(block)


def keys_below(title):
    """Return the keys that the first column of a section's table tells."""
    rows = re.findall(r"^\| (`.*?) \|", section(read("json.md"), title), flags=re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def test_the_keys_of_a_project_are_all_told(cli):
    cli.add()

    (told,) = cli.call("list", "--json").json["projects"]

    assert set(told) == keys_below("A project")


def test_the_keys_of_show_and_status_are_all_told(cli):
    cli.add()

    project = set(cli.call("list", "--json").json["projects"][0])
    shown = set(cli.call("show", "1", "--json").json)
    standing = set(cli.call("status", "--json").json)

    assert shown - project == keys_below("show")
    assert standing == keys_below("status")


def test_the_example_of_a_project_has_the_keys_of_one(cli):
    cli.add()
    (told,) = cli.call("list", "--json").json["projects"]
    example = json.loads(re.findall(r"```json\n(.*?)```", read("json.md"), flags=re.DOTALL)[0])

    assert set(example) == set(told)
