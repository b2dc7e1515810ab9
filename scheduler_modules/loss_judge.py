"""When to believe that a run is lost: one look at tmux has been seen to miss what was there."""

import logging
from collections.abc import Collection

from scheduler_modules.model import Run
from scheduler_modules.ports import Clock
from scheduler_modules.run_verdict import is_same_server
from scheduler_modules.tmux_values import TmuxSnapshot

logger = logging.getLogger(__name__)

MANY = 5
"""From this many runs on, more than half of them gone at once is doubted."""
MASS_DEATH_SEC = 2.0
"""How long the same must be seen then before it is believed."""


class LossJudge:
    """Counts looks. A loss is believed when two looks in a row show it.

    When most sessions look dead at once while their server lives, the probe is more likely wrong
    than they are: then every look for two seconds must show it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._missed_since: dict[str, float] = {}
        self._is_mass_death = False

    def look(self, runs: Collection[Run], snapshot: TmuxSnapshot) -> None:
        """Take note of a look at all runs that are up, before they are judged one by one."""
        missing = [
            run for run in runs if is_same_server(run, snapshot) and not snapshot.of_run(run.token)
        ]
        was, self._is_mass_death = self._is_mass_death, _is_most(len(missing), len(runs))
        if self._is_mass_death and not was:
            logger.warning("mass_death_doubted", extra={"missing": len(missing), "of": len(runs)})

    def is_believed(self, token: str) -> bool:
        """Return whether a run that looks lost now is lost."""
        now = self._clock.since_boot_sec()
        first = self._missed_since.get(token)
        if first is None:
            self._missed_since[token] = now
            return False
        return not self._is_mass_death or now - first >= MASS_DEATH_SEC

    def is_doubting(self) -> bool:
        """Return whether some run looked lost and that is not decided yet."""
        return bool(self._missed_since)

    def forget_but(self, tokens: Collection[str]) -> None:
        """Drop what was noted of all other runs."""
        for token in self._missed_since.keys() - set(tokens):
            del self._missed_since[token]

    def forget(self, token: str) -> None:
        """Drop what was noted of a run: it was seen, or it is over."""
        self._missed_since.pop(token, None)


def _is_most(missing: int, of: int) -> bool:
    return of >= MANY and missing * 2 > of
