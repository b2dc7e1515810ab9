"""What `top` shows and what its keys mean: a state, and what each key makes of it. Pure."""

import enum
from collections.abc import Sequence

import msgspec

from scheduler_modules.cli.views import Card
from scheduler_modules.cli.words import ENDED_WORDS, SUCCESS_WORDS
from scheduler_modules.model import Project, ProjectState
from scheduler_modules.utils import one_line

PRIORITY_STEP = 1
MAX_FILTER = 60


class Mode(enum.StrEnum):
    """What a typed letter means now."""

    BROWSE = "browse"
    FILTER = "filter"
    CONFIRM = "confirm"
    HELP = "help"


class Act(enum.StrEnum):
    """What a key asks for that is more than another look."""

    ATTACH = "attach"
    PAUSE = "pause"
    RESUME = "resume"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    END = "end"
    PRIORITY = "priority"
    QUIT = "quit"


class Effect(msgspec.Struct, frozen=True):
    """One act on one project."""

    act: Act
    project_id: int = 0
    amount: int = 0
    """What a priority changes by."""
    token: str | None = None
    """The run that is to be ended: never the one that came after it."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What keys have to know of a project."""

    id: int
    name: str
    status: str
    is_held: bool = False
    is_pause_wanted: bool = False
    token: str | None = None
    """Of its open run; None where there is none of ours."""
    found_by: str = ""
    """What a filter looks in, in lower case."""

    @property
    def about(self) -> str:
        return f"{self.id} ({one_line(self.name, 40)})"


class TopState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a person is in the screen; nothing of it is kept."""

    rows: tuple[Row, ...] = ()
    """What the filter lets through, in the order shown."""
    selected_id: int | None = None
    first: int = 0
    """Place in `rows` of the first one that is shown."""
    page: int = 10
    """How many rows are shown at once."""
    role: int = 0
    """Which window of the selected project; counted on without end."""
    is_log_full: bool = False
    shows_all: bool = False
    """Whether everything that has ended is listed, not just the last."""
    filter_text: str = ""
    mode: Mode = Mode.BROWSE
    asked: Effect | None = None
    """What a yes would do."""
    question: str = ""
    remark: str = ""
    """What came of the last key, in words."""

    @property
    def place(self) -> int:
        """Where the selected row stands; 0 where there is none."""
        places = (n for n, row in enumerate(self.rows) if row.id == self.selected_id)
        return next(places, 0)

    @property
    def selected(self) -> Row | None:
        return self.rows[self.place] if self.rows else None


Step = tuple[TopState, Effect | None]
_replace = msgspec.structs.replace


def row_from(card: Card) -> Row:
    """Return what keys have to know of a project."""
    project, run = card.project, card.run
    return Row(
        id=project.id,
        name=project.name,
        status=project.status,
        is_held=project.held_at is not None,
        is_pause_wanted=run is not None and run.is_pause_wanted,
        token=None if run is None else run.token,
        found_by=found_by(project, card.word),
    )


def passing(cards: Sequence[Card], filter_text: str) -> list[Card]:
    """Return the cards in which every word of the filter is found."""
    return [card for card in cards if has_all(row_from(card).found_by, filter_text)]


def found_by(project: Project, word: str) -> str:
    """Return what a filter looks in; `word`: the project's state as it is told."""
    return f"{project.id} {project.name} {word} {project.group}".lower()


def has_all(text: str, filter_text: str) -> bool:
    """Whether every word of the filter is found in this lower-case text."""
    return all(word in text for word in filter_text.lower().split())


def see(state: TopState, cards: Sequence[Card]) -> TopState:
    """Take in what is there now: the selection stays with its project, else with its place."""
    rows = tuple(row_from(card) for card in cards)
    known = {row.id for row in rows}
    selected_id = state.selected_id
    if selected_id not in known:
        place = min(state.place, len(rows) - 1)
        selected_id = rows[place].id if rows else None
    role = state.role if selected_id == state.selected_id else 0
    return _in_sight(_replace(state, rows=rows, selected_id=selected_id, role=role))


def fit(state: TopState, page: int) -> TopState:
    """Take in how many rows have room; the selected one stays in sight."""
    return _in_sight(_replace(state, page=max(1, page)))


def _in_sight(state: TopState) -> TopState:
    lowest = max(0, state.place - state.page + 1)
    highest = min(state.place, max(0, len(state.rows) - state.page))
    return _replace(state, first=max(lowest, min(state.first, max(lowest, highest))))


def remarked(state: TopState, text: str) -> TopState:
    """Return the state with something said at the foot, until the next key."""
    return _replace(state, remark=text)


def press(state: TopState, key: str) -> Step:
    """Return what a key makes of the state, and what is to be done beside."""
    state = _replace(state, remark="")
    match state.mode:
        case Mode.FILTER:
            return _in_filter(state, key), None
        case Mode.CONFIRM:
            return _in_question(state, key)
        case Mode.HELP:
            return _replace(state, mode=Mode.BROWSE), None
        case Mode.BROWSE:
            return _in_list(state, key)


