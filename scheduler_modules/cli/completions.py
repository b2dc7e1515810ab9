"""What a shell may complete behind a verb: the ids, names, groups and windows there really are.

Looking is all it does: no home, no database and no daemon comes into being by the tab key, and
what is wrong is not said into a half-typed line.
"""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    add_completion_class,
    get_completion_class,
    shell_complete,
)

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.log_lines import roles_of
from scheduler_modules.cli.refs import LAST, find_one
from scheduler_modules.cli.verb import COMPLETE_VARIABLE, PROGRAM
from scheduler_modules.cli.words import PAUSED, RUNNING, SUCCESS_WORDS, group_label, state_word
from scheduler_modules.errors import SchedulerError
from scheduler_modules.model import Project, ProjectState, Run
from scheduler_modules.utils import one_line

MOST = 50
"""Projects that are looked at; nobody reads a longer list."""
_BASH_SPECIAL = re.compile(r"[^\w@%+=:,./-]")
_SPECIAL_IN_QUOTES = {"'": frozenset("'"), '"': frozenset('"$`\\!')}

Items = list[CompletionItem]
Runs = dict[int, Run]


class _Bash(BashComplete):
    """Bash puts what it is offered into the line as it is: so it is offered as it must be typed."""

    source_template = BashComplete.source_template.replace(
        "read type value", "read -r type value"
    ).replace("+=($value)", '+=("$value")')

    def format_completion(self, item: CompletionItem) -> str:
        if item.type != "plain":
            return super().format_completion(item)
        quote = _open_quote(os.environ["COMP_WORDS"])
        if not quote:
            return f"plain,{_BASH_SPECIAL.sub(_escaped, item.value)}"
        # Bash ends the quotes itself; inside them not every character can be typed.
        is_possible = _SPECIAL_IN_QUOTES[quote].isdisjoint(item.value)
        return f"plain,{item.value}" if is_possible else ""


class _Fish(FishComplete):
    """Fish quotes by itself; a comma in a name must not end it."""

    source_template = FishComplete.source_template.replace(
        'string split ","', 'string split --max 1 ","'
    )


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _open_quote(line: str) -> str:
    """Return the quote in which a half-typed line ends; empty: in none."""
    quote, place = "", 0
    while place < len(line):
        letter = line[place]
        if letter == "\\" and quote != "'":
            place += 1
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in _SPECIAL_IN_QUOTES:
            quote = letter
        place += 1
    return quote


for _kind in (_Bash, _Fish):
    add_completion_class(_kind)


def completer(root: click.Command, shell: str) -> ShellComplete | None:
    """Return what makes a shell's script; None: it is none that we know."""
    kind = get_completion_class(shell)
    return None if kind is None else kind(root, {}, PROGRAM, COMPLETE_VARIABLE)


def complete(root: click.Group, cli: Cli, instruction: str) -> int:
    """Answer a shell's question; `instruction` says which shell asks, and for what."""
    cli.terminal.is_quiet = True
    get_command = root.get_command

    def get_taught(ctx: click.Context, name: str) -> click.Command | None:
        command = get_command(ctx, name)
        if command is not None:
            _teach(command, cli, name)
        return command

    root.get_command = get_taught  # type: ignore[assignment,method-assign]
    return shell_complete(root, {"obj": cli}, PROGRAM, COMPLETE_VARIABLE, instruction)


