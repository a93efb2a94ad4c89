"""Backup and restore of the SQLite ledger: whole files without a write-ahead log, put in place by an atomic rename.

SQLite would apply a ``-wal`` that the old ledger left to a file that is copied over ``ledger.db``. So a restore ends the old log
first: at every moment there is one ledger, the old or the new one, without the log of another beside it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from scoreboard.domain.boards import BoardBucket
from scoreboard.failpoints import Failpoint, no_failpoint
from scoreboard.file_errors import why_not_written
from scoreboard.storage.schema import migrate
from scoreboard.storage.sql.errors import LedgerUnusable, TargetUnusable
from scoreboard.storage.sql.sqlite.file import SqliteFile
from scoreboard.storage.sql.sqlite.writer import SqliteAwardWriter

_LOCK_S_MAX: Final = 1.0
_SIDES: Final = ("-wal", "-shm", "-journal")


def back_up(ledger: Path, target: Path) -> None:
    """Copy the ledger, as it is at one moment, to a new file. A server may run meanwhile. Raises LedgerUnusable."""
    _require_new(target)
    unfinished = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    with _new(unfinished, target):
        _copy(ledger, unfinished)
        _check(unfinished, ledger)
        _sync(unfinished)
        unfinished.replace(target)
        _sync(target.parent)


def restore(
    backup: Path,
    ledger: Path,
    kept: Path,
    board: BoardBucket,
    step: Failpoint = no_failpoint,
    confirm: Callable[[], None] = lambda: None,
) -> bool:
    """Replace the ledger with a backup; whether there was a ledger before, which is moved to ``kept``.

    Raises LedgerUnusable if a server uses the ledger or the backup is no ledger; then nothing was changed. ``confirm`` is called
    when all checks have passed, and stops the restore by raising. The new ledger has a later epoch than both, so ``board`` is
    rebuilt from it whatever Redis shows. ``step`` is called with the name of each step that is done.
    """
    unfinished = ledger.with_name(ledger.name + ".restoring")
    with _new(unfinished, ledger):
        _copy(backup, unfinished)
        _check(unfinished, backup)
        migrate(f"sqlite:///{unfinished.absolute()}")
        _require_our_schema(unfinished, backup)
        step("copied")
        _end_log(ledger)
        confirm()
        # Once more: a server without an embedded Redis may have started while the operator was asked.
        epoch = _end_log(ledger)
        _begin_later_epoch(unfinished, board, epoch)
        _as_one_file(unfinished)
        _own_like(unfinished, ledger)
        _sync(unfinished)
        step("checked")
        there = ledger.exists()
        if there:
            os.link(ledger, kept)
        _put_aside(ledger, kept)
        _sync(ledger.parent)
        step("kept")
        unfinished.replace(ledger)
        _sync(ledger.parent)
        step("restored")
        return there


def _require_new(target: Path) -> None:
    try:
        there = target.exists() or target.is_symlink()
    except OSError as error:
        raise TargetUnusable(f"{target} cannot be written: {why_not_written(error)}") from error
    if target.is_dir():
        raise TargetUnusable(f"{target} cannot be written: it is a directory")
    if there:
        raise TargetUnusable(f"{target} is there already: name a new file")


@contextlib.contextmanager
def _new(unfinished: Path, target: Path) -> Iterator[None]:
    """Make a file that only its owner can read, and remove it unless it was renamed. Errors name ``target``, its final name."""
    try:
        _remove(unfinished)
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield
    except sqlite3.Error as error:
        why = "no space left" if _is_full(error) else str(error)
        raise TargetUnusable(f"{target} cannot be written: {why}") from error
    except OSError as error:
        raise TargetUnusable(f"{target} cannot be written: {why_not_written(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            _remove(unfinished)


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL


def _copy(source: Path, target: Path) -> None:
    try:
        found = source.is_file()
    except OSError as error:
        raise LedgerUnusable(f"{source} cannot be read: {(error.strerror or '').lower()}") from error
    if not found:
        raise LedgerUnusable(f"{source} is not a file")
    # A backup without a log may be in a directory that cannot be written to; with a log, SQLite must read both files.
    alone = "" if source.with_name(source.name + "-wal").exists() else "&immutable=1"
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro{alone}", uri=True)) as read,
            contextlib.closing(sqlite3.connect(target)) as written,
        ):
            read.backup(written)
    except sqlite3.DatabaseError as error:
        if _is_full(error):  # only the target is written to
            raise
        raise LedgerUnusable(f"{source} cannot be read as a ledger: {error}") from error
    _as_one_file(target)


def _as_one_file(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as handle:
        handle.execute("PRAGMA journal_mode = DELETE")


def _check(copy: Path, source: Path) -> None:
    with contextlib.closing(sqlite3.connect(copy)) as handle:
        (found, *_) = handle.execute("PRAGMA integrity_check(1)").fetchone()
        tables = {name for (name,) in handle.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if found != "ok":
        raise LedgerUnusable(f"{source} is damaged: {found}")
    if not {"alembic_version", "boards"} <= tables:
        raise LedgerUnusable(f"{source} holds no ledger")


def _require_our_schema(copy: Path, source: Path) -> None:
    """Raise LedgerUnusable unless the tables, indexes and triggers are those that our migrations make."""
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory) / "ledger.db"
        migrate(f"sqlite:///{fresh}")
        expected, found = _schema(fresh), _schema(copy)
    if found != expected:
        other = sorted(name for _, name, _ in found ^ expected)
        raise LedgerUnusable(f"{source} is not the ledger of this release: {', '.join(other[:3])}")


def _schema(path: Path) -> set[tuple[str, str, str]]:
    with contextlib.closing(sqlite3.connect(path)) as handle:
        rows = handle.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    return {(kind, name, " ".join(str(sql).split())) for kind, name, sql in rows}


def _end_log(ledger: Path) -> int:
    """Move the old ledger's log into its file, which fails while a server has it open; its epoch, 0 if it cannot be read."""
    if not ledger.exists():
        return 0
    epoch = 0
    try:
        uri = f"{ledger.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_LOCK_S_MAX, isolation_level=None)) as handle:
            epoch = handle.execute("SELECT max(epoch) FROM boards").fetchone()[0] or 0
            handle.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise LedgerUnusable(f"{ledger} is in use: stop the server first") from error
    except sqlite3.DatabaseError:  # the old ledger is damaged, which may be why it is replaced
        pass
    return epoch


def _begin_later_epoch(copy: Path, board: BoardBucket, than: int) -> None:
    with contextlib.closing(SqliteAwardWriter(SqliteFile(copy))) as writes:
        writes.next_epoch(board, "", than)


def _put_aside(ledger: Path, kept: Path) -> None:
    """Move away the rest of a log: it belongs to a ledger that is gone or damaged, and SQLite would apply it to the new one."""
    for side in _SIDES:
        log = ledger.with_name(ledger.name + side)
        if log.exists():
            log.replace(kept.with_name(kept.name + side))


def _own_like(copy: Path, ledger: Path) -> None:
    """Give the copy the owner of the ledger or of its directory: an operator may run this as root."""
    owner = (ledger if ledger.exists() else ledger.parent).stat()
    if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(copy, owner.st_uid, owner.st_gid)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(unfinished: Path) -> None:
    for side in ("", *_SIDES):
        unfinished.with_name(unfinished.name + side).unlink(missing_ok=True)
