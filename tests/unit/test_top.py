"""`top` on a world of fakes: what its screen shows, and what its keys do to the queue."""

import os
from pathlib import Path

import pytest

from scheduler_modules.cli import top_data
from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.output import Terminal
from scheduler_modules.cli.top_data import QUEUED_SHOWN
from scheduler_modules.commands.top import GATHER_PAUSE_SEC, LOOK_SEC, Top
from scheduler_modules.errors import DatabaseUnavailable, SchedulerError
from scheduler_modules.queue_control import QueueControl
from tests.cli_world import CliWorld, FakeParts, Stream, run_elsewhere

SNAPSHOTS = Path(__file__).parent / "top_snapshots"
TWO_WINDOWS = "windows: [{role: build, command: a}, {role: tests, command: b}]\nverify: make test"


class FakeScreen:
    """One step of the script at each wait: keys, another size, or something that happens."""

    def __init__(self, world, script, size):
        self._world = world
        self._script = list(script)
        self.size = size
        self.frames = []
        self.waits = []
        self.afresh = []
        self.code = None
        self.attached = 0

    def keys(self, timeout_sec, others=()):
        self.waits.append((timeout_sec, list(others)))
        self._world.clock.advance(timeout_sec)
        if not self._script:
            return ["esc", "q"]
        step = self._script.pop(0)
        if callable(step):
            step()
            return []
        if isinstance(step, tuple):
            self.size = step
            return []
        return [step] if isinstance(step, str) else list(step)

    def show(self, lines, *, is_afresh=False):
        self.afresh.append(is_afresh)
        self.frames.append([line.plain for line in lines])

    def away(self, act):
        self.attached += 1
        return 0

    @property
    def last(self):
        return "\n".join(line.rstrip() for line in self.frames[-1])


class Bell:
    """A `WakeupSource` that a test rings."""

    reason = "database"
    poll_sec = None

    def __init__(self):
        self.rings = 0
        self.is_broken = False

    def fileno(self):
        return 99

    def drain(self):
        if self.is_broken:
            raise SchedulerError("its folder is gone")
        rung, self.rings = self.rings, 0
        return bool(rung)


@pytest.fixture
def top():
    """Run `top` in a world until its script is over; return the screen."""

    def run(world, *script, size=(100, 24), changes=()):
        environ = world.environ
        terminal = Terminal(Stream(is_tty=True), Stream(is_tty=True), Stream(is_tty=True), environ)
        cli = Cli(terminal, environ, FakeParts(world), pause=world.clock.advance)
        screen = FakeScreen(world, script, size)
        screen.code = Top(cli, screen, changes).run()
        return screen

    return run


def make_control(world):
    return QueueControl(world.make_container().queue_manager().moves)


@pytest.fixture
def busy(tmp_path):
    """A world with something of everything."""
    world = CliWorld(tmp_path, max_concurrent_projects=2)
    site = world.add("site", TWO_WINDOWS)
    world.add("api-tests")
    migrate = world.add("migrate", "command: make\nretries: 1")
    world.tick()
    world.files.write_log(world.run(site).token, "build", "page 1\npage 2\n")
    world.files.write_log(world.run(site).token, "tests", "all green\n")
    world.finish(2, 0, said="ok\n")
    world.tick(3)
    world.finish(migrate, 3, said="no such table\n")
    world.tick()
    for number in range(20):
        world.add(f"job-{number}")
    world.start_daemon()
    return world


# -- what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_the_whole_screen(busy, top, size):
    screen = top(busy, size=size)

    expected = SNAPSHOTS / f"{size[0]}x{size[1]}.txt"
    if os.environ.get("PYTEST_WRITE_SNAPSHOTS"):
        expected.parent.mkdir(exist_ok=True)
        expected.write_text(screen.last + "\n")
    assert screen.last + "\n" == expected.read_text()


@pytest.mark.parametrize("keys", [[], ["?"], ["l"], ["/", "x"], ["j"]])
@pytest.mark.parametrize(
    "size", [(80, 24), (200, 50), (159, 24), (160, 12), (40, 8), (20, 3), (10, 1), (300, 5)]
)
def test_every_line_fills_its_screen_and_no_more(busy, top, size, keys):
    from rich.cells import cell_len

    screen = top(busy, keys, lambda: None, size=size)

    for frame in screen.frames:
        assert [cell_len(line) for line in frame] == [size[0]] * size[1]


