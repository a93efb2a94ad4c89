"""What is kept of a client that was lost, until it comes back. Pure values."""

from __future__ import annotations

from typing import Final

from scoreboard.domain.board_pages import Page, View
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import Event
from scoreboard.domain.value import Value

SESSION_KEPT_S: Final = 120


class ResumeResult(Value, frozen=True, kw_only=True):
    """How a listener that was away comes back: with what it missed, or (``missed`` None) with the top alone.

    ``missed`` are the events that bring it to the page's cursor, which all of them carry: each player's latest, and the top.
    """

    page: Page
    missed: tuple[Event, ...] | None


class RoomSubscription(Value, frozen=True, kw_only=True):
    """In the leaderboard room: since the snapshot at a cursor, told row operations or whole tops."""

    since: Cursor
    rows: bool


class Subscriptions(Value, frozen=True, kw_only=True):
    """Where a client is. One more room is one more member here, absent by default."""

    leaderboard: RoomSubscription | None = None
    views: tuple[View, ...] = ()
    spectated: tuple[str, ...] = ()


NO_SUBSCRIPTIONS = Subscriptions()


class SavedSession(Value, frozen=True, kw_only=True):
    """A client that was lost: its session's public and private id, whose it was, and where it was."""

    sid: str
    pid: str
    user_id: str
    subscriptions: Subscriptions = NO_SUBSCRIPTIONS
