"""What is left of many changes when only the latest matters: one move a player."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from scoreboard.domain.values import ScoreChanged


def follow(earlier: ScoreChanged | None, later: ScoreChanged) -> ScoreChanged:
    """The one move that two of a player make: from where the player stood before the earlier to where the later leads."""
    return later if earlier is None else msgspec.structs.replace(later, previous_rank=earlier.previous_rank)


def latest(changes: Iterable[ScoreChanged]) -> tuple[ScoreChanged, ...]:
    """One move for each player, in the order of the last ones."""
    moves: dict[str, ScoreChanged] = {}
    for change in changes:
        moves[change.user_id] = follow(moves.pop(change.user_id, None), change)
    return tuple(moves.values())