def test_the_log_stands_beside_the_projects_on_a_wide_screen(busy, top):
    wide, narrow = top(busy, size=(160, 24)), top(busy, size=(159, 24))

    assert "page 1" in wide.frames[-1][2]
    assert "page 1" not in "".join(narrow.frames[-1][:10])


def test_an_empty_queue_teaches_the_first_step(tmp_path, top):
    screen = top(CliWorld(tmp_path))

    assert "no projects yet; next: tmux-orchestrator add SPEC" in screen.last
    assert "✗ no daemon" in screen.last


def test_the_windows_log_follows_the_selection(busy, top):
    screen = top(busy, "tab", lambda: None)

    assert "[tests]" in screen.last
    assert "all green" in screen.last


def test_the_log_is_live(busy, top):
    screen = top(busy, lambda: busy.files.write_log(busy.run(1).token, "build", "page 3\n"), [])

    assert "page 3" not in "\n".join(screen.frames[0])
    assert "page 3" in screen.last


def test_the_log_alone_fills_the_screen(busy, top):
    screen = top(busy, "l", lambda: None)

    assert screen.frames[-1][1].startswith("── 1 site  [build]")
    assert screen.frames[-1][2].startswith("page 1")


def test_what_a_program_prints_cannot_act_on_the_terminal(busy, top):
    busy.files.write_log(busy.run(1).token, "build", "\x1b[2Jgone\x9b1m\x07\tx\n")

    screen = top(busy)

    assert "gone    x" in screen.last
    assert not {"\x1b", "\x9b", "\x07", "\t"} & set(screen.last)


def test_a_project_that_waits_has_no_log_yet(busy, top):
    screen = top(busy, select("job-7"), lambda: None)

    assert "it has printed nothing yet" in screen.last


def test_a_log_of_another_machine_is_not_looked_for_here(tmp_path, top):
    world = CliWorld(tmp_path)
    run_elsewhere(world)

    assert "it ran on workbench: its log is there" in top(world).last


def test_a_log_that_cannot_be_read_says_so(busy, top, monkeypatch):
    def refuse(token, role):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(busy.files, "log", refuse)

    assert "its log cannot be read" in top(busy).last


def test_a_queue_at_rest_is_told_on_top(busy, top):
    control = make_control(busy)
    control.set_limit("night", 2)
    control.pause_group("night")
    control.pause_queue()
    busy.clock.advance(300)

    assert (
        top(busy).frames[-1][1].startswith("⏸ the queue is paused, for 5m   ⏸ paused: group night")
    )


def test_a_daemon_in_trouble_is_told_on_top(busy, top):
    busy.locks.mode("default").tell("tmux cannot be asked")

    assert "! the daemon is in trouble: tmux cannot be asked" in top(busy).frames[-1][1]


def test_a_database_that_goes_away_is_told_and_what_was_known_stays(busy, top, monkeypatch):
    def break_it():
        def refuse():
            raise DatabaseUnavailable("task_queue.db cannot be opened")

        monkeypatch.setattr(busy.store, "counts", refuse)

    screen = top(busy, break_it, *[[]] * 10)

    assert "! task_queue.db cannot be opened" in screen.frames[-1][1]
    assert "site" in screen.last


def test_only_the_last_that_ended_are_listed_unless_asked_for(tmp_path, top):
    world = CliWorld(tmp_path)
    for number in range(12):
        world.add(f"old-{number}")
        world.tick()
        world.finish(number + 1)
        world.tick(2)

    screen = top(world, lambda: None, "a", [], [], size=(100, 40))

    assert sum("✓ completed" in line for line in screen.frames[0]) == 10
    assert "2 not shown" in screen.frames[0][0]
    assert sum("✓ completed" in line for line in screen.frames[-1]) == 12


def test_a_filter_leaves_only_what_matches(busy, top):
    screen = top(busy, list("/mig"), "enter", lambda: None)

    assert "job-" not in screen.last
    assert "1 match" in screen.last


def test_a_filter_that_matches_nothing_says_so(busy, top):
    assert 'nothing matches "zzz"; Esc shows all' in top(busy, list("/zzz"), []).last


