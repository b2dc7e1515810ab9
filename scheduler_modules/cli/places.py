"""Where a queued project stands: what is ahead of it, and which slots are free."""

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.views import Cards
from scheduler_modules.cli.words import group_label
from scheduler_modules.model import ProjectState

LOOK_AHEAD = 100


def positions(cards: Cards) -> dict[int, int]:
    """Return how many that could run now stand before each of the first in the queue."""
    found: dict[int, int] = {}
    ahead = 0
    for project in cards.cli.store.projects([ProjectState.QUEUED], limit=LOOK_AHEAD + 1):
        found[project.id] = ahead
        ahead += cards.could_start(project)
    return found


class Slots:
    """How many projects may still be started, in words; asked once for each group."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli
        self._free = cli.queue.free_slots()
        groups = cli.store.groups(is_counted=False)
        self._limits = {group.name: group.max_running for group in groups}
        self._told: dict[str, str] = {}

    def told(self, group: str) -> str:
        """Return `1 of 2 slots free`, `... in night` where the group has a limit of its own."""
        if group not in self._told:
            self._told[group] = self._tell(group)
        return self._told[group]

    def _tell(self, group: str) -> str:
        limit = self._limits.get(group)
        if limit is None:
            return f"{self._free} of {self._cli.config.max_concurrent_projects} slots free"
        running = len(self._cli.store.projects([ProjectState.PROCESSING], group=group))
        free = max(0, min(self._free, limit - running))
        return f"{free} of {limit} slots free in {group_label(group)}"
