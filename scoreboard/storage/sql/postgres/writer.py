"""Award writer for PostgreSQL (13 or newer): one session that uses libpq's pipeline mode.

A batch takes two round trips. The first locks the accounts of all its players, in the order of their keys, and reads the facts.
So the locks order the totals across processes, and no fact can change before the commit. A new player or action has no row to
lock: the unique indexes decide. The second transaction then fails as a whole, rolls back and gathers its facts again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec
import psycopg
from psycopg import pq
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
from scoreboard.storage.sql.postgres import statements as sql
from scoreboard.storage.sql.postgres.pipeline import StatementFailed, make_trip
from scoreboard.storage.sql.postgres.session import STATEMENT_MS_MAX, WRITER_SETTINGS, PostgresSession, connect

RESET_MS_MAX: Final = 60_000
ATTEMPTS_MAX: Final = 5

#: Another writer was first (unique violation, serialization failure), or two waited for each other (deadlock).
_GATHER_AGAIN: Final = frozenset({"23505", "40001", "40P01"})
_LOCK_NOT_AVAILABLE: Final = "55P03"
_DISK_FULL: Final = "53100"
#: A reset of all players, or of some: it, its buckets, and what is on the board after it.
_ALL: Final = sql.RESET_ALL, sql.RESET_ALL_SCORES, sql.ALL_ON_BOARD
_NAMED: Final = sql.RESET_NAMED, sql.RESET_NAMED_SCORES, sql.NAMED_ON_BOARD


class PostgresAwardWriter(ClosingOnError, AwardWriter):
    """An award writer on one session, which it opens at the first call and again after any failure."""

    def __init__(self, conninfo: str, failpoint: Failpoint = no_failpoint) -> None:
        self._conninfo = conninfo
        self._failpoint = failpoint
        self._session: PostgresSession | None = None
        self._known_boards = KnownBoards()

    @override
    def award(self, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt]) -> list[Verdict]:
        with self._closing_on_error():
            # One session for both trips: on another one the second trip would not have the locks of the first.
            session = self._opened()
            ask = partial(self._ask, session)
            only_known = False
            for _ in range(ATTEMPTS_MAX):
                try:
                    return award(ask, claims, receipts, self._failpoint, self._known_boards, only_known=only_known)
                except DefinitionsChanged:
                    _trip(session, [("ROLLBACK", None)])
                    self._known_boards.read(ask)
                except StatementFailed as failed:
                    waited_in_vain = failed.sqlstate == _LOCK_NOT_AVAILABLE and not only_known
                    if failed.sqlstate not in _GATHER_AGAIN and not waited_in_vain:
                        raise
                    # A lock was waited for, so another transaction inserts a row and does not commit: set new players aside.
                    only_known = only_known or waited_in_vain
                    _trip(session, [("ROLLBACK", None)])
            raise StoreUnavailable(f"other writers were faster {ATTEMPTS_MAX} times")

    @override
    def reset(self, order: ResetOrder) -> ResetResult:
        named = reset_parameters(order)
        reset, scores, on_board = _ALL if order.user_ids is None else _NAMED
        with self._closing_on_error():
            session = self._opened()
            with session.transaction():
                if session.local_settings is not None:
                    session.execute(session.local_settings.encode())
                session.execute(
                    f"SET LOCAL statement_timeout = {RESET_MS_MAX}; SET LOCAL lock_timeout = {sql.LOCK_MS_MAX}".encode()
                )
                rows = session.execute(reset, named).fetchall()
                # After the locks: a filler holds the locks of its players until it has written their rows.
                ((found,),) = session.execute(sql.STATEMENTS["definitions"]).fetchall()
                _, fed = read_fed_boards(msgspec.json.encode(found))
                session.execute(scores, {**named, "open": open_buckets(fed, order.at_ms)})
                held = tuple(user_id for (user_id,) in session.execute(on_board, named).fetchall())
                self._require_not_interrupted()
        return ResetResult(standings=reset_standings(rows, order), held=held)

    @override
    def next_epoch(self, board: BoardBucket, run: str, above: int = 0) -> int:
        return int(self._alone(sql.NEXT_EPOCH, epoch_parameter(board, run, above)))

    @override
    def probe(self) -> None:
        self._alone("SELECT 1")

    @override
    def interrupt(self) -> None:
        self._interrupted = True
        session = self._session
        if session is not None:
            session.interrupt()

    @override
    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _opened(self) -> PostgresSession:
        if self._session is not None and not self._session.is_open():
            self.close()
        if self._session is None:
            self._session = connect(self._conninfo, STATEMENT_MS_MAX, WRITER_SETTINGS)
            self._require_not_interrupted()  # `interrupt` found no session to shut down
            if not self._session.pooled:
                _prepare(self._session)
        return self._session

    def _ask(self, session: PostgresSession, steps: Sequence[tuple[Step, bytes | None]]) -> dict[Step, bytes]:
        """An Exchange: the steps in one round trip."""
        self._require_not_interrupted()
        results = (_unprepared if session.pooled else _prepared)(session, steps)
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

    @override
    def _unavailable(self, error: BaseException) -> StoreUnavailable | None:
        if isinstance(error, (psycopg.Error, StatementFailed)):
            kind = StoreFull if getattr(error, "sqlstate", "") == _DISK_FULL else StoreUnavailable
            return kind(str(error).strip().partition("\n")[0])
        return None


def _prepare(session: PostgresSession) -> None:
    """Prepare all statements, once a session."""
    send = session.pgconn.send_prepare
    make_trip(session.pgconn, [partial(send, step.encode(), text.encode()) for step, text in sql.STATEMENTS.items()])


def _prepared(session: PostgresSession, steps: Sequence[tuple[Step, bytes | None]]) -> list[pq.abc.PGresult]:
    send = session.pgconn.send_query_prepared
    return make_trip(session.pgconn, [partial(send, step.encode(), _values(parameter)) for step, parameter in steps])


def _unprepared(session: PostgresSession, steps: Sequence[tuple[Step, bytes | None]]) -> list[pq.abc.PGresult]:
    """The results of the steps without prepared statements, which do not last behind a pooler."""
    statements = [(sql.STATEMENTS[step], parameter) for step, parameter in steps]
    begins = steps[0][0] == "begin"
    if begins and session.local_settings is not None:
        statements.insert(1, (session.local_settings, None))
    results = _trip(session, statements)
    if begins:
        del results[1]
    return results


def _trip(session: PostgresSession, statements: Sequence[tuple[str, bytes | None]]) -> list[pq.abc.PGresult]:
    send = session.pgconn.send_query_params
    return make_trip(session.pgconn, [partial(send, text.encode(), _values(parameter)) for text, parameter in statements])


def _values(parameter: bytes | None) -> list[bytes] | None:
    return None if parameter is None else [parameter]
