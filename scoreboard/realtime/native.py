"""The native protocol: one JSON object a text message. What comes in becomes calls on a visitor (docs/protocol-live.md)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from scoreboard.boundaries.announcer import Announcer
from scoreboard.boundaries.authentication import Authenticator
from scoreboard.domain.close_reasons import ACCOUNT_SUSPENDED, BAD_TOKEN, SERVER_FAULT, TOKEN_ENDED, TOO_MANY_EVENTS
from scoreboard.domain.limits import RateVerdict, TokenBucket
from scoreboard.domain.refusals import Reason, Refusal, Refused
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.limits import LiveLimits
from scoreboard.net.websocket.connection import Stage, WebSocketConnection, WebSocketFactory
from scoreboard.realtime.client_session import ClientSession
from scoreboard.realtime.native_encoder import NativeEncoder, NativeRowsEncoder
from scoreboard.realtime.requests import Reply, RequestResult, ask, decoded

_SLOW_DOWN: Final = Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message="Too many events a second", retry_after_s=1)
#: Why a first token closes the socket; another first token would say the same.
_NO_ENTRY: Final = {Reason.INVALID_TOKEN: BAD_TOKEN, Reason.FORBIDDEN: ACCOUNT_SUSPENDED}
#: One for all sockets: the announcer frames an event once for each wire that it meets.
_ENCODER: Final = NativeEncoder()
_ROWS_ENCODER: Final = NativeRowsEncoder()


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    event: Annotated[str, msgspec.Meta(max_length=64)]
    data: msgspec.Raw = msgspec.Raw()
    id: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None


_message = msgspec.json.Decoder(_Message)


class NativeSocket(WebSocketConnection):
    """One socket that speaks the native protocol."""

    factory: NativeFactory
    _log = Logger()

    def connectionMade(self) -> None:
        """The transport is ours."""
        super().connectionMade()
        factory = self.factory
        self._events = TokenBucket()
        self._client = ClientSession(
            authenticator=factory.authenticator,
            announcer=factory.announcer,
            encoder=_ENCODER,
            rows_encoder=_ROWS_ENCODER,
            writer=self.writer,
            hang_up=self.close,
        )

    @property
    def is_authenticated(self) -> bool:
        """Whether a token has proved who it is."""
        return self._client.is_authenticated

    def authenticate(self, token: str | None) -> Refusal | None:
        """A token in the handshake is judged there; without one there is time for the event ``auth``."""
        return None if token is None else self._client.authenticate(token)

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """The lobby's sweep: has the token ended, is anything else due?"""
        if self.state == self.STATE_OPEN and self._client.has_ended(wall_s):
            self.close(TOKEN_ENDED)
        super().check_deadlines(now_s, wall_s)

    def message_received(self, message: bytes) -> None:
        """A whole text message came."""
        factory = self.factory
        if not self._events.hit(factory.events, 1, int(factory.clock.seconds() * 1000))[0]:
            self._answer(_SLOW_DOWN, None)
            self.close(TOO_MANY_EVENTS)
            return
        try:
            wanted = decoded(_message, message, "message")
        except Refused as refused:
            self._answer(refused.refusal, None)
            return
        result = ask(self._client, wanted.event, wanted.data)
        if isinstance(result, Reply | Refusal):
            self._answer(result, wanted.id)
        else:
            ensureDeferred(result).addCallback(self._answer, wanted.id).addErrback(self._failed)

    def disconnected(self) -> None:
        """Nothing reaches the client any more."""
        self._client.disconnected()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone; the circle of socket and visitor is broken, so that neither waits for the garbage collector."""
        super().connectionLost(reason)
        del self._client

    def _answer(self, result: RequestResult, number: int | None) -> None:
        if self.state != self.STATE_OPEN:
            return
        if isinstance(result, Refusal):
            self.reply(_ENCODER.refuse(result, number))
            if not self.is_authenticated and result.reason in _NO_ENTRY:
                self.close(_NO_ENTRY[result.reason])
            return
        if self.stage is Stage.UNAUTHENTICATED:  # not any more: nothing else is done for strangers
            self.set_idle_deadline()
        frames = b"" if number is None else _ENCODER.ack(number, result.data)
        frames += b"".join(map(_ENCODER.frame, result.missed))
        if result.event is not None:
            frames += _ENCODER.frame(result.event)
        if frames:
            self.reply(frames)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("an event could not be answered", failure=failure)
        self.close(SERVER_FAULT)


class NativeFactory(WebSocketFactory):
    """Makes native sockets; see ShellFactory for what it takes besides."""

    protocol = NativeSocket  # type: ignore[assignment]  # Twisted wants a callable that returns one; a class is

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        announcer: Announcer,
        registry: ConnectionRegistry,
        settings: LiveLimits,
        clock: IReactorTime,
        address_of: Callable[[str, str | None], str],
        check_rate: Callable[[str], Awaitable[RateVerdict]] | None = None,
    ) -> None:
        super().__init__(registry=registry, settings=settings, clock=clock, address_of=address_of, check_rate=check_rate)
        self.authenticator = authenticator
        self.announcer = announcer
        self.events = settings.events
