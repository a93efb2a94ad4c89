"""Board keeper: which boards the ledger feeds, and the standings of a new board, filled in from the entries page by page.

A board is filled in while awards go on. A page locks its players' accounts, folds all their entries, writes their rows and moves
the board's mark, in one transaction. An award of a player beyond the mark writes no row for this board, because the page that
comes to this player reads the award's entry. If we stop between two pages, the next server goes on from the mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, delete, func, insert, or_, select, text, tuple_, update

from scoreboard.domain.board_changes import BoardChange, changes_between
from scoreboard.domain.board_scores import BoardScore, fold
from scoreboard.domain.boards import BoardDefinition, FedBoard
from scoreboard.storage.sql.award import CLOCK_MS
from scoreboard.storage.sql.board_entries import entries_of_players, fed_boards
from scoreboard.storage.sql.board_rows import score_rows, written_definition
from scoreboard.storage.sql.postgres import statements as postgres
from scoreboard.storage.sql.session import SqlSession
from scoreboard.storage.sql.sqlite import statements as sqlite
from scoreboard.storage.sql.tables import beyond_player, board_definitions, board_standings, boards, user_scores

_DEFINED: Final = board_definitions.c
_USER: Final = user_scores.c
_EPOCH: Final = boards.c
_ROW: Final = board_standings.c
_KEY: Final = (_ROW.board, _ROW.bucket, _ROW.ledger_shard, _ROW.user_id)


class BoardKeeper(SqlSession):
    """The blocking half of boundaries.Ledger that declares boards and fills them in. The class variables are a dialect's SQL."""

    #: Waits for the end of all awards that have read the definitions, and delays those that begin.
    _LOCK_ALL: ClassVar[str]
    #: Waits for the others who declare boards or fill them in.
    _LOCK: ClassVar[str]
    _SET: ClassVar[str]

    def fed_boards(self) -> list[FedBoard]:
        """The boards that the ledger feeds beside the global one, in the order of their numbers."""
        with self.reading() as connection:
            return fed_boards(connection)

    def declare_boards(self, declared: Sequence[BoardDefinition]) -> list[BoardChange]:
        """Feed these boards and no others; returns what changed. Raises BoardCannotChange."""
        with self.reading() as connection:
            if not _changes(connection, declared)[0]:
                return []
        with self.writing() as connection:
            # An award that does not know a new board must be committed before the first page: a page cannot see the account
            # that it opens, and would pass the player. All later awards write rows of the new board.
            connection.exec_driver_sql(self._LOCK_ALL)
            changes, now_ms = _changes(connection, declared)
            numbers = {one.definition.board_id: one.number for one in fed_boards(connection)}
            for change in changes:
                _apply(connection, change, numbers, now_ms)
        return changes

    def clear_boards(self, rows_max: int) -> bool:
        """Delete at most so many rows of boards that were removed. False: there are none."""
        with self.writing() as connection:
            for number in connection.scalars(select(_DEFINED.number).where(_DEFINED.removed_at.is_not(None))).all():
                some = select(*_KEY).where(_ROW.board == number).order_by(*_KEY).limit(rows_max)
                if connection.execute(delete(board_standings).where(tuple_(*_KEY).in_(some))).rowcount:
                    return True
        return False

    def fill_boards(self, players_max: int) -> bool:
        """Fill in the standings of the next players on all boards that lack them. False: no board lacks any."""
        with self.writing() as connection:
            connection.exec_driver_sql(self._LOCK)
            lacking = {one: one.filled_through for one in fed_boards(connection) if one.filled_through is not None}
            if not lacking:
                return False
            after = min(lacking.values())
            players = connection.execute(
                select(_USER.ledger_shard, _USER.user_id)
                .where(beyond_player(_USER, after[1]))
                .order_by(_USER.ledger_shard, _USER.user_id)
                .limit(players_max)
                .with_for_update(key_share=True)
            ).all()
            scores = _scores(connection, lacking, players)
            if scores:
                connection.execute(text(self._SET), {"rows": score_rows(scores).decode()})
            through = tuple(players[-1]) if len(players) == players_max else None
            moved = [one for one, mark in lacking.items() if through is None or mark < through]
            _move_marks(connection, [one.number for one in moved], through)
            if through is None:
                _forget_epochs(connection, moved)
        return True


class PostgresBoardKeeper(BoardKeeper):
    """An award has read the definitions, so it holds a lock that only `_LOCK_ALL` waits for."""

    _LOCK_ALL = "SET LOCAL lock_timeout = 4000; LOCK TABLE board_definitions IN ACCESS EXCLUSIVE MODE"
    _LOCK = "LOCK TABLE board_definitions IN SHARE ROW EXCLUSIVE MODE"
    _SET = postgres.set_scores("CAST(:rows AS json)")


class SqliteBoardKeeper(BoardKeeper):
    """There is one writer at a time."""

    _LOCK_ALL = _LOCK = "SELECT 1"
    _SET = sqlite.set_scores(":rows")


def _changes(connection: Connection, declared: Sequence[BoardDefinition]) -> tuple[list[BoardChange], int]:
    """(what these definitions change, the ledger's time)."""
    now_ms = connection.scalars(text(f"SELECT {CLOCK_MS[connection.dialect.name]}")).one()
    return changes_between(fed_boards(connection), declared, now_ms), now_ms


def _apply(connection: Connection, change: BoardChange, numbers: dict[str, int], now_ms: int) -> None:
    board = change.definition
    columns: dict[str, Any] = {"change": _next(connection, _DEFINED.change), "definition": written_definition(board).decode()}
    if change.kind == "added":
        number = _next(connection, _DEFINED.number)
        row = {"number": number, "board_id": board.board_id, "declared_at": now_ms, "filled_through": "", **columns}
        connection.execute(insert(board_definitions).values(row))
        return
    if change.kind == "removed":
        columns["removed_at"] = now_ms
    connection.execute(update(board_definitions).where(_DEFINED.number == numbers[board.board_id]).values(columns))


def _next(connection: Connection, column: Any) -> int:
    return int(connection.scalars(select(func.coalesce(func.max(column), 0) + 1)).one())


def _scores(connection: Connection, boards: Iterable[FedBoard], players: Sequence[Any]) -> list[tuple[str, int, BoardScore]]:
    """What the entries of these players, whose accounts are locked, make of the boards."""
    if not players:
        return []
    locked = {user_id for _, user_id in players}
    return [
        (user_id, board.number, score)
        for user_id, entries in entries_of_players(connection, tuple(players[0]), tuple(players[-1]))
        if user_id in locked  # another account was opened since, and its awards have written its rows
        for board in boards
        for score in fold(board.definition, entries).values()
    ]


def _move_marks(connection: Connection, numbers: Sequence[int], through: tuple[int, str] | None) -> None:
    mark = None if through is None else through[1]
    connection.execute(update(board_definitions).where(_DEFINED.number.in_(numbers)).values(filled_through=mark))


def _forget_epochs(connection: Connection, filled: Iterable[FedBoard]) -> None:
    """Make each server build these boards anew in Redis: what is there under their names may be of other rows.

    It may be of a board that was removed, and a server that has not noticed the removal may have built it again meanwhile.
    """
    for board in filled:
        prefix = board.definition.board_id + ":"
        is_its_bucket = func.substr(_EPOCH.board_id, 1, len(prefix)) == prefix
        connection.execute(delete(boards).where(or_(_EPOCH.board_id == board.definition.board_id, is_its_bucket)))
