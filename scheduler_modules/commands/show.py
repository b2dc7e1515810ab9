"""`show`: everything that is known about one project."""

import shlex
from typing import Any

import click
import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.documents import card_json, dependency_json, fact_json, run_json
from scheduler_modules.cli.refs import find_one
from scheduler_modules.cli.verb import pass_cli, verb
from scheduler_modules.cli.views import BY_GROUP, BY_QUEUE, Card, Cards, launched, plan_of
from scheduler_modules.cli.words import (
    LONG,
    command_text,
    fact_text,
    group_label,
    offset,
    outcome_word,
    start_time,
    status_word,
    symbol,
)
from scheduler_modules.errors import TmuxUnavailable
from scheduler_modules.model import Dependency, Fact, FactName, Project, ProjectState, Run
from scheduler_modules.utils import iso_utc, one_line, short_duration

FACTS_SHOWN = 1000


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """A project with its history."""

    card: Card
    runs: list[Run]
    dependencies: list[Dependency]
    facts: list[Fact]
    logs: dict[str, str]
    """Path of the log of each window of the last run, by role."""
    session: str | None
    """The session of the last run, or of an old program's; None if none was ever made."""
    elsewhere: str | None
    """The other machine that the session is or was on; None where that is this one."""
    attach: list[str]
    """What to type to enter the session; empty where that is not there."""
    next_steps: list[str]


@verb(examples=("show 42", "show @last --json"), name="show")
@click.argument("project", metavar="ID|NAME|@last")
@pass_cli
def show_verb(cli: Cli, project: str) -> None:
    """Show all there is to know about a project, its runs and what happened to it.

    In a pipe: lines of the form "name: value".
    """
    found = find_one(cli.store, project)
    dossier = _dossier(cli, Cards(cli).make(found))
    terminal = cli.terminal
    if terminal.is_json:
        terminal.json(_as_json(dossier))
    elif terminal.is_quiet:
        terminal.line(str(found.id))
    else:
        _print(cli, dossier)


def _dossier(cli: Cli, card: Card) -> Dossier:
    project = card.project
    runs = cli.store.runs_of(project.id)
    tried = launched(runs)
    last = tried[-1] if tried else None
    elsewhere = last.host if last is not None and last.host != cli.host else None
    session = last.session_name if last is not None else None if runs else project.session_name
    return Dossier(
        card=card,
        runs=runs,
        dependencies=cli.store.dependencies(project.id),
        facts=cli.store.facts(project_id=project.id, limit=FACTS_SHOWN),
        logs=_logs(cli, last) if last is not None else {},
        session=session,
        elsewhere=elsewhere,
        attach=[] if elsewhere else _attach(cli, project, session),
        next_steps=_next_steps(card, bool(tried)),
    )


def _attach(cli: Cli, project: Project, session: str | None) -> list[str]:
    if not session:
        return []
    if project.state is not ProjectState.PROCESSING:
        try:
            if session not in cli.tmux.snapshot().session_names():
                return []
        except TmuxUnavailable:
            # Unknown is not gone.
            pass
    return cli.tmux.attach_argv(session)


def _logs(cli: Cli, run: Run) -> dict[str, str]:
    plan = plan_of(run)
    if plan is None:
        return {}
    roles = [window.role for window in plan.windows]
    paths = {role: cli.parts.run_log_path(cli.config, run.token, role) for role in roles}
    verify = cli.parts.run_log_path(cli.config, run.token, "verify")
    if plan.verify is not None and verify.exists():
        paths["verify"] = verify
    return {role: str(path) for role, path in paths.items()}


def _next_steps(card: Card, has_run: bool) -> list[str]:
    number = card.project.id
    if card.needs_you and card.waits_for:
        dead = next((e.project_id for e in card.waits_for if e.project_id is not None), None)
        return [f"show {dead}"] if dead is not None else [f"remove {number}"]
    if card.paused is not None:
        return [f"resume {_paused_thing(card)}"]
    match card.project.state:
        case ProjectState.PROCESSING:
            steps = [f"logs -f {number}", f"attach {number}", f"wait {number}"]
            return steps[-1:] if card.elsewhere else steps
        case ProjectState.QUEUED:
            return [f"wait {number}"]
        case ProjectState.COMPLETED | ProjectState.RECOVERED:
            return [f"logs {number}"] if has_run else []
        case _:
            return [*([f"logs {number}"] if has_run else []), f"retry {number}"]


def _paused_thing(card: Card) -> str:
    """Return what `resume` has to be told."""
    if card.paused == BY_GROUP:
        return f"--group {group_label(card.project.group)}"
    return "--all" if card.paused == BY_QUEUE else str(card.project.id)


def _as_json(dossier: Dossier) -> dict[str, Any]:
    return {
        **card_json(dossier.card),
        "runs": [run_json(run) for run in dossier.runs],
        "dependencies": [dependency_json(entry) for entry in dossier.dependencies],
        "facts": [fact_json(fact) for fact in dossier.facts],
        "logs": dossier.logs,
        "attach": dossier.attach or None,
        "next": [f"tmux-orchestrator {step}" for step in dossier.next_steps],
    }


