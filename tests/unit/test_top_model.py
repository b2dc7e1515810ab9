"""What the keys of `top` mean, without a terminal or a queue."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_modules.cli.top_model import (
    MAX_FILTER,
    Act,
    Effect,
    Mode,
    TopState,
    fit,
    passing,
    press,
    remarked,
    see,
)
from scheduler_modules.cli.views import Card
from scheduler_modules.model import Project, Run, RunPhase

KEYS = ["up", "down", "j", "k", "pgup", "pgdn", "home", "end", "g", "G", "enter", "l", "tab"]
KEYS += ["backtab", "p", "s", "r", "x", "+", "=", "-", "/", "a", "?", "esc", "q", "y", "n", "ö"]
KEYS += ["backspace", "space", "left", "right", "ctrl-c"]


def card(number, status="queued", name=None, word=None, *, run=False, paused=False, **fields):
    project = Project(
        id=number,
        spec_path=f"/specs/{number}.md",
        status=status,
        stored_status=status,
        enqueued_at=0.0,
        name=name or f"project-{number}",
        **fields,
    )
    opened = Run(
        id=number,
        project_id=number,
        attempt=1,
        token="f" * 32,
        host="here",
        daemon_id="d",
        session_name="s",
        phase=RunPhase.RUNNING,
        claimed_at=0.0,
        is_pause_wanted=paused,
    )
    return Card(project=project, run=opened if run else None, word=word or status, note="")


def running(number, **fields):
    return card(number, "processing", word="running", run=True, **fields)


def seeing(*cards, page=10, **fields):
    return fit(see(TopState(**fields), cards), page)


def pressed(state, *keys):
    """Return the state after these keys, and every effect they had."""
    effects = []
    for key in keys:
        state, effect = press(state, key)
        effects += [effect] if effect else []
    return state, effects


def many(count):
    return [card(number) for number in range(1, count + 1)]


# -- selection ----------------------------------------------------------------------------------


def test_the_first_one_is_selected_to_begin_with():
    assert seeing(*many(3)).selected_id == 1


@pytest.mark.parametrize(
    ("keys", "selected"),
    [
        (["j"], 2),
        (["down", "down"], 3),
        (["j", "k"], 1),
        (["up"], 1),
        (["end"], 30),
        (["G", "down"], 30),
        (["G", "g"], 1),
        (["end", "home"], 1),
        (["pgdn"], 11),
        (["pgdn", "pgdn", "pgdn", "pgdn"], 30),
        (["end", "pgup"], 20),
        (["pgup"], 1),
    ],
)
def test_the_selection_moves_and_stays_inside(keys, selected):
    state, effects = pressed(seeing(*many(30)), *keys)

    assert (state.selected_id, effects) == (selected, [])


def test_the_selection_stays_with_its_project_when_rows_change_places():
    state, _ = pressed(seeing(*many(3)), "j")

    state = see(state, [card(3), card(1), card(2)])

    assert (state.selected_id, state.place) == (2, 2)


def test_the_selection_stays_at_its_place_when_its_project_is_gone():
    state, _ = pressed(seeing(*many(3)), "j")

    assert see(state, [card(1), card(3)]).selected_id == 3


def test_the_selection_moves_up_when_the_last_one_is_gone():
    state, _ = pressed(seeing(*many(3)), "end")

    assert see(state, many(2)).selected_id == 2


def test_without_projects_nothing_is_selected():
    state = see(seeing(*many(3)), [])

    assert (state.selected, state.selected_id) == (None, None)
    assert pressed(state, "j", "enter", "x", "end")[1] == []


def test_the_list_scrolls_no_further_than_needed():
    state, _ = pressed(seeing(*many(30), page=5), *["j"] * 6)

    assert (state.place, state.first) == (6, 2)


def test_the_list_shows_no_hole_at_its_end():
    state, _ = pressed(seeing(*many(30), page=5), "end")

    assert fit(state, 20).first == 10


def test_a_smaller_screen_keeps_the_selected_one_in_sight():
    state, _ = pressed(seeing(*many(30), page=20), *["j"] * 15)

    assert fit(state, 4).first == 12


@given(st.integers(0, 30), st.integers(-3, 40), st.lists(st.sampled_from(KEYS), max_size=30))
def test_whatever_is_pressed_the_selected_one_is_in_sight(count, page, keys):
    state = seeing(*many(count), page=page)

    for key in keys:
        state, _ = press(state, key)

    assert 0 <= state.first <= state.place < state.first + state.page
    assert state.place < max(1, count)


# -- looks --------------------------------------------------------------------------------------


def test_tab_goes_through_the_windows_and_a_new_selection_begins_with_the_first():
    state, _ = pressed(seeing(*many(3)), "tab", "tab", "backtab")
    assert state.role == 1

    assert pressed(state, "j")[0].role == 0


def test_the_window_stays_when_the_list_is_seen_anew():
    state, _ = pressed(seeing(*many(3)), "tab")

    assert see(state, many(4)).role == 1


def test_l_shows_the_log_alone_and_back():
    state, _ = pressed(seeing(*many(1)), "l")

    assert state.is_log_full
    assert not pressed(state, "l")[0].is_log_full


def test_esc_goes_back_one_step_at_a_time():
    state, _ = pressed(seeing(*many(1)), "/", "a", "enter", "l", "esc")
    assert (state.is_log_full, state.filter_text) == (False, "a")

    assert pressed(state, "esc")[0].filter_text == ""


def test_a_shows_all_that_has_ended_and_back():
    state, _ = pressed(seeing(), "a")

    assert state.shows_all
    assert not pressed(state, "a")[0].shows_all


@pytest.mark.parametrize("key", ["q", "x", "?", "enter"])
def test_any_key_leaves_the_help_and_does_nothing_else(key):
    state, _ = pressed(seeing(running(1)), "?")
    assert state.mode is Mode.HELP

    state, effects = pressed(state, key)

    assert (state.mode, effects) == (Mode.BROWSE, [])


@pytest.mark.parametrize("key", ["q", "ctrl-c", "ctrl-d"])
def test_leaving(key):
    assert pressed(seeing(), key)[1] == [Effect(Act.QUIT)]


def test_a_key_without_meaning_does_nothing():
    state = seeing(*many(2))

    assert press(state, "ö") == (state, None)


# -- filter -------------------------------------------------------------------------------------


def test_letters_go_into_the_filter():
    state, effects = pressed(seeing(running(1)), "/", "x", "q", "space", "ä")

    assert (state.filter_text, state.mode, effects) == ("xq ä", Mode.FILTER, [])


def test_enter_keeps_the_filter_and_letters_are_keys_again():
    state, effects = pressed(seeing(*many(1)), "/", "m", "enter", "q")

    assert (state.filter_text, effects) == ("m", [Effect(Act.QUIT)])


def test_esc_drops_the_filter():
    state, _ = pressed(seeing(*many(1)), "/", "m", "esc")

    assert (state.filter_text, state.mode) == ("", Mode.BROWSE)


def test_backspace_takes_a_letter_back():
    assert pressed(seeing(), "/", "m", "i", "backspace")[0].filter_text == "m"


def test_arrows_move_the_selection_while_a_filter_is_typed():
    state, _ = pressed(seeing(*many(3)), "/", "down", "j")

    assert (state.selected_id, state.filter_text) == (2, "j")


def test_a_filter_has_an_end():
    assert len(pressed(seeing(), "/", *"x" * 200)[0].filter_text) == MAX_FILTER


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [1, 2, 3]),
        ("pars", [1]),
        ("PARS", [1]),
        ("failed", [3]),
        ("night", [2]),
        ("2", [2]),
        ("night queued", [2]),
        ("night failed", []),
    ],
)
def test_a_filter_looks_in_id_name_state_and_group(text, found):
    cards = [card(1, name="Parser"), card(2, group="night"), card(3, "failed")]

    assert [one.project.id for one in passing(cards, text)] == found


# -- acts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "key", "effect"),
    [
        (running(1), "enter", Effect(Act.ATTACH, 1)),
        (card(1, "failed"), "enter", Effect(Act.ATTACH, 1)),
        (running(1), "p", Effect(Act.PAUSE, 1)),
        (running(1, paused=True), "p", Effect(Act.RESUME, 1)),
        (card(1), "p", Effect(Act.HOLD, 1)),
        (card(1, held_at=1.0), "p", Effect(Act.RELEASE, 1)),
        (card(1), "s", Effect(Act.HOLD, 1)),
        (card(1, held_at=1.0), "s", Effect(Act.RELEASE, 1)),
        (card(1, "failed"), "r", Effect(Act.RETRY, 1)),
        (card(1, "zombie"), "r", Effect(Act.RETRY, 1)),
        (card(1), "+", Effect(Act.PRIORITY, 1, 1)),
        (card(1), "=", Effect(Act.PRIORITY, 1, 1)),
        (card(1), "-", Effect(Act.PRIORITY, 1, -1)),
    ],
)
def test_each_key_acts_on_the_selected_one(shown, key, effect):
    assert pressed(seeing(shown), key)[1] == [effect]


@pytest.mark.parametrize(
    ("shown", "key", "why"),
    [
        (card(1, "failed"), "p", "is not queued"),
        (running(1), "s", "is not queued"),
        (running(1), "+", "is not queued"),
        (running(1), "r", "is running already"),
        (card(1), "r", "is queued already"),
        (card(1, "completed"), "r", "add --again"),
        (card(1), "x", "is not running"),
        (card(1, "processing"), "x", "another program"),
    ],
)
def test_what_cannot_be_is_refused_in_words(shown, key, why):
    state, effects = pressed(seeing(shown), key)

    assert effects == []
    assert why in state.remark


def test_ending_a_run_asks_first():
    state, effects = pressed(seeing(running(7, name="site")), "x")

    assert (state.mode, effects) == (Mode.CONFIRM, [])
    assert state.question == "end the run of 7 (site) as failed?"


def test_a_yes_ends_that_very_run():
    _, effects = pressed(seeing(running(7)), "x", "y")

    assert effects == [Effect(Act.END, 7, token="f" * 32)]


def test_a_yes_is_about_the_run_that_was_asked_about_whatever_is_selected_since():
    state, _ = pressed(seeing(running(7), running(8)), "x")

    state = see(state, [running(8)])

    assert pressed(state, "y")[1] == [Effect(Act.END, 7, token="f" * 32)]


@pytest.mark.parametrize("key", ["n", "esc", "enter", "x", "q", "space"])
def test_anything_but_a_yes_is_a_no(key):
    state, effects = pressed(seeing(running(7)), "x", key)

    assert (state.mode, state.asked, effects) == (Mode.BROWSE, None, [])
    assert state.remark == "nothing was done"


def test_a_remark_lasts_until_the_next_key():
    state = remarked(seeing(*many(2)), "said")

    assert pressed(state, "j")[0].remark == ""


@given(st.lists(st.sampled_from([key for key in KEYS if key not in "yY"]), max_size=40))
def test_nothing_is_ended_without_a_yes(keys):
    _, effects = pressed(seeing(running(1), card(2)), *keys)

    assert all(effect.act is not Act.END for effect in effects)


def test_a_state_cannot_be_changed_in_place():
    with pytest.raises(AttributeError):
        seeing().role = 3

    assert msgspec.structs.replace(seeing(), role=3).role == 3


# -- nothing to act on --------------------------------------------------------------------------

ABOUT_ONE = ["enter", "p", "s", "r", "x", "+", "=", "-", "tab", "backtab", "j", "pgdn", "G", "l"]


@pytest.mark.parametrize("key", ABOUT_ONE)
def test_a_key_about_a_project_says_why_nothing_came_of_it(key):
    state, effects = pressed(seeing(), key)

    assert (state.remark, effects) == ("there are no projects yet", [])


@pytest.mark.parametrize("key", ABOUT_ONE)
def test_where_a_filter_leaves_nothing_it_says_that(key):
    state, effects = pressed(seeing(filter_text="zz"), key)

    assert (state.remark, effects) == ('nothing matches "zz"; Esc shows all', [])


def test_the_log_is_left_also_when_nothing_is_there_any_more():
    state, _ = pressed(seeing(is_log_full=True), "l")

    assert (state.is_log_full, state.remark) == (False, "")
