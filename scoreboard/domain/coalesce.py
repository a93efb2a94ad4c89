"""Coalescing: many changes of a player become one, because only the newest matters."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, TypeVar

import msgspec

from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.standings import Standing

#: Awards of one player in one change; older ones are dropped.
AWARDS_KEPT_MAX: Final = 10

NewsBearing = TypeVar("NewsBearing", Standing, ScoreChanged)


def merge_news(earlier: NewsBearing, later: NewsBearing) -> NewsBearing:
    """Return the later, with the newest awards of both and the milestones of both."""
    return msgspec.structs.replace(
        later, awards=(earlier.awards + later.awards)[-AWARDS_KEPT_MAX:], unlocked=earlier.unlocked + later.unlocked
    )


def coalesce(earlier: ScoreChanged | None, later: ScoreChanged) -> ScoreChanged:
    """Merge two changes of a player: from the rank before the earlier to the rank after the later."""
    if earlier is None:
        return later
    return msgspec.structs.replace(merge_news(earlier, later), previous_rank=earlier.previous_rank)


def coalesce_all(changes: Iterable[ScoreChanged]) -> tuple[ScoreChanged, ...]:
    """Merge the changes of each player, in the order of each player's last change."""
    moves: dict[str, ScoreChanged] = {}
    for change in changes:
        moves[change.user_id] = coalesce(moves.pop(change.user_id, None), change)
    return tuple(moves.values())


def every_step(since: Cursor, until: Cursor, published: Collection[Cursor]) -> bool:
    """Whether all steps between two states of the board were published."""
    if since.epoch != until.epoch or until.seq - since.seq > len(published):
        return False
    return all(Cursor(epoch=until.epoch, seq=seq) in published for seq in range(since.seq + 1, until.seq + 1))
