"""Brings a claimed project's session up, and finds it again after a crash."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from scheduler_modules.config import SchedulerConfig
from scheduler_modules.errors import (
    InvalidInput,
    NotPossible,
    SchedulerError,
    SessionExists,
    SpecError,
    TmuxRefused,
)
from scheduler_modules.launch_plan import detect_project_path, make_plan
from scheduler_modules.model import (
    CreatedSession,
    LaunchPlan,
    Outcome,
    PaneCommand,
    PaneRef,
    PaneState,
    Project,
    Run,
    SessionPlan,
    TmuxSnapshot,
)
from scheduler_modules.ports import QueueStore, RunFiles, Tmux
from scheduler_modules.run_ledger import RunLedger
from scheduler_modules.spec import Spec, read_spec, shown_path

logger = logging.getLogger(__name__)


class ProjectLauncher:
    """From a claimed row to a running session, in steps a crash may interrupt anywhere."""

    def __init__(
        self,
        ledger: RunLedger,
        store: QueueStore,
        tmux: Tmux,
        files: RunFiles,
        config: SchedulerConfig,
        *,
        which: Callable[[str], str | None],
        base_env: Mapping[str, str],
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._tmux = tmux
        self._files = files
        self._config = config
        self._which = which
        self._base_env = base_env

    def launch(self, project: Project, run: Run) -> None:
        """Make the run's session; what cannot be run is failed in plain words.

        Raises:
            TmuxUnavailable: whether there is a session now is not known; `resume` finds out.
            StaleToken: somebody ended the run meanwhile; its session is cleared up later.
        """
        try:
            spec, spec_path = self._read(project)
            if self._has_new_dependencies(project, run, spec, spec_path):
                return
            plan = self._plan(project, run, spec, spec_path)
        except (InvalidInput, NotPossible) as error:
            self._refuse(run, str(error))
            return
        run = self._ledger.record_plan(run, plan)
        self._create(run, plan)

    def resume(self, project: Project, run: Run, snapshot: TmuxSnapshot) -> None:
        """Go on with a run that was claimed by a daemon that died before it recorded a session.

        Its session is adopted if it is there. If nothing of it was ever started, it is launched
        under the same name. If it was started and is gone, that is a loss.
        """
        panes = snapshot.of_run(run.token)
        if panes:
            self._ledger.record_session(run, _found(panes, snapshot), adopted=True)
            return
        plan = msgspec.json.decode(run.plan, type=LaunchPlan) if run.plan else None
        if plan is None or self._files.start(run.token, plan.windows[0].role) is None:
            self.launch(project, run)
            return
        # The look at tmux may be older than the start file: a tmux client that outlived the last
        # daemon can have made the session in between.
        fresh = self._tmux.snapshot()
        panes = fresh.of_run(run.token)
        if panes:
            self._ledger.record_session(run, _found(panes, fresh), adopted=True)
        else:
            self._settle_vanished(run, plan)

    def _settle_vanished(self, run: Run, plan: LaunchPlan) -> None:
        exit_code = self._files.exit_code(run.token, plan.windows[0].role)
        if exit_code == 0 and plan.verify is None and not plan.is_external:
            self._ledger.end_run(run, Outcome.COMPLETED, exit_code=0)
            return
        reason = "its session went away before it could be recorded"
        self._ledger.end_run(
            run, Outcome.LOST, reason, exit_code=exit_code, retries=plan.retries
        )

    def _create(self, run: Run, plan: LaunchPlan) -> None:
        try:
            created = self._tmux.create_session(self._session_plan(run, plan))
        except SessionExists as error:
            snapshot = self._tmux.snapshot()
            panes = snapshot.of_run(run.token)
            if not panes:
                self._refuse(run, f"{error}, and it is not this run's", plan)
                return
            self._ledger.record_session(run, _found(panes, snapshot), adopted=True)
        except TmuxRefused as error:
            self._refuse(run, f"tmux refused: {error}", plan)
        else:
            self._ledger.record_session(run, created, adopted=False)

    def _session_plan(self, run: Run, plan: LaunchPlan) -> SessionPlan:
        windows = tuple(
            PaneCommand(
                role=window.role,
                argv=self._files.runner_argv(run.token, window.role, window.argv),
                log_path=str(self._files.log_path(run.token, window.role)),
            )
            for window in plan.windows
        )
        return SessionPlan(
            name=run.session_name,
            cwd=plan.cwd,
            env=plan.env,
            windows=windows,
            project_id=run.project_id,
            run_token=run.token,
        )

    def _read(self, project: Project) -> tuple[Spec, Path]:
        spec_path = self._resolve(project, project.spec_path)
        return read_spec(spec_path), spec_path

    def _has_new_dependencies(
        self, project: Project, run: Run, spec: Spec, spec_path: Path
    ) -> bool:
        """Put the project back if its spec has come to wait for something not done yet."""
        keys = dependency_keys(spec, spec_path)
        if keys == [known.spec_key for known in self._store.dependencies(project.id)]:
            return False
        self._ledger.defer(run, "its spec now waits for others", keys)
        return True

    def _plan(self, project: Project, run: Run, spec: Spec, spec_path: Path) -> LaunchPlan:
        folder = self._project_folder(project, spec_path)
        if not folder.is_dir():
            raise SpecError(
                shown_path(spec_path), f"the project folder {shown_path(folder)} does not exist"
            )
        return make_plan(
            spec,
            spec_path=spec_path,
            project_path=folder,
            project_id=project.id,
            batch_id=project.batch_id,
            session_name=run.session_name,
            attempt=run.attempt,
            token=run.token,
            config=self._config,
            which=self._which,
            base_env=self._base_env,
            fresh_start=project.fresh_start,
        )

    def _project_folder(self, project: Project, spec_path: Path) -> Path:
        if project.project_path is None:
            return detect_project_path(spec_path)
        return self._resolve(project, project.project_path)

    def _resolve(self, project: Project, path: str) -> Path:
        """Return a path of a row as absolute: old rows are meant from the folder of the queue."""
        return Path(project.base_dir or self._config.home, path).absolute()

    def _refuse(self, run: Run, reason: str, plan: LaunchPlan | None = None) -> None:
        """Fail a run of which nothing was started."""
        self._ledger.end_run(run, Outcome.FAILED, reason, retries=plan.retries if plan else 0)
        self._ledger.record_cleaned(run)


def dependency_keys(spec: Spec, spec_path: Path) -> list[str]:
    """Return the keys of the specs that `after:` names, relative to the spec's own folder."""
    return [os.path.realpath(spec_path.parent / name) for name in spec.after]


def _found(panes: tuple[PaneState, ...], snapshot: TmuxSnapshot) -> CreatedSession:
    """Return a session that was found as if it had just been made; lowest window first."""
    if snapshot.server is None:
        raise SchedulerError("panes without a server")
    ordered = sorted(panes, key=lambda pane: pane.window_index)
    return CreatedSession(
        session_id=ordered[0].session_id,
        server=snapshot.server,
        panes=tuple(
            PaneRef(role=pane.window_name, window_id=pane.window_id, pane_id=pane.pane_id)
            for pane in ordered
        ),
    )