def _teach(command: click.Command, cli: Cli, verb: str) -> None:
    """Let a verb's parameters, and those of the verbs in it, know what there is."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            _teach(inner, cli, f"{verb} {name}")
    for parameter in command.params:
        source = _source_of(parameter, verb)
        if source is not None:
            parameter.shell_complete = _asking(cli, source)  # type: ignore[assignment,method-assign]


Source = Callable[[Cli, click.Context], Iterable[CompletionItem]]


def _source_of(parameter: click.Parameter, verb: str) -> Source | None:
    """Return what can stand for a parameter; None: that is not ours to say."""
    name = parameter.name or ""
    if isinstance(parameter, click.Argument):
        if name in {"project", "projects"} or (verb, name) == ("fail", "words"):
            return lambda cli, ctx: _projects(cli, ctx, verb)
        return _groups if verb.startswith("group") and name == "name" else None
    return _OF_OPTIONS.get(name)


def _asking(cli: Cli, source: Source) -> Callable[[click.Context, str], list[CompletionItem]]:
    def ask(ctx: click.Context, incomplete: str) -> Items:
        try:
            if not _is_there(cli):
                return []
            found = source(cli, ctx)
            return [item for item in found if _fits(str(item.value), incomplete)]
        except (SchedulerError, OSError):
            # A half-typed line is no place for complaints; the verb itself will tell.
            return []

    return ask


def _is_there(cli: Cli) -> bool:
    """Whether there are a home and a database that only have to be opened."""
    return cli.config.home.is_dir() and cli.parts.open_database_probe(cli.config).is_current()


def _fits(value: str, incomplete: str) -> bool:
    """Whether it goes on from what is typed and can be typed: else there is the id."""
    is_word = value.isprintable() and not value.startswith("-")
    return is_word and value.lower().startswith(incomplete.lower())


# -- projects -----------------------------------------------------------------------------------


def _projects(cli: Cli, ctx: click.Context, verb: str) -> Iterator[CompletionItem]:
    """Give ids and names of the projects a verb can be about, the newest first."""
    runs = {run.project_id: run for run in cli.store.open_runs()}
    given = set(map(str, ctx.params.get("projects") or ()))
    names: set[str] = set()
    for project in _meant(cli, verb, runs):
        if given & {str(project.id), project.name}:
            continue
        word, name = state_word(project, runs.get(project.id)), one_line(project.name, 60)
        yield CompletionItem(str(project.id), help=f"{name}, {word}")
        if project.name not in names:
            names.add(project.name)
            yield CompletionItem(project.name, help=f"{project.id}, {word}")
    if not given and names:
        yield CompletionItem(LAST, help="the newest project")


def _meant(cli: Cli, verb: str, runs: Runs) -> list[Project]:
    known = cli.store.counts()
    statuses = _statuses(verb, known)
    if not statuses:
        return []
    found = cli.store.projects(sorted(statuses), limit=MOST, newest_first=True)
    word = _WORDS.get(verb)
    if word is None:
        return found
    return [p for p in found if (state_word(p, runs.get(p.id)) == PAUSED) is (word == PAUSED)]


_QUEUED, _RUNNING = ProjectState.QUEUED.value, ProjectState.PROCESSING.value
_ONLY: dict[str, frozenset[str]] = {
    "attach": frozenset({_RUNNING}),
    "done": frozenset({_RUNNING}),
    "fail": frozenset({_RUNNING}),
    "follow": frozenset({_RUNNING, _QUEUED}),
    "wait": frozenset({_RUNNING, _QUEUED}),
    "pause": frozenset({_RUNNING, _QUEUED}),
    "resume": frozenset({_RUNNING, _QUEUED}),
    "stash": frozenset({_QUEUED}),
    "edit": frozenset({_QUEUED}),
    "priority": frozenset({_QUEUED}),
}
_NOT: dict[str, frozenset[str]] = {
    "retry": SUCCESS_WORDS | {_RUNNING, _QUEUED},
    "reset": frozenset({_QUEUED, ProjectState.COMPLETED.value}),
    "remove": frozenset({_RUNNING}),
    "logs": frozenset({_QUEUED}),
}
_WORDS = {"resume": PAUSED, "pause": RUNNING, "stash": RUNNING}
"""Verbs about what stands still, and about what does not."""


def _statuses(verb: str, known: Collection[str]) -> set[str]:
    """Return the stored words that a verb can be about, of those there are."""
    return (set(known) & _ONLY.get(verb, set(known))) - _NOT.get(verb, frozenset())


# -- what else has a name -----------------------------------------------------------------------


def _groups(cli: Cli, _ctx: click.Context) -> Iterator[CompletionItem]:
    for group in cli.control.groups():
        told = f"{group.running} running, {group.queued} queued"
        yield CompletionItem(group_label(group.name), help=told)


def _batches(cli: Cli, _ctx: click.Context) -> Iterator[CompletionItem]:
    """Give the batches of the newest projects."""
    found = cli.store.projects(limit=MOST, newest_first=True)
    for name in dict.fromkeys(project.batch_id for project in found if project.batch_id):
        yield CompletionItem(name)


def _states(cli: Cli, _ctx: click.Context) -> Iterator[CompletionItem]:
    words = {RUNNING if word == _RUNNING else word for word in cli.store.counts()}
    yield from (CompletionItem(word) for word in sorted(words | {PAUSED}))


def _windows(cli: Cli, ctx: click.Context) -> Iterator[CompletionItem]:
    """Give the windows of the project that stands in the line already."""
    # An option whose value is still to come keeps click from telling words apart.
    project = ctx.params.get("project") or next(iter(ctx.args), None)
    if not isinstance(project, str):
        return
    runs = cli.store.runs_of(find_one(cli.store, project).id)
    yield from (CompletionItem(role) for role in (roles_of(runs[-1]) if runs else ()))


_OF_OPTIONS: dict[str, Source] = {
    "group": _groups,
    "batch": _batches,
    "state": _states,
    "window": _windows,
    "after": lambda cli, ctx: _projects(cli, ctx, "after"),
}
