"""What is said about a PostgreSQL server, and that no password is among it."""

import psycopg
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from scheduler_modules.adapters.postgres_errors import cannot_connect, is_for_good, server_of
from scheduler_modules.config_values import RULES, masked, without_password
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
        (f"postgresql://me:a?{SECRET}@db/queue", "PostgreSQL at me@db/queue"),
    ],
)
def test_a_server_is_named_without_a_password(url, server):
    assert server_of(url) == server


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@[::1/q",
        f"postgresql://h/?x={SECRET}",
        f"postgresql://me:a/{SECRET}@h/q",
        f"postgresql://me:a@{SECRET}@h/q",
    ],
)
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


# -- no password, whatever the address looks like -------------------------------------------------

_SECRETS = ("password", "sslpassword")
_words = st.text("abc:?=&%/@,[]", max_size=6)
_parameters = st.lists(
    st.tuples(
        st.sampled_from(["password", "%70assword", "pass%77ord", "sslpassword"]),
        st.sampled_from([SECRET, "1", f"a@{SECRET}", f"a?{SECRET}", f"a/{SECRET}"]),
    )
    | st.tuples(st.sampled_from(["port", "user", "%75ser"]), st.sampled_from(["1", "a@b", "?"])),
    max_size=3,
)


@st.composite
def addresses(draw):
    """URLs with a password wherever one may stand, often badly written."""
    user = draw(st.sampled_from(["", "me", "me?x"]))
    password = draw(st.just("") | st.builds("{}{}{}".format, _words, st.just(SECRET), _words))
    credentials = draw(st.sampled_from(["", f"{user}@", f"{user}:{password}@"]))
    host = draw(st.sampled_from(["", "db", "db:1", "db:1,other:2", "[::1]:5"]))
    database = draw(st.sampled_from(["", "/", "/q"]))
    query = "&".join(f"{name}={value}" for name, value in draw(_parameters))
    return f"postgresql://{credentials}{host}{database}{'?' if query else ''}{query}"


def parts_of(url):
    """Return what libpq takes a URL for, or leave the test where it takes it for nothing."""
    try:
        return conninfo_to_dict(url)
    except psycopg.Error:
        assume(False)


def is_allowed(url):
    try:
        RULES["scheduler_db_url"].parse(url)
    except ValueError:
        return False
    return True


@given(addresses())
def test_what_is_taken_out_of_an_address_is_what_libpq_takes_for_a_password(url):
    parts = parts_of(url)

    left = conninfo_to_dict(without_password(url))

    assert left == {name: value for name, value in parts.items() if name not in _SECRETS}


@given(addresses())
def test_no_part_of_a_password_is_left_in_an_address_that_is_allowed(url):
    parts_of(url)
    assume(is_allowed(url))

    assert SECRET not in f"{without_password(url)} {masked(url)} {server_of(url)}"
