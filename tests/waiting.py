"""Waiting for real processes: poll, with a deadline."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], what: str, timeout_sec: float = 10.0) -> None:
    """Return once the condition is true; fail, saying what was waited for, when time is up."""
    deadline = time.monotonic() + timeout_sec
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_sec} s in vain: {what}")
        time.sleep(0.005)
