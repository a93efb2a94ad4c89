"""The ledger in SQLite: a file, one writer, and readers that never wait for it.

Write-ahead log, ``synchronous=FULL``: a commit that returned is on the disk. ``BEGIN IMMEDIATE`` takes the writer's lock before
anything is read, across processes too. A handle on which anything failed is closed and a new one opened: after a failed fsync
nobody knows what the file holds but the file.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import QueuePool

from scoreboard.domain.actions import PlacedReceipt
from scoreboard.domain.entries import ResetOrder, ResetResult
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.judgement import Claim, Verdict
from scoreboard.failpoints import Failpoint, no_failpoint
from scoreboard.storage.sql.award import Step, award, epoch_parameter, reset_parameters, reset_standings
from scoreboard.storage.sql.sqlite.file import FileLost, SqliteFile
from scoreboard.storage.sql.sqlite.statements import NEXT_EPOCH, RESET_ENTRIES, RESET_TOTALS, STATEMENTS
from scoreboard.storage.sql.thread_worker import StoreSilent

BUSY_MS_MAX: Final = 2_000
LOG_BYTES_MAX: Final = 64 * 2**20


class SqliteAwardWriter:
    """Implements writing.Writes on one handle, opened when it is first needed and again after any failure."""

    def __init__(self, file: SqliteFile, failpoint: Failpoint = no_failpoint) -> None:
        self._file = file
        self._failpoint = failpoint
        self._handle: Handle | None = None
        self._interrupted = False

    def award(self, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt]) -> list[Verdict]:
        """As boundaries.Ledger.award."""
        with self._closing_on_error():
            return award(functools.partial(self._ask, self._opened()), claims, receipts, self._failpoint)

    def reset(self, order: ResetOrder) -> ResetResult:
        """As boundaries.Ledger.reset."""
        named = reset_parameters(order)
        with self._closing_on_error():
            handle = self._opened()
            handle.execute("BEGIN IMMEDIATE")
            handle.execute(RESET_ENTRIES, named)
            rows = handle.execute(RESET_TOTALS, named).fetchall()
            self._may_go_on()
            handle.execute("COMMIT")
        return ResetResult(standings=reset_standings(rows, order))

    def next_epoch(self, drawn_on: str, above: int = 0) -> int:
        """As boundaries.Ledger.next_epoch."""
        with self._closing_on_error():
            ((epoch,),) = (
                self._opened().execute(NEXT_EPOCH, (epoch_parameter(drawn_on, above).decode(),)).fetchall()
            )  # to its end: only then is it committed
            return int(epoch)

    def probe(self) -> None:
        """As lane_worker.Blocking.probe: whoever gets the writer's lock could write."""
        with self._closing_on_error():
            handle = self._opened()
            handle.execute("BEGIN IMMEDIATE")
            handle.execute("ROLLBACK")

    def interrupt(self) -> None:
        """Have the running statement fail, and those that would follow."""
        self._interrupted = True
        handle = self._handle
        if handle is not None:
            interrupt(handle)

    def close(self) -> None:
        """As writing.Writes.close."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with contextlib.suppress(sqlite3.Error):  # a dead handle may not even close
                handle.close()

    def _ask(self, handle: sqlite3.Connection, steps: Sequence[tuple[Step, bytes | None]]) -> dict[Step, bytes]:
        answers: dict[Step, bytes] = {}
        for step, parameter in steps:
            self._may_go_on()  # before the commit, too
            cursor = handle.execute(STATEMENTS[step], () if parameter is None else (parameter.decode(),))
            if cursor.description is not None:
                answers[step] = "\n".join(answer for (answer,) in cursor).encode()
        return answers

    def _may_go_on(self) -> None:
        if self._interrupted:
            raise StoreUnavailable("interrupted")

    def _opened(self) -> Handle:
        if self._handle is None:
            self._handle = connect(self._file)
            self._handle.create_function("new_id", 0, lambda: str(uuid.uuid4()))
        return self._handle

    @contextlib.contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        """A handle on which something failed is not trusted again; closing it rolls back. It is kept when its file is lost."""
        try:
            self._may_go_on()
            self._file.check()
            yield
        except FileLost:
            raise
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                # Locked by another process for as long as we wait: the next award would wait as long.
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                raise (StoreSilent if busy else StoreUnavailable)(f"{error} ({self._file.path})") from error
            raise
        finally:
            self._interrupted = False  # it was meant for this call


class Handle(sqlite3.Connection):
    """Says when it was closed."""

    on_close: Callable[[], None] | None = None

    def close(self) -> None:
        """As sqlite3.Connection.close."""
        super().close()
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()


def connect(file: SqliteFile) -> Handle:
    """A handle in autocommit mode. A file that is gone is an error, never a new and empty ledger."""
    handle = sqlite3.connect(
        f"{file.path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_MS_MAX / 1000,
        isolation_level=None,
        factory=Handle,
        check_same_thread=False,  # `interrupt` comes from another thread; all else stays in one
    )
    try:
        handle.execute("PRAGMA journal_mode = WAL")
        handle.execute("PRAGMA synchronous = FULL")
        handle.execute("PRAGMA foreign_keys = ON")
        handle.execute(f"PRAGMA journal_size_limit = {LOG_BYTES_MAX}")
    except sqlite3.Error:
        handle.close()
        raise
    file.opened()
    handle.on_close = file.closed
    return handle


def engine(file: SqliteFile) -> Engine:
    """One handle at a time, for the portable reads and for the migrations."""
    return create_engine(
        "sqlite://",
        creator=lambda: connect(file),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,
    )


def interrupt(handle: sqlite3.Connection) -> None:
    """Have whatever runs on a handle fail now, from any thread."""
    with contextlib.suppress(sqlite3.Error):  # closed in the meantime
        handle.interrupt()
