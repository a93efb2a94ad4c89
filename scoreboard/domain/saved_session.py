"""Saved session: what is stored of a client whose connection was lost, so that it can recover."""

from __future__ import annotations

from typing import Final

from scoreboard.domain.board_pages import Page, View
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import Event
from scoreboard.domain.value import Value

SESSION_KEPT_S: Final = 120


class ResumeResult(Value, frozen=True, kw_only=True):
    """Result of a resume: the top, and the events that were missed; None if the history does not reach back.

    All events of ``missed`` carry the page's cursor: the newest change of each player, and the top.
    """

    page: Page
    missed: tuple[Event, ...] | None


class RoomSubscription(Value, frozen=True, kw_only=True):
    """Membership of the leaderboard room, since the snapshot at a cursor, with row operations or whole tops."""

    since: Cursor
    rows: bool


class Subscriptions(Value, frozen=True, kw_only=True):
    """Subscriptions of a client. A new kind of room is a new field, absent by default."""

    leaderboard: RoomSubscription | None = None
    views: tuple[View, ...] = ()
    spectated: tuple[str, ...] = ()


NO_SUBSCRIPTIONS = Subscriptions()


class SavedSession(Value, frozen=True, kw_only=True):
    """Session of a client: its public and its private id, its player, and its subscriptions."""

    sid: str
    pid: str
    user_id: str
    subscriptions: Subscriptions = NO_SUBSCRIPTIONS
