"""The file of a SQLite ledger is removed, replaced or written over while it is open: nothing is acknowledged that is not kept."""

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

from scoreboard.boundaries import StoreUnavailable
from scoreboard.domain.entries import EntryFilter
from scoreboard.storage.sql.sqlite.backup import back_up
from scoreboard.storage.sql.stores import open_store
from tests.awaiting import run
from tests.storage.claims import claim
from tests.storage.houses import SqlHouse
from tests.storage.sql_stores import tell

OTHER_PROGRAM = "import sqlite3, sys; sqlite3.connect(sys.argv[1], isolation_level=None).execute(sys.argv[2]).fetchall()"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[SqlHouse]:
    house = SqlHouse("sqlite", tmp_path)
    run(lambda: house.ledger.award([claim("amy")], []))
    back_up(path_of(house), tmp_path / "backup.db")
    run(lambda: house.ledger.award([claim("bob")], []))
    time.sleep(0.02)  # the time of a change is as fine as the kernel's clock: a few milliseconds
    yield house
    house.close()


def path_of(house: SqlHouse) -> Path:
    return Path(house.url.removeprefix("sqlite:///"))


def uses(house: SqlHouse) -> dict[str, Callable[[], Coroutine[Any, Any, object]]]:
    return {
        "award": lambda: house.ledger.award([claim("cid")], []),
        "probe": house.ledger.ping,
        "read": lambda: house.ledger.top(0, 9),
        "rebuild": lambda: house.ledger.accounts("", 9),
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
def test_nothing_is_acknowledged_and_the_message_names_the_file(
    fault: Callable[[Path, Path], None], house: SqlHouse, tmp_path: Path
) -> None:
    run(house.ledger.ping)
    fault(path_of(house), tmp_path / "backup.db")
    for _ in range(2):
        for use in uses(house).values():
            with pytest.raises(StoreUnavailable, match=r"ledger\.db"):
                run(use)


@pytest.mark.parametrize("fault", FAULTS)
def test_nor_is_a_suspension(fault: Callable[[Path, Path], None], house: SqlHouse, tmp_path: Path) -> None:
    run(house.player_store.revision)
    fault(path_of(house), tmp_path / "backup.db")
    with pytest.raises(StoreUnavailable, match=r"ledger\.db"):
        run(house.player_store.revision)


def test_a_file_that_is_put_back_is_used_again(house: SqlHouse) -> None:
    path = path_of(house)
    path.rename(path.with_suffix(".away"))
    with pytest.raises(StoreUnavailable):
        run(uses(house)["award"])
    path.with_suffix(".away").rename(path)
    run(uses(house)["award"])
    assert run(lambda: house.ledger.count_entries(EntryFilter())) == 3


@pytest.mark.parametrize("fault", [remove_the_log, remove_the_index])
def test_a_stop_keeps_what_was_in_a_log_that_was_removed(
    fault: Callable[[Path, Path], None], house: SqlHouse, tmp_path: Path
) -> None:
    fault(path_of(house), tmp_path / "backup.db")
    with pytest.raises(StoreUnavailable):
        run(uses(house)["award"])
    house.close()
    assert tell(house.url, "SELECT user_id FROM user_scores ORDER BY user_id") == [("amy",), ("bob",)]
    assert tell(house.url, "PRAGMA integrity_check") == [("ok",)]


def test_our_own_checkpoints_are_not_taken_for_another_program(house: SqlHouse) -> None:
    store = open_store(house.url)
    for n in range(40):
        store.writes.award([claim(f"player-{n}-{m}") for m in range(60)], [])
        store.commit_probe.commit()
        house.do(house.ledger.ping())
    assert path_of(house).stat().st_size > 2**20, "checkpoints were made"
    store.writes.close()


def another_program(house: SqlHouse, statement: str) -> None:
    subprocess.run([sys.executable, "-c", OTHER_PROGRAM, str(path_of(house)), statement], check=True, timeout=30)


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
def test_nor_is_what_another_program_does_through_sqlite(statement: str, house: SqlHouse) -> None:
    for _ in range(3):
        for use in uses(house).values():
            run(use)
        another_program(house, statement)
        for use in uses(house).values():
            run(use)


def test_nor_is_a_backup_or_a_change_of_its_mode(house: SqlHouse, tmp_path: Path) -> None:
    run(uses(house)["award"])
    back_up(path_of(house), tmp_path / "another.db")
    path_of(house).chmod(0o640)
    for use in uses(house).values():
        run(use)


def test_a_look_while_others_write_and_checkpoint_refuses_nothing(house: SqlHouse) -> None:
    statement = "PRAGMA wal_checkpoint(TRUNCATE)"
    program = (
        "import sqlite3, sys, time\n"
        "handle = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)\n"
        "until = time.monotonic() + 2\n"
        "while time.monotonic() < until:\n"
        "    handle.execute(\"UPDATE user_scores SET username = hex(randomblob(3000)) WHERE user_id = 'bob'\")\n"
        f"    handle.execute('{statement}').fetchall()\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(path_of(house))])
    try:
        looks = 0
        while other.poll() is None:
            run(lambda: house.ledger.account("amy"))
            looks += 1
        assert looks > 100
        assert other.returncode == 0
    finally:
        other.kill()
        other.wait()


def test_the_index_is_closed_when_its_file_is_gone(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        house = SqlHouse("sqlite", tmp_path)
        house.do(house.ledger.ping())
        house.do(house.ledger.ping())
        house.close()
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_sqlite_still_holds_its_locks_after_a_look(house: SqlHouse) -> None:
    """SQLite holds byte 128 of the index for as long as a handle is open; who finds it free takes the index for a dead one."""
    run(house.ledger.ping)
    run(house.ledger.ping)
    program = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 128)"
    index = path_of(house).with_name("ledger.db-shm")
    tried = subprocess.run([sys.executable, "-c", program, str(index)], capture_output=True, text=True, timeout=30)
    assert "BlockingIOError" in tried.stderr
