"""What every wake-up does."""

import os
import signal
import threading
from contextlib import suppress

import pytest

from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.wakeup import SelectorWakeup
from scheduler_modules.errors import SchedulerError
from tests.fakes.clock import FakeClock
from tests.fakes.wakeup import FakeWakeup

SIGNALS = {"stop": signal.SIGTERM, "reload": signal.SIGHUP}


class Source:
    """A wake-up source with a real pipe, whose other end a test writes to."""

    def __init__(self, reason="database", poll_sec=None, *, has_file=True):
        self.reason = reason
        self.poll_sec = poll_sec
        self.pending = False
        self.trouble = None
        self.asked = 0
        self._ends = os.pipe2(os.O_NONBLOCK) if has_file else None

    def fileno(self):
        return -1 if self._ends is None else self._ends[0]

    def drain(self):
        self.asked += 1
        if self.trouble is not None:
            raise SchedulerError(self.trouble)
        had, self.pending = self.pending, False
        if self._ends is not None:
            with suppress(BlockingIOError):
                return b"!" in os.read(self._ends[0], 4096) or had
        return had

    def ring(self):
        os.write(self._ends[1], b"!")

    def chatter(self):
        """Let something come that nobody needs to look at."""
        os.write(self._ends[1], b".")

    def note(self):
        """Let something come that leaves no trace in the file."""
        self.pending = True

    def reopen(self):
        """Come back with another file that has the old one's numbers."""
        old = self._ends
        for end in old:
            os.close(end)
        self._ends = os.pipe2(os.O_NONBLOCK)
        assert self._ends == old

    def close(self):
        for end in self._ends or ():
            with suppress(OSError):
                os.close(end)


class FakeWorld:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.wakeup = FakeWakeup(self.clock)

    def send(self, reason):
        self.wakeup.send(reason)

    def later(self, sec, act):
        self.wakeup.do_after(sec, act)

    def close(self):
        pass


class RealWorld:
    def __init__(self) -> None:
        self.clock = SystemClock()
        self.wakeup = SelectorWakeup(self.clock)
        self.wakeup.install()
        self._timers = []

    def send(self, reason):
        os.kill(os.getpid(), SIGNALS[reason])

    def later(self, sec, act):
        self._timers.append(threading.Timer(sec, act))
        self._timers[-1].start()

    def close(self):
        for timer in self._timers:
            timer.join()
        self.wakeup.close()


@pytest.fixture(params=["fake", "real"])
def world(request):
    world = FakeWorld() if request.param == "fake" else RealWorld()
    yield world
    world.close()


@pytest.fixture
def make_source(world):
    made = []

    def make(*args, **settings):
        made.append(Source(*args, **settings))
        world.wakeup.add(made[-1])
        return made[-1]

    yield make
    for source in made:
        world.wakeup.remove(source)
        source.close()


def timed(world, timeout_sec):
    """Wait; return the reasons and how long it took."""
    began = world.clock.since_boot_sec()
    reasons = world.wakeup.wait(timeout_sec)
    return reasons, world.clock.since_boot_sec() - began


def test_a_wait_for_nothing_lasts_its_time(world):
    before = world.clock.since_boot_sec()

    assert world.wakeup.wait(0.05) == frozenset()

    assert 0.05 <= world.clock.since_boot_sec() - before < 5


@pytest.mark.parametrize("timeout_sec", [0, -1, -1e300])
def test_a_wait_without_time_returns_at_once(world, timeout_sec):
    before = world.clock.since_boot_sec()

    assert world.wakeup.wait(timeout_sec) == frozenset()

    assert world.clock.since_boot_sec() - before < 1


def test_a_poke_before_the_wait_ends_it_at_once(world):
    world.wakeup.poke()

    assert world.wakeup.wait(60) == {"poke"}


def test_a_poke_during_the_wait_ends_it(world):
    world.later(0.02, world.wakeup.poke)

    assert world.wakeup.wait(60) == {"poke"}


def test_many_pokes_wake_once(world):
    for _ in range(1000):
        world.wakeup.poke()

    assert world.wakeup.wait(60) == {"poke"}
    assert world.wakeup.wait(0) == frozenset()


@pytest.mark.parametrize("reason", ["stop", "reload"])
def test_a_signal_ends_the_wait_and_says_what_it_means(world, reason):
    world.send(reason)

    assert world.wakeup.wait(60) == {reason}


def test_what_came_together_is_told_together(world):
    world.send("stop")
    world.send("reload")
    world.wakeup.poke()

    assert world.wakeup.wait(60) == {"stop", "reload", "poke"}
    assert world.wakeup.wait(0) == frozenset()


# -- sources ------------------------------------------------------------------------------------


def test_a_source_ends_the_wait_with_its_reason(world, make_source):
    source = make_source("tmux")
    world.later(0.02, source.ring)

    assert world.wakeup.wait(60) == {"tmux"}
    assert world.wakeup.wait(0) == frozenset()


def test_what_came_before_the_wait_is_not_slept_over(world, make_source):
    make_source("tmux").note()

    assert world.wakeup.wait(60) == {"tmux"}


