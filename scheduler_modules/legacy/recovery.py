"""The old `--recovery-*` flags."""

from pathlib import PurePath

from scheduler_modules.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    NotPossible,
    ProjectNotFound,
)
from scheduler_modules.legacy.call import INVALID_ID, OldCall, cell
from scheduler_modules.model import ProcessIdentity, Run
from scheduler_modules.process_manager_wrapper import ProcessManager
from scheduler_modules.recovery_manager import Verdict
from scheduler_modules.utils import short_duration

COLUMNS = f"{'ID':<5} {'Status':<12} {'Spec File':<30} {'Stuck?':<8} Reason"

_KILL_ROUNDS = 100
_KILL_PAUSE_SEC = 0.05


def list_stuck(call: OldCall) -> int:
    """`--recovery-list-stuck`"""
    verdicts = call.cli.recovery.stuck_report()
    call.say("📋 Checking for stuck projects...")
    call.say("-" * 80)
    call.say(COLUMNS)
    for verdict in verdicts:
        call.say(_row(verdict))
    call.say(f"Total stuck projects: {sum(bool(verdict.is_stuck) for verdict in verdicts)}")
    return EXIT_DONE


def reset_project(call: OldCall) -> int:
    """`--recovery-reset-project ID [--force]`"""
    number = call.number
    if number is None:
        call.say(INVALID_ID)
        return EXIT_FAILED
    is_stuck, reason = _stuck(call, number)
    if not is_stuck and not call.has_force:
        call.say(f"ℹ️  Project {number} is not stuck (reason: {reason})")
        call.say("   Use --force to reset anyway")
        return EXIT_FAILED
    call.say(f"🔧 Resetting project {number} (stuck reason: {reason})")
    try:
        _known(call, number)
        call.cli.recovery.fail_stuck(number, reason)
    except (ProjectNotFound, NotPossible) as error:
        call.say(f"❌ Failed to reset project {number}")
        call.cli.terminal.error(str(error))
        return EXIT_FAILED
    call.say(f"✅ Project {number} has been reset to failed state")
    call.say("   The queue daemon will pick up new projects on next cycle")
    return EXIT_DONE


def kill_zombie(call: OldCall) -> int:
    """`--recovery-kill-zombie ID`: end what outlived the project's runs; never a running one."""
    number = call.number
    if number is None:
        call.say(INVALID_ID)
        return EXIT_FAILED
    left = [] if call.project(number) is None else _leftovers(call, number)
    if not left:
        call.say(f"❌ No process found for project {number}")
        return EXIT_DONE
    for run, process in left:
        call.say(f"🧟 Killing zombie process of project {number}...")
        call.say(f"   PID: {process.pid}")
        call.say(f"   Runtime: {_runtime(call, run)}")
        call.say("   Heartbeat age: unknown")
    if not _end(call, {run.token for run, _ in left}):
        call.say(f"❌ Processes of project {number} are still alive")
        return EXIT_FAILED
    call.say("✅ Zombie process killed")
    return EXIT_DONE


def diagnostics(call: OldCall) -> int:
    """`--recovery-diagnostics`"""
    found = call.cli.recovery.get_recovery_diagnostics()
    runs = [f"{phase}: {count}" for phase, count in found["process_manager"].items()]
    stuck = [f"project {one['project_id']}: {one['reason']}" for one in found["stuck_projects"]]
    tmux = found["tmux_sessions"]
    sessions = [f"{one['name']}: {one['windows']} window(s)" for one in tmux["sessions"]]
    active = [
        f"project {one['project_id']}: {one['session']}, {one['phase']}, attempt {one['attempt']}"
        for one in found["active_orchestrations"]
    ]
    call.say("🔍 Recovery Diagnostics")
    call.say("=" * 80)
    call.say(f"Timestamp: {found['timestamp']}")
    _block(call, "📊 ProcessManager", runs, "no runs")
    _block(call, "🚫 Stuck Projects", stuck, "none")
    _block(call, "📺 Tmux Sessions", sessions, tmux["trouble"] or "none")
    _block(call, "🎭 Active Orchestrations", active, "none")
    call.say("=" * 80)
    return EXIT_DONE


def _row(verdict: Verdict) -> str:
    project = verdict.project
    word = {True: "YES", False: "NO", None: "UNKNOWN"}[verdict.is_stuck]
    reason = "-" if verdict.is_stuck is False else verdict.reason
    spec = PurePath(project.spec_path).name[:30]
    return (
        f"{project.id:<5} {cell(project.status, '-'):<12} {cell(spec, '-'):<30} {word:<8} "
        f"{cell(reason, '-')}"
    )


def _stuck(call: OldCall, number: int) -> tuple[bool, str]:
    try:
        _known(call, number)
        verdict = call.cli.recovery.is_stuck_or_zombie(number)
    except ProjectNotFound as error:
        return False, str(error)
    return bool(verdict.is_stuck), verdict.reason


def _known(call: OldCall, number: int) -> None:
    if call.project(number) is None:
        raise ProjectNotFound(number)


def _block(call: OldCall, heading: str, lines: list[str], otherwise: str) -> None:
    call.say("")
    call.say(heading)
    for line in lines or [otherwise]:
        call.say(f"   {cell(line, '-')}")


def _leftovers(call: OldCall, number: int) -> list[tuple[Run, ProcessIdentity]]:
    """Return living processes of runs of the project that have ended."""
    processes = call.cli.parts.open_processes(call.cli.config)
    ended = [run for run in call.cli.store.runs_of(number) if run.ended_at is not None]
    return [(run, process) for run in ended for process in processes.of_run(run.token)]


def _end(call: OldCall, tokens: set[str]) -> bool:
    """Kill every process with one of these marks; False if some would not die."""
    processes = call.cli.parts.open_processes(call.cli.config)
    manager = ProcessManager(processes, call.cli.clock, kill_grace_sec=0)
    for _ in range(_KILL_ROUNDS):
        tokens = tokens - manager.end_step(dict.fromkeys(tokens, ()))
        if not tokens:
            return True
        call.cli.pause(_KILL_PAUSE_SEC)
    return False


def _runtime(call: OldCall, run: Run) -> str:
    return short_duration(call.cli.clock.now() - (run.started_at or run.claimed_at))
