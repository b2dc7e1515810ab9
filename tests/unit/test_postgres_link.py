"""How often a server that cannot be reached is tried, and for how long a call waits."""

import pytest

from scheduler_modules.adapters.postgres_link import PostgresLink
from scheduler_modules.errors import DatabaseUnavailable
from tests.fakes.clock import FakeClock
from tests.postgres_cluster import free_port


class Link(PostgresLink):
    """Its pauses cost no time, and are noted."""

    def __init__(self, url, patience_sec=5.0):
        self.clock = FakeClock()
        super().__init__(url, self.clock, patience_sec=patience_sec)
        self.pauses = []
        self._pause = self

    def wait(self, sec):
        self.pauses.append(round(sec, 3))
        self.clock.advance(sec)


@pytest.fixture
def link():
    return Link(f"postgresql://me:secret@127.0.0.1:{free_port()}/queue")


def test_tries_come_less_and_less_often_until_patience_ends(link):
    with pytest.raises(DatabaseUnavailable, match="cannot be used") as failure:
        link.connect()

    assert link.pauses == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert "secret" not in str(failure.value)


def test_after_that_a_call_fails_at_once(link):
    with pytest.raises(DatabaseUnavailable):
        link.connect()
    link.pauses.clear()

    with pytest.raises(DatabaseUnavailable, match="check that it runs"):
        link.connect()

    assert link.pauses == []


def test_a_try_that_is_due_is_made_and_the_next_is_5_s_later(link):
    with pytest.raises(DatabaseUnavailable):
        link.connect()
    tries = 0
    for _ in range(600):
        link.clock.advance(0.1)
        before = link._next_try
        with pytest.raises(DatabaseUnavailable):
            link.connect()
        tries += link._next_try != before

    assert tries == 12


def test_what_cannot_pass_is_not_waited_for():
    link = Link("postgresql://me@no-such-host.invalid/queue")

    with pytest.raises(DatabaseUnavailable):
        link.connect()

    assert link.pauses == []


def test_no_patience_is_one_try():
    link = Link(f"postgresql://me@127.0.0.1:{free_port()}/queue", patience_sec=0)

    with pytest.raises(DatabaseUnavailable):
        link.connect()

    assert link.pauses == []
