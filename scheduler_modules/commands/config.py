"""`config`: what is set, and where each value comes from."""

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.verb import pass_cli, verb
from scheduler_modules.utils import one_line


@verb(examples=("config", "config --json"), name="config")
@pass_cli
def config_verb(cli: Cli) -> None:
    """Show every setting, its value, and where the value comes from; secrets are masked.

    In a pipe: one a line, tabs between variable, value and origin.
    """
    settings = list(cli.loaded.sources.values())
    terminal = cli.terminal
    if terminal.is_json:
        terminal.json(
            {
                "settings": [
                    {
                        "name": setting.variable,
                        "value": setting.shown if setting.is_secret else _value(setting.value),
                        "origin": setting.origin,
                        "is_secret": setting.is_secret,
                    }
                    for setting in settings
                ]
            }
        )
        return
    for setting in settings:
        shown = one_line(setting.shown, 1000)
        if not terminal.is_pretty:
            terminal.line(f"{setting.variable}\t{shown}\t{setting.origin}")
            continue
        line = f"{setting.variable:<34} {shown or '(empty)':<28} {setting.origin}"
        terminal.line(terminal.dim(line) if setting.origin.startswith("default") else line)


def _value(value: object) -> object:
    """Return a number or truth as it is, anything else as text."""
    return value if isinstance(value, bool | int | float) else str(value)
