"""Tests of backups of the SQLite ledger: they are complete and checked, and a restore may be killed at any step."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.storage.schema import migrate
from scoreboard.storage.sql.errors import LedgerUnusable
from scoreboard.storage.sql.sqlite.backup import back_up, restore
from scoreboard.storage.sql.sqlite.file import SqliteFile
from scoreboard.storage.sql.sqlite.writer import connect

STEPS = ("copied", "checked", "kept", "restored")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "var" / "ledger.db"
    migrate(f"sqlite:///{path}")
    return path


def write_epoch(path: Path, epoch: int) -> None:
    """Write an epoch that identifies the ledger, and leave it in the log, as a killed process does."""
    handle = connect(SqliteFile(path))
    handle.execute(
        "INSERT INTO boards (board_id, epoch) VALUES ('other', ?) ON CONFLICT (board_id) DO UPDATE SET epoch = ?", [epoch] * 2
    )
    files = {side: path.with_name(path.name + side).read_bytes() for side in ("", "-wal")}
    handle.close()
    for side, content in files.items():
        path.with_name(path.name + side).write_bytes(content)


def epoch_of(path: Path, board: str = "other") -> int | None:
    with closing(sqlite3.connect(path)) as handle:
        found = handle.execute("SELECT epoch FROM boards WHERE board_id = ?", [board]).fetchone()
        assert handle.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return None if found is None else int(found[0])


def test_sqlite_applies_the_old_log_to_a_file_that_is_copied_over_the_ledger(ledger: Path, tmp_path: Path) -> None:
    """This is why there is a restore command: after a killed process a copied file is not enough."""
    write_epoch(ledger, 1)
    back_up(ledger, tmp_path / "backup.db")
    write_epoch(ledger, 2)
    shutil.copy(tmp_path / "backup.db", ledger)
    assert epoch_of(ledger) == 2


def test_a_restore_puts_the_backup_in_place_and_keeps_the_old_ledger(ledger: Path, tmp_path: Path) -> None:
    write_epoch(ledger, 1)
    back_up(ledger, tmp_path / "backup.db")
    write_epoch(ledger, 2)
    kept = ledger.with_name("kept.db")
    assert restore(tmp_path / "backup.db", ledger, kept, GLOBAL_BOARD)
    assert (epoch_of(ledger), epoch_of(kept), epoch_of(tmp_path / "backup.db")) == (1, 2, 1)
    assert sorted(path.name for path in ledger.parent.iterdir()) == ["kept.db", "ledger.db"]
    assert (ledger.stat().st_mode & 0o777, (tmp_path / "backup.db").stat().st_mode & 0o777) == (0o600, 0o600)


def test_a_restored_ledger_has_a_later_epoch_than_the_backup_and_the_old_ledger(ledger: Path, tmp_path: Path) -> None:
    back_up(ledger, tmp_path / "backup.db")
    with closing(connect(SqliteFile(ledger))) as handle:
        handle.execute("INSERT INTO boards (board_id, epoch) VALUES ('global', 9000000000000)")  # ahead of the clock
    restore(tmp_path / "backup.db", ledger, ledger.with_name("kept.db"), GLOBAL_BOARD)
    assert epoch_of(ledger, "global") == 9_000_000_000_001


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_restore_leaves_the_old_or_the_new_ledger(step: str, ledger: Path, tmp_path: Path) -> None:
    write_epoch(ledger, 1)
    back_up(ledger, tmp_path / "backup.db")
    write_epoch(ledger, 2)
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from scoreboard.domain.boards import GLOBAL_BOARD\n"
        "from scoreboard.storage.sql.sqlite.backup import restore\n"
        "backup, ledger, kept = map(Path, sys.argv[1:4])\n"
        "restore(backup, ledger, kept, GLOBAL_BOARD, lambda step: step == sys.argv[4] and os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "backup.db", ledger, ledger.with_name("kept.db"), step],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert killed.returncode == -9
    assert epoch_of(ledger) == (1 if step == "restored" else 2)
    assert restore(tmp_path / "backup.db", ledger, ledger.with_name("kept-again.db"), GLOBAL_BOARD)
    assert epoch_of(ledger) == 1
    assert not ledger.with_name("ledger.db.restoring").exists()


def test_a_ledger_in_use_can_be_backed_up_and_is_not_replaced(ledger: Path, tmp_path: Path) -> None:
    with closing(connect(SqliteFile(ledger))) as server:
        server.execute("INSERT INTO boards (board_id, epoch) VALUES ('other', 3)")
        back_up(ledger, tmp_path / "backup.db")
        with pytest.raises(LedgerUnusable, match="is in use: stop the server first"):
            restore(tmp_path / "backup.db", ledger, ledger.with_name("kept.db"), GLOBAL_BOARD)
        server.execute("UPDATE boards SET epoch = 4 WHERE board_id = 'other'")
    assert epoch_of(tmp_path / "backup.db") == 3
    assert epoch_of(ledger) == 4
    assert [path.name for path in ledger.parent.iterdir()] == ["ledger.db"]


def test_restore_reads_a_backup_together_with_its_log(ledger: Path, tmp_path: Path) -> None:
    write_epoch(ledger, 5)
    for side in ("", "-wal"):
        shutil.copy(ledger.with_name(ledger.name + side), tmp_path / f"copy.db{side}")
    write_epoch(ledger, 6)
    restore(tmp_path / "copy.db", ledger, ledger.with_name("kept.db"), GLOBAL_BOARD)
    assert epoch_of(ledger) == 5


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", r"backup\.db holds no ledger"), (b"nonsense" * 1_000, "cannot be read as a ledger"), (None, "is not a file")],
)
def test_a_file_that_is_not_a_ledger_is_not_restored(content: bytes | None, said: str, ledger: Path, tmp_path: Path) -> None:
    write_epoch(ledger, 2)
    backup = tmp_path / "backup.db"
    if content is not None:
        backup.write_bytes(content)
    with pytest.raises(LedgerUnusable, match=said):
        restore(backup, ledger, ledger.with_name("kept.db"), GLOBAL_BOARD)
    assert epoch_of(ledger) == 2


def test_a_damaged_backup_is_not_restored(ledger: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    back_up(ledger, backup)
    pages = bytearray(backup.read_bytes())
    pages[4096 * 3 : 4096 * 5] = os.urandom(4096 * 2)
    backup.write_bytes(pages)
    with pytest.raises(LedgerUnusable, match=r"damaged|malformed|cannot be read"):
        restore(backup, ledger, ledger.with_name("kept.db"), GLOBAL_BOARD)


def test_a_damaged_ledger_can_be_replaced(ledger: Path, tmp_path: Path) -> None:
    write_epoch(ledger, 1)
    back_up(ledger, tmp_path / "backup.db")
    write_epoch(ledger, 2)
    ledger.write_bytes(b"nonsense" * 4_096)
    restore(tmp_path / "backup.db", ledger, ledger.with_name("kept.db"), GLOBAL_BOARD)
    assert epoch_of(ledger) == 1
    assert not ledger.with_name("ledger.db-wal").exists()


def test_a_backup_does_not_overwrite_a_file(ledger: Path, tmp_path: Path) -> None:
    back_up(ledger, tmp_path / "backup.db")
    with pytest.raises(LedgerUnusable, match="is there already"):
        back_up(ledger, tmp_path / "backup.db")


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE user_scores",
        "CREATE TABLE another (theirs integer)",
        "CREATE TRIGGER more AFTER INSERT ON score_transactions BEGIN UPDATE user_scores SET score = score + 1000000; END",
        "DROP TRIGGER score_transactions_no_update",
        "DROP INDEX idx_transactions_user_type",
    ],
)
def test_a_backup_with_another_schema_is_refused(change: str, ledger: Path, tmp_path: Path) -> None:
    back_up(ledger, tmp_path / "backup.db")
    with closing(sqlite3.connect(tmp_path / "backup.db")) as handle:
        handle.execute(change)
    before = ledger.read_bytes()
    with pytest.raises(LedgerUnusable, match="not the ledger of this release"):
        restore(tmp_path / "backup.db", ledger, ledger.with_name("kept.db"), GLOBAL_BOARD)
    assert ledger.read_bytes() == before


def test_a_backup_does_not_touch_other_files(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "backup.db.part").write_text("somebody else's")
    back_up(ledger, tmp_path / "backup.db")
    assert (tmp_path / "backup.db.part").read_text() == "somebody else's"
