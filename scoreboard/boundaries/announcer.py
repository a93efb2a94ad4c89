"""Announcer: publishes events to listeners, in ticks."""

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
    """How one kind of client reads events: the same event, framed once for all of its sockets."""

    def frame(self, event: Event) -> bytes:
        """The event, ready to be written to a transport of this kind."""


class Listener(Protocol):
    """One socket that watches, seen from the announcer. Methods return at once and never raise."""

    encoder: EventEncoder
    player: Player

    def offer(self, frames: bytes) -> None:
        """Hand over all that a tick owes this socket. Only called when ``drained``."""

    @property
    def drained(self) -> bool:
        """Whether all that was offered before has left this process."""

    def close(self, close_reason: CloseReason) -> None:
        """Say goodbye and close; no more is offered afterwards."""


class Announcer(Protocol):
    """The balcony: rooms and ticks. Told, not asked."""

    def enter(self, listener: Listener) -> None:
        """A socket whose player is known: from now on it hears what is the player's own."""

    def leave(self, listener: Listener) -> None:
        """The socket is gone, from every room."""

    async def join(self, listener: Listener) -> Page:
        """Into the leaderboard room; the top of the board at a cursor not older than anything the room is told later."""

    async def resume(self, listener: Listener, since: Cursor) -> ResumeResult:
        """Into the leaderboard room as `join`, by someone who has seen everything up to a cursor."""

    async def catch_up(self, listener: Listener, since: Cursor) -> tuple[Event, ...] | None:
        """The own news that a player in no room missed since a cursor; None where they are not known (any more)."""

    def quit(self, listener: Listener) -> None:
        """Out of the leaderboard room, and no view is followed any more; the player's own news still come."""

    def follow(self, listener: Listener, view: View) -> Cursor | Refusal:
        """The next tick shows the listener a view, and those after it what changes there; a cursor that none of it is older than.

        Doing it again brings another snapshot. Refused beyond four views of a listener, or 10,000 of all.
        """

    def unfollow(self, listener: Listener, view: View) -> None:
        """No more of this view."""

    def spectate(self, listener: Listener, user_id: str) -> Refusal | None:
        """From now on the listener hears of each of a player's awards, unless the player forbade it or it watches too many.

        Answered from memory. Raises StoreUnavailable while it is not known who forbade it of late.
        """

    def unspectate(self, listener: Listener, user_id: str) -> None:
        """No more of this player's awards."""

    def shut_out(self, user_id: str) -> None:
        """The player forbade spectators: all but admins are told so and hear no more."""

    def expel(self, user_id: str) -> None:
        """The player was suspended: all of the player's sockets are told so and closed."""

    def tell(self, changes: Sequence[ScoreChanged]) -> None:
        """One step of the board changed scores: the next tick sends the latest of each."""
