"""The command line: its root and the table of verbs."""

import importlib
from collections.abc import Sequence

import click
import msgspec

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.edge import guarded
from scheduler_modules.cli.verb import (
    COMPLETE_VARIABLE,
    PROGRAM,
    bad_value,
    help_option,
    shared_options,
    unknown_verb,
)
from scheduler_modules.errors import EXIT_DONE, InvalidInput


class VerbEntry(msgspec.Struct, frozen=True):
    """A row of the help, and where the verb lives: module and attribute in `commands`."""

    group: str
    name: str
    module: str
    does: str


VERBS = (
    VerbEntry("queue", "add", "add", "queue specs"),
    VerbEntry("", "edit", "edit", "change what is queued"),
    VerbEntry("", "priority", "change", "run sooner or later"),
    VerbEntry("", "group", "group", "limits for parts of it"),
    VerbEntry("", "pause", "pause", "let things stand still"),
    VerbEntry("", "resume", "pause", "let them go on"),
    VerbEntry("", "stash", "pause", "set queued ones aside"),
    VerbEntry("", "retry", "change", "queue ended ones again"),
    VerbEntry("", "reset", "change", "end a run, begin anew"),
    VerbEntry("", "remove", "change", "forget single projects"),
    VerbEntry("", "clean", "clean", "forget ended ones"),
    VerbEntry("look", "list", "listing", "projects and states"),
    VerbEntry("", "show", "show", "all about one project"),
    VerbEntry("", "logs", "logs", "what a project printed; -f goes on reading"),
    VerbEntry("", "follow", "follow", "all they print, live"),
    VerbEntry("", "top", "top", "one live screen, with keys"),
    VerbEntry("", "wait", "wait", "until projects have ended"),
    VerbEntry("", "status", "status", "is all fine, what is next"),
    VerbEntry("talk", "attach", "attach", "enter a session"),
    VerbEntry("", "done", "report", "say that work is done"),
    VerbEntry("", "fail", "report", "say that it failed, and why"),
    VerbEntry("run", "daemon", "daemon", "start, stop, status or run what runs the queue"),
    VerbEntry("care", "doctor", "doctor", "is all set up well"),
    VerbEntry("", "config", "config", "settings and origins"),
    VerbEntry("", "completion", "completion", "script for tab completion in bash, zsh or fish"),
)
_BY_NAME = {entry.name: entry for entry in VERBS}
_ALIASES = {"groups": VerbEntry("queue", "groups", "group", "the same as group list")}
"""Not in the help: for those who type them all the same."""
_HALF_LINE = 36


class Root(click.Group):
    """Knows every verb by name and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it so
        return [entry.name for entry in VERBS]

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click calls it so
        cmd_name: str,
    ) -> click.Command | None:
        entry = _BY_NAME.get(cmd_name) or _ALIASES.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"scheduler_modules.commands.{entry.module}")
        command: click.Command = getattr(module, f"{entry.name}_verb")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        command = self.get_command(ctx, args[0])
        if command is None and ctx.resilient_parsing:
            # A shell completes what stands behind a word that is no verb: nothing.
            return None, None, args[1:]
        if command is None:
            raise click.UsageError(unknown_verb(args[0], list(_BY_NAME), PROGRAM), ctx)
        return args[0], command, args[1:]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:  # noqa: ARG002 - click calls it so
        return help_option()

    def get_help(self, ctx: click.Context) -> str:  # noqa: ARG002 - click calls it so
        rows = _rows(VERBS)
        return "\n".join(
            (
                f"$ {PROGRAM} add specs/parser.md --priority 5",
                f"$ {PROGRAM} logs -f parser",
                "",
                *rows,
                "",
                f"{PROGRAM} VERB --help tells more. Before or after any verb: --json,",
                "-q/--quiet, --home DIR. Besides: -h/--help, --version.",
            )
        )


def _rows(entries: Sequence[VerbEntry]) -> list[str]:
    """Return the lines of the help: two verbs on each where both fit."""
    lines: list[str] = []
    is_half = False
    for entry in entries:
        cell = f"{entry.name:8} {entry.does}"
        if is_half and not entry.group and len(cell) <= _HALF_LINE:
            lines[-1] = f"{lines[-1]:{7 + _HALF_LINE}} {cell}"
            is_half = False
        else:
            lines.append(f"{entry.group:6} {cell}")
            is_half = len(cell) < _HALF_LINE
    return lines


def _show_version(ctx: click.Context, _param: click.Parameter, is_asked: bool) -> None:
    cli = ctx.find_object(Cli)
    if cli is not None and is_asked and not ctx.resilient_parsing:
        version = _version()
        if cli.terminal.is_json:
            cli.terminal.json({"version": version})
        else:
            known = version or "(not installed; run from its folder)"
            cli.terminal.line(f"{PROGRAM} {known}")
        ctx.exit()


def _version() -> str | None:
    """Return the version that is installed; None if none is."""
    from importlib import metadata

    try:
        return metadata.version(PROGRAM)
    except metadata.PackageNotFoundError:
        return None


def _root(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        cli = ctx.find_object(Cli)
        if cli is not None:
            cli.terminal.line(ctx.get_help())


def make_root() -> Root:
    """Return the root of all verbs; nothing of them is imported yet."""
    version = click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        callback=_show_version,
        help="Show the version and exit.",
    )
    return Root(
        name=PROGRAM,
        callback=click.pass_context(_root),
        invoke_without_command=True,
        params=[*shared_options(), version],
    )


def run_cli(argv: Sequence[str], cli: Cli) -> int:
    """Carry out one command line and return its exit code; what went wrong is said on stderr."""
    return guarded(cli, lambda: _run(argv, cli))


def _run(argv: Sequence[str], cli: Cli) -> int:
    root = make_root()
    instruction = cli.environ.get(COMPLETE_VARIABLE)
    if instruction:
        return _complete(root, cli, instruction)
    try:
        with root.make_context(PROGRAM, list(argv), obj=cli) as context:
            code = root.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        raise InvalidInput(_usage_text(error, argv)) from error
    return code if isinstance(code, int) else EXIT_DONE


def _complete(root: Root, cli: Cli, instruction: str) -> int:
    from scheduler_modules.cli.completions import complete

    try:
        return complete(root, cli, instruction)
    except (KeyError, ValueError) as error:
        raise InvalidInput(f"{COMPLETE_VARIABLE} is for shells: {error}") from error


def _usage_text(error: click.ClickException, argv: Sequence[str]) -> str:
    """Return click's complaint in our words: no capital, no full stop, and where to read more."""
    option = getattr(error, "option_name", None)
    if isinstance(error, click.NoSuchOption) and option and option[1:2].isdigit():
        # Click names the first digit only.
        typed = next((word for word in argv if word.startswith(option)), option)
        return f'"{typed[:40]}" is no id: ids begin at 1'
    if isinstance(error, click.NoSuchOption):
        close = f' (did you mean "{error.possibilities[0]}"?)' if error.possibilities else ""
        text = f'unknown option "{(option or "")[:40]}"{close}'
    elif isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter):
        text = bad_value(error)
    else:
        text = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    # An unknown verb has said already where to look.
    see = f"; see {context.command_path} --help" if context and "--help" not in text else ""
    return text[:1].lower() + text[1:] + see
