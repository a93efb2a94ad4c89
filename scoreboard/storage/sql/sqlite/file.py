"""Integrity watch over the file of a SQLite ledger: a file that is removed, replaced or overwritten is noticed before the next
award is committed.

SQLite goes on with the file that it has open, so awards would be acknowledged and be gone at the next start. Files are compared
by device and inode. A program that writes into the open file (``cp`` does) keeps the inode and changes the modification time. In
write-ahead mode only a checkpoint may change that time. The index beside the log counts the checkpoints in the numbers at 32 to
40 (the log's salt), 96 (nBackfill) and 128 (nBackfillAttempted, which is set before the first page is written). See
https://www.sqlite.org/walformat.html, "WAL-Index Header".
"""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import Final

from scoreboard.domain.errors import StoreUnavailable

Identity = tuple[int, int]
_INDEX_BYTES: Final = 136
_SALT: Final = slice(32, 40)
_BACKFILLED: Final = slice(96, 100)
_BACKFILLING: Final = slice(128, 132)

#: Descriptors of indexes that were opened to be read, by identity. Closing one would drop the locks that SQLite holds on the file
#: in this process (fcntl(2), F_SETLK), so it stays open until the file is gone.
_indexes: Final[dict[Identity, int]] = {}
_indexes_lock: Final = Lock()


class FileLost(StoreUnavailable):
    """The path leads to another file now. The open file may be the only copy, so it stays open until the server stops."""


class SqliteFile:
    """The file at a path, as the first check found it. All handles of one ledger share it, in any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name, self._log_name, self._index_name = (f"{path.absolute()}{side}" for side in ("", "-wal", "-shm"))
        self._lock = Lock()
        self._identity: Identity | None = None
        self._handles = 0
        #: The log and its index, which SQLite keeps as long as a handle is open.
        self._sides: tuple[Identity, Identity] | None = None
        #: A fault that lasts until all handles are closed, or "".
        self._trouble = ""
        #: At the latest check: the checkpoints; and the file's modification time (nanoseconds) and size (bytes).
        self._looked: tuple[bytes, tuple[int, int]] | None = None

    def check(self) -> None:
        """Raise FileLost unless file and log are those that were opened, changed by SQLite alone. Takes some 10 µs."""
        with self._lock:
            if not self._trouble:
                self._compare_identity()
                self._compare_sides()
            if not self._trouble:
                self._compare_writing()
            if self._trouble:
                raise FileLost(self._trouble)

    def opened(self) -> None:
        """Note that a handle was opened."""
        with self._lock:
            self._handles += 1
            if self._sides is None:
                self._sides = self._found_sides()
            self._compare_writing()

    def closed(self) -> None:
        """Note that a handle was closed. With the last one SQLite removes log and index; the next handle makes others."""
        with self._lock:
            self._handles -= 1
            if not self._handles:
                self._sides = self._looked = None

    def _compare_identity(self) -> None:
        found = _identity(self._name)
        if found is None:
            raise FileLost(f"{self.path} was removed or cannot be reached")
        if self._identity is None:
            self._identity = found
        if found != self._identity:
            raise FileLost(
                f"{self.path} is another file than the one that the server opened: stop the server, "
                "then put a backup in place with `scoreboard db restore`"
            )

    def _compare_sides(self) -> None:
        if self._sides is not None and self._sides != self._found_sides():
            self._trouble = (
                f"{self.path}-wal or -shm was removed or replaced while the server runs: stop the server with SIGTERM, "
                "it writes what it holds into the ledger as it ends"
            )

    def _found_sides(self) -> tuple[Identity, Identity] | None:
        log, index = _identity(self._log_name), _identity(self._index_name)
        return None if log is None or index is None else (log, index)

    def _compare_writing(self) -> None:
        if self._sides is None:  # no handle is open
            return
        try:
            index = _opened_index(self._index_name, self._sides[1])
            before = _checkpoints(index)
            found = os.stat(self._name)
            after = _checkpoints(index)
        except OSError:  # the file is being removed: the next check reports it
            return
        if before is None or before != after:
            return  # a checkpoint is running: the next check compares
        written = found.st_mtime_ns, found.st_size
        if self._looked is not None and self._looked[0] == before and self._looked[1] != written:
            self._trouble = (
                f"another program wrote into {self.path} while the server runs: stop the server, "
                "then put a backup in place with `scoreboard db restore`"
            )
        self._looked = before, written


def _identity(name: str) -> Identity | None:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _checkpoints(index: int) -> bytes | None:
    """Bytes that change with each checkpoint; None while one is running."""
    read = os.pread(index, _INDEX_BYTES, 0)
    if len(read) < _INDEX_BYTES or read[_BACKFILLED] != read[_BACKFILLING]:
        return None
    return read[_SALT] + read[_BACKFILLED]


def _opened_index(name: str, identity: Identity) -> int:
    with _indexes_lock:
        descriptor = _indexes.get(identity)
        if descriptor is None:
            for other, unused in list(_indexes.items()):
                if not os.fstat(unused).st_nlink:
                    os.close(_indexes.pop(other))
            descriptor = _indexes[identity] = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        return descriptor
