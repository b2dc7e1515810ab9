"""Sources that misbehave: files closed behind the wake-up's back, numbers that others get."""

import logging
import os
import resource

import pytest

from scheduler_modules.adapters.clock import SystemClock
from scheduler_modules.adapters.wakeup import SelectorWakeup
from scheduler_modules.errors import SchedulerError
from tests.contract.test_wakeup_contract import Source


@pytest.fixture
def wakeup():
    wakeup = SelectorWakeup(SystemClock())
    yield wakeup
    wakeup.close()


@pytest.fixture
def source(wakeup):
    source = Source("tmux")
    wakeup.add(source)
    yield source
    source.trouble = None
    source.close()


class Forgetful(Source):
    """Closes its file and does not notice."""

    def drain(self):
        return False


def processor_sec():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def events(caplog):
    return [record.getMessage() for record in caplog.records]


def test_a_closed_file_wakes_once_and_is_not_waited_for(wakeup):
    source = Forgetful("tmux")
    wakeup.add(source)
    source.close()
    before = processor_sec()

    seen = [wakeup.wait(60), wakeup.wait(0.5)]

    assert seen == [{"tmux"}, frozenset()]
    assert processor_sec() - before < 0.1


def test_a_file_closed_while_the_others_are_asked_keeps_nobody_busy(wakeup):
    first, second = Forgetful("tmux"), Source("files")

    class Closer(Source):
        def drain(self):
            first.close()
            return False

    closer = Closer("closer")
    for source in (first, closer, second):
        wakeup.add(source)
    before = processor_sec()

    seen = [wakeup.wait(60), wakeup.wait(0.3)]

    assert seen == [{"tmux"}, frozenset()]
    assert processor_sec() - before < 0.1
    closer.close()
    second.close()


def test_a_number_that_another_file_got_wakes_nobody_after_removal(wakeup, source):
    wakeup.wait(0)
    wakeup.remove(source)
    number = source.fileno()
    source.close()
    reader, writer = os.pipe()
    assert number in {reader, writer}
    os.write(writer, b"!")

    assert wakeup.wait(0.05) == frozenset()

    os.close(reader)
    os.close(writer)


def test_trouble_is_logged_once_and_so_is_its_end(wakeup, source, caplog):
    caplog.set_level(logging.INFO)
    source.trouble = "tmux could not be asked"
    wakeup.wait(0)
    wakeup.wait(1.2)
    source.trouble = None
    wakeup.wait(60)

    assert events(caplog) == ["wakeup_source_failed", "wakeup_source_healed"]


def test_new_trouble_is_logged_too(wakeup, source, caplog):
    source.trouble = "tmux could not be asked"
    wakeup.wait(0)
    source.trouble = "tmux said nothing"

    assert wakeup.wait(1.2) == frozenset()

    assert [record.error for record in caplog.records] == [
        "tmux could not be asked",
        "tmux said nothing",
    ]


def test_a_failing_source_takes_no_processor_time(wakeup, source):
    source.trouble = "tmux could not be asked"
    source.ring()
    wakeup.wait(0)
    before = processor_sec()

    wakeup.wait(0.5)

    assert processor_sec() - before < 0.1


def test_closing_leaves_the_sources_open(wakeup, source):
    wakeup.close()

    source.ring()

    assert source.drain() is True


def test_what_was_closed_cannot_be_waited_on(wakeup):
    wakeup.close()

    with pytest.raises(SchedulerError):
        wakeup.wait(0)
