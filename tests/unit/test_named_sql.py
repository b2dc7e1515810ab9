"""The loader of named statements."""

import pytest

from scheduler_modules.adapters.named_sql import load_statements, parse_statements

TEXT = """
Whatever stands before the first name is for readers.

-- part: columns
id, name

-- name: everything
-- Says why; it isn't sent.
select {columns}
  from t where id = :id;

-- name: forget!
delete from t

-- name: add<!
insert into t (name) values (:name) returning id
"""


def test_statements_are_sorted_by_what_they_give_back():
    found = parse_statements(TEXT)

    assert (list(found.rows), list(found.changes), list(found.inserts)) == (
        ["everything"],
        ["forget"],
        ["add"],
    )


def test_parts_are_put_in_and_words_for_readers_left_out():
    statement = parse_statements(TEXT).rows["everything"]

    assert statement == "select id, name\n  from t where id = :id"


def test_a_part_may_hold_parts_wherever_they_stand():
    found = parse_statements(
        "-- name: a\n{outer}\n-- part: outer\nselect {inner}\n-- part: inner\n1"
    )

    assert found.rows == {"a": "select 1"}


def test_a_name_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match="named twice: a"):
        parse_statements("-- name: a\nselect 1\n-- name: a!\ndelete from t\n")


def test_a_part_that_is_not_there_is_refused():
    with pytest.raises(KeyError):
        parse_statements("-- name: a\nselect {nothing}\n")


def test_statements_are_read_once():
    assert load_statements("sqlite") is load_statements("sqlite")
