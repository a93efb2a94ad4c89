"""WebSocket connection: admission, the deadlines of its stages, the rate of its frames, and its close.

A connection has no timers: the registry's sweep checks its deadlines. What a client does not read stays in the transport, and
meanwhile nothing is read from that client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory
from autobahn.websocket.types import ConnectionDeny
from autobahn.websocket.types import ConnectionRequest as ConnectionRequest
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from scoreboard.domain.close_reasons import ANSWERS_NOT_READ, NO_TOKEN, NOT_READ, TOO_MANY_FRAMES, CloseReason
from scoreboard.domain.limits import TokenBucket
from scoreboard.domain.refusals import Refusal, Refused
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.http.cors import cors
from scoreboard.net.http.refusals import STATUS, refused
from scoreboard.net.http.response import Response
from scoreboard.net.http.slow_down import SlowDown
from scoreboard.net.limits import LiveLimits
from scoreboard.net.socket_writer import SocketWriter
from scoreboard.net.websocket.frames import PING, close_frame
from scoreboard.net.websocket.handshake import check_handshake, refusal_of, refused_handshake
from scoreboard.net.websocket.slim import SlimWebSocketProtocol


class Stage(Enum):
    """The stage of a connection. Each stage has a deadline; ``_deadline_passed`` says what happens then."""

    HANDSHAKE = auto()
    UNAUTHENTICATED = auto()
    OPEN = auto()
    PINGED = auto()
    WRITE_BLOCKED = auto()  # the client does not read a response, so nothing more is read from it
    CLOSING = auto()


class WebSocketConnection(SlimWebSocketProtocol):
    """One WebSocket connection. Subclasses handle its token, its messages and its end."""

    factory: WebSocketFactory

    #: Why the server closed it; None while it is open, and if the server did not close it.
    close_reason: CloseReason | None = None
    _refusal: Refusal | None = None
    _ignored_bytes = 0

    def __init__(self) -> None:
        super().__init__()
        self._frames = TokenBucket()

    # For subclasses

    @property
    def is_authenticated(self) -> bool:
        """Whether the client has authenticated."""
        return True

    def check_handshake(self, request: ConnectionRequest) -> str | None:
        """The token in a valid handshake, or None. Raises Refused."""
        return check_handshake(request.path, request.params, request.headers, self.factory.cors)

    def refusal_response(self, refusal: Refusal, status: int) -> Response:
        """The response to a refused handshake."""
        return refused(refusal, status=status)

    def authenticate(self, token: str | None) -> Refusal | None:
        """Accept the token of the handshake, or return the refusal. From now on ``disconnected`` will be called."""

    def disconnected(self) -> None:
        """Release what the connection holds: nothing reaches the client any more. It may be called again."""

    # Connection

    def connectionMade(self) -> None:
        """Twisted: connected, or taken over from HTTP."""
        self.writer = SocketWriter(self.transport)
        self.message_bytes_max = self.factory.limits.message_bytes_max
        if not isinstance(self.transport.getPeer(), UNIXAddress):
            self.transport.setTcpNoDelay(True)
        self._set_stage(Stage.HANDSHAKE, self.factory.limits.handshake_timeout_s)
        if not self.factory.registry.add(self):
            self.state = self.STATE_CLOSED  # otherwise the request that WebSocketResource hands over next would be answered
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Twisted: bytes from the client."""
        if self.state == self.STATE_CLOSED:
            self._ignored_bytes += len(data)
            if self._ignored_bytes > self.factory.limits.ignored_bytes_max:
                self.transport.pauseProducing()  # an abort could make the client lose our close frame; the deadline aborts
            return
        if self.stage is Stage.PINGED:
            self.set_idle_deadline()
        self.data += data
        if self.state == self.STATE_CONNECTING and len(self.data) > self.factory.limits.handshake_bytes_max:
            self.failHandshake("The request is too big", 431)
        self.consumeData()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the connection is lost."""
        self.state = self.STATE_CLOSED
        self.disconnected()
        self.factory.registry.remove(self)

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """Do what is due. The registry's sweep calls this once a second."""
        if self._deadline_s <= now_s:
            self._deadline_passed()
        elif self.state == self.STATE_OPEN and self.writer.unread_s(now_s) >= self.factory.limits.read_timeout_s:
            self.factory.registry.note_slow()
            self.close(NOT_READ)

    def _deadline_passed(self) -> None:
        match self.stage:
            case Stage.HANDSHAKE | Stage.PINGED | Stage.CLOSING:
                self.transport.abortConnection()
            case Stage.UNAUTHENTICATED:
                self.close(NO_TOKEN)
            case Stage.WRITE_BLOCKED:
                self.close(ANSWERS_NOT_READ)
            case Stage.OPEN:
                self._set_stage(Stage.PINGED, self.factory.limits.ping_timeout_s)
                if self.writer.drained:  # while data is unsent, TCP itself finds out whether the peer is alive
                    self.writer.offer(PING)

    def set_idle_deadline(self) -> None:
        """Set the deadline of a client that has just sent something: for authentication, or for the next ping."""
        limits = self.factory.limits
        if self.is_authenticated:
            self._set_stage(Stage.OPEN, limits.ping_interval_s)
        else:
            self._set_stage(Stage.UNAUTHENTICATED, limits.auth_timeout_s)

    def _set_stage(self, stage: Stage, seconds: float) -> None:
        self.stage = stage
        self._deadline_s = self.factory.clock.seconds() + seconds

    # Handshake

    def onConnect(  # type: ignore[override]  # Autobahn waits for a Deferred, its signature does not say so
        self, request: ConnectionRequest
    ) -> Deferred[None] | None:
        """Autobahn: admit a valid request. Raises ConnectionDeny."""
        factory, address = self.factory, self.address_of(request)
        try:
            token = self.check_handshake(request)
        except Refused as refused:
            factory.registry.note_refusal(refused.refusal, address)
            raise self._denial(refused.refusal) from None
        if factory.check_rate is None:
            self._admit(address, token)
            return None
        self.transport.pauseProducing()  # bytes that arrive meanwhile would be parsed as another handshake
        return ensureDeferred(self._admit_after_check(factory.check_rate(address), address, token))

    def address_of(self, request: ConnectionRequest) -> str:
        """The name under which limits count the client."""
        peer = getattr(self.transport.getPeer(), "host", "")
        return self.factory.address_of(peer, request.headers.get("x-forwarded-for"))

    async def _admit_after_check(self, check: Awaitable[Refusal | None], address: str, token: str | None) -> None:
        refusal = await check
        if refusal is not None:
            await self.factory.slow_down.wait()
        if self.state == self.STATE_CLOSED:  # the client has left; Autobahn must not open it now
            raise ConnectionDeny(ConnectionDeny.SERVICE_UNAVAILABLE, "gone")
        self.transport.resumeProducing()
        if refusal is not None:
            self.factory.registry.note_refusal(refusal, address)
            raise self._denial(refusal)
        self._admit(address, token)

    def _admit(self, address: str, token: str | None) -> None:
        refusal = self.factory.registry.admit(self, address) or self.authenticate(token)
        if refusal is not None:
            raise self._denial(refusal)

    def _denial(self, refusal: Refusal) -> ConnectionDeny:
        self._refusal = refusal
        return ConnectionDeny(STATUS[refusal.reason], refusal.message)

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        """Autobahn: refuse the handshake with an HTTP response, then close."""
        if self.state == self.STATE_CONNECTING:
            refusal = self._refusal or refusal_of(code, reason)
            response, origin = self.refusal_response(refusal, code), getattr(self, "http_headers", {}).get("origin")
            self.writer.offer(refused_handshake(response, dict(responseHeaders or ()), self.factory.cors, origin))
            self.dropConnection()

    def onOpen(self) -> None:
        """Autobahn: the handshake is done."""
        super().onOpen()
        self.set_idle_deadline()

    def onFrameBegin(self) -> None:
        """Autobahn: a frame of any kind begins. Empty ones count too."""
        factory = self.factory
        if self._frames.hit(factory.frames, 1, int(factory.clock.seconds() * 1000))[0]:
            super().onFrameBegin()
        else:
            self.close(TOO_MANY_FRAMES)

    # Writing and closing

    def reply(self, data: bytes) -> None:
        """Write a response. Nothing more is read from the client until it has read this: it cannot make us buffer much."""
        self.writer.offer(data)
        if self.stage in (Stage.UNAUTHENTICATED, Stage.OPEN, Stage.PINGED) and not self.writer.drained:
            self._set_stage(Stage.WRITE_BLOCKED, self.factory.limits.write_timeout_s)
            self.transport.pauseProducing()
            self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Twisted: the transport has written all (or calls once at `registerProducer`)."""
        if self.stage is Stage.WRITE_BLOCKED and self.writer.drained:
            self._read_again()
            self.set_idle_deadline()

    def stopProducing(self) -> None:
        """Twisted: the transport is closed. ``connectionLost`` follows."""

    def _read_again(self) -> None:
        self.transport.unregisterProducer()
        self.transport.resumeProducing()

    def close(self, close_reason: CloseReason) -> None:
        """Send a close frame, close our half, and give the client a moment to close its own."""
        if self.state == self.STATE_OPEN:
            self.close_reason = close_reason
            self._end(close_reason.code)
            self.writer.offer(close_frame(close_reason))
            self.writer.close_writing()
        else:
            self.dropConnection(abort=True)

    def cut_off(self) -> None:
        """Reset the connection. What was written last may be lost."""
        self.transport.abortConnection()

    def dropConnection(self, abort: bool = False) -> None:
        """Autobahn: close without a close frame, at once with ``abort``, else when all is written.

        After the handshake only our half is closed, as in `close`. If both were closed while the client still sends, the
        connection would be reset. Then the client could lose what was sent last.
        """
        if self.state == self.STATE_CLOSED:
            return
        in_handshake = self.state == self.STATE_CONNECTING
        self._end()
        if abort:
            self.transport.abortConnection()
        elif not in_handshake:
            self.writer.close_writing()
        else:
            self.transport.loseConnection()

    def _end(self, code: int = 0) -> None:
        self.state = self.STATE_CLOSED  # Autobahn then reads no further frame
        if self.stage is Stage.WRITE_BLOCKED:
            self._read_again()
        self._set_stage(Stage.CLOSING, self.factory.limits.close_timeout_for(code))
        self.disconnected()


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketServices:
    """What all WebSockets share.

    ``address_of`` gives the name under which limits count a client, from the peer's address and X-Forwarded-For. ``check_rate``
    asks the rate limiter for this name before the handshake is answered, and gives its refusal if there is one; it is None if the
    resource has asked already.
    """

    registry: ConnectionRegistry
    limits: LiveLimits
    clock: IReactorTime
    address_of: Callable[[str, str | None], str]
    check_rate: Callable[[str], Awaitable[Refusal | None]] | None = None


class WebSocketFactory(WebSocketServerFactory):
    """Factory of connections of one kind."""

    noisy = False

    def __init__(self, services: SocketServices) -> None:
        super().__init__(reactor=services.clock, server="")
        self.registry = services.registry
        self.limits = services.limits
        self.clock = services.clock
        self.address_of = services.address_of
        self.check_rate = services.check_rate
        self.slow_down = SlowDown(services.clock, services.limits.upgrades_per_address_max)
        self.frames = services.limits.frames
        self.cors = cors(services.limits.origins)
