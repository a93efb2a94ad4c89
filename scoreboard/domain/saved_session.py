"""What is kept of a client that was lost, until it comes back. Pure values."""

from __future__ import annotations

from scoreboard.domain.values import Cursor, Value, View


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
