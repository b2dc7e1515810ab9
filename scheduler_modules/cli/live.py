"""The table that `wait` shows on a terminal: it changes in place and stays when it is done."""

from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scheduler_modules.cli.output import Terminal
from scheduler_modules.cli.tables import console_for, row_of, table_of, terminal_width
from scheduler_modules.cli.views import Card
from scheduler_modules.cli.words import ENDED_WORDS

MAX_ROWS = 30
BAR_WIDTH = 30


class WaitDisplay:
    """A live table; `update` draws it anew."""

    def __init__(self, terminal: Terminal) -> None:
        self._live = Live(
            console=console_for(terminal), auto_refresh=False, vertical_overflow="ellipsis"
        )

    def __enter__(self) -> "WaitDisplay":
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def update(
        self,
        cards: Sequence[Card],
        last_lines: Mapping[int, str],
        *,
        ended: int,
        now: float,
        remark: str | None,
    ) -> None:
        """Draw the projects: those that go on first, the last line of each as its note."""
        ordered = sorted(cards, key=_urgency)
        rows = []
        for card in ordered[:MAX_ROWS]:
            *cells, note = row_of(card, now)
            line = last_lines.get(card.project.id)
            rows.append((*cells, Text(line, style="dim") if line else note))
        parts: list[RenderableType] = [table_of(rows, terminal_width())]
        if len(ordered) > MAX_ROWS:
            parts.append(Text(f"and {len(ordered) - MAX_ROWS} more", style="dim"))
        parts.append(_progress(ended, max(1, len(cards))))
        if remark is not None:
            parts.append(Text(f"! {remark}", style="yellow"))
        self._live.update(Group(*parts), refresh=True)


def _urgency(card: Card) -> int:
    if card.project.status in ENDED_WORDS:
        return 2
    return 1 if card.run is None else 0


def _progress(ended: int, total: int) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        ProgressBar(
            total=total,
            completed=min(ended, total),
            width=BAR_WIDTH,
            style="dim",
            complete_style="green",
            finished_style="green",
        ),
        Text(f"{ended} of {total} ended"),
    )
    return grid
