"""Real signals: what they wake, what they interrupt, and that they are given back."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.wakeup import SelectorWakeup
from scheduler_modules.errors import SchedulerError, StopNow
from tests.fakes.clock import FakeClock

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)

STUCK = """
import sys, time
from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.wakeup import SelectorWakeup
from scheduler_modules.errors import StopNow

wakeup = SelectorWakeup(SystemClock())
wakeup.install()
print("ready", flush=True)
try:
    if sys.argv[1] == "sleeps":
        time.sleep(60)
    elif sys.argv[1] == "guarded":
        while True:
            try:
                time.sleep(60)
            except Exception:
                pass
    elif sys.argv[1] == "swallows":
        for _ in range(2):
            try:
                time.sleep(60)
            except BaseException:
                pass
    else:
        assert wakeup.wait(60) == {"stop"}
except StopNow:
    print("stopped now")
finally:
    wakeup.close()
"""


@pytest.fixture
def wakeup():
    wakeup = SelectorWakeup(SystemClock())
    wakeup.install()
    yield wakeup
    wakeup.close()


def send(number):
    os.kill(os.getpid(), number)


@pytest.fixture
def program():
    running = []

    def start(*args):
        process = subprocess.Popen(
            [sys.executable, "-c", STUCK, *args], stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def stop_within(process, sec):
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=20)
    assert time.monotonic() - began < sec
    assert process.returncode == 0
    return said


def test_ctrl_c_means_stop(wakeup):
    send(signal.SIGINT)

    assert wakeup.wait(60) == {"stop"}


def test_a_signal_during_the_wait_ends_it(wakeup):
    timer = threading.Timer(0.05, send, [signal.SIGHUP])
    timer.start()

    assert wakeup.wait(60) == {"reload"}

    timer.join()


def test_ten_thousand_signals_neither_block_nor_get_lost(wakeup):
    for _ in range(10_000):
        send(signal.SIGHUP)

    assert wakeup.wait(60) == {"reload"}
    assert wakeup.wait(0) == frozenset()


def test_a_signal_of_others_does_not_end_the_wait(wakeup):
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    send(signal.SIGUSR1)
    began = time.monotonic()

    assert wakeup.wait(0.05) == frozenset()

    assert time.monotonic() - began >= 0.05
    signal.signal(signal.SIGUSR1, before)


def test_waiting_takes_no_processor_time(wakeup):
    before = resource.getrusage(resource.RUSAGE_SELF)

    wakeup.wait(0.3)

    after = resource.getrusage(resource.RUSAGE_SELF)
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 0.05


def test_an_endless_wait_is_possible():
    wakeup = SelectorWakeup(SystemClock())
    wakeup.poke()

    assert wakeup.wait(float("inf")) == {"poke"}

    wakeup.close()


def test_closing_gives_the_signals_back():
    before = [signal.getsignal(number) for number in HANDLED]
    wakeup = SelectorWakeup(SystemClock())

    wakeup.install()
    during = [signal.getsignal(number) for number in HANDLED]
    wakeup.close()

    assert not set(during) & set(before)
    assert [signal.getsignal(number) for number in HANDLED] == before


def test_closing_gives_the_wake_up_file_back():
    reader, writer = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(writer)
    wakeup = SelectorWakeup(SystemClock())

    wakeup.install()
    wakeup.close()

    assert signal.set_wakeup_fd(-1) == writer
    os.close(reader)
    os.close(writer)


def test_installing_twice_still_gives_back_what_was_before():
    before = signal.getsignal(signal.SIGTERM)
    wakeup = SelectorWakeup(SystemClock())

    wakeup.install()
    wakeup.install()
    wakeup.close()

    assert signal.getsignal(signal.SIGTERM) == before


def test_closing_leaves_no_open_file():
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        wakeup = SelectorWakeup(SystemClock())
        wakeup.install()
        wakeup.close()

    assert len(os.listdir("/proc/self/fd")) == before


def test_closing_twice_and_poking_afterwards_do_nothing():
    wakeup = SelectorWakeup(SystemClock())
    wakeup.close()

    wakeup.close()
    wakeup.poke()


def test_a_poke_nobody_ever_looks_at_does_not_block():
    wakeup = SelectorWakeup(FakeClock())
    os.eventfd_write(wakeup._poke_file, 2**64 - 2)

    wakeup.poke()

    assert wakeup.wait(0) == {"poke"}
    wakeup.close()


def test_another_thread_may_not_take_the_signals():
    wakeup = SelectorWakeup(SystemClock())
    refused = []

    def install():
        try:
            wakeup.install()
        except SchedulerError as error:
            refused.append(str(error))

    thread = threading.Thread(target=install)
    thread.start()
    thread.join()

    assert refused == ["signals can only be waited for in the main thread"]
    wakeup.close()


def test_a_loop_stuck_after_a_stop_signal_is_interrupted():
    wakeup = SelectorWakeup(SystemClock(), stop_deadline_sec=0.05)
    wakeup.install()

    with pytest.raises(StopNow):
        try:
            send(signal.SIGTERM)
            time.sleep(30)
        finally:
            wakeup.close()


def test_a_second_stop_signal_gives_no_more_time():
    wakeup = SelectorWakeup(SystemClock(), stop_deadline_sec=0.2)
    wakeup.install()
    began = time.monotonic()

    with pytest.raises(StopNow):
        try:
            while time.monotonic() - began < 30:
                send(signal.SIGTERM)
                time.sleep(0.02)
        finally:
            wakeup.close()

    assert time.monotonic() - began < 5


def test_a_reload_interrupts_nothing():
    wakeup = SelectorWakeup(SystemClock(), stop_deadline_sec=0.02)
    wakeup.install()

    send(signal.SIGHUP)
    time.sleep(0.1)

    wakeup.close()


def test_without_a_deadline_nothing_is_interrupted():
    wakeup = SelectorWakeup(SystemClock(), stop_deadline_sec=None)
    wakeup.install()

    send(signal.SIGTERM)

    assert not 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 2
    wakeup.close()


def test_a_stop_in_time_is_not_interrupted():
    wakeup = SelectorWakeup(SystemClock(), stop_deadline_sec=0.05)
    wakeup.install()
    send(signal.SIGTERM)
    wakeup.wait(1)

    wakeup.close()

    time.sleep(0.1)


def test_closing_gives_a_running_timer_back():
    before = signal.setitimer(signal.ITIMER_REAL, 100, 7)
    wakeup = SelectorWakeup(SystemClock())
    wakeup.install()
    send(signal.SIGTERM)

    wakeup.close()

    left_sec, again_sec = signal.setitimer(signal.ITIMER_REAL, *before)
    assert (99 < left_sec <= 100, again_sec) == (True, 7)


def test_a_waiting_daemon_stops_at_once(program):
    assert stop_within(program("waits"), sec=1.5) == ""


@pytest.mark.parametrize("how", ["sleeps", "guarded"])
def test_a_stuck_daemon_ends_within_two_seconds(program, how):
    assert stop_within(program(how), sec=2) == "stopped now\n"


def test_an_interruption_that_was_swallowed_comes_again(program):
    assert stop_within(program("swallows"), sec=3) == ""
