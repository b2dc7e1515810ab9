"""`show`: everything that is known about one project."""

import shlex
from typing import Any

import click
import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.refs import find_one
from scheduler_modules.cli.verb import pass_cli, verb
from scheduler_modules.cli.views import (
    Card,
    Cards,
    card_json,
    dependency_json,
    fact_json,
    plan_of,
    run_json,
)
from scheduler_modules.cli.words import command_text, fact_text, offset, symbol
from scheduler_modules.errors import TmuxUnavailable
from scheduler_modules.model import Dependency, Fact, Project, ProjectState, Run
from scheduler_modules.utils import iso_utc, one_line, short_duration

FACTS_SHOWN = 1000
_SHORT = 500


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """A project with its history."""

    card: Card
    runs: list[Run]
    dependencies: list[Dependency]
    facts: list[Fact]
    logs: dict[str, str]
    """Path of the log of each window of the last run, by role."""
    session: str | None
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
    session = runs[-1].session_name if runs else project.session_name
    return Dossier(
        card=card,
        runs=runs,
        dependencies=cli.store.dependencies(project.id),
        facts=cli.store.facts(project_id=project.id, limit=FACTS_SHOWN),
        logs=_logs(cli, runs[-1]) if runs else {},
        session=session,
        attach=_attach(cli, project, session),
        next_steps=_next_steps(card, bool(runs)),
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
    match card.project.state:
        case ProjectState.PROCESSING:
            return [f"logs -f {number}", f"attach {number}", f"wait {number}"]
        case ProjectState.QUEUED:
            return [f"wait {number}"]
        case ProjectState.COMPLETED | ProjectState.RECOVERED:
            return [f"logs {number}"] if has_run else []
        case _:
            return [*([f"logs {number}"] if has_run else []), f"retry {number}"]


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
    terminal.line(terminal.bold(head) + (f"  {card.note}" if card.note else ""))
    for name, value in _fields(dossier):
        if value:
            terminal.line(f"  {name + ':':<14}{one_line(value, _SHORT)}")
    for name, lines in _lists(dossier).items():
        if lines:
            terminal.line(f"  {name}:")
        for line in lines:
            terminal.line(f"    {line}")
    if dossier.next_steps:
        terminal.next_step(f"tmux-orchestrator {dossier.next_steps[0]}")


def _fields(dossier: Dossier) -> list[tuple[str, str | None]]:
    project = dossier.card.project
    plan = plan_of(dossier.runs[-1]) if dossier.runs else None
    return [
        ("spec", project.spec_path),
        ("folder", project.project_path or (plan.cwd if plan else "found by the spec")),
        ("status", project.status),
        ("priority", str(project.priority)),
        ("batch", project.batch_id),
        ("queued", iso_utc(project.enqueued_at)),
        ("started", iso_utc(project.started_at)),
        ("ended", iso_utc(project.completed_at)),
        ("not before", iso_utc(project.not_before)),
        ("reason", project.error_message),
        ("command", command_text(plan.windows[0].argv) if plan else None),
        ("verify", command_text(plan.verify) if plan and plan.verify else None),
        ("time limit", short_duration(plan.timeout_sec) if plan and plan.timeout_sec else None),
        ("retries", f"{project.retries_used} of {plan.retries} used" if plan else None),
        ("session", dossier.session and dossier.session + ("" if dossier.attach else ", gone")),
        ("attach", shlex.join(dossier.attach)),
    ]


def _lists(dossier: Dossier) -> dict[str, list[str]]:
    facts = dossier.facts
    born = facts[0].at if facts else 0.0
    return {
        "after": [_dependency_text(entry) for entry in dossier.dependencies],
        "runs": [_run_text(run) for run in dossier.runs],
        "logs": [f"{role:<12} {path}" for role, path in dossier.logs.items()],
        "what happened": [
            f"{iso_utc(fact.at)}  {offset(fact.at - born):>7}  {fact_text(fact)}" for fact in facts
        ],
    }


def _dependency_text(entry: Dependency) -> str:
    number = "not queued" if entry.project_id is None else f"{entry.project_id} {entry.status}"
    return f"{'✓' if entry.is_met else '○'} {number}  {one_line(entry.spec_key, _SHORT)}"


def _run_text(run: Run) -> str:
    said = [f"{run.attempt}", run.outcome.value if run.outcome else run.phase.value]
    begun = run.started_at or run.claimed_at
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
        said.append(one_line(run.reason))
    said.append(f"session {run.session_name} on {one_line(run.host, 60)}")
    return ", ".join(said)


def _quoted(note: str | None) -> str:
    return f' "{one_line(note)}"' if note else ""
