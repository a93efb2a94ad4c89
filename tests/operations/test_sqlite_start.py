"""A start with an unusable SQLite file: one line that names it, and an exit status that says whether to try again."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from scoreboard.storage.schema import migrate
from tests.operations.test_start import GIVEN, started

NAMED = r"scoreboard: DATABASE_URL: "


def test_a_locked_file_is_waited_for_five_seconds_and_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    migrate(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ended = started({"DATABASE_URL": f"sqlite:///{path}", **GIVEN}, tmp_path)
    ended_s = time.time()
    other.close()
    assert re.fullmatch(NAMED + rf"the ledger {path} is locked by another program \(database is locked\)\n", ended.stderr)
    assert ended.returncode == 69
    (opened,) = [
        one for one in map(json.loads, ended.stdout.splitlines()) if one["message"] == f"opening the ledger: file {path}"
    ]
    assert ended_s - datetime.fromisoformat(opened["time"]).timestamp() < 15, "the start of Python before it may take long"


def a_letter(path: Path) -> None:
    path.write_bytes(b"a letter to my landlord\n" * 100)


def anothers_database(path: Path) -> None:
    handle = sqlite3.connect(path)
    handle.execute("CREATE TABLE boards (theirs integer)")
    handle.close()


def a_directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "text_line"),
    [
        (a_letter, "{path} is not a ledger that can be used: file is not a database"),
        (anothers_database, "{path} is not a ledger that can be used: it holds the table boards of another program"),
        (a_directory, "{path} is not a ledger that can be used: unable to open database file"),
    ],
)
def test_a_file_that_is_no_ledger_ends_the_start_with_78_and_is_named(
    make: Callable[[Path], None], text_line: str, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    make(path)
    ended = started({"DATABASE_URL": f"sqlite:///{path}", **GIVEN}, tmp_path)
    assert re.fullmatch(NAMED + re.escape(text_line.format(path=path)) + "\n", ended.stderr), ended.stderr
    assert ended.returncode == 78
    assert "Traceback" not in ended.stdout
