"""`logs`: what the windows of a project printed."""

from collections.abc import Sequence

import click
import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.log_lines import LineCutter, roles_of, runs_after
from scheduler_modules.cli.refs import find_one
from scheduler_modules.cli.verb import pass_cli, verb
from scheduler_modules.cli.views import launched
from scheduler_modules.cli.words import LONG, status_word
from scheduler_modules.errors import EXIT_DONE, EXIT_INTERRUPTED, NotFound, NotPossible
from scheduler_modules.model import Project, ProjectState, Run
from scheduler_modules.utils import one_line

POLL_SEC = 0.25
DEFAULT_LINES = 200
MAX_LINES = 10_000_000
_ON_THEIR_WAY = frozenset({ProjectState.QUEUED, ProjectState.PROCESSING})


@verb(examples=("logs -f 42", "logs parser -w verify --attempt 1"), name="logs")
@click.argument("project", metavar="ID|NAME|@last")
@click.option("-f", "--follow", is_flag=True, help="Go on until the project has ended.")
@click.option("-w", "--window", metavar="ROLE", help="Which window; else the first.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, MAX_LINES),
    default=DEFAULT_LINES,
    show_default=True,
    metavar="N",
    help="The last N lines.",
)
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Which run; else the last.")
@click.option("--raw", is_flag=True, help="With everything a terminal acts on, colours included.")
@pass_cli
def logs_verb(
    cli: Cli,
    project: str,
    follow: bool,
    window: str | None,
    lines: int,
    attempt: int | None,
    raw: bool,
) -> int:
    """Print what a project printed, also after it has ended."""
    found = find_one(cli.store, project)
    request = _Request(window=window, lines=lines, is_raw=raw)
    try:
        run = _run(cli, found, attempt, follow)
        _print(cli, run, request, follow)
        while follow and attempt is None:
            later = _next_run(cli, run)
            if later is None:
                break
            run = later
            cli.terminal.talk(f"attempt {run.attempt}")
            _print(cli, run, request, follow)
    except KeyboardInterrupt:
        cli.terminal.talk(f"stopped reading; project {found.id} goes on")
        return EXIT_INTERRUPTED
    return EXIT_DONE


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of each run."""

    window: str | None
    lines: int
    is_raw: bool


def _print(cli: Cli, run: Run, request: _Request, is_followed: bool) -> None:
    """Print the end of a run's log and, if it is followed, what comes until the run has ended."""
    role = _role(run, request.window)
    log = cli.parts.open_run_log(cli.config, run.token, role)
    writer = LogWriter(cli, run, role, is_raw=request.is_raw)
    writer.write(log.tail_lines(request.lines))
    while is_followed and _goes_on(cli, run):
        cli.terminal.flush()
        cli.pause(POLL_SEC)
        writer.write(log.read_new())
    if is_followed:
        writer.write(log.read_new())
    writer.finish()


class LogWriter:
    """Writes the bytes of a log as lines; what has no end yet waits for it."""

    def __init__(self, cli: Cli, run: Run, role: str, *, is_raw: bool) -> None:
        self._terminal = cli.terminal
        self._about = {"id": run.project_id, "attempt": run.attempt, "window": role}
        self._is_raw = is_raw
        self._cutter = LineCutter(is_raw=is_raw)

    def write(self, content: bytes) -> None:
        """Write what is complete of this and of what was held back before."""
        if self._is_raw and not self._terminal.is_json:
            self._terminal.write_bytes(content)
            return
        self._print(self._cutter.cut(content))

    def finish(self) -> None:
        """Write what was held back."""
        self._print(self._cutter.finish())

    def _print(self, lines: Sequence[str]) -> None:
        for line in lines:
            if self._terminal.is_json:
                self._terminal.json({**self._about, "line": line})
            else:
                self._terminal.line(line)


def _run(cli: Cli, project: Project, attempt: int | None, is_patient: bool) -> Run:
    """Return the run that is meant; with `is_patient`, wait for one if there was none yet.

    Raises:
        NotFound: there is no such attempt.
        NotPossible: it never ran.
    """
    if attempt is not None:
        return _attempt(cli, project.id, attempt)
    found = _newest_run(cli, project.id, 0, is_patient)
    if found is None:
        raise NotPossible(_no_log(project, cli.store.project(project.id)))
    return found


def _attempt(cli: Cli, project_id: int, attempt: int) -> Run:
    """Return the run of that number.

    One that was never launched is no attempt: the next has its number again.
    """
    runs = [run for run in cli.store.runs_of(project_id) if run.attempt == attempt]
    if not runs:
        raise NotFound(f"project {project_id} has no attempt {attempt}")
    meant = launched(runs)
    if not meant:
        reason = f": {one_line(runs[-1].reason, LONG)}" if runs[-1].reason else ""
        raise NotPossible(f"attempt {attempt} of project {project_id} was not launched{reason}")
    return meant[-1]


def _next_run(cli: Cli, run: Run) -> Run | None:
    """Wait for the run after this one; None once there will be none."""
    return _newest_run(cli, run.project_id, run.attempt, is_patient=True)


def _newest_run(cli: Cli, project_id: int, after: int, is_patient: bool) -> Run | None:
    """Return the newest run later than that attempt, waiting for it while one is to come."""
    has_said = False
    while True:
        runs = runs_after(cli.store, project_id, after)
        if runs:
            return runs[-1]
        project = cli.store.project(project_id)
        is_coming = project is not None and project.state in _ON_THEIR_WAY
        if not (is_patient and is_coming):
            return None
        if not has_said:
            cli.terminal.talk(f"project {project_id} is not running yet; waiting for it")
            has_said = True
        cli.terminal.flush()
        cli.pause(POLL_SEC)


def _no_log(project: Project, now: Project | None) -> str:
    status = "gone" if now is None else status_word(now.status)
    reason = (
        f": {one_line(now.error_message, LONG)}" if now is not None and now.error_message else ""
    )
    return f"project {project.id} is {status} and has printed nothing{reason}"


def _role(run: Run, wanted: str | None) -> str:
    """Return the window that is meant.

    Raises:
        NotFound: the run had no such window.
    """
    roles = roles_of(run)
    if wanted is not None and wanted not in roles:
        raise NotFound(
            f'no window "{one_line(wanted, 40)}" in project {run.project_id}; '
            f"there are {', '.join(roles)}"
        )
    return wanted or roles[0]


def _goes_on(cli: Cli, run: Run) -> bool:
    """Whether the run may still print something."""
    latest = cli.store.run(run.token)
    return latest is not None and latest.ended_at is None
