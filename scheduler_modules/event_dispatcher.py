"""Tells listeners what happened: at once inside this process, or from the log of facts."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from scheduler_modules.model import Fact
from scheduler_modules.store_port import QueueStore

logger = logging.getLogger(__name__)

Callback = Callable[[dict[str, Any]], object]


class EventDispatcher:
    """Fans out events. No lock is held while a listener runs."""

    def __init__(self, store: QueueStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._callbacks: defaultdict[str, list[Callback]] = defaultdict(list)
        self._local = threading.local()

    # -- inside this process: best effort ---------------------------------------------------

    def subscribe(self, event: str, callback: Callback) -> None:
        """Call `callback` with a dict of its own at each `dispatch` of the event here."""
        with self._lock:
            self._callbacks[event].append(callback)

    def dispatch(self, event: str, data: Mapping[str, Any]) -> None:
        """Call the listeners of an event in the order they subscribed.

        What a listener raises is logged and stops nobody else. A listener that dispatches the
        very event it is being told of is not told again: that would never end.
        """
        running: list[str] = self._local.__dict__.setdefault("running", [])
        if event in running:
            logger.warning("event_loop_refused", extra={"event_name": event})
            return
        with self._lock:
            callbacks = tuple(self._callbacks.get(event, ()))
        running.append(event)
        try:
            for callback in callbacks:
                self._tell(event, callback, data)
        finally:
            running.pop()

    def _tell(self, event: str, callback: Callback, data: Mapping[str, Any]) -> None:
        try:
            callback(dict(data))
        except Exception:
            logger.exception("listener_failed", extra={"event_name": event})

    # -- from the log of facts: at least once -----------------------------------------------

    def read_new(self, listener: str, limit: int = 1000) -> list[Fact]:
        """Return facts the listener has not dealt with, oldest first; its cursor stays."""
        return self._store.facts(self._store.cursor(listener), limit=limit)

    def deliver_new(
        self, listener: str, handle: Callable[[Fact], object], limit: int = 1000
    ) -> int:
        """Give the listener each new fact in turn; return how many it dealt with.

        The cursor moves in one transaction with whatever `handle` writes. If it raises, that
        fact and all later ones stay new: they are told again next time.
        """
        done = 0
        for fact in self.read_new(listener, limit):
            try:
                with self._store.transaction():
                    # Another process may have been here since we read.
                    if self._store.cursor(listener) >= fact.id:
                        continue
                    handle(fact)
                    self._store.set_cursor(listener, fact.id)
            except Exception:
                logger.exception(
                    "listener_failed", extra={"listener": listener, "fact_id": fact.id}
                )
                return done
            done += 1
        return done
