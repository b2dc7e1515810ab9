"""How the tests of promises are sized, seeded and reported.

PROMISE_LONG=1 asks for the long form, PROMISE_COUNT for a number of rounds of one's own,
PROMISE_SEED for the same choices again.
"""

import os
import random
import secrets
from collections.abc import Callable

IS_LONG = os.environ.get("PROMISE_LONG") == "1"
TIMEOUT_SEC = 3600 if IS_LONG else 120


def rounds(short: int, long: int) -> int:
    """Return how often a thing is tried."""
    told = os.environ.get("PROMISE_COUNT", "")
    return int(told) if told else long if IS_LONG else short


class Promise:
    """One promise under trial: its seed, its random choices, and what came of it."""

    def __init__(self, write_line: Callable[[str], None]) -> None:
        self.seed = int(os.environ.get("PROMISE_SEED") or secrets.randbits(32))
        self.random = random.Random(self.seed)
        self._write_line = write_line
        # Shown by pytest where the test fails before it has told its figure.
        print(f"PROMISE_SEED={self.seed}")

    def tell(self, figure: str) -> None:
        """Put on record what was done and what the figure is."""
        self._write_line(f"{figure} (seed {self.seed})")