@pytest.fixture
def crowded(tmp_path):
    """A world with more projects than are shown, and one odd one at the end of the queue."""
    world = CliWorld(tmp_path)
    for number in range(QUEUED_SHOWN + 20):
        world.add(f"job-{number}")
    world.add("needle", priority=-5)
    return world


@pytest.mark.parametrize("typed", ["needle", "NEED", "eedl", "221", "dle 221"])
def test_a_filter_finds_what_is_beyond_those_shown(crowded, top, typed):
    screen = top(crowded, ["/", *("space" if key == " " else key for key in typed)], [])

    assert "needle" in screen.last
    assert "1 match" in screen.frames[-1][0]
    assert "searched" not in screen.last


def test_a_filter_is_dropped_with_what_it_found(crowded, top):
    screen = top(crowded, list("/needle"), "enter", "esc", [])

    assert "needle" not in screen.last
    assert "21 not shown" in screen.frames[-1][0]


def test_a_filter_says_how_many_it_searched_where_that_is_not_all(crowded, top, monkeypatch):
    monkeypatch.setattr(top_data, "QUEUED_SEARCHED", 210)

    screen = top(crowded, list("/eedl"), [])

    assert "0 match, searched 210 of 221" in screen.frames[-1][0]


@pytest.mark.parametrize("typed", ["needle", "221"])
def test_a_beginning_of_a_name_and_an_id_are_found_wherever_they_are(
    crowded, top, monkeypatch, typed
):
    monkeypatch.setattr(top_data, "QUEUED_SEARCHED", 210)

    assert "1 match" in top(crowded, ["/", *typed], []).frames[-1][0]


def test_what_waits_in_a_paused_queue_is_found_by_that_word(crowded, top):
    make_control(crowded).pause_queue()

    screen = top(crowded, list("/paused"), [], size=(120, 24))

    assert "221 match, 21 not shown" in screen.frames[-1][0]


def test_what_waits_in_vain_stands_first_wherever_it_is_in_the_queue(crowded, top):
    crowded.add("hopeless", f"after: [{crowded.specs}/nowhere.md]", priority=-9)
    crowded.store.set_dependencies(222, (str(crowded.specs / "nowhere.md"),))

    assert "hopeless" in top(crowded).frames[-1][2]


def test_help_lists_every_key(busy, top):
    shown = top(busy, "?", []).last

    assert all(word in shown for word in ("attach", "priority", "filter", "retry", "stash"))


# -- when it looks ------------------------------------------------------------------------------


def test_a_change_is_seen_at_once_when_it_rings(busy, top):
    bell = Bell()

    def change():
        busy.add("brand-new", priority=9)
        bell.rings += 1

    screen = top(busy, [], [], change, changes=[bell])

    assert "brand-new" in screen.last
    assert (LOOK_SEC, [99]) in screen.waits


def test_many_changes_do_not_keep_it_busy(busy, top):
    bell = Bell()
    bell.rings = 1

    screen = top(busy, changes=[bell])

    sec, files = screen.waits[0]
    assert (round(sec, 2), files) == (GATHER_PAUSE_SEC, [])


def test_what_does_not_ring_is_seen_within_seconds(busy, top):
    screen = top(busy, lambda: busy.add("silent", priority=9), *[[]] * 6)

    assert "silent" not in "\n".join(screen.frames[1])
    assert "silent" in screen.last


def test_a_bell_that_breaks_ends_nothing(busy, top):
    bell = Bell()
    bell.is_broken = True

    screen = top(busy, *[[]] * 3, changes=[bell])

    assert "site" in screen.last


def test_a_broken_bell_is_not_waited_for_until_it_works_again(busy, top):
    bell = Bell()
    bell.is_broken = True

    def mend():
        bell.is_broken = False

    screen = top(busy, [], [], [], mend, [], [], changes=[bell])

    # Only by looking is it known to be broken.
    _first, *heard = [bool(files) for sec, files in screen.waits if sec == LOOK_SEC]
    assert (heard[0], heard[-1]) == (False, True)


