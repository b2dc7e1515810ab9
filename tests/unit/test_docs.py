"""What the pages for users say is so: links, commands, settings, keys, exit codes."""

import ast
import re
from pathlib import Path

import click
import pytest

from scheduler_modules import errors
from scheduler_modules.cli_handler import make_root
from scheduler_modules.config import SchedulerConfig, load_config
from scheduler_modules.config_values import ALIASES, RULES
from scheduler_modules.errors import SpecError
from scheduler_modules.spec import read_spec

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(
            page
            for folder in ("docs", "systemd", "examples")
            for page in ROOT.glob(f"{folder}/**/*.md")
        ),
    ]
)
USER_PAGES = [DOCS / "quickstart.md", DOCS / "troubleshooting.md", *DOCS.glob("how-to/*.md")]
SETTINGS = [name for name in SchedulerConfig.__struct_fields__ if name != "home"]
NOT_USED = "Understood, not used yet"

_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_COMMAND = re.compile(
    r"tmux-orchestrator(?P<before>(?: (?:--json|--quiet|-q|--home \S+))*)"
    r" (?P<verb>[a-z]+)(?P<rest>[^\n|;&`)]*)"
)


def name_of(page):
    return str(page.relative_to(ROOT))


def code_of(text):
    """Return the fenced blocks and code spans of a page, a line each."""
    spans = _SPAN.findall(_FENCE.sub("", text))
    return "\n".join([*_FENCE.findall(text), *spans])


def prose_of(text):
    return _SPAN.sub("", _FENCE.sub("", text))


def anchors_of(page):
    """Return the anchors that headings get where such pages are shown."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows_of(text):
    """Return the tables' rows by what the first column names in backticks, cells as lists."""
    rows = re.findall(r"^\| `(\w+)`[^|]*\|(.*)\|$", text, re.MULTILINE)
    return {first: [cell.strip() for cell in rest.split(" | ")] for first, rest in rows}


def section_of(text, title):
    return re.split(r"^## ", text.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


def command_of(words):
    """Return click's command that these words name; None if there is none."""
    found = make_root()
    for word in words:
        found = found.get_command(click.Context(found), word)
        if not isinstance(found, click.Group):
            break
    return found


# -- links and commands -------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", prose_of(page.read_text()))
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)

    assert broken == []


def test_every_page_of_the_docs_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        links = re.findall(r"\]\(([^)\s#]+\.md)", prose_of(page.read_text()))
        targets = {(page.parent / link).resolve() for link in links if "://" not in link}
        waiting += [target for target in targets if target not in reached and target.exists()]

    assert [name_of(page) for page in PAGES if DOCS in page.parents and page not in reached] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_that_is_named_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = re.findall(r"^ *(?:\$ )?make ([a-z-]+)", code_of(page.read_text()), re.MULTILINE)

    assert sorted(set(named) - targets) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_is_shown_exists_with_its_options(page):
    unknown = []
    for match in _COMMAND.finditer(code_of(page.read_text())):
        verb, rest = match["verb"], match["rest"]
        # What stands behind # is talk, what stands in quotes is a reason or another program's.
        plain = re.sub(r"\"[^\"]*\"|'[^']*'|#.*", "", rest)
        command = command_of([verb, *re.findall(r"^ ([a-z]+)", plain)])
        known = {opt for param in command.params for opt in param.opts} if command else set()
        given = set(re.findall(r"(?<= )--?[a-z][a-z-]*", match["before"] + plain))
        if command is None or given - known:
            unknown.append(match[0])

    assert unknown == []


@pytest.mark.parametrize("verb", make_root().list_commands(click.Context(make_root())))
def test_every_verb_is_shown_at_work(verb):
    shown = "\n".join(code_of(page.read_text()) for page in USER_PAGES)

    assert verb in {match["verb"] for match in _COMMAND.finditer(shown)}


# -- tables -------------------------------------------------------------------------------------


def configuration():
    return (DOCS / "reference" / "configuration.md").read_text()


def shown(value):
    """Return a value as the tables have it."""
    if value == "":
        return "nothing"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_told_with_what_is_allowed(name):
    rows = rows_of(configuration())

    assert rows[name.upper()][1] == RULES[name].allowed


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_told_with_its_default(name, tmp_path):
    setting = load_config({"TMUX_ORCHESTRATOR_HOME": str(tmp_path)}).sources[name]

    told = rows_of(configuration())[name.upper()][0]

    if name == "scheduler_db_url":
        assert told == "`sqlite:///` and `task_queue.db` in the state folder"
    elif setting.origin == "default":
        assert told == shown(setting.value)
    else:
        assert told == f"as `{setting.origin.removeprefix('default: ')}`"


def test_other_names_of_settings_are_told():
    others = [variable for pairs in ALIASES.values() for variable, _ in pairs]

    assert [variable for variable in others if f"`{variable}`" not in configuration()] == []


def test_what_is_called_unused_is_what_no_module_reads():
    read = {
        node.attr
        for path in (ROOT / "scheduler_modules").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }

    # It is what another setting is when that is not given.
    read.add("max_auto_orchestrate_runtime_sec")

    told = {name.lower() for name in rows_of(section_of(configuration(), NOT_USED))}

    assert told == set(SETTINGS) - read


def test_every_key_of_the_front_matter_is_told(tmp_path):
    spec = tmp_path / "spec.md"
    spec.write_text("---\nno-such-key: 1\n---\n")
    with pytest.raises(SpecError) as refusal:
        read_spec(spec)
    known = re.findall(r"\w+", str(refusal.value).partition("known: ")[2])

    told = rows_of(section_of((DOCS / "reference" / "spec.md").read_text(), "Keys"))

    assert known
    assert [key for key in known if key not in told] == []


def test_every_exit_code_but_success_has_its_place_in_troubleshooting():
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")} - {0}

    told = re.findall(r"^\| (\d+) \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)

    assert {int(code) for code in told} == codes


def test_the_state_folder_is_told():
    assert "TMUX_ORCHESTRATOR_HOME" in rows_of(configuration())
