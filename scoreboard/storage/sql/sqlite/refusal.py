"""SQLite's errors for an operator: which end by themselves, and which an operator must correct. Each names the file."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Final

from scoreboard.domain.errors import StoreFull, StoreUnavailable
from scoreboard.storage.sql.errors import LedgerUnusable

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
#: By SQLite's primary result codes (https://www.sqlite.org/rescode.html).
_PASSING: Final = {
    sqlite3.SQLITE_BUSY: "is locked by another program",
    sqlite3.SQLITE_LOCKED: "is locked by another program",
    sqlite3.SQLITE_FULL: "has no space left",
    sqlite3.SQLITE_IOERR: "cannot be read or written",
}


def is_full(error: BaseException) -> bool:
    """Whether SQLite has no space left on its disk."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def refusal(error: sqlite3.Error | OSError, path: Path) -> StoreUnavailable | LedgerUnusable:
    """StoreUnavailable for an error that passes by itself (a lock, a full disk), LedgerUnusable for any other."""
    if isinstance(error, OSError):
        where = error.filename or path
        if error.errno in _NO_SPACE:
            return StoreFull(f"the ledger {where} has no space left")
        return LedgerUnusable(f"DATABASE_URL (or SCOREBOARD_DATA_DIR): {where}: {error.strerror}")
    # Python's own errors (a closed handle) have no code.
    passing = _PASSING.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    said = str(error).strip().partition("\n")[0]
    if passing is not None:
        return (StoreFull if is_full(error) else StoreUnavailable)(f"the ledger {path} {passing} ({said})")
    return LedgerUnusable(f"DATABASE_URL (or SCOREBOARD_DATA_DIR): {path} is not a ledger that can be used: {said}")
