"""Native protocol over WebSocket: one JSON object a text message (docs/protocol-live.md)."""

from __future__ import annotations

import codecs
import re
from collections.abc import Awaitable, Sequence
from typing import Annotated, Final

import msgspec
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from typing_extensions import override

from scoreboard.boundaries.announcer import EventEncoder
from scoreboard.domain.close_reasons import ACCOUNT_SUSPENDED, BAD_TOKEN, SERVER_FAULT, TOKEN_ENDED, TOO_MANY_EVENTS
from scoreboard.domain.events import Event
from scoreboard.domain.limits import TokenBucket
from scoreboard.domain.refusals import Reason, Refusal, Refused, malformed
from scoreboard.net.websocket.connection import Stage, WebSocketConnection, WebSocketFactory
from scoreboard.net.websocket.frames import text_frame
from scoreboard.realtime.client_session import ClientSession
from scoreboard.realtime.payloads import name_and_payload, refusal_payload
from scoreboard.realtime.requests import Reply, RequestResult, ask, decoded
from scoreboard.realtime.services import LiveServices


class NativeEncoder(EventEncoder):
    """Encodes an event as ``{"event": …, "data": …}``. With ``rows``, a top is row operations where the top before is known."""

    def __init__(self, *, rows: bool = False) -> None:
        self._rows = rows

    @override
    def encode(self, events: Sequence[Event], *, more: bool = False) -> bytes:
        named = [name_and_payload(event, rows=self._rows) for event in events]
        return b"".join([text_frame(b'{"event":"%b","data":%b}' % one) for one in named])

    def ack(self, number: int, data: bytes) -> bytes:
        """Encode the answer (JSON) to the message with this id."""
        return text_frame(b'{"event":"ack","id":%d,"data":%b}' % (number, data))

    def refuse(self, refusal: Refusal, number: int | None) -> bytes:
        """Encode a refusal, with the id of the message that it answers if that had one."""
        tail = b"}" if number is None else b',"id":%d}' % number
        return text_frame(b'{"event":"error","data":%b%b' % (refusal_payload(refusal), tail))


_SLOW_DOWN: Final = Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message="Too many events a second", retry_after_s=1)
#: What a client of Socket.IO sends: the type of a packet, and JSON.
_SOCKET_IO_PACKET: Final = re.compile(rb"4[0-6]\d*[\[{]")
_SOCKET_IO: Final = malformed("message", "is a packet of Socket.IO; its clients connect to /socket.io/")
#: A refusal of a first token closes the connection: another token of the same client would be refused as well.
_CLOSED_FOR: Final = {Reason.INVALID_TOKEN: BAD_TOKEN, Reason.FORBIDDEN: ACCOUNT_SUSPENDED}
#: Shared by all connections: the announcer encodes an event once for each encoder.
_ENCODER: Final = NativeEncoder()
_ROWS_ENCODER: Final = NativeEncoder(rows=True)


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    event: Annotated[str, msgspec.Meta(max_length=64)]
    data: msgspec.Raw = msgspec.Raw()
    id: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None


_message = msgspec.json.Decoder(_Message)


class NativeSocket(WebSocketConnection):
    """Connection that speaks the native protocol."""

    factory: NativeFactory

    def connectionMade(self) -> None:
        """Take the transport."""
        super().connectionMade()
        factory = self.factory
        self._events = TokenBucket()
        self._client = ClientSession(
            authenticator=factory.services.authenticator,
            announcer=factory.services.announcer,
            encoder=_ENCODER,
            rows_encoder=_ROWS_ENCODER,
            writer=self.writer,
            close=self.close,
        )

    @property
    def is_authenticated(self) -> bool:
        """Whether a token has proved the player."""
        return self._client.is_authenticated

    def authenticate(self, token: str | None) -> Refusal | None:
        """Check the token of the handshake. Without one the client has some time for the event ``auth``."""
        return None if token is None else self._client.authenticate(token)

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """Close the connection if its token has ended, and do what else is due."""
        if self.state == self.STATE_OPEN and self._client.has_ended(wall_s):
            self.close(TOKEN_ENDED)
        super().check_deadlines(now_s, wall_s)

    def message_received(self, message: bytes) -> None:
        """Handle a whole text message."""
        factory = self.factory
        if not self._events.hit(factory.events, 1, int(factory.clock.seconds() * 1000))[0]:
            self._answer(_SLOW_DOWN, None)
            self.close(TOO_MANY_EVENTS)
            return
        try:
            wanted = decoded(_message, message.removeprefix(codecs.BOM_UTF8), "message")
        except Refused as refused:
            self._answer(_SOCKET_IO if _SOCKET_IO_PACKET.match(message) else refused.refusal, None)
            return
        result = ask(self._client, wanted.event, wanted.data)
        if isinstance(result, Reply | Refusal):
            self._answer(result, wanted.id)
        else:
            factory.services.run("native_event", self._answer_later(result, wanted.id), lambda: self.close(SERVER_FAULT))

    def disconnected(self) -> None:
        """Note that nothing reaches the client any more."""
        self._client.disconnected()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection. Its session refers to it; without this, both would wait for the garbage collector."""
        super().connectionLost(reason)
        del self._client

    def _answer(self, result: RequestResult, number: int | None) -> None:
        if self.state != self.STATE_OPEN:
            return
        if isinstance(result, Refusal):
            self.reply(_ENCODER.refuse(result, number))
            if not self.is_authenticated and result.reason in _CLOSED_FOR:
                self.close(_CLOSED_FOR[result.reason])
            return
        if self.stage is Stage.UNAUTHENTICATED:  # it has a player now: only ``auth`` is answered without one
            self.set_idle_deadline()
        frames = b"" if number is None else _ENCODER.ack(number, result.data)
        frames += _ENCODER.encode(result.events)
        if frames:
            self.reply(frames)

    async def _answer_later(self, result: Awaitable[RequestResult], number: int | None) -> None:
        self._answer(await result, number)


class NativeFactory(WebSocketFactory):
    """Factory of native connections."""

    protocol = NativeSocket  # type: ignore[assignment]  # Twisted wants a callable that returns one; a class is

    def __init__(self, services: LiveServices) -> None:
        super().__init__(services)
        self.services = services
        self.events = services.limits.events
