"""Tables for a terminal. Only here is rich imported, and only when somebody looks."""

import io
import re
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scheduler_modules.cli.output import Terminal
from scheduler_modules.cli.views import Card
from scheduler_modules.cli.words import color, symbol, time_text
from scheduler_modules.utils import one_line

MIN_WIDTH = 40
_GAP = 2
_HEADS = (" ID", "STATE", "PROJECT", "GROUP", "PRIO", "TIME", "HOST", "NOTE")
_PROJECT, _GROUP, _HOST, _NOTE = 2, 3, 6, 7
_AT_THE_RIGHT = frozenset({0, 4})
_NOTHING = "-"
_WIDEST_PROJECT, _LEAST_PROJECT, _LEAST_NOTE = 48, 10, 20
_WIDEST_NAME = 20

Row = tuple[Text, ...]

_BLANK_END = re.compile(r"(?:[ ]|\x1b\[[0-9;]*m)+$", re.MULTILINE)


def project_table(terminal: Terminal, cards: Sequence[Card], now: float) -> str:
    """Return projects as a table as wide as the terminal."""
    table = table_of([row_of(card, now) for card in cards], terminal_width())
    stream = io.StringIO()
    console_for(terminal, stream).print(table)
    # What stands at the end of a line is a reset of colours at most.
    return _BLANK_END.sub(lambda end: "\x1b[0m" if "\x1b" in end[0] else "", stream.getvalue())


def table_of(rows: Sequence[Row], width: int) -> Table:
    """Return a table of projects; the columns of groups and hosts only where they tell something.

    On a narrow terminal the note gives way, then the project's name; the other columns are never
    made narrower.
    """
    widths = _widths(rows, width)
    shown = [number for number, cells in enumerate(widths) if cells > 0]
    # Without a width of its own rich would shrink all columns where they are wider than a line.
    total = sum(widths) + _GAP * (len(shown) - 1)
    table = Table(
        box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim", width=total
    )
    for number in shown:
        table.add_column(
            _HEADS[number],
            justify="right" if number in _AT_THE_RIGHT else "left",
            width=widths[number],
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*(row[number] for number in shown))
    return table


def lines_of(rows: Sequence[Row], width: int, shown: slice) -> list[Text]:
    """Return the head and those of the rows as lines of a fixed width, to be placed by the caller.

    The columns fit all rows, so that none jumps when other ones are shown.
    """
    widths = _widths(rows, width)
    head = tuple(Text(name, style="dim") for name in _HEADS)
    return [_joined(row, widths, width) for row in (head, *rows[shown])]


def _joined(row: Row, widths: Sequence[int], width: int) -> Text:
    line = Text(no_wrap=True)
    for number, cells in enumerate(widths):
        if cells <= 0:
            continue
        cell = row[number].copy()
        cell.truncate(cells, overflow="ellipsis")
        if number in _AT_THE_RIGHT:
            cell.pad_left(cells - cell.cell_len)
        else:
            cell.pad_right(cells - cell.cell_len)
        line.append_text(cell).append(" " * _GAP)
    line.truncate(width, pad=True)
    return line


def row_of(card: Card, now: float) -> Row:
    """Return the cells of one project, the note last. Texts are never read as markup."""
    project = card.project
    return (
        Text(str(project.id)),
        state_text(card.word),
        Text(one_line(project.name, 60)),
        Text(one_line(project.group, 60) or _NOTHING),
        Text(str(project.priority)),
        Text(time_text(project, now)),
        Text(one_line(card.elsewhere or "", 60) or _NOTHING),
        Text(card.note, style="yellow" if card.needs_you else ""),
    )


def _widths(rows: Sequence[Row], width: int) -> list[int]:
    """Return the width of each column in cells; 0: it is not shown."""
    wanted = [
        max(len(head), *(row[number].cell_len for row in rows), 1)
        for number, head in enumerate(_HEADS)
    ]
    wanted[_PROJECT] = min(wanted[_PROJECT], _WIDEST_PROJECT)
    for number in (_GROUP, _HOST):
        is_told = any(row[number].plain != _NOTHING for row in rows)
        wanted[number] = min(wanted[number], _WIDEST_NAME) if is_told else 0
    gaps = sum(cells > 0 for cells in wanted) - 1
    left = width - (sum(wanted) - wanted[_PROJECT] - wanted[_NOTE] + _GAP * gaps)
    least_note = min(wanted[_NOTE], _LEAST_NOTE)
    least_project = min(wanted[_PROJECT], _LEAST_PROJECT)
    wanted[_PROJECT] = min(wanted[_PROJECT], max(least_project, left - least_note))
    left -= wanted[_PROJECT]
    wanted[_NOTE] = min(wanted[_NOTE], left) if left >= len(_HEADS[_NOTE]) else 0
    return wanted


def state_text(word: str) -> Text:
    return Text(f"{symbol(word)} {one_line(word, 20)}", style=color(word))


def terminal_width() -> int:
    """Return how many columns a table may have."""
    import shutil

    return max(MIN_WIDTH, shutil.get_terminal_size().columns)


def console_for(terminal: Terminal, stream: io.TextIOBase | None = None) -> Console:
    """Return a console that writes as the terminal may be written."""
    return Console(
        file=stream or terminal.stdout,  # type: ignore[arg-type]
        force_terminal=True,
        no_color=not terminal.has_color,
        color_system="standard" if terminal.has_color else None,
        width=terminal_width(),
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
