"""`doctor`: is everything that projects stand on as it should be, and what to do where not."""

from functools import cached_property

import msgspec

from scheduler_modules.agents import AGENT_PROFILES
from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.daemons import Daemon, running_daemons
from scheduler_modules.cli.verb import pass_cli, verb
from scheduler_modules.doctor import Check, exit_code, findings_of
from scheduler_modules.doctor_database import check_clock, check_database, check_runs
from scheduler_modules.doctor_machine import check_agents, check_daemons, check_machine
from scheduler_modules.doctor_tmux import check_tmux
from scheduler_modules.doctor_values import (
    ClockFacts,
    DaemonFacts,
    DatabaseFacts,
    Finding,
    Level,
    MachineFacts,
    bad,
)
from scheduler_modules.errors import ConfigError, SchedulerError
from scheduler_modules.model import Project, ProjectState, Run

_SYMBOLS = {Level.OK: "✓", Level.WARN: "!", Level.BAD: "✗"}
_NAME_WIDTH = 18
_INDENT = " " * (_NAME_WIDTH + 2)
_LOOKED_AT = ("TMUX_SOCKET", "TMUX_TMPDIR")


@verb(examples=("doctor", "doctor --json"), name="doctor")
@pass_cli
def doctor_verb(cli: Cli) -> int:
    """Check all that projects stand on; each line that is not fine says what to do.

    Nothing is changed. Exit 0: all fine, or warnings only. 1: something is bad.
    """
    try:
        findings = list(findings_of(_Patient(cli).checks()))
    except ConfigError as error:
        findings = [bad("settings", str(error), "correct it there; tmux-orchestrator config")]
    _print(cli, findings)
    return exit_code(findings)


class _Queue(msgspec.Struct, frozen=True):
    """What the database says of runs."""

    processing: list[Project]
    runs: list[Run]


