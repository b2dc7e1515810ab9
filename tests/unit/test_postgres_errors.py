"""What is said about a PostgreSQL server, and that no password is among it."""

import psycopg
import pytest

from scheduler_modules.adapters.postgres_errors import cannot_connect, is_for_good, server_of
from scheduler_modules.errors import DatabaseUnavailable

SECRET = "hunter2-marker"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        (f"postgresql://me:{SECRET}@db:5433/queue", "PostgreSQL at me@db:5433/queue"),
        (f"postgres://db/queue?password={SECRET}", "PostgreSQL at db/queue"),
        ("postgresql:///queue?host=/run/pg&port=1", "PostgreSQL at /run/pg/queue"),
        ("postgresql:///queue", "PostgreSQL at local socket/queue"),
        ("postgresql:///?service=night", "PostgreSQL (service night)"),
    ],
)
def test_a_server_is_named_without_a_password(url, server):
    assert server_of(url) == server


@pytest.mark.parametrize("url", [f"postgresql://me:{SECRET}@[::1/q", f"postgresql://h/?x={SECRET}"])
def test_an_address_that_is_none_is_refused_without_quoting_it(url):
    with pytest.raises(DatabaseUnavailable) as refusal:
        server_of(url)

    assert SECRET not in f"{refusal.value} {refusal.value.__cause__}"


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("fe_sendauth: no password supplied", "~/.pgpass"),
        ('FATAL:  database "q" does not exist', "createdb"),
        ('FATAL:  role "me" does not exist', "correct the user"),
        ("FATAL:  no pg_hba.conf entry for host", "pg_hba.conf"),
        ("FATAL:  sorry, too many clients already", "max_connections"),
        ("connection refused\n\tIs the server running?", "check that it runs"),
    ],
)
def test_a_refusal_says_what_to_do_in_one_line(said, advice):
    words = str(cannot_connect("PostgreSQL at db", psycopg.OperationalError(said)))

    assert advice in words
    assert "\n" not in words


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("FATAL:  password authentication failed", True),
        ("could not translate host name", True),
        ("connection refused", False),
        ("the database system is starting up", False),
        ("timeout expired", False),
    ],
)
def test_only_what_may_pass_is_waited_for(said, expected):
    assert is_for_good(psycopg.OperationalError(said)) is expected
