"""What every verb shares: `--json`, `--quiet`, `--home`, help with examples, one context object."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scheduler_modules.cli.context import Cli
from scheduler_modules.utils import DEFAULT_GROUP

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PROGRAM = "tmux-orchestrator"
COMPLETE_VARIABLE = "_TMUX_ORCHESTRATOR_COMPLETE"

F = TypeVar("F", bound=Callable[..., Any])

pass_cli = click.make_pass_decorator(Cli)

_MINUS = "\N{MINUS SIGN}"


class _Priority(click.IntRange):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        plain: Any = value.replace(_MINUS, "-") if isinstance(value, str) else value
        return int(super().convert(plain, param, ctx))


PRIORITY = _Priority(-1000, 1000)


def group_name(word: str) -> str:
    """Return the name of the group that a word means; the default one has none."""
    return "" if word.lower() in {DEFAULT_GROUP, "-"} else word


def group_option(help_text: str, *, multiple: bool = False) -> Callable[[F], F]:
    """Return `--group`: a known or new group's name, None (or nothing) where it is not given."""

    def named(word: str) -> str:
        from scheduler_modules.queue_control import check_group_name

        name = group_name(word)
        check_group_name(name)
        return name

    def convert(_ctx: click.Context, _param: click.Parameter, given: Any) -> Any:
        if multiple:
            return tuple(map(named, given))
        return None if given is None else named(given)

    return click.option(
        "--group", metavar="GROUP", multiple=multiple, callback=convert, help=help_text
    )


def complete_file(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> "list[CompletionItem[Any]]":
    """Let the shell complete the path of a file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def complete_folder(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> "list[CompletionItem[Any]]":
    """Let the shell complete the path of a folder."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


class VerbGroup(click.Group):
    """A verb with verbs of its own. What all verbs share may also stand before those.

    `default`: the one that is meant if none is named; None: that is refused.
    """

    def __init__(
        self, *args: Any, default: str | None = None, examples: Sequence[str] = (), **kwargs: Any
    ) -> None:
        kwargs["invoke_without_command"] = True
        super().__init__(*args, **kwargs)
        self.params.extend(_shared_options())
        self.default = default
        self.examples = tuple(examples)
        self.callback = click.pass_context(self._without_one)

    def _without_one(self, ctx: click.Context) -> Any:
        if ctx.invoked_subcommand is not None:
            return None
        if self.default is not None:
            return ctx.invoke(self.commands[self.default])
        *names, last = self.commands
        raise click.UsageError(f"{self.name} needs {', '.join(names)} or {last}", ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            raise click.UsageError(
                unknown_verb(args[0], list(self.commands), ctx.command_path), ctx
            )
        return super().resolve_command(ctx, args)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:  # noqa: ARG002 - click calls it so
        return help_option()

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(self.examples, formatter)
        super().format_help(ctx, formatter)


class Verb(click.Command):
    """A verb; `examples` are real command lines and stand first in its help."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.params.extend(_shared_options())

    def get_help_option(self, ctx: click.Context) -> click.Option | None:  # noqa: ARG002 - click calls it so
        return help_option()

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(self.examples, formatter)
        super().format_help(ctx, formatter)


def _write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    for example in examples:
        command = example if PROGRAM in example else f"{PROGRAM} {example}"
        formatter.write(f"$ {command}\n")
    formatter.write_paragraph()


class NumberVerb(Verb):
    """A verb whose first argument is a number, which may be negative."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Click takes -5 for an option; a true minus sign it leaves to the number's type.
        for place, word in enumerate(args):
            if word == "--":
                break
            if word[:1] == "-" and word[1:].isdecimal():
                args = [*args[:place], _MINUS + word[1:], *args[place + 1 :]]
                break
        return super().parse_args(ctx, args)


def unknown_verb(name: str, known: Sequence[str], program: str) -> str:
    """Return what is said of a word that is no verb."""
    import difflib

    close = difflib.get_close_matches(name[:40], known, n=1)
    hint = f'did you mean "{close[0]}"?' if close else f"{program} --help lists them"
    return f'unknown verb "{name[:40]}" ({hint})'


def bad_value(error: click.BadParameter) -> str:
    """Return what is said of a value that cannot be used: what it is to be."""
    param = error.param
    if param is None:
        return error.message
    name = max(param.opts, key=len)
    told = _kind_of(param.type)
    if told and " is not " in error.message:
        return f"{name} is {told}"
    return f"{name}: {error.message.rstrip('.')}"


def _kind_of(kind: "click.ParamType[Any]") -> str:
    """Return what a value of that type is; nothing where its own complaint is plain."""
    if isinstance(kind, click.Choice):
        return f"one of {', '.join(map(str, kind.choices))}"
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return ""
    noun = "a whole number" if isinstance(kind, click.IntRange) else "a number"
    if kind.max is None:
        return f"{noun}, {kind.min:,} or more"
    return f"{noun} from {kind.min:,} to {kind.max:,}"


def help_option() -> click.Option:
    """Return `-h`, `--help`; it writes where data goes, and says so if that fails."""
    return click.Option(
        ["-h", "--help"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_help,
        help="Show this and exit.",
    )


def _show_help(ctx: click.Context, _param: click.Parameter, is_asked: bool) -> None:
    if is_asked and not ctx.resilient_parsing:
        ctx.find_object(Cli).terminal.line(ctx.get_help())  # type: ignore[union-attr]
        ctx.exit()


def _shared_options() -> list[click.Option]:
    return [
        click.Option(
            ["--json", "_json"],
            is_flag=True,
            # Known before --version answers, wherever it stands.
            is_eager=True,
            expose_value=False,
            callback=_set_json,
            help="Print JSON.",
        ),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_set_quiet,
            help="Print ids only, or nothing.",
        ),
        click.Option(
            ["--home"],
            metavar="DIR",
            shell_complete=complete_folder,
            expose_value=False,
            callback=_set_home,
            help="Where database, logs and sockets are.",
        ),
    ]


shared_options = _shared_options


def _set_json(ctx: click.Context, _param: click.Parameter, is_set: bool) -> None:
    cli = ctx.find_object(Cli)
    if cli is not None and is_set:
        cli.terminal.is_json = True


def _set_quiet(ctx: click.Context, _param: click.Parameter, is_set: bool) -> None:
    cli = ctx.find_object(Cli)
    if cli is not None and is_set:
        cli.terminal.is_quiet = True


def _set_home(ctx: click.Context, _param: click.Parameter, folder: str | None) -> None:
    cli = ctx.find_object(Cli)
    if cli is not None and folder is not None:
        if not folder:
            raise click.BadParameter("give a folder")
        cli.set_home(folder)


def verb(
    *, examples: Sequence[str] = (), name: str | None = None, cls: type[Verb] = Verb
) -> Callable[[F], Verb]:
    """Make a function a verb; its docstring is the help."""

    def decorate(function: F) -> Verb:
        return click.command(name=name, cls=cls, examples=examples)(function)

    return decorate
