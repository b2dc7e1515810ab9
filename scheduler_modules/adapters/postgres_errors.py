"""What PostgreSQL refuses, in our words: what server, and what to do. Never a password."""

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict

from scheduler_modules.adapters.sql_database import NotUnique
from scheduler_modules.config_values import is_ambiguous
from scheduler_modules.errors import (
    DatabaseUnavailable,
    DiskFull,
    InvalidInput,
    NotPossible,
    SchedulerError,
)

_KEY = re.compile(r"\(([^()]*)\)=\(")
_LOCKED = frozenset({"55P03", "57014", "40001", "40P01"})
"""No lock in time, cancelled for its time, no serial order, deadlock."""
_GOING_DOWN = frozenset({"57P01", "57P02", "57P03", "25P03", "57P05"})
"""Stopped by its administrator, crashed, not yet up, and sessions ended for their idleness."""
_STALE = frozenset({"0A000", "26000"})
"""Somebody changed the tables, or a pooler the session, under a prepared statement."""
# In all languages of its messages: nothing a second try could change.
_FOR_GOOD = re.compile(
    r"authentication|password|pg_hba|does not exist|SSL|translate host name|name resolution"
    r"|not known|permission denied|invalid|service",
    re.IGNORECASE,
)
_HINTS = (
    (
        re.compile(r"no password supplied|password authentication", re.IGNORECASE),
        "put the right password into ~/.pgpass or a service file, readable by you alone",
    ),
    (re.compile(r"database .* does not exist", re.IGNORECASE), "make it: createdb"),
    (re.compile(r"role .* does not exist", re.IGNORECASE), "correct the user in SCHEDULER_DB_URL"),
    (
        re.compile(r"pg_hba", re.IGNORECASE),
        "let this host in by a line in the server's pg_hba.conf",
    ),
    (re.compile(r"too many|remaining connection", re.IGNORECASE), "raise its max_connections"),
)


class Unreachable(DatabaseUnavailable):
    """The server lets nobody in, or is not there; that may pass."""


class MissingTable(DatabaseUnavailable):
    """A table that a statement names is not there."""


def server_of(url: str) -> str:
    """Return the database a URL names, for people: no password and no options.

    Raises:
        DatabaseUnavailable: it is no such URL.
    """
    if is_ambiguous(url):
        raise DatabaseUnavailable(
            "SCHEDULER_DB_URL cannot be read: "
            "write @, / and ? in a name or password as %40, %2F and %3F"
        )
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        # The cause would quote the URL, and with it the password.
        raise DatabaseUnavailable(
            "SCHEDULER_DB_URL cannot be read: write postgresql://USER@HOST:PORT/DATABASE"
        ) from None
    if "service" in parts and "host" not in parts:
        return f"PostgreSQL (service {parts['service']})"
    host = str(parts.get("host") or parts.get("hostaddr") or "local socket")
    port = f":{parts['port']}" if "port" in parts and not host.startswith("/") else ""
    user = f"{parts['user']}@" if "user" in parts else ""
    database = f"/{parts['dbname']}" if "dbname" in parts else ""
    return f"PostgreSQL at {user}{host}{port}{database}"


def cannot_connect(server: str, error: psycopg.Error) -> Unreachable:
    """Return the error for a server that lets nobody in, or is not there."""
    reason = one_line(error)
    hint = next((hint for pattern, hint in _HINTS if pattern.search(reason)), "")
    if not hint:
        hint = "check that it runs and can be reached from here"
    return Unreachable(f"{server} cannot be used ({reason}): {hint}")


def is_for_good(error: psycopg.Error) -> bool:
    """Say whether trying again cannot help until somebody changes something."""
    return _FOR_GOOD.search(one_line(error)) is not None


def ends_connection(error: psycopg.Error) -> bool:
    """Say whether the connection is of no use after this, although it may look open."""
    return error.sqlstate in _GOING_DOWN or error.sqlstate in _STALE


def translate(server: str, error: psycopg.Error) -> SchedulerError:
    """Return our error for one of the server's."""
    state = error.sqlstate or ""
    reason = one_line(error)
    if state == "23505":
        return NotUnique(_columns(error))
    if state == "23502":
        return NotPossible(f"a project changed meanwhile; nothing was done ({reason})")
    if state == "42P01":
        return MissingTable(f"{server} has not all our tables ({reason}): restore a backup")
    if state.startswith("22"):
        return InvalidInput(f"the database cannot hold this: {reason}")
    if state == "53100":
        return DiskFull(f"{server}: no space left on its disk; nothing was changed: make room")
    return DatabaseUnavailable(f"{server} {_problem(state, reason)}")


def _problem(state: str, reason: str) -> str:
    if not state or state in _GOING_DOWN or state.startswith("08"):
        return f"ended the connection ({reason}): try again"
    if state in _LOCKED:
        return "stayed locked by another program: try again"
    if state == "25006":
        return "is read-only: name the primary server, not a standby, in SCHEDULER_DB_URL"
    if state == "42501":
        return f"refuses ({reason}): let its user own the tables, or give it the rights"
    return f"cannot be used: {reason}"


def one_line(error: psycopg.Error) -> str:
    """Return what the server said, in one line."""
    said = error.diag.message_primary or str(error)
    return (
        "; ".join(filter(None, (line.strip() for line in said.splitlines()))) or "no reason given"
    )


def _columns(error: psycopg.Error) -> str:
    """Return what the index is over, from `Key (a, b)=(1, 2) already exists.` in any language."""
    found = _KEY.search(error.diag.message_detail or "")
    return found[1] if found else error.diag.constraint_name or "key"
