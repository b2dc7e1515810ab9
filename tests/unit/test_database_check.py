"""What SQLite reports, in our words."""

import errno
import sqlite3
from pathlib import Path

import pytest

from scheduler_modules.adapters.database_check import is_disk_full, translate
from scheduler_modules.errors import DatabaseUnavailable, DiskFull


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "task_queue.db"


def reported(code: int | None, text: str = "its words") -> sqlite3.Error:
    error = sqlite3.OperationalError(text)
    if code is not None:
        error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_BUSY, "stayed locked by another program: try again"),
        (sqlite3.SQLITE_LOCKED, "stayed locked by another program: try again"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "stayed locked by another program: try again"),
        (sqlite3.SQLITE_CORRUPT, "is damaged (its words): restore a backup"),
        (sqlite3.SQLITE_NOTADB, "is not an SQLite database: restore a backup"),
        (sqlite3.SQLITE_READONLY, "cannot be written: check its owner and permissions"),
        (sqlite3.SQLITE_CANTOPEN, "cannot be opened: check that it and its folder may be read"),
        (sqlite3.SQLITE_IOERR_READ, "cannot be read or written (its words): check the disk"),
        (sqlite3.SQLITE_ERROR, "cannot be used: its words"),
        (None, "cannot be used: its words"),
    ],
)
def test_an_error_of_sqlite_names_the_file_and_says_what_to_do(path, code, words):
    error = translate(path, reported(code))

    assert isinstance(error, DatabaseUnavailable)
    assert str(error).startswith(f"{path} {words}")


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE])
def test_a_full_disk_is_an_error_of_its_own(path, code):
    error = translate(path, reported(code))

    assert isinstance(error, DiskFull)
    assert str(error).startswith(f"{path.parent}: no space left on the disk")


def test_a_message_that_is_no_text_means_damage(path):
    error = translate(path, UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"))

    assert str(error) == f"{path} is damaged (its schema is no text): restore a backup"


def test_a_folder_that_is_gone_is_not_taken_for_a_full_disk(path):
    error = translate(path.parent / "gone" / path.name, reported(sqlite3.SQLITE_CANTOPEN))

    assert isinstance(error, DatabaseUnavailable)


@pytest.mark.parametrize(
    ("number", "is_full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)]
)
def test_a_full_disk_is_known_by_its_number(number, is_full):
    assert is_disk_full(OSError(number, "words")) is is_full
