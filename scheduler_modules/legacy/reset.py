"""The old flags that put a project back."""

import os
from pathlib import Path

from scheduler_modules.errors import EXIT_DONE, EXIT_FAILED, NotPossible, ProjectNotFound
from scheduler_modules.legacy.call import INVALID_ID, OldCall, cell
from scheduler_modules.model import Project, ProjectState
from scheduler_modules.recovery_manager import Reset
from scheduler_modules.signal_files import MAX_PROJECT_ID, SignalFolder


def reset_project(call: OldCall) -> int:
    """`--reset-project ID [--force]`"""
    number = call.number
    if number is None:
        call.say(INVALID_ID)
        return EXIT_FAILED
    reset = _reset(call, number)
    if reset.is_done:
        call.say(f"✅ Project {number} has been reset")
    else:
        call.say(f"ℹ️ Project {number} was not reset (use --force to override)")
        call.cli.terminal.warn(reset.reason)
    return EXIT_DONE


def check_project(call: OldCall) -> int:
    """`--check-project ID`: the same without force and without a word on stdout."""
    number = call.number
    if number is None:
        call.cli.terminal.error("the project id must be a whole number")
        return EXIT_FAILED
    reset = _reset(call, number)
    call.cli.terminal.talk(
        f"project {number}: {'reset' if reset.is_done else 'left as it is'}: {reset.reason}"
    )
    return EXIT_DONE


def delegated_reset(call: OldCall) -> int:
    """`--delegated-reset ID`: a file for the daemon; the database is not touched."""
    number = call.number
    if number is None or not 0 < number <= MAX_PROJECT_ID:
        call.say(INVALID_ID)
        return EXIT_FAILED
    path = SignalFolder(call.cli.config.signals_dir).create(number, call.cli.clock.now())
    call.say(f"✅ Reset signal created for project {number}")
    call.say(f"   Signal file: {_from_here(path)}")
    call.say("   The daemon will process this reset within 60 seconds")
    return EXIT_DONE


def reset_session(call: OldCall) -> int:
    """`--reset-session SESSION:WINDOW [--force]`: queue the project of a session again.

    Without force only if its session is gone or its time is over: scripts call this on their own.
    """
    session = call.operands[0].partition(":")[0]
    project = _project_of(call, session)
    if project is None:
        call.say(f"❌ No project has the session {cell(session, '')}")
        return EXIT_FAILED
    refusal = None if call.has_force else _reason_to_leave(call, project)
    if refusal is None:
        try:
            call.cli.queue.reset(project.id)
        except NotPossible as error:
            refusal = str(error)
    if refusal is not None:
        call.say(f"ℹ️ Project {project.id} was not reset: {refusal}")
        return EXIT_FAILED
    call.say(f"✅ Project {project.id} has been reset")
    return EXIT_DONE


def _reset(call: OldCall, number: int) -> Reset:
    """Return what came of it; where nothing could, the reason says why."""
    if call.project(number) is None:
        return Reset(is_done=False, reason=str(ProjectNotFound(number)))
    recovery = call.cli.recovery
    try:
        return recovery.check_and_reset_specific_project(number, force=call.has_force)
    except NotPossible as error:
        return Reset(is_done=False, reason=str(error))


def _project_of(call: OldCall, session: str) -> Project | None:
    """Return the newest project of that session, the running one before all."""
    if not session:
        return None
    store = call.cli.store
    matches = [p for p in store.projects(newest_first=True) if p.session_name == session]
    return next((p for p in matches if p.state is ProjectState.PROCESSING), None) or next(
        iter(matches), None
    )


def _reason_to_leave(call: OldCall, project: Project) -> str | None:
    if project.state is not ProjectState.PROCESSING:
        return None
    verdict = call.cli.recovery.check_by_hand(project.id)
    return None if verdict.is_stuck else f"{verdict.reason} (use --force to override)"


def _from_here(path: Path) -> str:
    """Return a path below the working folder as relative, any other as it is."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return os.fspath(path)
