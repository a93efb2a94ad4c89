"""The ledger in PostgreSQL (13 or newer): one writing connection that speaks libpq's pipeline mode, and readers.

An award takes two trips. The first takes the row locks of all its users, in the order of their ids, and reads the facts; so
totals are put in order across processes, and nothing that was read can change before the commit. What has no row to lock yet, a
new user or a new action, is decided by the unique indexes: whoever comes second fails as a whole, rolls back and gathers again.

The trips are made with psycopg's libpq wrapper and not with its cursors: all of a trip is sent at once and waited for once, and
it costs less than half of the interpreter's time (85 µs a batch instead of 195), which the reactor's thread needs.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import psycopg
from psycopg import pq
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import QueuePool

from scoreboard.boundaries import Failpoint, StoreUnavailable, no_failpoint
from scoreboard.domain.entries import ResetOrder
from scoreboard.domain.judgement import Claim, Verdict
from scoreboard.domain.values import Receipt, Standing
from scoreboard.storage.postgres_statements import RESET_PLAYERS, SETTINGS, STATEMENTS, WRITER_SETTINGS
from scoreboard.storage.writing import NEXT_EPOCH, Step, award, reset_metadata, taken_back

CONNECT_SECONDS_MAX: Final = 2
STATEMENT_MS_MAX: Final = 2_000
RESET_MS_MAX: Final = 60_000
#: How long a trip may stay silent, should the server be stopped and its own deadlines with it.
SILENCE_MS_MAX: Final = 2_500
ATTEMPTS_MAX: Final = 5

#: Somebody else was first (unique violation), or two of us waited for each other (serialization failure, deadlock).
_GATHER_AGAIN: Final = frozenset({"23505", "40001", "40P01"})

Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresWrites:
    """Implements writing.Writes on one connection, opened when it is first needed and again after any failure."""

    def __init__(self, conninfo: str, failpoint: Failpoint = no_failpoint) -> None:
        self._conninfo = conninfo
        self._failpoint = failpoint
        self._connection: Connection | None = None
        self._interrupted = False

    def award(self, claims: Sequence[Claim], receipts: Sequence[tuple[str, Receipt]]) -> list[Verdict]:
        """As boundaries.Ledger.award."""
        with self._failing():
            # One connection for both trips: on another one the second would run without the first one's locks.
            connection = self._opened()
            ask = functools.partial(self._ask, connection)
            for _ in range(ATTEMPTS_MAX):
                try:
                    return award(ask, claims, receipts, self._failpoint)
                except _Failed as failed:
                    if failed.sqlstate not in _GATHER_AGAIN:
                        raise
                    connection.rollback()
            raise StoreUnavailable(f"other writers were faster {ATTEMPTS_MAX} times")

    def reset(self, order: ResetOrder) -> list[Standing]:
        """As boundaries.Ledger.reset."""
        named = {"user_id": order.user_id, "at_ms": order.at_ms, "metadata": reset_metadata(order)}
        with self._failing():
            connection = self._opened()
            with connection.transaction():
                connection.execute(f"SET LOCAL statement_timeout = {RESET_MS_MAX}")
                rows = connection.execute(RESET_PLAYERS, named).fetchall()
        return taken_back(rows, order)

    def next_epoch(self) -> int:
        """As boundaries.Ledger.next_epoch."""
        with self._failing():
            row = self._opened().execute(NEXT_EPOCH).fetchone()
            assert row is not None, "an upsert returns its row"
            return int(row[0])

    def interrupt(self) -> None:
        """Cut the line: whatever waits for it fails now, and what was not sent yet is never sent."""
        self._interrupted = True
        if self._connection is not None:
            cut(self._connection)

    def close(self) -> None:
        """As writing.Writes.close."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _opened(self) -> Connection:
        if self._connection is not None and not _alive(self._connection):
            self.close()
        if self._connection is None:
            self._connection = connect(self._conninfo, STATEMENT_MS_MAX)
            self._connection.execute(WRITER_SETTINGS)
            _prepare(self._connection)
        return self._connection

    def _ask(self, connection: Connection, steps: Sequence[tuple[Step, bytes | None]]) -> dict[Step, bytes]:
        """The steps of an award in one trip; the answers of those that ask."""

        def send(pgconn: pq.abc.PGconn) -> None:
            for step, parameter in steps:
                pgconn.send_query_prepared(step.encode(), None if parameter is None else [parameter])

        if self._interrupted:
            raise StoreUnavailable("interrupted")
        results = _trip(connection, send, len(steps))
        return {
            step: b"\n".join(result.get_value(row, 0) or b"" for row in range(result.ntuples))
            for (step, _), result in zip(steps, results, strict=True)
            if result.status == pq.ExecStatus.TUPLES_OK
        }

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """A connection on which something failed is not trusted again; closing it rolls back."""
        self._interrupted = False
        try:
            yield
        except BaseException as error:
            self.close()
            if isinstance(error, (psycopg.Error, _Failed)):
                raise StoreUnavailable(str(error).strip().partition("\n")[0]) from error
            raise


