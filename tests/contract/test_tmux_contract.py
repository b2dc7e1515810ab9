"""What a tmux server does for us, in memory and for real."""

import signal

import pytest

from scheduler_modules.adapters.tmux import SubprocessTmux
from scheduler_modules.adapters.tmux_control import ControlTmux
from scheduler_modules.errors import SessionExists, SessionGone, TmuxRefused, TmuxUnavailable
from scheduler_modules.tmux_values import (
    PaneCommand,
    ServerIdentity,
)
from tests.contract.tmux_worlds import (
    CONFIG,
    OTHER_TOKEN,
    TOKEN,
    FakeWorld,
    RealWorld,
    plan,
)
from tests.tmux_server import throwaway_server


@pytest.fixture(params=[None, SubprocessTmux, ControlTmux], ids=["fake", "process", "control"])
def world(request, tmp_path):
    if request.param is None:
        yield FakeWorld()
        return
    with throwaway_server(CONFIG) as server:
        world = RealWorld(server, tmp_path, request.param)
        yield world
        world.close()


def test_where_no_server_runs_there_are_no_sessions(world):
    assert world.tmux.snapshot().server is None
    assert world.tmux.snapshot().panes == ()


def test_a_session_is_made_with_all_its_windows_in_order(world):
    created = world.tmux.create_session(plan(world, roles=("main", "tester", "docs")))

    panes = world.tmux.snapshot().of_session("demo-impl-01234567")
    assert [(p.window_index, p.window_name) for p in panes] == [
        (0, "main"),
        (1, "tester"),
        (2, "docs"),
    ]
    assert [p.pane_id for p in panes] == [ref.pane_id for ref in created.panes]
    assert [p.window_id for p in panes] == [ref.window_id for ref in created.panes]
    assert [ref.role for ref in created.panes] == ["main", "tester", "docs"]
    assert {p.session_id for p in panes} == {created.session_id}


def test_a_session_says_whose_it_is(world):
    world.tmux.create_session(plan(world))

    (pane,) = world.tmux.snapshot().of_run(TOKEN)

    assert (pane.run_token, pane.project_id) == (TOKEN, 42)
    assert not pane.is_dead
    assert pane.pid > 0


def test_what_was_made_names_the_server_it_was_made_on(world):
    created = world.tmux.create_session(plan(world))

    assert world.tmux.snapshot().server == created.server


def test_a_name_that_is_taken_is_refused_and_its_session_left_alone(world):
    world.tmux.create_session(plan(world))

    with pytest.raises(SessionExists):
        world.tmux.create_session(plan(world, roles=("intruder",), token=OTHER_TOKEN))

    (pane,) = world.tmux.snapshot().panes
    assert (pane.run_token, pane.window_name) == (TOKEN, "main")


def test_a_name_that_begins_like_another_is_another(world):
    world.tmux.create_session(plan(world, name="demo-long"))

    world.tmux.create_session(plan(world, name="demo"))

    assert world.tmux.snapshot().session_names() == {"demo", "demo-long"}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a.b"},
        {"name": "a:b"},
        {"name": "#(touch x)"},
        {"name": ""},
        {"name": "x" * 65},
        {"name": "_orchestrator-0123abcd"},
        {"run_token": "no token"},
        {"env": {"NOT A NAME": "1"}},
        {"env": {"A": "nul\0"}},
        {"env": {"A": "\ud800"}},
        {"env": {"A": "x" * 17_000}},
        {"windows": ()},
        {"cwd": "/pro\0ject"},
    ],
    ids=str,
)
def test_what_tmux_could_not_take_as_it_is_is_refused(world, changes):
    with pytest.raises(TmuxRefused):
        world.tmux.create_session(plan(world, **changes))

    assert world.tmux.snapshot().panes == ()


