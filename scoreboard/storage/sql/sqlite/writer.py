"""Award writer for SQLite: one handle that writes, beside readers that never wait for it.

With a write-ahead log and ``synchronous=FULL`` a commit that returned is on the disk. ``BEGIN IMMEDIATE`` takes the writer's lock
before anything is read, across processes too. After any failure the handle is closed and a new one opened: after a failed fsync
only the file itself shows what it holds.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import QueuePool
from typing_extensions import override

from scoreboard.domain.actions import PlacedReceipt
from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.entries import ResetOrder, ResetResult
from scoreboard.domain.errors import StoreFull, StoreUnavailable
from scoreboard.domain.judgement import Claim, Verdict
from scoreboard.failpoints import Failpoint, no_failpoint
from scoreboard.storage.sql.award import AwardWriter, DefinitionsChanged, KnownBoards, Step, award, epoch_parameter
from scoreboard.storage.sql.award_rows import reset_parameters, reset_standings
from scoreboard.storage.sql.board_rows import open_buckets, read_fed_boards
from scoreboard.storage.sql.interruptible import ClosingOnError
from scoreboard.storage.sql.sqlite.file import FileLost, SqliteFile
from scoreboard.storage.sql.sqlite.refusal import is_full
from scoreboard.storage.sql.sqlite.statements import NEXT_EPOCH, RESET_ENTRIES, RESET_SCORES, RESET_TOTALS, STATEMENTS
from scoreboard.storage.sql.thread_worker import StoreSilent

BUSY_MS_MAX: Final = 2_000
LOG_BYTES_MAX: Final = 64 * 2**20


class SqliteAwardWriter(ClosingOnError, AwardWriter):
    """An award writer on one handle, which it opens at the first call and again after any failure."""

    def __init__(self, file: SqliteFile, failpoint: Failpoint = no_failpoint) -> None:
        self._file = file
        self._failpoint = failpoint
        self._handle: Handle | None = None
        self._known_boards = KnownBoards()

    @override
    def award(self, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt]) -> list[Verdict]:
        with self._closing_on_error():
            handle = self._opened()
            ask = functools.partial(self._ask, handle)
            while True:
                try:
                    return award(ask, claims, receipts, self._failpoint, self._known_boards)
                except DefinitionsChanged:
                    handle.execute("ROLLBACK")
                    self._known_boards.read(ask)

    @override
    def reset(self, order: ResetOrder) -> ResetResult:
        named = reset_parameters(order)
        with self._closing_on_error():
            handle = self._opened()
            handle.execute("BEGIN IMMEDIATE")
            handle.execute(RESET_ENTRIES, named)
            rows = handle.execute(RESET_TOTALS, named).fetchall()
            _, fed = read_fed_boards(self._ask(handle, [("definitions", None)])["definitions"])
            handle.execute(RESET_SCORES, {**named, "open": open_buckets(fed, order.at_ms)})
            self._require_not_interrupted()
            handle.execute("COMMIT")
        return ResetResult(standings=reset_standings(rows, order))

    @override
    def next_epoch(self, board: BoardBucket, run: str, above: int = 0) -> int:
        with self._closing_on_error():
            cursor = self._opened().execute(NEXT_EPOCH, (epoch_parameter(board, run, above).decode(),))
            ((epoch,),) = cursor.fetchall()  # reads to the end: only then is it committed
            return int(epoch)

    @override
    def probe(self) -> None:
        with self._closing_on_error():
            handle = self._opened()
            handle.execute("BEGIN IMMEDIATE")  # a session that gets the writer's lock could write
            handle.execute("ROLLBACK")

    @override
    def interrupt(self) -> None:
        self._interrupted = True
        handle = self._handle
        if handle is not None:
            interrupt(handle)

    @override
    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            with contextlib.suppress(sqlite3.Error):  # a dead handle may not even close
                handle.close()

    def _ask(self, handle: sqlite3.Connection, steps: Sequence[tuple[Step, bytes | None]]) -> dict[Step, bytes]:
        answers: dict[Step, bytes] = {}
        for step, parameter in steps:
            self._require_not_interrupted()  # before the commit, too
            cursor = handle.execute(STATEMENTS[step], () if parameter is None else (parameter.decode(),))
            if cursor.description is not None:
                answers[step] = "\n".join(answer for (answer,) in cursor).encode()
        return answers

    def _opened(self) -> Handle:
        if self._handle is None:
            self._handle = connect(self._file)
            self._handle.create_function("new_id", 0, lambda: str(uuid.uuid4()))
        return self._handle

    @override
    def _check(self) -> None:
        self._file.check()

    @override
    def _keeps_connection(self, error: BaseException) -> bool:
        return isinstance(error, FileLost)  # the open handle may be all that is left of the file

    @override
    def _unavailable(self, error: BaseException) -> StoreUnavailable | None:
        if not isinstance(error, sqlite3.Error):
            return None
        # Another process held the lock for as long as we wait: the next award would wait as long.
        busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
        return (StoreSilent if busy else StoreFull if is_full(error) else StoreUnavailable)(f"{error} ({self._file.path})")


class Handle(sqlite3.Connection):
    """A handle that calls ``on_close`` once, after it was closed."""

    on_close: Callable[[], None] | None = None

    @override
    def close(self) -> None:
        super().close()
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()


def connect(file: SqliteFile) -> Handle:
    """A handle in autocommit mode. Raises sqlite3.Error if the file does not exist: it never makes an empty ledger."""
    handle = sqlite3.connect(
        f"{file.path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_MS_MAX / 1000,
        isolation_level=None,
        factory=Handle,
        check_same_thread=False,  # only `interrupt` is called from another thread
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
    """A SQLAlchemy engine of one handle, for the portable queries and the migrations."""
    return create_engine(
        "sqlite://", creator=lambda: connect(file), poolclass=QueuePool, pool_size=1, max_overflow=0, hide_parameters=True
    )


def interrupt(handle: sqlite3.Connection) -> None:
    """Make the statement that runs on a handle fail now. Any thread may call this."""
    with contextlib.suppress(sqlite3.Error):  # closed in the meantime
        handle.interrupt()
