"""A visitor: one client that watches, whatever carries it. Who it is, and whether it is in the room."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import msgspec

from scoreboard.boundaries.announcer import Announcer, EventEncoder
from scoreboard.boundaries.authentication import Authenticator
from scoreboard.domain.board_pages import Page, View
from scoreboard.domain.close_reasons import CloseReason
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import BoardChanged, Event, SpectatingEnded
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Reason, Refusal, unavailable
from scoreboard.domain.saved_session import NO_SUBSCRIPTIONS, ResumeResult, RoomSubscription, Subscriptions
from scoreboard.domain.value import Value
from scoreboard.net.socket_writer import FrameSink
from scoreboard.realtime.expiry import warn_of_end

Seen = TypeVar("Seen", Page, ResumeResult)
One = TypeVar("One")

#: Nobody in particular, for ever.
UNAUTHENTICATED: Final = Player(user_id="", username="", role="spectator", expires_at_s=2**53)

_WHO_ARE_YOU: Final = Refusal(reason=Reason.UNAUTHORIZED, message="Authenticate first")
_SOMEBODY_ELSE: Final = Refusal(reason=Reason.FORBIDDEN, message="The token is another player's, or of another role")
_JOINING: Final = Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message="A join is under way; wait for its answer", retry_after_s=1)


class RecoveryResult(Value, frozen=True, kw_only=True):
    """How a client that was lost is taken back: ``recovered`` if ``events`` are all that it missed, else they begin afresh."""

    recovered: bool
    events: tuple[Event, ...] = ()


_NOT_RECOVERED: Final = RecoveryResult(recovered=False)


class ClientSession:
    """Implements boundaries.Listener, and does what its client asks of the house."""

    __slots__ = (
        "_announcer",
        "_authenticator",
        "_encoders",
        "_hang_up",
        "_joining",
        "_warned_s",
        "encoder",
        "player",
        "subscriptions",
        "writer",
    )

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        announcer: Announcer,
        encoder: EventEncoder,
        writer: FrameSink,
        hang_up: Callable[[CloseReason], None],
        rows_encoder: EventEncoder | None = None,
    ) -> None:
        self.encoder = encoder
        self._encoders = (encoder, rows_encoder)
        self.player = UNAUTHENTICATED
        self.subscriptions = NO_SUBSCRIPTIONS
        self._authenticator = authenticator
        self._announcer = announcer
        self.writer = writer  # may be another one later: the same client on another connection
        self._hang_up = hang_up
        self._joining = False
        self._warned_s = 0

    @property
    def is_authenticated(self) -> bool:
        """Whether a token has proved who it is."""
        return self.player is not UNAUTHENTICATED

    def offer(self, frames: bytes) -> None:
        """Hand over all that a tick owes this client."""
        self.writer.offer(frames)

    @property
    def drained(self) -> bool:
        """Whether all that was offered before has left this process."""
        return self.writer.drained

    def close(self, close_reason: CloseReason) -> None:
        """Say goodbye and close."""
        self._hang_up(close_reason)

    def authenticate(self, token: str) -> Refusal | None:
        """Become the token's player, or go on as the same one, in the same role, until the token's end.

        What a role gave (an admin watches whom it likes) must not outlive it, so another role is for another connection.
        """
        admitted = self._authenticator.authenticate(token)
        if isinstance(admitted, Refusal):
            return admitted
        if not self.is_authenticated:
            self.player = admitted
            self._announcer.enter(self)
        elif (admitted.user_id, admitted.role) == (self.player.user_id, self.player.role):
            self.player = admitted
        else:
            return _SOMEBODY_ELSE
        return None

    def has_ended(self, wall_s: float) -> bool:
        """Whether the token has ended by a Unix time. Shortly before it does the client is told, once."""
        self._warned_s = warn_of_end(self, self._warned_s, wall_s)
        return self.player.expires_at_s <= wall_s

    @property
    def reads_rows(self) -> bool:
        """Whether its transport knows row operations."""
        return self._encoders[True] is not None

    async def join(self, *, rows: bool = False) -> Page | Refusal:
        """Into the leaderboard room, for row operations or whole tops; the top of the board to begin with."""
        page = await self._come_in(rows, self._announcer.join)
        if isinstance(page, Page):
            self.subscriptions = msgspec.structs.replace(
                self.subscriptions, leaderboard=RoomSubscription(since=page.cursor, rows=rows)
            )
        return page

    async def resume(self, since: Cursor, *, rows: bool = False) -> ResumeResult | Refusal:
        """Into the leaderboard room, with what was missed since a cursor."""
        back = await self._come_in(rows, lambda client: self._announcer.resume(client, since))
        if isinstance(back, ResumeResult):
            stay = RoomSubscription(since=back.page.cursor if back.missed is None else since, rows=rows)
            self.subscriptions = msgspec.structs.replace(self.subscriptions, leaderboard=stay)
        return back

    async def recover(self, rooms: Subscriptions, since: Cursor) -> RecoveryResult:
        """Back to where it was when it was lost, with what it missed since a cursor; its views follow, whole."""
        self.subscriptions = rooms  # all of them, should it be lost once more meanwhile
        ended = [SpectatingEnded(user_id=one) for one in rooms.spectated if self.spectate(one) is not None]
        stay = rooms.leaderboard
        recovery = await (self._catch_up(since) if stay is None else self._return(stay, since))
        for view in rooms.views:
            self._announcer.follow(self, view)
        self.subscriptions = msgspec.structs.replace(rooms, leaderboard=self.subscriptions.leaderboard)
        for one in ended:
            self.unspectate(one.user_id)
        return msgspec.structs.replace(recovery, events=(*ended, *recovery.events))

    async def _return(self, stay: RoomSubscription, since: Cursor) -> RecoveryResult:
        back = await self.resume(since, rows=stay.rows)
        if isinstance(back, Refusal):
            self.subscriptions = msgspec.structs.replace(self.subscriptions, leaderboard=None)
            return _NOT_RECOVERED
        top = BoardChanged(page=back.page, reset=back.missed is None)
        if back.missed is None:
            return RecoveryResult(recovered=False, events=(top,))
        self.subscriptions = msgspec.structs.replace(self.subscriptions, leaderboard=stay)
        if not back.missed and since <= stay.since:  # perhaps it was the snapshot of its join that was lost
            return RecoveryResult(recovered=True, events=(top,))
        return RecoveryResult(recovered=True, events=back.missed)

    async def _catch_up(self, since: Cursor) -> RecoveryResult:
        try:
            missed = await self._announcer.catch_up(self, since)
        except StoreUnavailable:
            return _NOT_RECOVERED
        return _NOT_RECOVERED if missed is None else RecoveryResult(recovered=True, events=missed)

    async def _come_in(self, rows: bool, enter: Callable[[ClientSession], Coroutine[Any, Any, Seen]]) -> Seen | Refusal:
        refusal = self._busy()
        if refusal is not None:
            return refusal
        encoder = self._encoders[rows] or self.encoder
        if encoder is not self.encoder:
            self._announcer.quit(self)  # rooms are kept by wire
            self.encoder = encoder
            for view in self.subscriptions.views:
                self._announcer.follow(self, view)
        self._joining = True
        try:
            return await enter(self)
        except StoreUnavailable:
            return unavailable("The board cannot be read now")
        finally:
            self._joining = False

    def quit(self) -> Refusal | None:
        """Out of the leaderboard room."""
        refusal = self._busy()
        if refusal is None:
            self._announcer.quit(self)
            self.subscriptions = msgspec.structs.replace(self.subscriptions, leaderboard=None, views=())
        return refusal

    def follow(self, view: View) -> Cursor | Refusal:
        """Be shown a view of the board, and what changes in it; a cursor that none of that is older than."""
        if not self.is_authenticated:
            return _WHO_ARE_YOU
        cursor = self._announcer.follow(self, view)
        if isinstance(cursor, Cursor) and view not in self.subscriptions.views:
            self.subscriptions = msgspec.structs.replace(self.subscriptions, views=(*self.subscriptions.views, view))
        return cursor

    def unfollow(self, view: View) -> Refusal | None:
        """No more of this view."""
        if not self.is_authenticated:
            return _WHO_ARE_YOU
        self._announcer.unfollow(self, view)
        self.subscriptions = msgspec.structs.replace(self.subscriptions, views=_without(view, self.subscriptions.views))
        return None

    def spectate(self, user_id: str) -> Refusal | None:
        """Hear of each of a player's awards, if the player allows it."""
        if not self.is_authenticated:
            return _WHO_ARE_YOU
        try:
            refusal = self._announcer.spectate(self, user_id)
        except StoreUnavailable:
            return unavailable("The player's settings cannot be read now")
        if refusal is None and user_id not in self.subscriptions.spectated:
            self.subscriptions = msgspec.structs.replace(self.subscriptions, spectated=(*self.subscriptions.spectated, user_id))
        return refusal

    def unspectate(self, user_id: str) -> Refusal | None:
        """No more of this player's awards."""
        if not self.is_authenticated:
            return _WHO_ARE_YOU
        self._announcer.unspectate(self, user_id)
        self.subscriptions = msgspec.structs.replace(
            self.subscriptions, spectated=_without(user_id, self.subscriptions.spectated)
        )
        return None

    def disconnected(self) -> None:
        """Nothing reaches this client any more."""
        if self.is_authenticated:
            self._announcer.leave(self)

    def _busy(self) -> Refusal | None:
        if not self.is_authenticated:
            return _WHO_ARE_YOU
        return _JOINING if self._joining else None


def _without(one: One, all_: tuple[One, ...]) -> tuple[One, ...]:
    return tuple([other for other in all_ if other != one])
