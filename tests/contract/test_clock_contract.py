"""What every clock does."""

import re
import time
from pathlib import Path

import pytest

from scheduler_modules.adapters import clock as clock_module
from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.errors import SchedulerError
from scheduler_modules.ports import Clock
from tests.fakes.clock import FakeClock


@pytest.fixture(params=["fake", "real"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return FakeClock() if request.param == "fake" else SystemClock()


def test_it_gives_seconds_since_the_epoch(clock):
    assert 1_600_000_000 < clock.now() < 5_000_000_000


def test_time_since_boot_never_goes_back(clock):
    readings = [clock.since_boot_sec() for _ in range(100)]

    assert readings == sorted(readings)


def test_the_boot_has_one_name(clock):
    assert clock.boot_id()
    assert clock.boot_id() == clock.boot_id()


def test_the_real_clock_agrees_with_the_machine():
    clock = SystemClock()

    assert abs(clock.now() - time.time()) < 5
    assert abs(clock.since_boot_sec() - float(Path("/proc/uptime").read_text().split()[0])) < 5


def test_the_real_boot_id_is_the_kernels():
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", SystemClock().boot_id())


def test_a_machine_without_proc_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(clock_module, "_BOOT_ID", tmp_path / "boot_id")

    with pytest.raises(SchedulerError, match="boot_id cannot be read: No such file"):
        SystemClock().boot_id()


def test_advancing_the_fake_moves_both_readings():
    clock = FakeClock(now=100, since_boot_sec=10)

    clock.advance(2.5)

    assert (clock.now(), clock.since_boot_sec()) == (102.5, 12.5)


def test_the_fake_refuses_to_run_backwards():
    with pytest.raises(ValueError, match="set_wall"):
        FakeClock().advance(-1)


def test_setting_the_fakes_wall_clock_leaves_time_since_boot():
    clock = FakeClock(now=100, since_boot_sec=10)

    clock.set_wall(40)

    assert (clock.now(), clock.since_boot_sec()) == (40, 10)


def test_a_reboot_of_the_fake_starts_anew_under_another_name():
    clock = FakeClock(now=100, since_boot_sec=10)
    before = clock.boot_id()

    clock.reboot(down_sec=30)

    assert clock.since_boot_sec() == 0
    assert clock.now() == 130
    assert clock.boot_id() != before
