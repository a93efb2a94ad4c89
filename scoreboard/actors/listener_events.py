"""Events for one listener besides the board: its player's own, those of spectated players, and those that it missed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from scoreboard.domain.board_state import History
from scoreboard.domain.events import AchievementUnlocked, BoardChanged, Event, PlayerActed, RankAchieved, ScoreChanged
from scoreboard.domain.standings import rank_milestone


def player_events(change: ScoreChanged) -> Iterable[Event]:
    """Yield a player's own events of a change: the best top that the player entered, and the milestones unlocked."""
    entered = rank_milestone(change.rank, change.previous_rank)
    if entered is not None and change.rank is not None:
        yield RankAchieved(
            cursor=change.cursor,
            user_id=change.user_id,
            milestone=entered,
            rank=change.rank,
            previous_rank=change.previous_rank,
            at_ms=change.at_ms,
        )
    for points in change.unlocked:
        yield AchievementUnlocked(
            cursor=change.cursor, user_id=change.user_id, milestone=points, points=change.points, at_ms=change.at_ms
        )


def spectator_events(change: ScoreChanged) -> tuple[PlayerActed, ...]:
    """Return the spectators' events of a change: one for each of its awards."""
    return tuple(
        [
            PlayerActed(
                cursor=change.cursor,
                user_id=change.user_id,
                username=change.username,
                award=award,
                rank=change.rank,
                previous_rank=change.previous_rank,
            )
            for award in change.awards
        ]
    )


def missed(history: History, user_id: str, watched: Collection[str] = ()) -> tuple[Event, ...] | None:
    """Return what a listener in the room missed, as one tick would send it: changes that the top does not show, the top, its
    player's own events, and the awards of the players that it follows.

    Empty if nothing changed; None if the history does not reach back.
    """
    if history.changes is None:
        return None
    if not history.changes:
        return ()
    page = history.page
    shown = {row.user_id for row in page.rows}
    others = [
        msgspec.structs.replace(change, cursor=page.cursor)
        for change in history.changes
        if change.user_id != user_id and change.user_id not in shown
    ]
    return (*others, BoardChanged(page=page), *_own(history, user_id, watched))


def missed_own(history: History, user_id: str, watched: Collection[str] = ()) -> tuple[Event, ...] | None:
    """Return what a listener in no room missed: its player's own events, and the awards of the players that it follows."""
    return None if history.changes is None else tuple(_own(history, user_id, watched))


def _own(history: History, user_id: str, watched: Collection[str]) -> Iterable[Event]:
    for moved in history.changes or ():
        change = msgspec.structs.replace(moved, cursor=history.page.cursor)
        if change.user_id == user_id:
            yield change
            yield from player_events(change)
        if change.user_id in watched:
            yield from spectator_events(change)
