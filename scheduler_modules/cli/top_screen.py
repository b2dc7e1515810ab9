"""Draws `top`: what is known and where a person is in it, as lines that fill the screen. Pure."""

from collections.abc import Sequence

import msgspec
from rich.cells import cell_len
from rich.text import Text

from scheduler_modules.cli.tables import lines_of, row_of
from scheduler_modules.cli.top_data import Pane, Queue, Standing
from scheduler_modules.cli.top_model import Mode, TopState, nothing_shown
from scheduler_modules.cli.views import Card
from scheduler_modules.cli.words import group_label, status_word
from scheduler_modules.model import ProjectState
from scheduler_modules.utils import one_line, short_duration

BESIDE_FROM = 160
"""From this width on the log stands beside the projects, not below."""
_LEAST_BODY = 8
_MARK = "▸ "
_NO_MARK = "  "
_KEYS = (
    ("↵", "attach"),
    ("p", "pause"),
    ("s", "stash"),
    ("r", "retry"),
    ("x", "end"),
    ("+-", "priority"),
    ("l", "log"),
    ("⇥", "window"),
    ("/", "filter"),
    ("a", "all"),
    ("?", "help"),
    ("q", "quit"),
)
_FIRST_TO_GO = ("window", "priority", "all", "log", "stash", "pause", "end", "retry", "filter")
_HELP = (
    ("↑ ↓  j k", "one project up or down; PgUp, PgDn, Home and End go further"),
    ("Enter", "attach: enter its session; Ctrl-b d comes back here"),
    ("Tab", "its next window"),
    ("l", "its log on the whole screen, and back"),
    ("p", "pause what runs, or let it go on; set aside what waits"),
    ("s", "stash: set aside what waits, or let it start again"),
    ("r", "retry: queue again what has failed"),
    ("x", "end a run as failed; asks first"),
    ("+ -", "priority of what waits; higher runs first"),
    ("/", "show only what matches; Enter keeps the filter, Esc drops it"),
    ("a", "all that has ended, or only the last"),
    ("q", "leave; the work goes on"),
)


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is drawn."""

    state: TopState
    queue: Queue
    shown: tuple[Card, ...]
    """The cards of `state.rows`."""
    standing: Standing
    pane: Pane
    now: float


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything stands, in cells."""

    width: int
    height: int
    is_beside: bool
    head: int
    table_width: int
    table: int
    """Lines of the table, its head included."""
    pane_width: int
    pane: int
    """Lines of the window, its title included; 0: none is shown."""

    @property
    def page(self) -> int:
        """How many projects are shown at once."""
        return max(1, self.table - 1)

    @property
    def log_lines(self) -> int:
        return max(0, self.pane - 1)


