"""Standings: a player's total, and the arithmetic of ranks.

A sorted set orders by one double. Ours is ``points + f`` with 0 < f ≤ ½, where f falls with the time at which the total was
reached. So ``floor`` gives the points, and of equal points the earlier ranks higher. A double leaves about 1 ms of precision for
f up to 10⁴ points, and 75 ms at 10⁶, over 20 years. At 2⁵¹ points and more, a double has no room for f: then Redis orders
players with equal points by user id, descending.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from scoreboard.domain.actions import AwardSummary
from scoreboard.domain.board_pages import Row
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.value import Value

POINTS_MAX: Final = 2**53 - 1


class Standing(Value, frozen=True, kw_only=True, omit_defaults=True):
    """A player's total in the ledger, with all that the board shows.

    ``version`` rises by one with every entry of the player. ``reached_at_ms`` is the time at which the total was reached; None
    means that the player is not on the board (no score yet, or reset). ``awards`` led to this total and ``unlocked`` these
    milestones, as far as they are known here: both are published with a change, and are not stored on the board.
    """

    user_id: str
    username: str
    avatar: str | None
    points: int
    version: int
    reached_at_ms: int | None
    updated_at_ms: int
    awards: tuple[AwardSummary, ...] = ()
    unlocked: tuple[int, ...] = ()

    def row(self, rank: int) -> Row:
        """The player's row at a rank."""
        return Row(
            rank=rank,
            user_id=self.user_id,
            username=self.username,
            avatar=self.avatar,
            points=self.points,
            updated_at_ms=self.updated_at_ms,
        )

    def score_changed(self, cursor: Cursor, rank: int | None, previous_rank: int | None) -> ScoreChanged:
        """The change that clients receive when this becomes the player's total."""
        return ScoreChanged(
            cursor=cursor,
            user_id=self.user_id,
            username=self.username,
            points=self.points,
            rank=rank,
            previous_rank=previous_rank,
            at_ms=self.updated_at_ms,
            awards=self.awards,
            unlocked=self.unlocked,
        )


#: 2025-01-01T00:00:00Z, when f begins to fall. Twenty years later it is nearly 0 and stays so.
_ORIGIN_MS: Final = 1_735_689_600_000
_SPAN_MS: Final = 20 * 365 * 86_400_000
_FRACTION_FROM: Final = 2**51

MILESTONE_RANKS: Final = (1, 3, 10, 50, 100)


def sort_score(points: int, reached_at_ms: int) -> float:
    """The sorted set's score of a total that was reached at a time. ValueError for points beyond ±(2⁵³−1)."""
    if not -POINTS_MAX <= points <= POINTS_MAX:
        raise ValueError("points beyond what a double holds exactly")
    if abs(points) >= _FRACTION_FROM:
        return float(points)
    elapsed = min(max(reached_at_ms - _ORIGIN_MS, 0), _SPAN_MS - 1)
    return points + 0.5 * (1.0 - elapsed / _SPAN_MS)


def points_of(written_score: float) -> int:
    """The points in a score of the sorted set."""
    return math.floor(written_score)


def percentile(rank: int, total: int) -> float:
    """100 × (players ranked below) / players, to one decimal: rank 45 of 310 → 85.5."""
    return round(100 * (total - rank) / total, 1)


def rank_milestone(rank: int | None, previous_rank: int | None) -> int | None:
    """The best of the ranks 1, 3, 10, 50 and 100 that this change reached, or None."""
    if rank is None:
        return None
    for mark in MILESTONE_RANKS:
        if rank <= mark:
            return mark if previous_rank is None or previous_rank > mark else None
    return None


def crossed(before: int, after: int, milestones: Sequence[int]) -> Sequence[int]:
    """The milestones m (ascending) that a total reached from below: before < m ≤ after."""
    return milestones[bisect_right(milestones, before) : bisect_right(milestones, after)]
