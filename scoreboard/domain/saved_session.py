"""Saved session: what the server keeps of a client whose connection was lost, until it reconnects."""

from __future__ import annotations

from typing import Final

import msgspec

from scoreboard.domain.board_pages import Page, View
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import Event
from scoreboard.domain.value import Value

SESSION_KEPT_S: Final = 120


class ResumeResult(Value, frozen=True, kw_only=True):
    """The result of a resume: the missed events, or (``missed`` None) only the top.

    ``missed`` are the last event of each player, and the top. All have the cursor of the page.
    """

    page: Page
    missed: tuple[Event, ...] | None


class RoomSubscription(Value, frozen=True, kw_only=True):
    """A subscription to the leaderboard room since the snapshot at a cursor, with row operations or whole tops."""

    since: Cursor
    rows: bool


class Subscriptions(Value, frozen=True, kw_only=True):
    """The subscriptions of a client. A new kind of room becomes a new member here, with None as its default."""

    leaderboard: RoomSubscription | None = None
    views: tuple[View, ...] = ()
    spectated: tuple[str, ...] = ()


NO_SUBSCRIPTIONS = Subscriptions()


class SavedSession(Value, frozen=True, kw_only=True):
    """The session of a lost client: its public and private id, its player, and its subscriptions.

    Redis keeps it as JSON under these names for servers of other releases too, so the names there never change: the subscriptions
    are called ``rooms``.
    """

    sid: str
    pid: str
    user_id: str
    subscriptions: Subscriptions = msgspec.field(name="rooms", default=NO_SUBSCRIPTIONS)
