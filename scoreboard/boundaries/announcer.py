"""Announcer: sends events to listeners, in ticks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scoreboard.domain.board_pages import Page, View
from scoreboard.domain.close_reasons import CloseReason
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import Event, ScoreChanged
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Refusal
from scoreboard.domain.saved_session import ResumeResult


class EventEncoder(Protocol):
    """Encodes events for one kind of client. Two listeners with the same encoder get the same bytes."""

    def encode(self, events: Sequence[Event], *, more: bool = False) -> bytes:
        """Encode events that are written in one piece, in this order. ``more``: other events follow in the same piece.

        Only the last event of a piece has the cursor to resume from: a client that got a part of a piece gets all of it again.
        """


class Listener(Protocol):
    """A client that gets events, as the announcer sees it. Methods return at once and never raise."""

    encoder: EventEncoder
    player: Player

    def offer(self, frames: bytes) -> None:
        """Write all that a tick has for this client. Only called while ``drained``."""

    @property
    def drained(self) -> bool:
        """Whether all that was offered before has left this process."""

    def close(self, close_reason: CloseReason) -> None:
        """Send the reason to the client, and close. Nothing is offered afterwards."""


class Announcer(Protocol):
    """Sends the changes of the board to listeners, at most once a tick. Only calls that read the board wait."""

    def enter(self, listener: Listener) -> None:
        """Add a listener, whose player is known. It gets the events of its player."""

    def leave(self, listener: Listener) -> None:
        """Remove a listener from everything. Does nothing if it has not entered."""

    async def join(self, listener: Listener) -> Page:
        """Add a listener to the leaderboard room. Returns the top, at a cursor not older than any event that the room gets later.

        Raises StoreUnavailable, as do ``resume`` and ``catch_up``.
        """

    async def resume(self, listener: Listener, since: Cursor) -> ResumeResult:
        """Add a listener to the leaderboard room that has seen everything up to a cursor."""

    async def catch_up(self, listener: Listener, since: Cursor) -> tuple[Event, ...] | None:
        """Return what a listener in no room missed of its own events since a cursor; None if the history does not reach back."""

    def quit(self, listener: Listener) -> None:
        """Remove a listener from the leaderboard room and from all views. It still gets the events of its player."""

    def follow(self, listener: Listener, view: View) -> Cursor | Refusal:
        """Send a view with the next tick, and then its changes. Returns a cursor that none of these events is older than.

        Following a view again sends it whole. Refused beyond four views of a listener, or 10,000 views of all.
        """

    def unfollow(self, listener: Listener, view: View) -> None:
        """Send no more of this view."""

    def spectate(self, listener: Listener, user_id: str) -> Refusal | None:
        """Send each award of a player, unless the player forbids it or the listener follows too many players.

        Answered from memory. Raises StoreUnavailable while the players' settings are not known.
        """

    def unspectate(self, listener: Listener, user_id: str) -> None:
        """Send no more awards of this player."""

    def end_spectating(self, user_id: str) -> None:
        """Remove the spectators of a player that forbids them now, except admins, and notify them."""

    def close_listeners_of(self, user_id: str) -> None:
        """Notify and close all listeners of a player that was suspended."""

    def publish(self, changes: Sequence[ScoreChanged]) -> None:
        """Note the changed scores of one step of the board: the next tick sends the newest of each player."""
