"""Board pages: rows of a board at one cursor, and the views that ask for them."""

from __future__ import annotations

from typing import Final

from scoreboard.domain.cursor import Cursor
from scoreboard.domain.value import Value

#: How much of the board one may look at, whichever door one asks at.
LIMIT_DEFAULT: Final = 10

LIMIT_MAX: Final = 100

OFFSET_MAX: Final = 10_000


class Row(Value, frozen=True, kw_only=True):
    """One line of the board, rank counted from 1."""

    rank: int
    user_id: str
    username: str
    avatar: str | None
    points: int
    updated_at_ms: int


class RankRange(Value, frozen=True, kw_only=True, tag="stretch"):
    """A view of the board: ``limit`` rows from beyond the first ``offset``."""

    offset: int
    limit: int


class Around(Value, frozen=True, kw_only=True, tag="around"):
    """A view of the board: a player with ``rows`` neighbours above and below; nothing while the player is not on the board."""

    user_id: str
    rows: int


View = RankRange | Around


class Page(Value, frozen=True, kw_only=True):
    """A stretch of the board at one cursor; ``total`` counts every player on the board."""

    cursor: Cursor
    total: int
    rows: tuple[Row, ...]
    read_at_ms: int
    degraded: bool = False


class PlayerRank(Value, frozen=True, kw_only=True):
    """Where one player stands among ``total``; a player without a score has points 0 and neither rank nor time."""

    cursor: Cursor
    total: int
    points: int
    rank: int | None
    updated_at_ms: int | None
    degraded: bool = False
