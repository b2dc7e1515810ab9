"""`completion`: the script that teaches a shell to complete our verbs and options."""

from pathlib import PurePath

import click

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.verb import COMPLETE_VARIABLE, PROGRAM, pass_cli, verb
from scheduler_modules.errors import InvalidInput

SHELLS = ("bash", "zsh", "fish")


@verb(
    examples=("completion bash >> ~/.bashrc", 'eval "$(tmux-orchestrator completion zsh)"'),
    name="completion",
)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@pass_cli
@click.pass_context
def completion_verb(context: click.Context, cli: Cli, shell: str | None) -> None:
    """Print the completion script of a shell; without a name, of the one in SHELL."""
    from click.shell_completion import get_completion_class

    name = shell or PurePath(cli.environ.get("SHELL", "")).name
    kind = get_completion_class(name) if name in SHELLS else None
    if kind is None:
        raise InvalidInput(f"which shell? give one of {', '.join(SHELLS)}")
    completer = kind(context.find_root().command, {}, PROGRAM, COMPLETE_VARIABLE)
    # Not source(): for bash that starts a bash to ask for its version.
    cli.terminal.write(completer.source_template % completer.source_vars())
