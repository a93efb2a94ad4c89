"""The ledger in PostgreSQL (13 or newer): one writing session that speaks libpq's pipeline mode.

An award takes two trips. The first takes the row locks of all its users, in the order of their ids, and reads the facts; so
totals are put in order across processes, and nothing that was read can change before the commit. What has no row to lock yet, a
new user or a new action, is decided by the unique indexes: whoever comes second fails as a whole, rolls back and gathers again.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Final

import psycopg
from psycopg import pq

from scoreboard.domain.actions import PlacedReceipt
from scoreboard.domain.entries import ResetOrder, ResetResult
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.judgement import Claim, Verdict
from scoreboard.failpoints import Failpoint, no_failpoint
from scoreboard.storage.sql.award import Step, award, epoch_parameter, reset_parameters, reset_standings
from scoreboard.storage.sql.postgres.pipeline import StatementFailed, make_trip
from scoreboard.storage.sql.postgres.session import STATEMENT_MS_MAX, WRITER_SETTINGS, PostgresSession, connect
from scoreboard.storage.sql.postgres.statements import (
    ALL_ON_BOARD,
    LOCK_MS_MAX,
    NAMED_ON_BOARD,
    NEXT_EPOCH,
    RESET_ALL,
    RESET_NAMED,
    STATEMENTS,
)

RESET_MS_MAX: Final = 60_000
ATTEMPTS_MAX: Final = 5

#: Somebody else was first (unique violation), or two of us waited for each other (serialization failure, deadlock).
_GATHER_AGAIN: Final = frozenset({"23505", "40001", "40P01"})
_LOCK_NOT_AVAILABLE: Final = "55P03"


class PostgresAwardWriter:
    """Implements writing.Writes on one session, opened when it is first needed and again after any failure."""

    def __init__(self, conninfo: str, failpoint: Failpoint = no_failpoint) -> None:
        self._conninfo = conninfo
        self._failpoint = failpoint
        self._session: PostgresSession | None = None
        self._interrupted = False

    def award(self, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt]) -> list[Verdict]:
        """As boundaries.Ledger.award."""
        with self._closing_on_error():
            # One session for both trips: on another one the second would run without the first one's locks.
            session = self._opened()
            ask = functools.partial(self._ask, session)
            only_known = False
            for _ in range(ATTEMPTS_MAX):
                try:
                    return award(ask, claims, receipts, self._failpoint, only_known=only_known)
                except StatementFailed as failed:
                    waited_in_vain = failed.sqlstate == _LOCK_NOT_AVAILABLE and not only_known
                    if failed.sqlstate not in _GATHER_AGAIN and not waited_in_vain:
                        raise
                    # Only a row that somebody else inserts and does not commit is waited for: put new players aside.
                    only_known = only_known or waited_in_vain
                    _trip(session, [("ROLLBACK", None)])
            raise StoreUnavailable(f"other writers were faster {ATTEMPTS_MAX} times")

    def reset(self, order: ResetOrder) -> ResetResult:
        """As boundaries.Ledger.reset."""
        named = reset_parameters(order)
        reset, on_board = (RESET_ALL, ALL_ON_BOARD) if order.user_ids is None else (RESET_NAMED, NAMED_ON_BOARD)
        with self._closing_on_error():
            session = self._opened()
            with session.transaction():
                if session.local_settings is not None:
                    session.execute(session.local_settings.encode())
                session.execute(f"SET LOCAL statement_timeout = {RESET_MS_MAX}; SET LOCAL lock_timeout = {LOCK_MS_MAX}".encode())
                rows = session.execute(reset, named).fetchall()
                held = tuple(user_id for (user_id,) in session.execute(on_board, named).fetchall())
                self._may_go_on()
        return ResetResult(standings=reset_standings(rows, order), held=held)

    def next_epoch(self, drawn_on: str, above: int = 0) -> int:
        """As boundaries.Ledger.next_epoch."""
        return int(self._alone(NEXT_EPOCH, epoch_parameter(drawn_on, above)))

    def probe(self) -> None:
        """As lane_worker.Blocking.probe."""
        self._alone("SELECT 1")

    def interrupt(self) -> None:
        """End every wait: what runs now fails, what was not sent yet is never sent."""
        self._interrupted = True
        session = self._session
        if session is not None:
            session.interrupt()

    def close(self) -> None:
        """As writing.Writes.close."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _opened(self) -> PostgresSession:
        if self._session is not None and not self._session.is_open():
            self.close()
        if self._session is None:
            self._session = connect(self._conninfo, STATEMENT_MS_MAX, WRITER_SETTINGS)
            self._may_go_on()  # an interruption that came before could not cut it
            if not self._session.pooled:
                _prepare(self._session)
        return self._session

    def _may_go_on(self) -> None:
        if self._interrupted:
            raise StoreUnavailable("interrupted")

    def _ask(self, session: PostgresSession, steps: Sequence[tuple[Step, bytes | None]]) -> dict[Step, bytes]:
        """The steps of an award in one trip; the answers of those that ask."""

        def send(pgconn: pq.abc.PGconn) -> None:
            for step, parameter in steps:
                pgconn.send_query_prepared(step.encode(), None if parameter is None else [parameter])

        self._may_go_on()
        results = _unprepared(session, steps) if session.pooled else make_trip(session.pgconn, send, len(steps))
        return {
            step: b"\n".join(result.get_value(row, 0) or b"" for row in range(result.ntuples))
            for (step, _), result in zip(steps, results, strict=True)
            if result.status == pq.ExecStatus.TUPLES_OK
        }

    def _alone(self, statement: str, parameter: bytes | None = None) -> bytes:
        """A statement that is a transaction of its own; its first value."""
        with self._closing_on_error():
            session = self._opened()
            if session.local_settings is None:
                (result,) = _trip(session, [(statement, parameter)])
            else:
                before = [("BEGIN", None), (session.local_settings, None)]
                _, _, result, _ = _trip(session, [*before, (statement, parameter), ("COMMIT", None)])
        return result.get_value(0, 0) or b""

    @contextlib.contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        """A session on which something failed is not trusted again; closing it rolls back."""
        try:
            self._may_go_on()
            yield
        except BaseException as error:
            self.close()
            if isinstance(error, (psycopg.Error, StatementFailed)):
                raise StoreUnavailable(str(error).strip().partition("\n")[0]) from error
            raise
        finally:
            self._interrupted = False  # it was meant for this call


def _prepare(session: PostgresSession) -> None:
    """Have every statement parsed, once a session."""

    def send(pgconn: pq.abc.PGconn) -> None:
        for step, text in STATEMENTS.items():
            pgconn.send_prepare(step.encode(), text.encode())

    make_trip(session.pgconn, send, len(STATEMENTS))


def _unprepared(session: PostgresSession, steps: Sequence[tuple[Step, bytes | None]]) -> list[pq.abc.PGresult]:
    """The results of steps that are parsed each time, because a pooler gives each transaction another session."""
    statements = [(STATEMENTS[step], parameter) for step, parameter in steps]
    begins = steps[0][0] == "begin"
    if begins and session.local_settings is not None:
        statements.insert(1, (session.local_settings, None))
    results = _trip(session, statements)
    if begins:
        del results[1]
    return results


def _trip(session: PostgresSession, statements: Sequence[tuple[str, bytes | None]]) -> list[pq.abc.PGresult]:
    def send(pgconn: pq.abc.PGconn) -> None:
        for text, parameter in statements:
            pgconn.send_query_params(text.encode(), None if parameter is None else [parameter])

    return make_trip(session.pgconn, send, len(statements))
