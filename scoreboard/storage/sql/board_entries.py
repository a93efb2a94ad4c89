"""Entries as boards count them, for pages of players: what fills a board in, and what checks it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, literal, literal_column, select, tuple_
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from scoreboard.domain.board_scores import Counted
from scoreboard.domain.boards import FedBoard
from scoreboard.domain.players import player_key
from scoreboard.storage.sql.board_rows import decode_definition
from scoreboard.storage.sql.tables import board_definitions, board_standings, score_transactions

#: (shard, user id): the key by which players are ordered.
PlayerKey = tuple[int, str]

_DEFINED: Final = board_definitions.c
_ENTRY: Final = score_transactions.c
_ROW: Final = board_standings.c
_FED: Final = (
    select(_DEFINED.number, _DEFINED.definition, _DEFINED.filled_through)
    .where(_DEFINED.removed_at.is_(None))
    .order_by(_DEFINED.number)
)
#: The order in which a player's entries were committed. Their times do not tell it: clocks of servers differ, and go back. Nor
#: do positions: in PostgreSQL a transaction may have its number before it locks the account. Entries from before schema 0005 are
#: older than all others, and any fixed order of them does.
_IN_ORDER: Final[tuple[Any, ...]] = (
    *(_ENTRY.ledger_shard, _ENTRY.user_id, _ENTRY.version.nulls_first()),
    *(_ENTRY.timestamp, literal_column("position"), _ENTRY.transaction_id),
)


def fed_boards(connection: Connection) -> list[FedBoard]:
    """The boards that the ledger feeds, in the order of their numbers."""
    return [
        FedBoard(
            number=number,
            definition=decode_definition(definition),
            filled_through=None if filled_through is None else player_key(filled_through),
        )
        for number, definition, filled_through in connection.execute(_FED)
    ]


def entries_of_players(connection: Connection, first: PlayerKey, last: PlayerKey) -> Iterator[tuple[str, list[Counted]]]:
    """Each player from ``first`` to ``last`` who has entries, with the entries in their order."""
    found = connection.execute(
        select(_ENTRY.user_id, _ENTRY.action_type, _ENTRY.score_awarded, _ENTRY.timestamp)
        .where(*_between(_ENTRY, first, last))
        .order_by(*_IN_ORDER)
    )
    for user_id, entries in groupby(found, key=lambda row: row.user_id):
        yield user_id, [Counted(*entry) for _, *entry in entries]


def standings_of_players(connection: Connection, numbers: set[int], first: PlayerKey, last: PlayerKey) -> Iterator[Any]:
    """The rows of these players on these boards: user id, number, bucket, score, reached at, version, actions."""
    number, bucket = -1, ""
    next_bucket = select(_ROW.board, _ROW.bucket).order_by(_ROW.board, _ROW.bucket).limit(1)
    while True:
        # One look-up a bucket: a DISTINCT would read the whole table.
        beyond = tuple_(_ROW.board, _ROW.bucket) > tuple_(literal(number), literal(bucket))
        found = connection.execute(next_bucket.where(beyond)).one_or_none()
        if found is None:
            return
        number, bucket = found
        if number in numbers:
            yield from connection.execute(
                select(_ROW.user_id, _ROW.board, _ROW.bucket, _ROW.score, _ROW.reached_at, _ROW.version, _ROW.actions).where(
                    _ROW.board == number, _ROW.bucket == bucket, *_between(_ROW, first, last)
                )
            )


def _between(columns: ReadOnlyColumnCollection[str, Any], first: PlayerKey, last: PlayerKey) -> tuple[Any, Any]:
    key = tuple_(columns.ledger_shard, columns.user_id)
    return key >= tuple_(*map(literal, first)), key <= tuple_(*map(literal, last))