@pytest.mark.parametrize(
    "window",
    [
        PaneCommand(role="a b", argv=("sleep", "1"), log_path="/l"),
        PaneCommand(role="#{x}", argv=("sleep", "1"), log_path="/l"),
        PaneCommand(role="main", argv=("one string",), log_path="/l"),
        PaneCommand(role="main", argv=("sleep", "nul\0"), log_path="/l"),
        PaneCommand(role="main", argv=("sleep", "1"), log_path="/l\0"),
    ],
    ids=str,
)
def test_a_window_tmux_could_not_make_is_refused(world, window):
    with pytest.raises(TmuxRefused):
        world.tmux.create_session(plan(world, windows=(window,)))


def test_two_windows_of_one_role_are_refused(world):
    with pytest.raises(TmuxRefused, match="same role"):
        world.tmux.create_session(plan(world, roles=("main", "main")))


def test_a_command_that_ended_leaves_its_pane_with_its_status(world):
    (ref,) = world.tmux.create_session(plan(world)).panes

    world.end_pane(ref.pane_id, status=3)

    (pane,) = world.tmux.snapshot().panes
    assert (pane.is_dead, pane.dead_status, pane.dead_signal) == (True, 3, None)


def test_a_command_that_was_killed_leaves_its_pane_with_the_signal(world):
    (ref,) = world.tmux.create_session(plan(world)).panes

    world.end_pane(ref.pane_id, signal=signal.SIGKILL)

    (pane,) = world.tmux.snapshot().panes
    assert (pane.is_dead, pane.dead_status, pane.dead_signal) == (True, None, 9)


def test_a_later_window_stays_when_its_command_ends_too(world):
    _, second = world.tmux.create_session(plan(world, roles=("main", "tester"))).panes

    world.end_pane(second.pane_id, status=0)

    assert [p.is_dead for p in world.tmux.snapshot().panes] == [False, True]


def test_sessions_of_other_people_are_shown_but_not_ours(world):
    world.add_foreign_session("my shell", ("vim", "logs"))
    world.tmux.create_session(plan(world))

    foreign = world.tmux.snapshot().of_session("my shell")

    assert [(p.window_name, p.run_token, p.project_id) for p in foreign] == [
        ("vim", None, None),
        ("logs", None, None),
    ]


def test_sessions_that_only_keep_a_connection_are_not_shown(world):
    world.add_foreign_session("_orchestrator-0123abcd")
    world.add_foreign_session("_orchestra")

    assert world.tmux.snapshot().session_names() == {"_orchestra"}


def test_panes_are_listed_by_session_and_window(world):
    world.tmux.create_session(plan(world, name="b", roles=("x", "a")))
    world.tmux.create_session(plan(world, name="a"))

    panes = world.tmux.snapshot().panes

    assert [(p.session_name, p.window_name) for p in panes] == [
        ("a", "main"),
        ("b", "x"),
        ("b", "a"),
    ]


def test_a_window_is_added_behind_the_others(world):
    created = world.tmux.create_session(plan(world, roles=("main", "tester")))

    ref = world.tmux.add_window(
        created.session_id, world.command("verify"), world.folder(), {"SCHEDULER_RUN_ID": TOKEN}
    )

    last = world.tmux.snapshot().of_run(TOKEN)[-1]
    assert (last.window_index, last.window_name, last.pane_id) == (2, "verify", ref.pane_id)
    assert ref.role == "verify"


def test_two_windows_of_one_role_may_be_added_one_after_the_other(world):
    created = world.tmux.create_session(plan(world))

    refs = [
        world.tmux.add_window(created.session_id, world.command("verify"), world.folder(), {})
        for _ in range(2)
    ]
    world.end_pane(refs[1].pane_id, status=5)

    assert [p.dead_status for p in world.tmux.snapshot().panes] == [None, None, 5]


def test_no_window_is_added_to_a_session_that_is_gone(world):
    created = world.tmux.create_session(plan(world))
    world.close_session("demo-impl-01234567")

    with pytest.raises(SessionGone):
        world.tmux.add_window(created.session_id, world.command("verify"), world.folder(), {})


