"""The logs of windows as whole plain lines, and which runs and windows there are to read."""

from collections.abc import Sequence

from scheduler_modules.cli.views import launched, plan_of
from scheduler_modules.model import Run
from scheduler_modules.store_port import QueueStore
from scheduler_modules.utils import plain_text

VERIFY = "verify"
"""The window that a spec's `verify` runs in."""
_LONGEST_HELD = 65_536


class LineCutter:
    """Cuts the bytes of a log into lines; what has no end yet waits for it."""

    def __init__(self, *, is_raw: bool = False) -> None:
        self._is_raw = is_raw
        self._held = b""

    def cut(self, content: bytes) -> list[str]:
        """Return the lines that are complete with this, what was held back before included."""
        self._held += content
        # What follows a carriage return may be written over: a line counts when it has ended.
        end = self._held.rfind(b"\n") + 1
        if end == 0 and len(self._held) > _LONGEST_HELD:
            end = len(self._held)
        complete, self._held = self._held[:end], self._held[end:]
        return self._lines(complete)

    def finish(self) -> list[str]:
        """Return what was held back."""
        complete, self._held = self._held, b""
        return self._lines(complete)

    def _lines(self, content: bytes) -> list[str]:
        text = content.decode(errors="replace")
        if not self._is_raw:
            text = plain_text(text)
        return text.removesuffix("\n").split("\n") if text else []


def roles_of(run: Run) -> list[str]:
    """Return the windows of a run, the main one first and its verification last."""
    plan = plan_of(run)
    if plan is None:
        return ["main"]
    return [window.role for window in plan.windows] + ([VERIFY] if plan.verify else [])


def runs_after(store: QueueStore, project_id: int, attempt: int) -> Sequence[Run]:
    """Return the runs later than that attempt that a session was asked for, oldest first."""
    return [run for run in launched(store.runs_of(project_id)) if run.attempt > attempt]
