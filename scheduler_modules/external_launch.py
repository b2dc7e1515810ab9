"""Finds the tmux session that an external launcher made for a run, and marks it as ours."""

import re
from collections.abc import Callable
from pathlib import PurePath

from scheduler_modules.errors import SessionGone
from scheduler_modules.model import (
    LaunchPlan,
    Run,
)
from scheduler_modules.ports import (
    RunFiles,
    Tmux,
)
from scheduler_modules.run_ledger import RunLedger
from scheduler_modules.store_port import QueueStore
from scheduler_modules.tmux_values import (
    CreatedSession,
    TmuxSnapshot,
)
from scheduler_modules.utils import SESSION_PATTERN, safe_stem

CLOCK_SLACK_SEC = 2
"""tmux tells creation times in whole seconds."""


class ExternalLaunch:
    """A launcher names its session in a file or on its last line; else it is found by its name."""

    def __init__(
        self,
        ledger: RunLedger,
        store: QueueStore,
        tmux: Tmux,
        files: RunFiles,
        *,
        project_name: Callable[[PurePath], str],
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._tmux = tmux
        self._files = files
        self._project_name = project_name

    def take_over(self, run: Run, plan: LaunchPlan, snapshot: TmuxSnapshot) -> Run | None:
        """Mark the launcher's session as the run's; None if it is not to be seen (yet)."""
        named = self._named_by_launcher(run, plan)
        name = named if named is not None else self._discovered(run, snapshot)
        panes = snapshot.of_session(name) if name is not None else ()
        if name is None or snapshot.server is None or not any(not p.is_dead for p in panes):
            return None
        if any(pane.run_token not in {None, run.token} for pane in panes):
            return None
        try:
            self._tmux.adopt_session(name, run.project_id, run.token)
        except SessionGone:
            return None
        created = CreatedSession.found(snapshot.server, panes)
        return self._ledger.record_takeover(run, name, created)

    def _named_by_launcher(self, run: Run, plan: LaunchPlan) -> str | None:
        said = self._files.session_name(run.token)
        if said is None:
            line = self._files.last_line(run.token, plan.windows[0].role) or ""
            match = re.fullmatch(r"SESSION[=:]\s*(\S+)", line.strip(), re.IGNORECASE)
            said = match.group(1) if match else None
        return said if said is not None and SESSION_PATTERN.fullmatch(said) else None

    def _discovered(self, run: Run, snapshot: TmuxSnapshot) -> str | None:
        """Return the one new session of exactly this project's name; None if it is not clear."""
        project = self._store.project(run.project_id)
        if project is None or run.started_at is None:
            return None
        path = PurePath(project.spec_path)
        stems = {safe_stem(path.stem), safe_stem(self._project_name(path))}
        wanted = re.compile(
            rf"(?:{'|'.join(map(re.escape, stems))})(?:-impl)?-[0-9a-f]{{8}}", re.IGNORECASE
        )
        born_after = run.started_at - CLOCK_SLACK_SEC
        names = {
            pane.session_name
            for pane in snapshot.panes
            if pane.run_token is None
            and pane.session_created_at >= born_after
            and wanted.fullmatch(pane.session_name)
        }
        return names.pop() if len(names) == 1 else None