def _print(cli: Cli, dossier: Dossier) -> None:
    terminal, card = cli.terminal, dossier.card
    project = card.project
    head = f"{project.id}  {one_line(project.name, 60)}  {symbol(card.word)} {card.word}"
    is_told_below = card.note == one_line(project.error_message or "")
    note = f"  {card.note}" if card.note and not is_told_below else ""
    terminal.line(terminal.bold(head) + note)
    for name, value in _fields(dossier):
        if value:
            terminal.line(f"  {name + ':':<14}{one_line(value, LONG)}")
    for name, lines in _lists(dossier).items():
        if lines:
            terminal.line(f"  {name}:")
        for line in lines:
            terminal.line(f"    {line}")
    if dossier.next_steps:
        terminal.next_step(f"tmux-orchestrator {dossier.next_steps[0]}")


def _fields(dossier: Dossier) -> list[tuple[str, str | None]]:
    project = dossier.card.project
    tried = launched(dossier.runs)
    plan = plan_of(tried[-1]) if tried else None
    return [
        ("reason", project.error_message),
        ("spec", project.spec_path),
        ("folder", project.project_path or (plan.cwd if plan else "found by the spec")),
        ("status", status_word(project.status)),
        ("priority", str(project.priority)),
        ("group", group_label(project.group)),
        ("batch", project.batch_id),
        ("only on", project.host),
        ("queued", iso_utc(project.enqueued_at)),
        ("started", iso_utc(project.started_at)),
        ("ended", iso_utc(project.completed_at)),
        ("set aside", iso_utc(project.held_at)),
        ("starts" if start_time(project) else "not before", iso_utc(project.not_before)),
        ("command", command_text(plan.windows[0].argv) if plan else None),
        ("verify", command_text(plan.verify) if plan and plan.verify else None),
        ("time limit", short_duration(plan.timeout_sec) if plan and plan.timeout_sec else None),
        ("retries", f"{project.retries_used} of {plan.retries} used" if plan else None),
        ("session", _session_text(dossier)),
        ("attach", shlex.join(dossier.attach)),
    ]


def _session_text(dossier: Dossier) -> str | None:
    if dossier.session is None:
        return None
    if dossier.elsewhere is not None:
        return f"{dossier.session} on {dossier.elsewhere}; attach there"
    return dossier.session + ("" if dossier.attach else ", gone")


def _lists(dossier: Dossier) -> dict[str, list[str]]:
    facts = dossier.facts
    born = facts[0].at if facts else 0.0
    reason = dossier.card.project.error_message
    # Of what was never launched there is nothing to end, and its reason stands above.
    idle = {run.id for run in dossier.runs if run.launches == 0}
    return {
        "after": [_dependency_text(entry) for entry in dossier.dependencies],
        "runs": [_run_text(run, reason) for run in dossier.runs],
        "logs": [f"{role:<12} {path}" for role, path in dossier.logs.items()],
        "what happened": [
            f"{iso_utc(fact.at)}  {offset(fact.at - born):>7}  "
            + fact_text(fact, reason if fact.run_id in idle else None)
            for fact in facts
            if not (fact.name == FactName.RUN_CLEANED and fact.run_id in idle)
        ],
    }


def _dependency_text(entry: Dependency) -> str:
    number = "not queued"
    if entry.project_id is not None:
        number = f"{entry.project_id} {status_word(entry.status or '')}"
    return f"{'✓' if entry.is_met else '○'} {number}  {one_line(entry.spec_key, LONG)}"


def _run_text(run: Run, known_reason: str | None) -> str:
    """Return a run on one line; one that was never launched is no attempt and has no session."""
    begun = run.started_at or run.claimed_at
    if run.launches == 0 and run.ended_at is not None:
        why = f": {one_line(run.reason, LONG)}" if run.reason not in {None, known_reason} else ""
        return f"-, not launched, {iso_utc(begun)}{why}"
    said = [f"{run.attempt}", outcome_word(run.outcome) if run.outcome else run.phase.value]
    said.append(f"from {iso_utc(begun)}")
    if run.ended_at is not None:
        said.append(f"to {iso_utc(run.ended_at)} ({short_duration(run.ended_at - begun)})")
    if run.exit_code is not None and f"exit {run.exit_code}" not in (run.reason or ""):
        said.append(f"exit {run.exit_code}")
    if run.launches > 1:
        said.append("launched again after a crash")
    if run.reported is not None:
        said.append(f"reported {run.reported.value}" + _quoted(run.reported_note))
    if run.reason:
        said.append(one_line(run.reason, LONG))
    said.append(f"session {run.session_name} on {one_line(run.host, 60)}")
    return ", ".join(said)


def _quoted(note: str | None) -> str:
    return f' "{one_line(note)}"' if note else ""