class _Failed(Exception):
    """A statement of a trip failed, and with it all that followed."""

    def __init__(self, result: pq.abc.PGresult) -> None:
        said = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
        super().__init__(said.decode("utf-8", "replace"))
        self.sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode("ascii", "replace")


def connect(conninfo: str, statement_ms_max: int) -> Connection:
    """A connection that never waits without end: not to connect, not for a lock, not for a peer that vanished."""
    connection = psycopg.connect(
        conninfo,
        autocommit=True,
        client_encoding="utf8",
        application_name="scoreboard",
        connect_timeout=CONNECT_SECONDS_MAX,
        tcp_user_timeout=5_000,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
    )
    connection.execute(f"SET statement_timeout = {statement_ms_max};{SETTINGS}")
    return connection


def engine(conninfo: str, statement_ms_max: int) -> Engine:
    """One connection at a time, for the portable reads and for the migrations."""
    made = create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(conninfo, statement_ms_max),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,
    )

    def check(connection: Connection, *_: object) -> None:
        if not _alive(connection):
            raise DisconnectionError  # which has the pool open another

    event.listen(made, "checkout", check)
    return made


def _alive(connection: Connection) -> bool:
    """Whether the server left an idle connection open, as far as we have heard: asks nobody, waits for nothing."""
    try:
        connection.pgconn.consume_input()  # the server's last words
        connection.pgconn.consume_input()  # and the end of the line
    except psycopg.Error:
        return False
    return connection.pgconn.status == pq.ConnStatus.OK


def cut(connection: Connection) -> None:
    """Shut a connection's socket under whoever waits for it, from any thread."""
    # The owner may be closing it this very moment; then there is nothing left to cut.
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def _prepare(connection: Connection) -> None:
    """Have every statement parsed, once a connection."""

    def send(pgconn: pq.abc.PGconn) -> None:
        for step, text in STATEMENTS.items():
            pgconn.send_prepare(step.encode(), text.encode())

    _trip(connection, send, len(STATEMENTS))


def _trip(connection: Connection, send: Callable[[pq.abc.PGconn], None], results_due: int) -> list[pq.abc.PGresult]:
    """Send everything, then wait until all of it is answered; the first failure is raised when the line is quiet again."""
    pgconn = connection.pgconn
    pgconn.enter_pipeline_mode()
    send(pgconn)
    pgconn.pipeline_sync()
    line = select.poll()
    line.register(pgconn.socket, select.POLLIN | select.POLLOUT)
    while pgconn.flush():  # a large batch and a full socket
        _wait(pgconn, line)
    line.modify(pgconn.socket, select.POLLIN)
    results = [_result(pgconn, line) for _ in range(results_due)]
    _result(pgconn, line)  # the sync's own
    pgconn.exit_pipeline_mode()
    for result in results:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise _Failed(result)
    return results


def _result(pgconn: pq.abc.PGconn, line: select.poll) -> pq.abc.PGresult:
    while True:
        while pgconn.is_busy():
            _wait(pgconn, line)
        result = pgconn.get_result()  # None between the statements of a pipeline
        if result is not None:
            return result
        if pgconn.status == pq.ConnStatus.BAD:
            raise psycopg.OperationalError(pgconn.get_error_message())


def _wait(pgconn: pq.abc.PGconn, line: select.poll) -> None:
    """The only place where a trip waits, and where it lets the reactor's thread go on."""
    if not line.poll(SILENCE_MS_MAX):
        raise psycopg.OperationalError(f"no answer in {SILENCE_MS_MAX} ms")
    pgconn.consume_input()
