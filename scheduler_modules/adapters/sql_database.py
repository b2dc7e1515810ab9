"""What a store needs from the database under it, whatever its kind."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from scheduler_modules.errors import NotPossible

Row = tuple[Any, ...]


class NotUnique(NotPossible):
    """A unique index refuses the row. `columns` names what it is over, in the database's words."""

    def __init__(self, columns: str) -> None:
        super().__init__(f"a row with the same {columns} exists already")
        self.columns = columns


class Database(Protocol):
    """Runs the statements of `sql/` by name. May be used by several threads.

    Each call outside `transaction` is a transaction of its own.

    Raises (any method):
        DatabaseUnavailable: it stayed locked, went away, is damaged, or the disk fails.
        DiskFull: no space is left; the transaction was rolled back.
        InvalidInput: a value cannot be stored (text that is no Unicode, a number over 64 bits).
        NotUnique: a unique index refuses the row. The transaction goes on.
        KeyError: no statement of that name gives that kind of answer.
    """

    def transaction(self) -> AbstractContextManager[None]:
        """Reserve the right to write; commit at the end. A nested one joins the outer."""
        ...

    def rows(self, name: str, /, **parameters: Any) -> list[Row]:
        """Return the rows of a statement; none if a parameter is such that no row can hold it."""
        ...

    def raw_rows(self, name: str) -> tuple[list[str], list[Row]]:
        """Return the names of a statement's columns, and its rows."""
        ...

    def change(self, name: str, /, **parameters: Any) -> int:
        """Return how many rows the statement changed."""
        ...

    def insert(self, name: str, /, **parameters: Any) -> int:
        """Return the id of the row the statement inserted."""
        ...

    def ring(self) -> None:
        """Tell who waits on this database, once what was changed can be seen."""
        ...

    def close(self) -> None:
        """Close the connections of every thread that has ended, and the caller's own."""
        ...
