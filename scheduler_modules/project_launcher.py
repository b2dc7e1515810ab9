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
    SessionExists,
    SpecError,
    TmuxRefused,
)
from scheduler_modules.launch_plan import Launch, detect_project_path, make_plan
from scheduler_modules.model import (
    LaunchPlan,
    Outcome,
    Project,
    Run,
)
from scheduler_modules.ports import (
    RunFiles,
    Tmux,
)
from scheduler_modules.run_ledger import RunLedger
from scheduler_modules.run_verdict import Ended, describe_end
from scheduler_modules.spec import Spec, read_spec, shown_path
from scheduler_modules.store_port import QueueStore
from scheduler_modules.tmux_values import (
    CreatedSession,
    PaneCommand,
    PaneState,
    SessionPlan,
    TmuxSnapshot,
)
from scheduler_modules.utils import one_line

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
            if run.launches == 0 and self._has_new_dependencies(project, run, spec, spec_path):
                return
            plan = self._plan(project, run, spec, spec_path)
            session = self._session_plan(run, plan)
            run = self._ledger.record_plan(run, plan)
        except (InvalidInput, NotPossible) as error:
            self._refuse(run, str(error))
        except (OSError, ValueError) as error:
            # Old rows hold any text, and the surroundings any bytes: what the system cannot take
            # as a path or as UTF-8 must fail one project, not hold up all.
            self._refuse(run, f"cannot be launched: {one_line(str(error))}")
        else:
            self._create(run, plan, session)

    def resume(self, project: Project, run: Run, snapshot: TmuxSnapshot) -> None:
        """Go on with a run that was claimed by a daemon that died before it recorded a session.

        Its session is adopted if it is there. If nothing of it was ever started, it is launched
        under the same name. If it was started and is gone, that is a loss.
        """
        if self._adopt(run, snapshot):
            return
        plan = msgspec.json.decode(run.plan, type=LaunchPlan) if run.plan else None
        if plan is None or self._files.start(run.token, plan.windows[0].role) is None:
            self.launch(project, run)
            return
        # That look may be older than the start file: a tmux client that outlived the last daemon
        # can have made the session in between.
        fresh = self._tmux.snapshot()
        if not self._adopt(run, fresh):
            self._settle_vanished(run, plan, fresh)

    def _adopt(self, run: Run, snapshot: TmuxSnapshot) -> bool:
        """Go on with the session that carries the run's token; False if its main pane is gone."""
        panes = snapshot.of_run(run.token)
        if not panes or snapshot.server is None:
            return False
        main = self._main_pane(run, panes)
        if main is None:
            return False
        others = (pane for pane in panes if pane is not main)
        created = CreatedSession.found(snapshot.server, (main, *others))
        self._ledger.record_session(run, created, adopted=True)
        return True

    def _main_pane(self, run: Run, panes: tuple[PaneState, ...]) -> PaneState | None:
        """Return the pane whose first process is the main window's runner.

        A person may have closed, moved or renamed windows by now; only while no runner has told
        its number yet does the place have to do.
        """
        plan = msgspec.json.decode(run.plan or "", type=LaunchPlan)
        start = self._files.start(run.token, plan.windows[0].role)
        if start is None:
            return min(panes, key=lambda pane: pane.window_index)
        return next((pane for pane in panes if pane.pid == start.pid), None)

    def _settle_vanished(self, run: Run, plan: LaunchPlan, snapshot: TmuxSnapshot) -> None:
        """End a run that was started and is gone by what its runner recorded."""
        role = plan.windows[0].role
        outcome, exit_code = Outcome.LOST, self._files.exit_code(run.token, role)
        at = self._files.exited_at(run.token, role)
        reason = "its session went away before it could be recorded"
        if exit_code == 0 and plan.verify is None and not plan.is_external:
            self._ledger.end_run(run, Outcome.COMPLETED, exit_code=0, at=at)
            return
        if exit_code:
            outcome = Outcome.FAILED
            reason = describe_end(Ended(exit_code), self._files.last_line(run.token, role))
        elif snapshot.of_run(run.token):
            reason = "its window was closed"
        self._ledger.end_run(run, outcome, reason, exit_code=exit_code, retries=plan.retries, at=at)

    def _create(self, run: Run, plan: LaunchPlan, session: SessionPlan) -> None:
        try:
            created = self._tmux.create_session(session)
        except SessionExists as error:
            self._take_existing(run, plan, str(error))
        except TmuxRefused as error:
            self._refuse(run, str(error), plan)
        else:
            self._ledger.record_session(run, created, adopted=False)

    def _take_existing(self, run: Run, plan: LaunchPlan, problem: str) -> None:
        """Adopt the session that has the run's name already, if it is the run's."""
        snapshot = self._tmux.snapshot()
        if self._adopt(run, snapshot):
            return
        # A single look may have missed it.
        snapshot = self._tmux.snapshot()
        if self._adopt(run, snapshot):
            return
        if snapshot.of_run(run.token):
            self._settle_vanished(run, plan, snapshot)
        else:
            self._refuse(run, f"{problem}, and it is not this run's", plan)

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
        """Put the project back if its spec has come to wait for something not done yet.

        What a person wants it to wait for besides is done, or it would not have been claimed.
        """
        known = [entry.spec_key for entry in self._store.dependencies(project.id)]
        fresh = [key for key in dependency_keys(spec, spec_path) if key not in known]
        if not fresh:
            return False
        self._ledger.defer(run, "its spec now waits for others", [*known, *fresh])
        return True

    def _plan(self, project: Project, run: Run, spec: Spec, spec_path: Path) -> LaunchPlan:
        folder = self._project_folder(project, spec_path)
        if not folder.is_dir():
            raise SpecError(
                shown_path(spec_path), f"the project folder {shown_path(folder)} does not exist"
            )
        launch = Launch(
            spec_path=spec_path,
            project_path=folder,
            project_id=project.id,
            batch_id=project.batch_id,
            session_name=run.session_name,
            attempt=run.attempt,
            token=run.token,
            fresh_start=project.fresh_start,
        )
        return make_plan(
            spec, launch, config=self._config, which=self._which, base_env=self._base_env
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
        self._files.remove(run.token)
        self._ledger.record_cleaned([run])


def dependency_keys(spec: Spec, spec_path: Path) -> list[str]:
    """Return the keys of the specs that `after:` names, relative to the spec's own folder."""
    return [os.path.realpath(spec_path.parent / name) for name in spec.after]
