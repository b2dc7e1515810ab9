"""What a row of the table of old flags holds."""

from typing import NamedTuple


class OldFlag(NamedTuple):
    """A row of the table. `owner`: module and function that carry it out.

    `is_first`: it counts only as the first argument, and what follows is read by hand, as the
    old program did.
    """

    name: str
    operands: tuple[str, ...]
    owner: str
    does: str
    is_first: bool = False
