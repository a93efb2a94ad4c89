"""Tests of the watch over the SQLite file: no call succeeds after the open file was removed, replaced or overwritten."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.entries import EntryFilter
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.sql.sqlite.backup import back_up
from tests.awaiting import run
from tests.storage.claims import claim
from tests.storage.harnesses import SqlHarness
from tests.storage.sql_stores import open_store, run_sql

OTHER_PROGRAM = "import sqlite3, sys; sqlite3.connect(sys.argv[1], isolation_level=None).execute(sys.argv[2]).fetchall()"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[SqlHarness]:
    harness = SqlHarness("sqlite", tmp_path)
    run(lambda: harness.ledger.award([claim("amy")], []))
    back_up(path_of(harness), tmp_path / "backup.db")
    run(lambda: harness.ledger.award([claim("bob")], []))
    time.sleep(0.02)  # the kernel keeps the time of a change only to a few milliseconds
    yield harness
    harness.close()


def path_of(harness: SqlHarness) -> Path:
    return Path(harness.url.removeprefix("sqlite:///"))


def calls_of(harness: SqlHarness) -> dict[str, Callable[[], Coroutine[Any, Any, object]]]:
    return {
        "award": lambda: harness.ledger.award([claim("cid")], []),
        "probe": harness.ledger.ping,
        "read": lambda: harness.ledger.board(GLOBAL_BOARD).top(0, 9),
        "rebuild": lambda: harness.ledger.board(GLOBAL_BOARD).accounts("", 9),
    }


def remove(path: Path, backup: Path) -> None:
    path.unlink()


def remove_all(path: Path, backup: Path) -> None:
    for file in path.parent.glob(path.name + "*"):
        file.unlink()


def move_away(path: Path, backup: Path) -> None:
    path.rename(path.with_suffix(".away"))


def replace(path: Path, backup: Path) -> None:
    shutil.copy(backup, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def copy_over(path: Path, backup: Path) -> None:
    shutil.copyfile(backup, path)


def copy_over_with_its_times(path: Path, backup: Path) -> None:
    shutil.copy2(backup, path)


def truncate(path: Path, backup: Path) -> None:
    os.truncate(path, 0)


def write_a_byte(path: Path, backup: Path) -> None:
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"\1")


def remove_the_log(path: Path, backup: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def remove_the_index(path: Path, backup: Path) -> None:
    path.with_name(path.name + "-shm").unlink()


FAULTS = [
    remove,
    remove_all,
    move_away,
    replace,
    copy_over,
    copy_over_with_its_times,
    truncate,
    write_a_byte,
    remove_the_log,
    remove_the_index,
]


@pytest.mark.parametrize("fault", FAULTS)
def test_every_call_is_refused_and_the_message_names_the_file(
    fault: Callable[[Path, Path], None], harness: SqlHarness, tmp_path: Path
) -> None:
    run(harness.ledger.ping)
    fault(path_of(harness), tmp_path / "backup.db")
    for _ in range(2):
        for use in calls_of(harness).values():
            with pytest.raises(StoreUnavailable, match=r"ledger\.db"):
                run(use)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_player_store_refuses_calls_and_the_message_names_the_file(
    fault: Callable[[Path, Path], None], harness: SqlHarness, tmp_path: Path
) -> None:
    run(harness.player_store.revision)
    fault(path_of(harness), tmp_path / "backup.db")
    with pytest.raises(StoreUnavailable, match=r"ledger\.db"):
        run(harness.player_store.revision)


def test_a_file_that_is_put_back_is_used_again(harness: SqlHarness) -> None:
    path = path_of(harness)
    path.rename(path.with_suffix(".away"))
    with pytest.raises(StoreUnavailable):
        run(calls_of(harness)["award"])
    path.with_suffix(".away").rename(path)
    run(calls_of(harness)["award"])
    assert run(lambda: harness.ledger.count_entries(EntryFilter())) == 3


@pytest.mark.parametrize("fault", [remove_the_log, remove_the_index])
def test_a_stop_keeps_the_awards_of_a_removed_log(
    fault: Callable[[Path, Path], None], harness: SqlHarness, tmp_path: Path
) -> None:
    fault(path_of(harness), tmp_path / "backup.db")
    with pytest.raises(StoreUnavailable):
        run(calls_of(harness)["award"])
    harness.close()
    assert run_sql(harness.url, "SELECT user_id FROM user_scores ORDER BY user_id") == [("amy",), ("bob",)]
    assert run_sql(harness.url, "PRAGMA integrity_check") == [("ok",)]


def test_checkpoints_of_the_server_itself_are_allowed(harness: SqlHarness) -> None:
    store = open_store(harness.url)
    for n in range(40):
        store.writes.award([claim(f"player-{n}-{m}") for m in range(60)], [])
        store.commit_probe.commit()
        harness.do(harness.ledger.ping())
    assert path_of(harness).stat().st_size > 2**20, "checkpoints were made"
    store.writes.close()


def another_program(harness: SqlHarness, statement: str) -> None:
    subprocess.run([sys.executable, "-c", OTHER_PROGRAM, str(path_of(harness)), statement], check=True, timeout=30)


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_checkpoint(PASSIVE)",
        "VACUUM",
        "UPDATE user_scores SET username = 'Bea' WHERE user_id = 'bob'",
        "PRAGMA integrity_check",
    ],
)
def test_changes_of_another_program_through_sqlite_are_allowed(statement: str, harness: SqlHarness) -> None:
    for _ in range(3):
        for use in calls_of(harness).values():
            run(use)
        another_program(harness, statement)
        for use in calls_of(harness).values():
            run(use)


def test_a_backup_and_a_change_of_the_file_mode_are_allowed(harness: SqlHarness, tmp_path: Path) -> None:
    run(calls_of(harness)["award"])
    back_up(path_of(harness), tmp_path / "another.db")
    path_of(harness).chmod(0o640)
    for use in calls_of(harness).values():
        run(use)


def test_no_call_is_refused_while_another_program_writes_and_checkpoints(harness: SqlHarness, tmp_path: Path) -> None:
    statement = "PRAGMA wal_checkpoint(TRUNCATE)"
    program = (
        "import os, sqlite3, sys\n"
        "handle = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)\n"
        "print('writes', flush=True)\n"
        "while not os.path.exists(sys.argv[2]):\n"
        "    handle.execute(\"UPDATE user_scores SET username = hex(randomblob(3000)) WHERE user_id = 'bob'\")\n"
        f"    handle.execute('{statement}').fetchall()\n"
    )
    enough = tmp_path / "enough"
    command = [sys.executable, "-c", program, str(path_of(harness)), str(enough)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == "writes\n"
        reads, until_s = 0, time.monotonic() + 2
        while reads <= 100 or time.monotonic() < until_s:
            assert time.monotonic() < until_s + 20, "a read waits for the other program"
            run(lambda: harness.ledger.board(GLOBAL_BOARD).account("amy"))
            reads += 1
        assert other.poll() is None
        enough.touch()
        assert other.wait(20) == 0
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


def test_the_descriptor_of_the_index_is_closed_after_its_file_is_removed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        harness = SqlHarness("sqlite", tmp_path)
        harness.do(harness.ledger.ping())
        harness.do(harness.ledger.ping())
        harness.close()
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_sqlite_keeps_its_locks_after_a_check(harness: SqlHarness) -> None:
    """SQLite locks byte 128 of the index while a handle is open. A program that gets this lock takes the index for unused."""
    run(harness.ledger.ping)
    run(harness.ledger.ping)
    program = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 128)"
    index = path_of(harness).with_name("ledger.db-shm")
    tried = subprocess.run([sys.executable, "-c", program, str(index)], capture_output=True, text=True, timeout=30)
    assert "BlockingIOError" in tried.stderr
