"""Board pages: rows of a board at one cursor, and views, which say which rows."""

from __future__ import annotations

from typing import Final

from scoreboard.domain.cursor import Cursor
from scoreboard.domain.value import Value

#: The limits of what one call may read. All interfaces have these limits.
LIMIT_DEFAULT: Final = 10
LIMIT_MAX: Final = 100
OFFSET_MAX: Final = 10_000
#: Rows of the top of the board, which the room is sent.
TOP_ROWS: Final = 10


class Row(Value, frozen=True, kw_only=True):
    """One row of a board. Ranks begin at 1."""

    rank: int
    user_id: str
    username: str
    avatar: str | None
    points: int
    updated_at_ms: int


class RankRange(Value, frozen=True, kw_only=True, tag="stretch"):
    """A view of ``limit`` rows after the first ``offset``."""

    offset: int
    limit: int


class Around(Value, frozen=True, kw_only=True, tag="around"):
    """A view of a player with ``rows`` neighbours above and below. It is empty while the player is not on the board."""

    user_id: str
    rows: int


View = RankRange | Around


class Page(Value, frozen=True, kw_only=True):
    """Rows of the board at one cursor. ``total`` counts all players on the board. ``degraded``: the ledger answered."""

    cursor: Cursor
    total: int
    rows: tuple[Row, ...]
    read_at_ms: int
    degraded: bool = False


class PlayerRank(Value, frozen=True, kw_only=True):
    """A player's rank among ``total`` players. A player without a score has 0 points and neither rank nor time."""

    cursor: Cursor
    total: int
    points: int
    rank: int | None
    updated_at_ms: int | None
    degraded: bool = False
