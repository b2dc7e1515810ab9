"""Commands as argument lists with placeholders. No shell is involved, nor imitated. Pure."""

import re
import shlex
from collections.abc import Mapping, Sequence

from scheduler_modules.errors import InvalidInput

MAX_COMMAND_BYTES = 4096

# Compiled when they are used: most calls use none.
_QUOTED = r"""(?s)'[^']*'|"(?:[^"\\]|\\.)*"|\\[^\n]"""
_ASSIGNMENT = r"[A-Za-z_][A-Za-z0-9_]*="
# What a shell would act on where no quotes protect it: `grep '|' notes` is an argument,
# `a | b` is a pipe.
_FOR_A_SHELL = r"[;|&<>]+|`|\$[A-Za-z_{(][A-Za-z0-9_]*|(?<!\S)~(?=[/\s]|$)"
_PLACEHOLDER = r"\{([a-z_]+)\}"
_HARMLESS_TO_A_SHELL = r"[A-Za-z0-9_@%+=:,./-]*"
_RUNS_SCRIPT_TEXT = r"(?:ba|da|a|z|k|mk|fi)?sh|su|python[0-9.]*"
_SCRIPT_FLAG = r"-[A-Za-z]*c[A-Za-z]*"


def split_command(command: str | Sequence[str]) -> tuple[str, ...]:
    """Return a command as its arguments, placeholders still in it.

    A string is split as `shlex.split` does. What only a shell could carry out (unquoted
    operators, variables, a leading NAME=value, several lines) is refused rather than passed on
    as text. A list is taken as it stands.

    Raises:
        InvalidInput: the text says what is wrong and what to write instead.
    """
    argv = _split(command) if isinstance(command, str) else tuple(command)
    if not argv or not argv[0].strip():
        raise InvalidInput("the command is empty; name a program")
    assignment = re.match(_ASSIGNMENT, argv[0])
    if assignment:
        raise InvalidInput(
            f'"{assignment.group()}" before a command is for a shell, and none runs here: '
            "put it into env:, or write sh -c '...'"
        )
    size = sum(len(part.encode("utf-8", "surrogatepass")) + 1 for part in argv)
    if size > MAX_COMMAND_BYTES:
        raise InvalidInput(
            f"the command has {size} bytes, at most {MAX_COMMAND_BYTES} are allowed: "
            "put it into a script"
        )
    return argv


def _split(text: str) -> tuple[str, ...]:
    try:
        argv = tuple(shlex.split(text))
    except ValueError as error:
        raise InvalidInput("a quote or a final backslash has no partner; close it") from error
    bare = re.sub(_QUOTED, "_", text)
    if "\\\n" in bare or "\n" in bare.strip(" \t\r\n"):
        raise InvalidInput(
            "a command is one line: fold it with >- or put the lines into a script; "
            "for several commands write sh -c '...'"
        )
    operator = re.search(_FOR_A_SHELL, bare)
    if operator:
        raise InvalidInput(
            f"\"{operator.group()}\" is for a shell, and none runs here: write sh -c '...', "
            "or put it in single quotes if meant literally"
        )
    return argv


def fill(argv: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the arguments with `{name}` replaced by its value; unknown names stay as they are.

    There are as many arguments afterwards as before, and values are not searched again.

    Raises:
        InvalidInput: a value would become part of a script (`sh -c "cat {spec}"`) and holds
            characters a shell acts on.
    """
    script_at = _script_index(argv)
    filled = []
    for index, template in enumerate(argv):
        if index == script_at:
            _refuse_code(template, values)
        filled.append(re.sub(_PLACEHOLDER, lambda hit: values.get(hit[1], hit[0]), template))
    return tuple(filled)


def _script_index(argv: Sequence[str]) -> int | None:
    """Return which argument is script text (`sh -c TEXT`); None where none is."""
    is_shell = is_flagged = False
    for index, argument in enumerate(argv):
        if is_flagged and not argument.startswith("-"):
            return index
        is_flagged = is_flagged or (is_shell and bool(re.fullmatch(_SCRIPT_FLAG, argument)))
        is_shell = is_shell or bool(re.fullmatch(_RUNS_SCRIPT_TEXT, argument.rpartition("/")[2]))
    return None


def _refuse_code(script: str, values: Mapping[str, str]) -> None:
    for name in re.findall(_PLACEHOLDER, script):
        if name in values and not re.fullmatch(_HARMLESS_TO_A_SHELL, values[name]):
            raise InvalidInput(
                f"{{{name}}} stands inside a script, and its value {values[name]!a} holds "
                f"characters a shell would act on: write sh -c '... \"$1\" ...' sh {{{name}}}"
            )