class _Patient:
    """What is looked at; each part is asked once."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli
        self._config = cli.config
        self._daemons: list[DaemonFacts] = []
        self._database = DatabaseFacts(place="", is_there=False)
        self._machine: MachineFacts | None = None

    def checks(self) -> list[tuple[str, Check]]:
        """Return the checks in the order they are told; later ones stand on earlier ones."""
        return [
            ("daemon", self._check_daemons),
            ("database", self._check_database),
            # Before the runs: what a daemon would make of them depends on it.
            ("tmux", self._check_tmux),
            ("running projects", self._check_runs),
            ("machine", self._check_machine),
            ("clock", self._check_clock),
            ("agents", self._check_agents),
        ]

    @cached_property
    def _queue(self) -> _Queue | SchedulerError:
        """What the database says of runs, or why it says nothing."""
        if not self._is_readable:
            return _Queue([], [])
        try:
            store = self._cli.store
            return _Queue(store.projects([ProjectState.PROCESSING]), store.open_runs())
        except SchedulerError as error:
            return error

    @property
    def _is_readable(self) -> bool:
        """Whether opening it would neither make nor change it: not for a doctor to do."""
        facts = self._database
        return facts.problem is None and facts.is_there and not facts.is_behind

    @property
    def _known(self) -> _Queue:
        return self._queue if isinstance(self._queue, _Queue) else _Queue([], [])

    @property
    def _own_runs(self) -> list[Run]:
        return [run for run in self._known.runs if run.host == self._cli.host]

    def _check_daemons(self) -> list[Finding]:
        cli = self._cli
        if self._config.locks_dir.is_dir():
            found = running_daemons(cli.locks, cli.parts.open_processes(self._config), cli.clock)
            self._daemons = [self._seen(daemon) for daemon in found]
        return list(check_daemons(self._daemons))

    def _seen(self, daemon: Daemon) -> DaemonFacts:
        probe = self._cli.parts.open_machine_probe(self._config)
        lock = self._config.locks_dir / f"scheduler-{daemon.mode}.lock"
        written_at = probe.written_at(lock)
        return DaemonFacts(
            mode=daemon.mode,
            pid=daemon.pid,
            duties=daemon.duties,
            holder=daemon.holder,
            trouble=daemon.trouble,
            silent_sec=None if written_at is None else self._cli.clock.now() - written_at,
            environ=None if daemon.pid is None else probe.environ_of(daemon.pid, _LOOKED_AT),
        )

    def _check_database(self) -> list[Finding]:
        self._database = self._cli.parts.open_database_probe(self._config).facts()
        return list(check_database(self._database))

    def _check_runs(self) -> list[Finding]:
        if isinstance(self._queue, SchedulerError):
            raise self._queue
        if not self._is_readable:
            return []
        return list(
            check_runs(
                host=self._cli.host,
                is_shared=self._database.is_postgres,
                processing=self._queue.processing,
                runs=self._queue.runs,
                daemons=self._daemons,
                clock=self._clock(),
            )
        )

    def _check_tmux(self) -> list[Finding]:
        facts = self._cli.parts.open_tmux_probe(self._config).facts()
        environ = {name: self._cli.environ.get(name, "") for name in _LOOKED_AT}
        return list(check_tmux(facts, self._own_runs, self._daemons, environ))

    def _check_machine(self) -> list[Finding]:
        folders = [project.project_path or "" for project in self._known.processing]
        programs = [profile.program for profile in AGENT_PROFILES.values()]
        probe = self._cli.parts.open_machine_probe(self._config)
        self._machine = probe.facts(filter(None, folders), programs)
        return list(check_machine(self._machine))

    def _check_clock(self) -> list[Finding]:
        zone_problem = self._machine.zone_problem if self._machine else None
        return list(check_clock(self._database, self._own_runs, self._clock(), zone_problem))

    def _check_agents(self) -> list[Finding]:
        config, settings = self._config, self._cli.loaded.sources
        return list(
            check_agents(
                AGENT_PROFILES,
                config.project_agent,
                self._machine.programs if self._machine else {},
                is_chosen=settings["project_agent"].origin != "default",
                is_needed=not (config.project_command or config.launcher_command),
            )
        )

    def _clock(self) -> ClockFacts:
        clock = self._cli.clock
        return ClockFacts(
            now=clock.now(), since_boot_sec=clock.since_boot_sec(), boot_id=clock.boot_id()
        )


def _print(cli: Cli, findings: list[Finding]) -> None:
    terminal = cli.terminal
    if terminal.is_json:
        terminal.json(
            {
                "checks": [msgspec.to_builtins(finding) for finding in findings],
                **{level.value: sum(f.level is level for f in findings) for level in Level},
            }
        )
    elif terminal.is_quiet:
        return
    elif terminal.is_pretty:
        _print_pretty(cli, findings)
    else:
        for finding in findings:
            fields = (finding.level, finding.check, finding.says, finding.advice or "-")
            terminal.line("\t".join(fields))


def _print_pretty(cli: Cli, findings: list[Finding]) -> None:
    import shutil

    terminal, width = cli.terminal, max(60, shutil.get_terminal_size().columns)
    colored = {Level.OK: terminal.green, Level.WARN: terminal.yellow, Level.BAD: terminal.red}
    for finding in findings:
        symbol = colored[finding.level](_SYMBOLS[finding.level])
        first, *rest = _wrapped(finding.says, width)
        terminal.line(f"{symbol} {finding.check:<{_NAME_WIDTH}}{first}")
        for line in rest:
            terminal.line(_INDENT + line)
        for number, line in enumerate(_wrapped(finding.advice, width - 2)):
            terminal.line(_INDENT + terminal.bold("→ " if number == 0 else "  ") + line)
    terminal.talk(terminal.dim_talk(_summary(findings)))


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    # Commands and paths stay in one piece: they are there to be copied.
    room = width - len(_INDENT)
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)


def _summary(findings: list[Finding]) -> str:
    counts = {level: sum(f.level is level for f in findings) for level in Level}
    if not counts[Level.WARN] and not counts[Level.BAD]:
        return f"all {counts[Level.OK]} checks are fine"
    warnings = f"{counts[Level.WARN]} warning{'' if counts[Level.WARN] == 1 else 's'}"
    return f"{counts[Level.BAD]} bad, {warnings}, {counts[Level.OK]} fine"
