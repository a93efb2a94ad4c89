"""Session of one live client, whatever its transport: its player, its encoder, and what it subscribed to."""

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

Joined = TypeVar("Joined", Page, ResumeResult)

#: Player of a session without a token.
UNAUTHENTICATED: Final = Player(user_id="", username="", role="spectator", expires_at_s=2**53)

_NO_PLAYER: Final = Refusal(reason=Reason.UNAUTHORIZED, message="Authenticate first")
_OTHER_PLAYER: Final = Refusal(reason=Reason.FORBIDDEN, message="The token is another player's, or of another role")
_JOINING: Final = Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message="A join is under way; wait for its answer", retry_after_s=1)


class RecoveryResult(Value, frozen=True, kw_only=True):
    """Result of a recovery: if ``recovered``, ``events`` are all that the client missed, else the state that it begins with."""

    recovered: bool
    events: tuple[Event, ...] = ()


_NOT_RECOVERED: Final = RecoveryResult(recovered=False)


class ClientSession:
    """Implements Listener, and carries out the requests of its client. ``writer`` changes with the client's transport."""

    __slots__ = (
        "_announcer",
        "_authenticator",
        "_close",
        "_encoders",
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
        close: Callable[[CloseReason], None],
        rows_encoder: EventEncoder | None = None,
    ) -> None:
        self.encoder = encoder
        self._encoders = (encoder, rows_encoder)
        self.player = UNAUTHENTICATED
        self.subscriptions = NO_SUBSCRIPTIONS
        self._authenticator = authenticator
        self._announcer = announcer
        self.writer = writer
        self._close = close
        self._joining = False
        self._warned_s = 0

    @property
    def is_authenticated(self) -> bool:
        """Whether a token has proved the player."""
        return self.player is not UNAUTHENTICATED

    def offer(self, frames: bytes) -> None:
        """Write all that a tick has for this client."""
        self.writer.offer(frames)

    @property
    def drained(self) -> bool:
        """Whether all that was offered before has left this process."""
        return self.writer.drained

    def close(self, close_reason: CloseReason) -> None:
        """Tell the client why, and close."""
        self._close(close_reason)

    def authenticate(self, token: str) -> Refusal | None:
        """Take the player of a token; or its later end, if the session has the same player in the same role.

        The rights of a role (an admin may follow every player) must not outlive it, so another role needs another connection.
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
            return _OTHER_PLAYER
        return None

    def has_ended(self, wall_s: float) -> bool:
        """Whether the token has ended at a Unix time. The client gets one warning shortly before."""
        self._warned_s = warn_of_end(self, self._warned_s, wall_s)
        return self.player.expires_at_s <= wall_s

    @property
    def reads_rows(self) -> bool:
        """Whether its protocol has row operations."""
        return self._encoders[True] is not None

    async def join(self, *, rows: bool = False) -> Page | Refusal:
        """Join the leaderboard room, for row operations or whole tops. Returns the top."""
        page = await self._enter_room(rows, self._announcer.join)
        if isinstance(page, Page):
            self._subscribe(leaderboard=RoomSubscription(since=page.cursor, rows=rows))
        return page

    async def resume(self, since: Cursor, *, rows: bool = False) -> ResumeResult | Refusal:
        """Join the leaderboard room, and return what was missed since a cursor."""
        back = await self._enter_room(rows, lambda client: self._announcer.resume(client, since))
        if isinstance(back, ResumeResult):
            seen = back.page.cursor if back.missed is None else since
            self._subscribe(leaderboard=RoomSubscription(since=seen, rows=rows))
        return back

    async def recover(self, saved: Subscriptions, since: Cursor) -> RecoveryResult:
        """Take the subscriptions of a saved session, and return what was missed since a cursor. Views begin whole."""
        self.subscriptions = saved  # all of them, in case the connection is lost once more meanwhile
        ended = [SpectatingEnded(user_id=one) for one in saved.spectated if self.spectate(one) is not None]
        room = saved.leaderboard
        recovery = await (self._catch_up(since) if room is None else self._return(room, since))
        for view in saved.views:
            self._announcer.follow(self, view)
        self.subscriptions = msgspec.structs.replace(saved, leaderboard=self.subscriptions.leaderboard)
        for one in ended:
            self.unspectate(one.user_id)
        return msgspec.structs.replace(recovery, events=(*ended, *recovery.events))

    async def _return(self, room: RoomSubscription, since: Cursor) -> RecoveryResult:
        back = await self.resume(since, rows=room.rows)
        if isinstance(back, Refusal):
            self._subscribe(leaderboard=None)
            return _NOT_RECOVERED
        top = BoardChanged(page=back.page, reset=back.missed is None)
        if back.missed is None:
            return RecoveryResult(recovered=False, events=(top,))
        self._subscribe(leaderboard=room)
        if not back.missed and since <= room.since:  # perhaps the snapshot of its join was lost
            return RecoveryResult(recovered=True, events=(top,))
        return RecoveryResult(recovered=True, events=back.missed)

    async def _catch_up(self, since: Cursor) -> RecoveryResult:
        try:
            missed = await self._announcer.catch_up(self, since)
        except StoreUnavailable:
            return _NOT_RECOVERED
        return _NOT_RECOVERED if missed is None else RecoveryResult(recovered=True, events=missed)

    async def _enter_room(self, rows: bool, enter: Callable[[ClientSession], Coroutine[Any, Any, Joined]]) -> Joined | Refusal:
        refusal = self._busy()
        if refusal is not None:
            return refusal
        encoder = self._encoders[rows] or self.encoder
        if encoder is not self.encoder:
            self._announcer.quit(self)  # the room groups its members by encoder
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
        """Leave the leaderboard room and all views."""
        refusal = self._busy()
        if refusal is None:
            self._announcer.quit(self)
            self._subscribe(leaderboard=None, views=())
        return refusal

    def follow(self, view: View) -> Cursor | Refusal:
        """Follow a view. Returns a cursor that none of its events is older than."""
        if not self.is_authenticated:
            return _NO_PLAYER
        cursor = self._announcer.follow(self, view)
        if isinstance(cursor, Cursor) and view not in self.subscriptions.views:
            self._subscribe(views=(*self.subscriptions.views, view))
        return cursor

    def unfollow(self, view: View) -> Refusal | None:
        """Follow a view no longer."""
        if not self.is_authenticated:
            return _NO_PLAYER
        self._announcer.unfollow(self, view)
        self._subscribe(views=tuple([one for one in self.subscriptions.views if one != view]))
        return None

    def spectate(self, user_id: str) -> Refusal | None:
        """Follow the awards of a player, if the player allows it."""
        if not self.is_authenticated:
            return _NO_PLAYER
        try:
            refusal = self._announcer.spectate(self, user_id)
        except StoreUnavailable:
            return unavailable("The player's settings cannot be read now")
        if refusal is None and user_id not in self.subscriptions.spectated:
            self._subscribe(spectated=(*self.subscriptions.spectated, user_id))
        return refusal

    def unspectate(self, user_id: str) -> Refusal | None:
        """Follow the awards of a player no longer."""
        if not self.is_authenticated:
            return _NO_PLAYER
        self._announcer.unspectate(self, user_id)
        self._subscribe(spectated=tuple([one for one in self.subscriptions.spectated if one != user_id]))
        return None

    def disconnected(self) -> None:
        """Note that nothing reaches this client any more."""
        if self.is_authenticated:
            self._announcer.leave(self)

    def _busy(self) -> Refusal | None:
        if not self.is_authenticated:
            return _NO_PLAYER
        return _JOINING if self._joining else None

    def _subscribe(self, **changed: Any) -> None:
        self.subscriptions = msgspec.structs.replace(self.subscriptions, **changed)
