"""Boards: which rankings there are, and what counts for each. Pure."""

from __future__ import annotations

from typing import Final, Literal

from scoreboard.domain.periods import AllTime, Bucket, Period
from scoreboard.domain.value import Value

ScoreKind = Literal["sum", "best", "latest", "count"]


class BoardBucket(Value, frozen=True, kw_only=True):
    """One bucket of one board: what has a ranking, an epoch and keys of its own. ``bucket`` is "" on a board without a period."""

    board_id: str
    bucket: str = ""

    @property
    def key(self) -> str:
        """The name in keys of Redis and rows of SQL: ``global``, ``daily:2026-11-25``."""
        return f"{self.board_id}:{self.bucket}" if self.bucket else self.board_id

    @property
    def is_global(self) -> bool:
        """Whether it is the board of all points. The ledger keeps its standings with the accounts, and answers do not name it."""
        return self == GLOBAL_BOARD


class BoardDefinition(Value, frozen=True, kw_only=True):
    """What makes one board another than the rest.

    ``counts`` are the action types that count; None: all. ``keep_closed`` closed buckets stay in Redis.
    """

    board_id: str
    title: str
    score: ScoreKind = "sum"
    counts: frozenset[str] | None = None
    period: Period = AllTime()
    keep_closed: int = 0

    def key_of(self, bucket: Bucket) -> BoardBucket:
        """One of its buckets, as what has a ranking of its own."""
        return BoardBucket(board_id=self.board_id, bucket=bucket.name)

    def counts_for(self, action_type: str) -> bool:
        """Whether an action of this type changes the board."""
        return self.counts is None or action_type in self.counts


class FedBoard(Value, frozen=True, kw_only=True):
    """A board that the ledger feeds, with its number there.

    ``filled_through`` is None once the standings of all players were filled in; else it is the key (shard, user id) of the last
    player who was. Until then the rows of players after that one may lack older awards, and the board is not read.
    """

    number: int
    definition: BoardDefinition
    filled_through: tuple[int, str] | None = None


GLOBAL_BOARD: Final = BoardBucket(board_id="global")
#: The board that is meant where none is named.
DEFAULT_BOARD: Final = GLOBAL_BOARD.board_id
#: The specification's names of periods, and the boards that they mean.
BOARD_OF_PERIOD: Final = {"daily": "daily", "weekly": "weekly", "monthly": "monthly", "alltime": DEFAULT_BOARD}
