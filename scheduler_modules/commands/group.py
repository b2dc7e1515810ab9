"""`group`: parts of the queue with limits of their own."""

import click

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.documents import group_json
from scheduler_modules.cli.verb import VerbGroup, group_name, pass_cli, verb
from scheduler_modules.cli.words import PAUSED, ago, group_label, symbol
from scheduler_modules.errors import InvalidInput
from scheduler_modules.model import Group
from scheduler_modules.utils import iso_utc, one_line

NO_LIMIT = "none"
MAX_LIMIT = 1_000_000


@click.group(
    name="group",
    cls=VerbGroup,
    default="list",
    examples=("group set night --limit 2", "group remove night"),
)
def group_verb() -> None:
    """Show groups and set how many projects of each may run at once.

    `add --group NAME` makes a group; `pause --group NAME` lets nothing new of it start.
    """


@verb(examples=("group", "group list --json"), name="list")
@pass_cli
def list_verb(cli: Cli) -> None:
    """Show all groups, the default one first.

    In a pipe: name, limit, running, queued and since when it is paused, tabs between.
    """
    groups = cli.control.groups()
    terminal = cli.terminal
    if terminal.is_json:
        queue_paused_at = iso_utc(cli.control.paused_at())
        told = [group_json(group) for group in groups]
        terminal.json({"groups": told, "queue_paused_at": queue_paused_at})
    elif terminal.is_quiet:
        terminal.write("".join(f"{group_label(group.name)}\n" for group in groups))
    elif terminal.is_pretty:
        for line in _table(groups, cli.clock.now()):
            terminal.line(line)
        terminal.next_step("tmux-orchestrator group set NAME --limit N")
    else:
        terminal.write("".join("\t".join(_record(group)) + "\n" for group in groups))


groups_verb = list_verb
"""`groups` alone means the same."""


def _limit(_ctx: click.Context, _param: click.Parameter, given: str) -> int | None:
    if given.lower() == NO_LIMIT:
        return None
    is_number = given.isascii() and given.isdigit() and len(given) <= len(str(MAX_LIMIT))
    if not is_number or not 1 <= int(given) <= MAX_LIMIT:
        raise click.BadParameter(f"give a number from 1 to {MAX_LIMIT:,}, or {NO_LIMIT}")
    return int(given)


@verb(examples=("group set night --limit 2", "group set default --limit none"), name="set")
@click.argument("name", metavar="NAME")
@click.option(
    "--limit",
    metavar="N|none",
    required=True,
    callback=_limit,
    help="At most N run at once; none: only the limit over the whole queue counts.",
)
@pass_cli
def set_verb(cli: Cli, name: str, limit: int | None) -> None:
    """Make a group, or change its limit.

    The limit over the whole queue (MAX_CONCURRENT_PROJECTS) counts besides.
    """
    group = _named(name)
    cli.control.set_limit(group, limit)
    _answer(cli, group, "no limit of its own" if limit is None else f"at most {limit} at once")


@verb(examples=("group remove night",), name="remove")
@click.argument("name", metavar="NAME")
@pass_cli
def remove_verb(cli: Cli, name: str) -> None:
    """Forget a group that no queued or running project belongs to."""
    group = _named(name)
    cli.control.remove_group(group)
    _answer(cli, group, "removed")


for _sub in (list_verb, set_verb, remove_verb):
    group_verb.add_command(_sub)


def _named(word: str) -> str:
    if not word.strip():
        raise InvalidInput("give a group's name; default is the one without a name")
    return group_name(word)


def _answer(cli: Cli, group: str, outcome: str) -> None:
    if cli.terminal.is_json:
        known = [known for known in cli.control.groups() if known.name == group]
        told = group_json(known[0]) if known else {"group": group_label(group)}
        cli.terminal.json({**told, "outcome": outcome})
    elif not cli.terminal.is_quiet:
        cli.terminal.line(f"group {one_line(group_label(group))}  {outcome}")


def _record(group: Group) -> tuple[str, ...]:
    return (
        group_label(group.name),
        "-" if group.max_running is None else str(group.max_running),
        str(group.running),
        str(group.queued),
        iso_utc(group.paused_at) or "-",
    )


def _table(groups: list[Group], now: float) -> list[str]:
    heads = ("GROUP", "LIMIT", "RUNNING", "QUEUED", "")
    rows = [heads]
    for group in groups:
        paused = "" if group.paused_at is None else f"paused {ago(group.paused_at, now)}"
        note = f"{symbol(PAUSED)} {paused}" if paused else ""
        rows.append((*_record(group)[:4], note))  # type: ignore[arg-type]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for name, *numbers, note in rows:
        cells = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join((name.ljust(widths[0]), *cells, note)).rstrip())
    return lines
