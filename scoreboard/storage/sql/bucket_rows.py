"""Rows of a bucket: the standings of one bucket of a board, with the columns that ``user_scores`` has for the global board."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import FromClause, text

from scoreboard.domain.boards import BoardBucket
from scoreboard.storage.sql.tables import user_scores

#: Parameters: ``board_id`` and ``bucket``. A board that is being filled in has no rows here yet. The number is found once, so the
#: rows come in the order of the table's key.
_ROWS: Final = """
    SELECT s.ledger_shard, s.user_id, u.username, u.avatar, s.score, s.version, s.reached_at,
        coalesce(s.reached_at, u.last_updated) AS last_updated
    FROM board_standings AS s JOIN user_scores AS u ON u.ledger_shard = s.ledger_shard AND u.user_id = s.user_id
    WHERE s.board = (SELECT number FROM board_definitions
        WHERE board_id = :board_id AND removed_at IS NULL AND filled_through IS NULL)
        AND s.bucket = :bucket
"""
_U: Final = user_scores.c
_TYPED: Final = text(_ROWS).columns(
    _U.ledger_shard, _U.user_id, _U.username, _U.avatar, _U.score, _U.version, _U.reached_at, _U.last_updated
)


def rows_of(bucket: BoardBucket) -> FromClause:
    """The rows for a query of SQLAlchemy."""
    if bucket.is_global:
        return user_scores
    return _TYPED.bindparams(**parameters_of(bucket)).subquery("standings")


def text_of(bucket: BoardBucket) -> str:
    """The rows for a query in SQL, which has the parameters of `parameters_of`."""
    return "user_scores" if bucket.is_global else f"({_ROWS}) AS standings"


def parameters_of(bucket: BoardBucket) -> dict[str, Any]:
    """The parameters of `text_of`."""
    return {} if bucket.is_global else {"board_id": bucket.board_id, "bucket": bucket.bucket}
