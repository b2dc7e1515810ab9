"""Events: in this process, and from the log of facts behind a cursor."""

import threading

import pytest

from scheduler_modules.event_dispatcher import EventDispatcher
from tests.fakes.store import FakeStore


@pytest.fixture
def store():
    return FakeStore()


@pytest.fixture
def dispatcher(store):
    return EventDispatcher(store)


# -- in this process ----------------------------------------------------------------------------


def test_listeners_are_called_in_the_order_they_subscribed(dispatcher):
    heard = []
    dispatcher.subscribe("done", lambda data: heard.append(("first", data["id"])))
    dispatcher.subscribe("done", lambda data: heard.append(("second", data["id"])))

    dispatcher.dispatch("done", {"id": 7})

    assert heard == [("first", 7), ("second", 7)]


def test_other_events_are_not_heard(dispatcher):
    heard = []
    dispatcher.subscribe("done", heard.append)

    dispatcher.dispatch("failed", {"id": 7})

    assert heard == []


def test_one_listener_s_error_is_logged_and_spares_the_others(dispatcher, caplog):
    heard = []
    dispatcher.subscribe("done", lambda _: 1 / 0)
    dispatcher.subscribe("done", heard.append)

    dispatcher.dispatch("done", {"id": 7})

    assert heard == [{"id": 7}]
    assert [record.message for record in caplog.records] == ["listener_failed"]


def test_a_listener_cannot_spoil_what_the_next_one_gets(dispatcher):
    heard = []
    dispatcher.subscribe("done", lambda data: data.clear())
    dispatcher.subscribe("done", heard.append)

    dispatcher.dispatch("done", {"id": 7})

    assert heard == [{"id": 7}]


def test_a_listener_that_tells_its_own_event_is_not_told_again(dispatcher, caplog):
    heard = []

    def tell_again(data):
        heard.append(data)
        dispatcher.dispatch("done", data)

    dispatcher.subscribe("done", tell_again)
    dispatcher.dispatch("done", {"id": 7})

    assert heard == [{"id": 7}]
    assert "event_loop_refused" in caplog.messages


def test_a_ring_of_two_events_ends(dispatcher):
    heard = []
    dispatcher.subscribe("a", lambda data: (heard.append("a"), dispatcher.dispatch("b", data)))
    dispatcher.subscribe("b", lambda data: (heard.append("b"), dispatcher.dispatch("a", data)))

    dispatcher.dispatch("a", {})

    assert heard == ["a", "b"]


def test_after_a_refused_ring_the_event_is_told_again(dispatcher):
    heard = []
    dispatcher.subscribe("a", lambda data: (heard.append("a"), dispatcher.dispatch("a", data)))

    dispatcher.dispatch("a", {})
    dispatcher.dispatch("a", {})

    assert heard == ["a", "a"]


def test_another_thread_may_tell_the_event_a_listener_is_busy_with(dispatcher):
    heard = []

    def tell_elsewhere(data):
        heard.append(data["depth"])
        if data["depth"] == 0:
            thread = threading.Thread(target=dispatcher.dispatch, args=("a", {"depth": 1}))
            thread.start()
            thread.join(timeout=5)

    dispatcher.subscribe("a", tell_elsewhere)
    dispatcher.dispatch("a", {"depth": 0})

    assert heard == [0, 1]


def test_a_listener_may_subscribe_while_it_is_told(dispatcher):
    heard = []
    dispatcher.subscribe("a", lambda _: dispatcher.subscribe("a", heard.append))

    dispatcher.dispatch("a", {})

    assert heard == []


# -- from the log of facts ----------------------------------------------------------------------


def add_facts(store, *names):
    return [store.add_fact(name, 1.0) for name in names]


def test_reading_leaves_the_cursor_where_it_is(store, dispatcher):
    add_facts(store, "a", "b")

    dispatcher.read_new("mail")

    assert [fact.name for fact in dispatcher.read_new("mail")] == ["a", "b"]


def test_delivered_facts_are_not_new_any_more(store, dispatcher):
    add_facts(store, "a", "b")
    heard = []

    count = dispatcher.deliver_new("mail", lambda fact: heard.append(fact.name))

    assert (count, heard) == (2, ["a", "b"])
    assert dispatcher.read_new("mail") == []


def test_each_listener_has_a_cursor_of_its_own(store, dispatcher):
    add_facts(store, "a")
    dispatcher.deliver_new("mail", lambda fact: None)

    assert [fact.name for fact in dispatcher.read_new("hooks")] == ["a"]


def test_a_fact_whose_listener_failed_stays_new_with_all_later_ones(store, dispatcher, caplog):
    add_facts(store, "a", "b", "c")

    def stumble(fact):
        if fact.name == "b":
            raise ValueError("no")

    assert dispatcher.deliver_new("mail", stumble) == 1
    assert [fact.name for fact in dispatcher.read_new("mail")] == ["b", "c"]
    assert caplog.records[0].fact_id == 2


def test_what_a_failing_listener_wrote_is_undone(store, dispatcher):
    add_facts(store, "a")

    def write_and_fail(fact):
        store.set_state("mail", "sent")
        raise ValueError("no")

    dispatcher.deliver_new("mail", write_and_fail)

    assert store.get_state("mail") is None


def test_what_another_process_dealt_with_meanwhile_is_skipped():
    class Overtaken(FakeStore):
        def facts(self, after_id=0, **limits):
            found = super().facts(after_id, **limits)
            self.set_cursor("mail", found[0].id)
            return found

    store = Overtaken()
    _, second = add_facts(store, "a", "b")
    heard = []

    count = EventDispatcher(store).deliver_new("mail", lambda fact: heard.append(fact.id))

    assert (count, heard) == (1, [second])


def test_no_more_than_the_limit_is_delivered_at_once(store, dispatcher):
    add_facts(store, "a", "b", "c")

    assert dispatcher.deliver_new("mail", lambda fact: None, limit=2) == 2
    assert [fact.name for fact in dispatcher.read_new("mail")] == ["c"]
