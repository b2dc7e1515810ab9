"""Tables for a terminal. Only here is rich imported, and only when somebody looks."""

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scheduler_modules.cli.output import Terminal
from scheduler_modules.cli.views import Card
from scheduler_modules.cli.words import color, symbol, time_text
from scheduler_modules.utils import one_line

MIN_WIDTH = 40


def project_table(terminal: Terminal, cards: Sequence[Card], now: float) -> str:
    """Return projects as a table as wide as the terminal."""
    table = project_columns()
    for card in cards:
        table.add_row(*row_of(card, now))
    return rendered(terminal, table)


def project_columns() -> Table:
    """Return an empty table of projects; the note gives way where the terminal is narrow."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(" ID", justify="right", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    # Columns that may wrap give way first; their cells are cut instead of wrapped.
    table.add_column("PROJECT", max_width=32)
    table.add_column("PRIO", justify="right", no_wrap=True)
    table.add_column("TIME", no_wrap=True)
    table.add_column("NOTE")
    return table


def row_of(card: Card, now: float) -> tuple[Text, ...]:
    """Return the cells of one project. Texts are never read as markup."""
    project = card.project
    return (
        Text(str(project.id)),
        state_text(card.word),
        cut_text(one_line(project.name, 60)),
        Text(str(project.priority)),
        Text(time_text(project, now)),
        cut_text(card.note, "yellow" if card.needs_you else ""),
    )


def cut_text(text: str, style: str = "") -> Text:
    """Return a cell that ends in an ellipsis where its column is too narrow."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def state_text(word: str) -> Text:
    return Text(f"{symbol(word)} {one_line(word, 20)}", style=color(word))


def console_for(terminal: Terminal, stream: io.TextIOBase | None = None) -> Console:
    """Return a console that writes as the terminal may be written."""
    import shutil

    return Console(
        file=stream or terminal.stdout,  # type: ignore[arg-type]
        force_terminal=True,
        no_color=not terminal.has_color,
        color_system="standard" if terminal.has_color else None,
        width=max(MIN_WIDTH, shutil.get_terminal_size().columns),
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )


def rendered(terminal: Terminal, table: Table) -> str:
    """Return what a table looks like, line by line."""
    stream = io.StringIO()
    console_for(terminal, stream).print(table)
    return stream.getvalue()