def test_a_database_that_hangs_is_asked_again_within_half_a_minute(busy, top, monkeypatch):
    real = busy.store.counts

    def hang():
        busy.clock.advance(30)
        raise DatabaseUnavailable("task_queue.db is locked")

    def mend():
        monkeypatch.setattr(busy.store, "counts", real)

    monkeypatch.setattr(busy.store, "counts", hang)

    screen = top(busy, [], mend, *[[]] * 32)

    assert "is locked" in screen.frames[0][1]
    assert "is locked" not in screen.last


def test_a_screen_of_another_size_is_drawn_afresh(busy, top):
    screen = top(busy, [], (80, 20), [])

    assert screen.afresh == [True, True, False]
    assert len(screen.frames[-1]) == 20


def test_ctrl_l_draws_afresh(busy, top):
    assert top(busy, [], "ctrl-l", []).afresh == [True, True, False]


# -- what keys do -------------------------------------------------------------------------------


def select(name):
    """Return keys that select a project by its name."""
    return [*"/", *name, "enter"]


def test_p_pauses_what_runs_and_lets_it_go_on(busy, top):
    screen = top(busy, "p", [])
    assert busy.run(1).is_pause_wanted
    assert "being stopped" in screen.last

    top(busy, "p", [])
    assert not busy.run(1).is_pause_wanted


def test_s_sets_aside_what_waits_and_back(busy, top):
    keys = select("migrate")
    top(busy, keys, "s", [])
    assert busy.get(3).held_at is not None

    top(busy, keys, "s", [])
    assert busy.get(3).held_at is None


def test_plus_and_minus_change_the_priority(busy, top):
    screen = top(busy, select("job-7"), ["+", "+"], "-", [])

    project = next(p for p in busy.store.projects() if p.name == "job-7")
    assert project.priority == 1
    assert "priority 1" in screen.last


def test_r_queues_again_what_has_failed(tmp_path, top):
    world = CliWorld(tmp_path)
    world.add_running("site")
    world.finish(1, 3)
    world.tick(2)
    assert world.status(1) == "failed"

    screen = top(world, "r", [])

    assert world.status(1) == "queued"
    assert "1: queued again" in screen.last


def test_x_and_y_end_a_run_as_failed(busy, top):
    screen = top(busy, "x", "y", [])

    run = busy.run(1)
    assert (run.reported, run.reported_note) == ("failed", "ended by a person, in top")
    assert "its run is being ended" in screen.last


def test_what_only_a_daemon_can_do_is_told_where_none_runs(busy, top):
    busy.stop_daemon()

    assert "a daemon has to see to that" in top(busy, "x", "y", []).last


@pytest.mark.parametrize("times", [1, 2])
def test_p_says_so_too(busy, top, times):
    busy.stop_daemon()

    assert "a daemon has to see to that" in top(busy, *["p"] * times, []).last


def test_x_and_anything_else_do_nothing(busy, top):
    screen = top(busy, "x", "n", [])

    assert busy.run(1).reported is None
    assert "end the run of 1 (site) as failed? y/n" in "\n".join(screen.frames[1])


def test_a_run_that_ended_while_it_was_asked_is_not_taken_for_the_next(busy, top):
    def retry_meanwhile():
        busy.queue.reset(1)

    screen = top(busy, "x", retry_meanwhile, "y", [])

    assert "is over, its report is refused" in screen.last


def test_what_the_queue_refuses_is_told_at_the_foot(busy, top):
    def remove_it():
        busy.queue.remove(3)

    screen = top(busy, select("migrate"), remove_it, "+", [])

    assert "project 3 not found" in screen.last


def test_enter_attaches_and_comes_back(busy, top):
    screen = top(busy, "enter", [])

    assert screen.attached == 1
    assert screen.afresh[1]


def test_what_has_no_session_cannot_be_attached_to(busy, top):
    screen = top(busy, select("job-7"), "enter", [])

    assert screen.attached == 0
    assert "has no session" in screen.last


def test_leaving_changes_nothing(busy, top):
    before = busy.store.projects()

    screen = top(busy, "q")

    assert (screen.code, busy.store.projects()) == (0, before)


# -- where there is no terminal -----------------------------------------------------------------


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_without_a_terminal_it_names_what_there_is_instead(cli, flags):
    answer = cli.call("top", *flags)

    assert (answer.code, answer.out) == (2, "")
    assert (
        answer.err
        == "error: top needs a terminal; for scripts there are list --json, status --json\n"
    )
