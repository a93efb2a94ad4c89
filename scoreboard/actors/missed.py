"""What one listener is told of news: the ranks it achieved, and all that it missed while it was away. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from scoreboard.boundaries import History
from scoreboard.domain.standings import milestone
from scoreboard.domain.values import BoardChanged, Event, RankAchieved, ScoreChanged


def achieved(change: ScoreChanged) -> Iterable[RankAchieved]:
    """The best top that a move entered, if it did."""
    reached = milestone(change.rank, change.previous_rank)
    if reached is not None and change.rank is not None:
        yield RankAchieved(
            cursor=change.cursor,
            user_id=change.user_id,
            milestone=reached,
            rank=change.rank,
            previous_rank=change.previous_rank,
            at_ms=change.at_ms,
        )


def missed(history: History, user_id: str) -> tuple[Event, ...] | None:
    """What ticks would have told a player's listener, as one tick: moves that the top does not show, the top, and the own news.

    Nothing where nothing changed; None where the history does not reach back so far.
    """
    if history.changes is None:
        return None
    if not history.changes:
        return ()
    page = history.page
    shown = {row.user_id for row in page.rows}
    events: list[Event] = []
    own: list[Event] = []
    for moved in history.changes:
        change = msgspec.structs.replace(moved, cursor=page.cursor)
        if change.user_id == user_id:
            own += [change, *achieved(change)]
        elif change.user_id not in shown:
            events.append(change)
    return (*events, BoardChanged(page=page), *own)
