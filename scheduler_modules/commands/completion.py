"""`completion`: the script that teaches a shell to complete our verbs and options."""

from pathlib import PurePath

import click

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.verb import pass_cli, verb
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
    from scheduler_modules.cli.completions import completer

    name = shell or PurePath(cli.environ.get("SHELL", "")).name
    script = completer(context.find_root().command, name) if name in SHELLS else None
    if script is None:
        raise InvalidInput(f"which shell? give one of {', '.join(SHELLS)}")
    # Not source(): for bash that starts a bash to ask for its version.
    cli.terminal.write(script.source_template % script.source_vars())