def test_no_window_is_added_where_no_server_runs(world):
    created = world.tmux.create_session(plan(world))
    world.server_dies()

    with pytest.raises(SessionGone):
        world.tmux.add_window(created.session_id, world.command("verify"), world.folder(), {})


def test_no_window_is_added_to_a_session_that_is_not_ours(world):
    session_id = world.add_foreign_session("mine")

    with pytest.raises(SessionGone):
        world.tmux.add_window(session_id, world.command("verify"), world.folder(), {})

    assert len(world.tmux.snapshot().panes) == 1


def test_an_id_that_another_run_has_on_a_new_server_is_not_taken_for_ours(world):
    old = world.tmux.create_session(plan(world))
    world.server_dies()
    new = world.tmux.create_session(plan(world, name="other", token=OTHER_TOKEN))
    assert new.session_id == old.session_id

    with pytest.raises(SessionGone):
        world.tmux.add_window(
            old.session_id, world.command("verify"), world.folder(), {"SCHEDULER_RUN_ID": TOKEN}
        )


@pytest.mark.parametrize("session_id", ["demo", "", "=x", "$1;"])
def test_what_is_no_session_id_has_no_session(world, session_id):
    world.tmux.create_session(plan(world))

    with pytest.raises(SessionGone):
        world.tmux.add_window(session_id, world.command("verify"), world.folder(), {})


def test_a_window_added_is_checked_as_those_made_with_the_session(world):
    created = world.tmux.create_session(plan(world))

    with pytest.raises(TmuxRefused):
        world.tmux.add_window(created.session_id, world.command("no role"), world.folder(), {})


def test_an_adopted_session_is_ours(world):
    world.add_foreign_session("made-outside", ("a", "b"))

    world.tmux.adopt_session("made-outside", 7, TOKEN)

    panes = world.tmux.snapshot().of_run(TOKEN)
    assert [(p.window_name, p.project_id) for p in panes] == [("a", 7), ("b", 7)]


def test_a_pane_of_an_adopted_session_stays_when_its_command_ends(world):
    world.add_foreign_session("made-outside")
    world.tmux.adopt_session("made-outside", 7, TOKEN)
    (pane,) = world.tmux.snapshot().panes

    world.end_pane(pane.pane_id, status=4)

    assert [p.dead_status for p in world.tmux.snapshot().panes] == [4]


def test_only_a_session_of_exactly_that_name_is_adopted(world):
    world.add_foreign_session("made-outside")

    with pytest.raises(SessionGone):
        world.tmux.adopt_session("made", 7, TOKEN)

    assert world.tmux.snapshot().of_run(TOKEN) == ()


def test_a_name_that_is_none_of_ours_cannot_be_adopted(world):
    with pytest.raises(TmuxRefused):
        world.tmux.adopt_session("no: name", 7, TOKEN)


def test_our_session_is_killed(world):
    created = world.tmux.create_session(plan(world))

    assert world.tmux.kill_session("demo-impl-01234567", TOKEN, created.server)

    assert world.tmux.snapshot().panes == ()


def test_killing_one_session_leaves_those_whose_names_begin_like_it(world):
    created = world.tmux.create_session(plan(world, name="demo"))
    world.tmux.create_session(plan(world, name="demo-2"))

    world.tmux.kill_session("demo", TOKEN, created.server)

    assert world.tmux.snapshot().session_names() == {"demo-2"}


def test_a_name_that_only_begins_a_session_s_kills_nothing(world):
    created = world.tmux.create_session(plan(world, name="demo-2"))

    assert not world.tmux.kill_session("demo", TOKEN, created.server)

    assert world.tmux.snapshot().session_names() == {"demo-2"}


def test_a_session_of_another_run_is_not_killed(world):
    created = world.tmux.create_session(plan(world))

    assert not world.tmux.kill_session("demo-impl-01234567", OTHER_TOKEN, created.server)

    assert len(world.tmux.snapshot().panes) == 1


