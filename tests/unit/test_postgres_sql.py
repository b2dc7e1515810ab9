"""Named statements in PostgreSQL's own form, and what is refused before the server is asked."""

import pytest

from scheduler_modules.adapters.postgres_sql import Unstorable, bind, rewrite


@pytest.mark.parametrize(
    ("text", "rewritten", "names"),
    [
        ("select 1", "select 1", ()),
        ("where a = :a and b = :b", "where a = $1 and b = $2", ("a", "b")),
        ("where a = :a or c = :a", "where a = $1 or c = $1", ("a",)),
        ("select :a::text", "select $1::text", ("a",)),
        ("select ':a', \":b\", 'it''s :c'", "select ':a', \":b\", 'it''s :c'", ()),
        ("select 1 -- :a\n, :b", "select 1 -- :a\n, $1", ("b",)),
        ("select /* :a\n */ :b", "select /* :a\n */ $1", ("b",)),
        ("do $$ :a $$", "do $$ :a $$", ()),
        ("do $x$ :a $$ $x$, :b", "do $x$ :a $$ $x$, $1", ("b",)),
        ("where a like '%' || :a", "where a like '%' || $1", ("a",)),
    ],
)
def test_parameters_are_numbered_and_nothing_else_is_touched(text, rewritten, names):
    statement = rewrite(text)

    assert (statement.text.decode(), statement.names) == (rewritten, names)


@pytest.mark.parametrize(
    ("text", "is_write"),
    [
        ("select inserted from updates", False),
        ("insert into t values (1)", True),
        ("update t set a = 1", True),
        ("delete from t", True),
        ("with x as (delete from t returning a) select a from x", True),
    ],
)
def test_a_statement_that_changes_something_is_known(text, is_write):
    assert rewrite(text).is_write is is_write


def test_values_go_as_text_in_the_order_of_the_statement():
    statement = rewrite("select :b, :a, :c, :d")

    bound = bind(statement, {"a": 1.5, "b": "ü", "c": 7, "d": None, "not_asked_for": 1})

    assert bound == (["ü".encode(), b"1.5", b"7", None], (0, 701, 20, 0))


@pytest.mark.parametrize("value", [10**30, -(10**30), "a\0b", "caf\udce9"])
def test_what_no_column_can_hold_is_refused(value):
    with pytest.raises(Unstorable, match="the database cannot hold this"):
        bind(rewrite("select :a"), {"a": value})


def test_a_value_of_no_known_kind_is_a_mistake_of_ours():
    with pytest.raises(TypeError, match="no column holds bytes"):
        bind(rewrite("select :a"), {"a": b"x"})