def test_the_reasons_of_several_sources_are_told_together(world, make_source):
    for reason in ("tmux", "files", "files"):
        make_source(reason).ring()
    world.wakeup.poke()
    world.send("stop")

    assert world.wakeup.wait(60) == {"tmux", "files", "poke", "stop"}
    assert world.wakeup.wait(0) == frozenset()


def test_whatever_wakes_the_others_are_asked_too(world, make_source):
    silent = make_source("tmux", has_file=False)
    bell = make_source("database")

    def both():
        silent.note()
        bell.ring()

    world.later(0.02, both)

    assert world.wakeup.wait(60) == {"tmux", "database"}


def test_what_matters_to_nobody_does_not_end_the_wait(world, make_source):
    source = make_source()
    world.later(0.01, source.chatter)

    reasons, took_sec = timed(world, 0.1)

    assert reasons == frozenset()
    assert took_sec >= 0.1


def test_a_source_without_a_file_is_asked_each_poll_time(world, make_source):
    source = make_source(poll_sec=0.05, has_file=False)
    world.later(0.02, source.note)

    reasons, took_sec = timed(world, 60)

    assert reasons == {"database"}
    assert 0.05 <= took_sec < 5


def test_asking_now_and_then_does_not_shorten_the_wait(world, make_source):
    source = make_source(poll_sec=0.0625, has_file=False)

    reasons, took_sec = timed(world, 0.5)

    assert reasons == frozenset()
    assert took_sec >= 0.5
    assert 3 <= source.asked <= 10


def test_a_last_look_is_taken_when_the_time_is_up(world, make_source):
    source = make_source(has_file=False)
    world.later(0.01, source.note)

    reasons, took_sec = timed(world, 0.1)

    assert reasons == {"database"}
    assert took_sec >= 0.1


def test_a_removed_source_wakes_nobody(world, make_source):
    source = make_source()
    world.wakeup.remove(source)
    source.ring()

    assert world.wakeup.wait(0.05) == frozenset()
    assert source.asked == 0


def test_removing_what_was_never_added_does_nothing(world):
    world.wakeup.remove(Source(has_file=False))

    assert world.wakeup.wait(0) == frozenset()


def test_a_source_added_twice_is_asked_once(world, make_source):
    source = make_source()
    world.wakeup.add(source)

    world.wakeup.wait(0)

    assert source.asked == 1


def test_a_source_that_opens_its_file_anew_is_still_heard(world, make_source):
    source = make_source()
    world.wakeup.wait(0.01)
    source.reopen()
    world.later(0.02, source.ring)

    assert world.wakeup.wait(60) == {"database"}


def test_a_source_that_gets_a_file_later_is_heard(world, make_source):
    source = make_source(has_file=False)
    world.wakeup.wait(0.01)
    source._ends = os.pipe2(os.O_NONBLOCK)
    world.later(0.02, source.ring)

    assert world.wakeup.wait(60) == {"database"}


# -- sources that fail --------------------------------------------------------------------------


def test_a_source_that_fails_wakes_once(world, make_source):
    source = make_source("tmux")
    source.trouble = "tmux could not be asked"

    seen = [world.wakeup.wait(60), world.wakeup.wait(0.05)]

    assert seen == [{"tmux"}, frozenset()]


def test_a_failing_source_is_left_alone_although_its_file_has_something(world, make_source):
    source = make_source("tmux")
    source.trouble = "tmux could not be asked"
    source.ring()
    world.wakeup.wait(60)

    reasons, took_sec = timed(world, 0.3)

    assert (reasons, source.asked) == (frozenset(), 1)
    assert took_sec >= 0.3


def test_a_source_that_works_again_wakes_as_it_may_have_missed_something(world, make_source):
    source = make_source("tmux")
    source.trouble = "tmux could not be asked"
    world.wakeup.wait(60)
    source.trouble = None

    reasons, took_sec = timed(world, 60)

    assert reasons == {"tmux"}
    assert took_sec < 5
    assert world.wakeup.wait(0.05) == frozenset()


def test_a_source_that_goes_on_failing_is_tried_once_a_second(world, make_source):
    source = make_source("tmux")
    source.trouble = "tmux could not be asked"
    world.wakeup.wait(60)

    reasons, _ = timed(world, 1.5)

    assert reasons == frozenset()
    assert 2 <= source.asked <= 3


def test_a_failing_source_does_not_hide_the_others(world, make_source):
    make_source("tmux").trouble = "tmux could not be asked"
    bell = make_source("database")
    world.wakeup.wait(60)
    world.later(0.02, bell.ring)

    assert world.wakeup.wait(60) == {"database"}


# -- the fake alone -----------------------------------------------------------------------------


def test_things_to_come_arrive_in_their_order():
    clock = FakeClock(since_boot_sec=0)
    wakeup = FakeWakeup(clock)
    wakeup.send_after(20, "stop")
    wakeup.send_after(10, "reload")

    seen = [
        (wakeup.wait(15), clock.since_boot_sec()),
        (wakeup.wait(15), clock.since_boot_sec()),
    ]

    assert seen == [({"reload"}, 10), ({"stop"}, 20)]
