"""What is left of many changes when only the latest matters: one move a player."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, TypeVar

import msgspec

from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.standings import Standing

#: Of a player's deeds so many of the latest are told together.
AWARDS_KEPT_MAX: Final = 10


NewsBearing = TypeVar("NewsBearing", Standing, ScoreChanged)


def merge_news(earlier: NewsBearing, later: NewsBearing) -> NewsBearing:
    """The later, with the latest deeds of both and every milestone."""
    return msgspec.structs.replace(
        later, awards=(earlier.awards + later.awards)[-AWARDS_KEPT_MAX:], unlocked=earlier.unlocked + later.unlocked
    )


def coalesce(earlier: ScoreChanged | None, later: ScoreChanged) -> ScoreChanged:
    """The one move that two of a player make: from where the player stood before the earlier to where the later leads."""
    if earlier is None:
        return later
    return msgspec.structs.replace(merge_news(earlier, later), previous_rank=earlier.previous_rank)


def coalesce_all(changes: Iterable[ScoreChanged]) -> tuple[ScoreChanged, ...]:
    """One move for each player, in the order of the last ones."""
    moves: dict[str, ScoreChanged] = {}
    for change in changes:
        moves[change.user_id] = coalesce(moves.pop(change.user_id, None), change)
    return tuple(moves.values())


def every_step(since: Cursor, until: Cursor, published: Collection[Cursor]) -> bool:
    """Whether every step between two states of the board is among those that were told."""
    if since.epoch != until.epoch or until.seq - since.seq > len(published):
        return False
    return all(Cursor(epoch=until.epoch, seq=seq) in published for seq in range(since.seq + 1, until.seq + 1))
