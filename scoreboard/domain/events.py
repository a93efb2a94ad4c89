"""Events of the server: what clients get about the board and about their own account."""

from __future__ import annotations

from scoreboard.domain.actions import AwardSummary
from scoreboard.domain.board_pages import Page, Row, View
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.value import Value


class ScoreChanged(Value, frozen=True, kw_only=True):
    """A player's total changed and the board shows it. ``awards`` and ``unlocked`` are those of Standing."""

    cursor: Cursor
    user_id: str
    username: str
    points: int
    rank: int | None
    previous_rank: int | None
    at_ms: int
    awards: tuple[AwardSummary, ...] = ()
    unlocked: tuple[int, ...] = ()


class BoardChanged(Value, frozen=True, kw_only=True):
    """The top of the board. ``before`` are the rows that the room was sent last; None in a snapshot, which replaces all rows.

    ``reset`` means that events may have been missed, which are not sent any more.
    """

    page: Page
    before: tuple[Row, ...] | None = None
    reset: bool = False


class RankAchieved(Value, frozen=True, kw_only=True):
    """A player entered the top ``milestone`` (100, 50, 10, 3 or 1)."""

    cursor: Cursor
    user_id: str
    milestone: int
    rank: int
    previous_rank: int | None
    at_ms: int


class ViewChanged(Value, frozen=True, kw_only=True):
    """A view of the board. ``before`` are the rows that its follower was sent last; None in a snapshot, which replaces them."""

    view: View
    page: Page
    before: tuple[Row, ...] | None = None


class PlayerActed(Value, frozen=True, kw_only=True):
    """A spectated player got an award. The ranks are those before and after all changes of one tick."""

    cursor: Cursor
    user_id: str
    username: str
    award: AwardSummary
    rank: int | None
    previous_rank: int | None


class AchievementUnlocked(Value, frozen=True, kw_only=True):
    """A player's total reached a milestone for the first time ever; ``points`` is the total now."""

    cursor: Cursor
    user_id: str
    milestone: int
    points: int
    at_ms: int


class SpectatingEnded(Value, frozen=True, kw_only=True):
    """The spectated player forbids spectators now."""

    user_id: str


class TokenExpiring(Value, frozen=True, kw_only=True):
    """The client's token ends soon, at ``expires_at_s``."""

    expires_at_s: int


class PlayerSuspended(Value, frozen=True, kw_only=True):
    """The client's account was suspended."""

    user_id: str


#: Events about a state of the board; each has a cursor.
News = ScoreChanged | BoardChanged | ViewChanged | RankAchieved | PlayerActed | AchievementUnlocked

#: Events for one client, about no state of the board.
Notice = SpectatingEnded | TokenExpiring | PlayerSuspended

Event = News | Notice


def cursor_of(event: Event) -> Cursor | None:
    """Return the state of the board that an event is about; None for a notice."""
    match event:
        case BoardChanged(page=page) | ViewChanged(page=page):
            return page.cursor
        case ScoreChanged() | RankAchieved() | PlayerActed() | AchievementUnlocked():
            return event.cursor
        case SpectatingEnded() | TokenExpiring() | PlayerSuspended():
            return None