def plan_layout(
    state: TopState, queue: Queue, standing: Standing, width: int, height: int
) -> Layout:
    """Return where everything stands on a screen of that size."""
    head = 1 + (_alarm(queue, standing, 0) is not None and height >= _LEAST_BODY + 2)
    body = max(0, height - head - 1)
    if state.is_log_full:
        table, pane, beside = 0, body, False
    elif width >= BESIDE_FROM:
        table, pane, beside = body, body, True
    elif body < _LEAST_BODY:
        table, pane, beside = body, 0, False
    else:
        table = min(max(len(state.rows), 1) + 1, body - body // 2)
        pane, beside = body - table, False
    left = width * 11 // 20 if beside else width
    return Layout(
        width=width,
        height=height,
        is_beside=beside,
        head=head,
        table_width=left,
        table=table,
        pane_width=width - left - 3 if beside else width,
        pane=pane,
    )


def draw(view: View, layout: Layout) -> list[Text]:
    """Return exactly as many lines as the screen has, each as wide as it is."""
    lines = [_headline(view, layout.width)]
    alarm = _alarm(view.queue, view.standing, view.now)
    if layout.head > 1 and alarm is not None:
        lines.append(_fitted(Text(alarm, style="yellow"), layout.width))
    if view.state.mode is Mode.HELP:
        lines += _help(layout)
    elif layout.is_beside:
        lines += _side_by_side(_table(view, layout), _pane(view, layout), layout)
    else:
        lines += _table(view, layout) + _pane(view, layout)
    lines = lines[: max(0, layout.height - 1)]
    lines += [_blank(layout.width)] * (layout.height - 1 - len(lines))
    return [*lines, _footer(view, layout.width)]


# -- the top ------------------------------------------------------------------------------------


def _headline(view: View, width: int) -> Text:
    queue, standing = view.queue, view.standing
    line = Text()
    if standing.is_launching:
        line.append("●", style="green").append(" daemon")
    else:
        line.append("✗ no daemon", style="red")
    line.append(f"   {queue.used_slots} of {queue.slots} slots used", style="bold")
    line.append(f"   {_counts(queue)}", style="dim")
    left_out = sum(queue.counts.values()) - len(queue.cards)
    if view.state.filter_text:
        line.append(f"   {_matches(len(view.shown), queue)}")
    elif left_out > 0:
        line.append(f"   {left_out:,} not shown", style="dim")
    return _fitted(line, width)


def _matches(shown: int, queue: Queue) -> str:
    """Return how many pass the filter, and in how many it has looked where those are not all."""
    left_out, total = queue.matches_left_out, sum(queue.counts.values())
    told = [f"{shown + left_out:,} match"]
    if left_out:
        told.append(f"{left_out:,} not shown")
    if queue.searched is not None and queue.searched < total:
        told.append(f"searched {queue.searched:,} of {total:,}")
    return ", ".join(told)


def _counts(queue: Queue) -> str:
    order = (ProjectState.PROCESSING, ProjectState.QUEUED, ProjectState.FAILED)
    known = sorted(queue.counts, key=lambda word: (word not in order, word))
    known.sort(key=lambda word: order.index(ProjectState(word)) if word in order else len(order))
    told = ", ".join(f"{queue.counts[word]:,} {status_word(word)}" for word in known)
    return told or "no projects yet"


def _alarm(queue: Queue, standing: Standing, now: float) -> str | None:
    """Return what keeps projects from starting, or this screen from being true."""
    said = []
    if queue.trouble:
        said.append(f"! {one_line(queue.trouble)}")
    if standing.trouble:
        said.append(f"! the daemon is in trouble: {one_line(standing.trouble)}")
    if queue.paused_at is not None:
        since = f", for {short_duration(now - queue.paused_at)}" if queue.paused_at else ""
        said.append(f"⏸ the queue is paused{since}")
    paused = [group_label(group.name) for group in queue.groups if group.paused_at is not None]
    if paused:
        said.append(f"⏸ paused: group {', '.join(paused)}")
    return "   ".join(said) or None


# -- projects -----------------------------------------------------------------------------------


def _table(view: View, layout: Layout) -> list[Text]:
    if layout.table <= 0:
        return []
    state, width = view.state, layout.table_width
    if not view.shown:
        lines = [_blank(width), _fitted(Text(f"  {_nothing(view)}", style="dim"), width)]
        return (lines + [_blank(width)] * layout.table)[: layout.table]
    rows = [row_of(card, view.now) for card in view.shown]
    shown = slice(state.first, state.first + layout.page)
    head, *body = lines_of(rows, width - len(_MARK), shown)
    lines = [_fitted(Text(_NO_MARK) + head, width)]
    for place, line in enumerate(body, start=state.first):
        is_selected = place == state.place
        marked = _fitted(Text(_MARK if is_selected else _NO_MARK) + line, width)
        if is_selected:
            marked.stylize("reverse")
        lines.append(marked)
    return (lines + [_blank(width)] * layout.table)[: layout.table]


def _nothing(view: View) -> str:
    if view.state.filter_text:
        return nothing_shown(view.state.filter_text)
    return "no projects yet; next: tmux-orchestrator add SPEC"


# -- the window ---------------------------------------------------------------------------------


def _pane(view: View, layout: Layout) -> list[Text]:
    if layout.pane <= 0:
        return []
    pane, width = view.pane, layout.pane_width
    lines = [_title(view, width)]
    if pane.lines:
        shown = pane.lines[-layout.log_lines :] if layout.log_lines else ()
        lines += [_fitted(Text(line.expandtabs(8)), width) for line in shown]
    elif layout.log_lines:
        lines.append(_fitted(Text(pane.remark, style="dim"), width))
    return (lines + [_blank(width)] * layout.pane)[: layout.pane]


def _title(view: View, width: int) -> Text:
    """Return the line above a log: the project, and its windows with the shown one marked."""
    row = view.state.selected
    line = Text("── ", style="dim")
    if row is not None:
        line.append(f"{row.id} {one_line(row.name, 40)}", style="bold")
        line.append(f" · attempt {view.pane.attempt}" if view.pane.attempt > 1 else "")
        for role in view.pane.roles:
            is_shown = role == view.pane.role
            line.append("  ")
            line.append(f"[{role}]" if is_shown else role, style="bold" if is_shown else "dim")
        line.append(" ")
    line.append("─" * max(0, width - line.cell_len), style="dim")
    return _fitted(line, width)


def _side_by_side(left: list[Text], right: list[Text], layout: Layout) -> list[Text]:
    bar = Text(" │ ", style="dim")
    pairs = zip(left, right, strict=True)
    return [_fitted(one + bar + other, layout.width) for one, other in pairs]


# -- the bottom, help ---------------------------------------------------------------------------


def _footer(view: View, width: int) -> Text:
    state = view.state
    if state.mode is Mode.FILTER:
        line = Text(f"/{state.filter_text}", style="bold").append("▏")
        line.append("  Enter keeps, Esc drops the filter", style="dim")
    elif state.mode is Mode.CONFIRM:
        line = Text(f"{state.question} ", style="bold yellow").append("y/n")
    elif state.mode is Mode.HELP:
        line = Text("any key goes back", style="dim")
    elif state.remark:
        line = Text(one_line(state.remark), style="yellow")
    else:
        line = _hints(width, state.filter_text)
    return _fitted(line, width)


def _hints(width: int, filter_text: str) -> Text:
    """Return what keys there are; on a narrow screen only the most needed."""
    keys = list(_KEYS)
    for word in _FIRST_TO_GO:
        if _hints_width(keys, filter_text) <= width:
            break
        keys = [pair for pair in keys if pair[1] != word]
    line = Text()
    if filter_text:
        line.append(f"/{filter_text}", style="bold").append("   ")
    for key, word in keys:
        line.append(key, style="bold").append(f" {word}  ", style="dim")
    line.rstrip()
    return line


def _hints_width(keys: Sequence[tuple[str, str]], filter_text: str) -> int:
    told = sum(cell_len(key) + len(word) + 3 for key, word in keys) - 2
    return told + (cell_len(filter_text) + 4 if filter_text else 0)


def _help(layout: Layout) -> list[Text]:
    lines = [_blank(layout.width)]
    for keys, does in _HELP:
        line = Text("  ").append(f"{keys:<10}", style="bold").append(does)
        lines.append(_fitted(line, layout.width))
    return lines


def _fitted(line: Text, width: int) -> Text:
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis", pad=True)
    return line


def _blank(width: int) -> Text:
    return Text(" " * width)