def test_a_session_of_somebody_else_is_not_killed(world):
    world.add_foreign_session("mine")
    server = world.tmux.snapshot().server

    assert not world.tmux.kill_session("mine", TOKEN, server)

    assert world.tmux.snapshot().session_names() == {"mine"}


@pytest.mark.parametrize("change", [(1, 0), (0, 1)])
def test_on_another_server_nothing_is_killed(world, change):
    server = world.tmux.create_session(plan(world)).server
    other = ServerIdentity(server.pid + change[0], server.started_at + change[1])

    assert not world.tmux.kill_session("demo-impl-01234567", TOKEN, other)

    assert len(world.tmux.snapshot().panes) == 1


def test_killing_where_no_server_runs_kills_nothing(world):
    assert not world.tmux.kill_session("demo", TOKEN, ServerIdentity(1, 1))


@pytest.mark.parametrize("name, token", [("a b", TOKEN), ("demo", "'; kill-server"), ("", TOKEN)])
def test_a_name_or_token_that_is_none_kills_nothing(world, name, token):
    created = world.tmux.create_session(plan(world))

    with pytest.raises(TmuxRefused):
        world.tmux.kill_session(name, token, created.server)

    assert len(world.tmux.snapshot().panes) == 1


def test_a_server_that_died_leaves_no_session(world):
    world.tmux.create_session(plan(world))

    world.server_dies()

    assert world.tmux.snapshot().panes == ()


def test_a_session_made_after_the_server_died_is_on_another_server(world):
    before = world.tmux.create_session(plan(world)).server
    world.server_dies()

    after = world.tmux.create_session(plan(world)).server

    assert after != before


def test_a_window_that_was_closed_is_gone_and_the_others_keep_their_numbers(world):
    first, _ = world.tmux.create_session(plan(world, roles=("main", "tester"))).panes

    world.close_window(first.pane_id)

    (left,) = world.tmux.snapshot().panes
    assert (left.window_index, left.window_name) == (1, "tester")


def test_the_last_lines_of_a_pane_are_captured(world):
    (ref,) = world.tmux.create_session(plan(world)).panes
    world.show(ref.pane_id, "one\ntwo\nthree")

    assert world.tmux.capture(ref.pane_id, lines=2) == "two\nthree"


@pytest.mark.parametrize("pane_id", ["%99", "demo", "", "%0;"])
def test_a_pane_that_is_not_there_is_gone(world, pane_id):
    world.tmux.create_session(plan(world))

    with pytest.raises(SessionGone):
        world.tmux.capture(pane_id)


def test_nothing_is_captured_where_no_server_runs(world):
    with pytest.raises(SessionGone):
        world.tmux.capture("%0")


def test_the_attach_command_names_exactly_that_session(world):
    argv = world.tmux.attach_argv("demo")

    assert argv[0] == "tmux"
    assert argv[-2:] == ["attach-session", "-t=demo"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda w, made: w.tmux.snapshot(),
        lambda w, made: w.tmux.create_session(plan(w, name="another")),
        lambda w, made: w.tmux.add_window(made.session_id, w.command("x"), w.folder(), {}),
        lambda w, made: w.tmux.adopt_session("demo-impl-01234567", 1, TOKEN),
        lambda w, made: w.tmux.kill_session("demo-impl-01234567", TOKEN, made.server),
        lambda w, made: w.tmux.capture(made.panes[0].pane_id),
    ],
    ids=["snapshot", "create", "add_window", "adopt", "kill", "capture"],
)
def test_a_server_that_does_not_answer_is_not_one_without_sessions(world, ask):
    made = world.tmux.create_session(plan(world))
    world.goes_down()

    with pytest.raises(TmuxUnavailable):
        ask(world, made)


def test_a_server_that_answers_again_still_has_its_sessions(world):
    made = world.tmux.create_session(plan(world))
    world.goes_down()

    world.comes_back()

    assert world.tmux.snapshot().server == made.server
    assert len(world.tmux.snapshot().of_run(TOKEN)) == 1
