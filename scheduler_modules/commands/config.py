"""`config`: what is set, and where each value comes from."""

from typing import TYPE_CHECKING

from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.verb import pass_cli, verb
from scheduler_modules.utils import one_line

if TYPE_CHECKING:
    from scheduler_modules.config import Setting

_NAME_WIDTH, _VALUE_WIDTH = 34, 28
_LONGEST = 4000


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
        shown = _shown(setting)
        if not terminal.is_pretty:
            terminal.line(f"{setting.variable}\t{shown}\t{setting.origin}")
            continue
        shown = shown or "(empty)"
        # Where a value is too long for its column, the origin gets a line of its own.
        rest = "\n" + " " * (_NAME_WIDTH + _VALUE_WIDTH + 1) if len(shown) > _VALUE_WIDTH else ""
        line = f"{setting.variable:<{_NAME_WIDTH}} {shown:<{_VALUE_WIDTH}}{rest} {setting.origin}"
        terminal.line(terminal.dim(line) if setting.origin.startswith("default") else line)


def _shown(setting: "Setting") -> str:
    """Return a value as one would write it: `true`, `10`."""
    value = setting.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}" if value < 1e15 else str(value)
    return one_line(setting.shown, _LONGEST)


def _value(value: object) -> object:
    """Return a number or truth as it is, anything else as text."""
    return value if isinstance(value, bool | int | float) else str(value)
