"""Events: what clients read of a board and of their own account."""

from __future__ import annotations

from scoreboard.domain.actions import AwardSummary
from scoreboard.domain.board_pages import Page, Row, View
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.value import Value


class ScoreChanged(Value, frozen=True, kw_only=True):
    """A player's total moved and the board shows it: what screens are told. See Standing for deeds and unlocked."""

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
    """The top of the board. ``before`` is what the room was told last, or None in a snapshot, which replaces whatever was seen.

    ``reset`` says that news may have been missed which nobody will tell any more.
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
    """A view of the board. ``before`` is what the viewer was told last, or None in a snapshot, which replaces it."""

    view: View
    page: Page
    before: tuple[Row, ...] | None = None


class PlayerActed(Value, frozen=True, kw_only=True):
    """A spectated player was awarded something; the ranks are those before and after all that one tick tells."""

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
    """The spectated player wants no spectators any more."""

    user_id: str


class TokenExpiring(Value, frozen=True, kw_only=True):
    """The token of whoever hears this ends soon, at ``expires_at_s``."""

    expires_at_s: int


class PlayerSuspended(Value, frozen=True, kw_only=True):
    """The account of whoever hears this was suspended."""

    user_id: str


#: What a state of the board is told by; each has a cursor.
News = ScoreChanged | BoardChanged | ViewChanged | RankAchieved | PlayerActed | AchievementUnlocked

#: What concerns one client and no state of the board.
Notice = SpectatingEnded | TokenExpiring | PlayerSuspended

Event = News | Notice


def cursor_of(event: Event) -> Cursor | None:
    """The state of the board that an event tells, if it tells one."""
    match event:
        case BoardChanged(page=page) | ViewChanged(page=page):
            return page.cursor
        case ScoreChanged() | RankAchieved() | PlayerActed() | AchievementUnlocked():
            return event.cursor
        case SpectatingEnded() | TokenExpiring() | PlayerSuspended():
            return None
