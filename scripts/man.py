"""Writes the manual page from what the verbs say of themselves; with --check only compares.

Usage: man.py [--check]. Exit code 1: the page is not what it would be.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from scheduler_modules.cli.verb import PROGRAM, Verb  # noqa: E402 - found only now
from scheduler_modules.cli_handler import VERBS, make_root  # noqa: E402

PAGE = ROOT / "docs" / "man" / f"{PROGRAM}.1"
EXIT_CODES = ROOT / "docs" / "reference" / "exit-codes.md"
_SHARED = frozenset({"_json", "quiet", "home", "help"})
_GROUPS = {
    "queue": "Queue",
    "look": "Look",
    "talk": "Talk",
    "jobs": "Jobs",
    "run": "Run",
    "care": "Care",
}


def page() -> str:
    """Return the whole page in roff, for man(7)."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield '.\\" Made by scripts/man.py from the verbs; change those and run: make man'
    yield f'.TH {PROGRAM.upper()} 1 "" "{PROGRAM} {_version()}" "User Commands"'
    # Neither stretched nor hyphenated: commands are to be copied.
    yield ".ad l"
    yield ".nh"
    yield ".SH NAME"
    yield f"{_text(PROGRAM)} \\- a durable queue that runs long work in tmux sessions"
    yield ".SH SYNOPSIS"
    yield f".B {_text(PROGRAM)}"
    yield '.RI [ options ] " verb " [ arguments ]'
    yield ".SH DESCRIPTION"
    yield _text(
        "Specs are queued; a daemon runs each in a tmux session of its own that a person can"
        " attach to, looks after it, and records how it ended. Killed at any moment, it loses"
        " nothing and runs nothing twice without saying so."
    )
    yield ".PP"
    yield _text(
        "A project is meant by its id, its name, the beginning of one name only, or @last. Verbs"
        " that take several also take ranges and lists (40-42,45), and - for ids and names on"
        " stdin. stdout is data, stderr is talk; in a pipe one record is one line."
    )
    yield from _shared_options()
    yield from _verbs()
    yield from _exit_status()
    yield from _environment_and_files()
    yield ".SH SEE ALSO"
    yield ".BR tmux (1)"
    yield ".PP"
    yield _text(f"{PROGRAM} VERB --help, and the folder docs of the source.")


def _version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def _shared_options() -> Iterator[str]:
    yield ".SH OPTIONS"
    yield "These may stand before or after any verb."
    for option in make_root().params:
        yield from _option(option)
    yield from _entry("-h, --help", "Show how the verb is used, with examples, and exit.")


def _verbs() -> Iterator[str]:
    root = make_root()
    context = click.Context(root, info_name=PROGRAM)
    for entry in VERBS:
        if entry.group:
            yield f".SH {_GROUPS[entry.group].upper()}"
        command = root.get_command(context, entry.name)
        if command is not None:
            yield from _verb(command, entry.name, context)


def _verb(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_quoted(f'{name} {usage}')}"
    for number, paragraph in enumerate(_paragraphs(command.help or "")):
        if number:
            yield ".PP"
        yield _text(paragraph)
    for parameter in command.params:
        if parameter.name not in _SHARED:
            yield from _option(parameter)
    if isinstance(command, Verb):
        yield from _examples(command)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _verb(inner, f"{name} {inner.name}", parent)


def _option(parameter: click.Parameter) -> Iterator[str]:
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return
    record = parameter.get_help_record(click.Context(click.Command(PROGRAM)))
    if record is not None:
        yield from _entry(*record)


def _entry(term: str, does: str) -> Iterator[str]:
    yield ".TP"
    yield f".B {_text(term)}"
    yield _text(does)


def _examples(command: Verb) -> Iterator[str]:
    if not command.examples:
        return
    yield ".PP"
    yield ".RS 4"
    yield ".nf"
    for example in command.examples:
        yield _text(f"$ {example}" if PROGRAM in example else f"$ {PROGRAM} {example}")
    yield ".fi"
    yield ".RE"


def _exit_status() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    table = EXIT_CODES.read_text(encoding="utf-8")
    for code, means in re.findall(r"^\| (\d+) \| ([^|]+?) \|", table, re.MULTILINE):
        yield from _entry(code, f"{means[:1].upper()}{means[1:]}.")


def _environment_and_files() -> Iterator[str]:
    yield ".SH ENVIRONMENT"
    yield from _entry(
        "TMUX_ORCHESTRATOR_HOME",
        "The folder state is kept in; else tmux-orchestrator below XDG_STATE_HOME or"
        " ~/.local/state. Every other setting may stand in the environment, too: see"
        f" {PROGRAM} config.",
    )
    yield from _entry("NO_COLOR", "Set to anything: no colours.")
    yield ".SH FILES"
    for name, does in (
        (".env, config.toml", "Settings."),
        ("task_queue.db", "The queue, unless SCHEDULER_DB_URL names another database."),
        ("logs/", "What the windows of projects printed."),
        ("run/tmux.sock", "The socket of our own tmux server."),
    ):
        yield from _entry(name, does)


def _paragraphs(text: str) -> list[str]:
    parts = re.split(r"\n\s*\n", text.replace("\b", "").strip())
    return [" ".join(part.split()) for part in parts if part.strip()]


def _text(text: str) -> str:
    """Return a text so that roff takes nothing in it for a command."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    escaped = escaped.replace("~", "\\(ti").replace("^", "\\(ha")
    return f"\\&{escaped}" if escaped[:1] in {".", "'"} else escaped


def _quoted(text: str) -> str:
    return '"{}"'.format(_text(text).replace('"', "\\(dq"))


def main(arguments: list[str]) -> int:
    made = page()
    if arguments == ["--check"]:
        is_same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == made
        if not is_same:
            print(f"{PAGE.relative_to(ROOT)} is not up to date: make man")
        return 0 if is_same else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
