"""What every wake-up does."""

import os
import signal
import threading

import pytest

from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.wakeup import SignalWakeup
from tests.fakes.clock import FakeClock
from tests.fakes.wakeup import FakeWakeup

SIGNALS = {"stop": signal.SIGTERM, "reload": signal.SIGHUP}


class FakeWorld:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.wakeup = FakeWakeup(self.clock)

    def send(self, reason):
        self.wakeup.send(reason)

    def poke_later(self, sec):
        self.wakeup.send_after(sec, "poke")

    def close(self):
        pass


class RealWorld:
    def __init__(self) -> None:
        self.clock = SystemClock()
        self.wakeup = SignalWakeup(self.clock)
        self.wakeup.install()
        self._timers = []

    def send(self, reason):
        os.kill(os.getpid(), SIGNALS[reason])

    def poke_later(self, sec):
        self._timers.append(threading.Timer(sec, self.wakeup.poke))
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
    world.poke_later(0.02)

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