def _in_filter(state: TopState, key: str) -> TopState:
    text = state.filter_text
    if key == "enter":
        return _replace(state, mode=Mode.BROWSE)
    if key == "esc":
        return _replace(state, mode=Mode.BROWSE, filter_text="")
    if key in _MOVES and len(key) > 1:
        return _moved(state, key)
    if key == "backspace":
        text = text[:-1]
    elif key == "space":
        text += " "
    elif len(key) == 1:
        text = (text + key)[:MAX_FILTER]
    return _replace(state, filter_text=text)


def _in_question(state: TopState, key: str) -> Step:
    answered = _replace(state, mode=Mode.BROWSE, asked=None, question="")
    if key in {"y", "Y"}:
        return answered, state.asked
    return _replace(answered, remark="nothing was done"), None


def nothing_shown(filter_text: str) -> str:
    """Return why no project is shown."""
    if filter_text:
        return f'nothing matches "{filter_text}"; Esc shows all'
    return "there are no projects yet"


def _in_list(state: TopState, key: str) -> Step:
    if not state.rows and key in _ABOUT_ONE and not (key == "l" and state.is_log_full):
        return _refused(state, nothing_shown(state.filter_text))
    if key in _MOVES:
        return _moved(state, key), None
    if key in _LOOKS:
        return _looked(state, key), None
    if key in {"q", "ctrl-c", "ctrl-d"}:
        return state, Effect(Act.QUIT)
    if key in _ACTS:
        return _acted(state, state.rows[state.place], key)
    return state, None


_MOVES = {"up": -1, "k": -1, "down": 1, "j": 1, "pgup": 0, "pgdn": 0, "home": 0, "end": 0}
_MOVES |= {"g": 0, "G": 0}
_LOOKS = frozenset({"l", "tab", "backtab", "/", "a", "?", "esc"})
_ACTS = frozenset({"enter", "p", "s", "r", "x", "+", "=", "-"})
_ABOUT_ONE = frozenset(_MOVES) | _ACTS | {"tab", "backtab", "l"}


def _moved(state: TopState, key: str) -> TopState:
    if not state.rows:
        return state
    match key:
        case "home" | "g":
            place = 0
        case "end" | "G":
            place = len(state.rows) - 1
        case "pgup":
            place = state.place - state.page
        case "pgdn":
            place = state.place + state.page
        case _:
            place = state.place + _MOVES[key]
    row = state.rows[max(0, min(place, len(state.rows) - 1))]
    role = state.role if row.id == state.selected_id else 0
    return _in_sight(_replace(state, selected_id=row.id, role=role))


def _looked(state: TopState, key: str) -> TopState:
    changes: dict[str, dict[str, object]] = {
        "l": {"is_log_full": not state.is_log_full},
        "tab": {"role": state.role + 1},
        "backtab": {"role": state.role - 1},
        "/": {"mode": Mode.FILTER},
        "a": {"shows_all": not state.shows_all},
        "?": {"mode": Mode.HELP},
        # Back to where one came from: the log first, then the filter.
        "esc": {"is_log_full": False} if state.is_log_full else {"filter_text": ""},
    }
    return _replace(state, **changes[key])


def _acted(state: TopState, row: Row, key: str) -> Step:
    match key:
        case "enter":
            return state, Effect(Act.ATTACH, row.id)
        case "p":
            return _paused(state, row)
        case "s":
            return _stashed(state, row)
        case "r":
            return _retried(state, row)
        case "x":
            return _ended(state, row)
        case _:
            step = -PRIORITY_STEP if key == "-" else PRIORITY_STEP
            return _if_queued(state, row, Effect(Act.PRIORITY, row.id, step), "a priority")


def _paused(state: TopState, row: Row) -> Step:
    if row.token is not None and row.status == ProjectState.PROCESSING:
        act = Act.RESUME if row.is_pause_wanted else Act.PAUSE
        return state, Effect(act, row.id)
    return _stashed(state, row)


def _stashed(state: TopState, row: Row) -> Step:
    if row.is_held:
        return state, Effect(Act.RELEASE, row.id)
    return _if_queued(state, row, Effect(Act.HOLD, row.id), "setting aside")


def _if_queued(state: TopState, row: Row, effect: Effect, what: str) -> Step:
    if row.status == ProjectState.QUEUED:
        return state, effect
    return _refused(state, f"{row.about} is not queued: {what} is for what waits")


def _retried(state: TopState, row: Row) -> Step:
    if row.status in {ProjectState.QUEUED, ProjectState.PROCESSING}:
        word = "queued" if row.status == ProjectState.QUEUED else "running"
        return _refused(state, f"{row.about} is {word} already")
    if row.status in ENDED_WORDS & SUCCESS_WORDS:
        return _refused(state, f"{row.about} is {row.status}: add --again queues it anew")
    return state, Effect(Act.RETRY, row.id)


def _ended(state: TopState, row: Row) -> Step:
    if row.status != ProjectState.PROCESSING:
        return _refused(state, f"{row.about} is not running")
    if row.token is None:
        return _refused(state, f"{row.about} was started by another program: end it there")
    return _replace(
        state,
        mode=Mode.CONFIRM,
        asked=Effect(Act.END, row.id, token=row.token),
        question=f"end the run of {row.about} as failed?",
    ), None


def _refused(state: TopState, why: str) -> Step:
    return remarked(state, why), None
