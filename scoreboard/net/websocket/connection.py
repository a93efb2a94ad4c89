"""The shell of a WebSocket: who may open it, how long each stage of its life may take, what it may send, and how it is closed.

No timer belongs to a socket: the lobby's sweep asks each what is due. Nothing waits for a socket: what it does not take stays
in its transport, and meanwhile it is not read from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any, Final

from autobahn.twisted.websocket import WebSocketServerFactory
from autobahn.websocket.types import ConnectionDeny
from autobahn.websocket.types import ConnectionRequest as ConnectionRequest
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from scoreboard.boundaries import Parting
from scoreboard.domain.limits import TokenBucket, Verdict
from scoreboard.domain.refusals import Reason, Refusal, Refused
from scoreboard.net.connections import Lobby
from scoreboard.net.live_limits import TOO_SLOW, LiveSettings
from scoreboard.net.socket_writer import Outlet
from scoreboard.net.websocket.frames import PING, close_frame
from scoreboard.net.websocket.handshake import http_answer, may_enter, refusal_of, status_of
from scoreboard.net.websocket.slim import LeanSocket

NO_TOKEN: Final = Parting(code=4401, reason="no token came in time")
UNREAD: Final = Parting(code=TOO_SLOW, reason="too slow: answers are not read")
UNTOUCHED: Final = Parting(code=TOO_SLOW, reason="too slow: nothing is read")
_TOO_MANY: Final = "Too many requests. Please try again later."
TOO_MANY_FRAMES: Final = Parting(code=1008, reason="too many frames a second")


class Stage(Enum):
    """Where a connection is in its life. Each stage has a deadline; what is then due is told in ``_due``."""

    SHAKING_HANDS = auto()
    STRANGER = auto()
    CALM = auto()
    PINGED = auto()
    UNREAD = auto()  # an answer waits for a client that does not read, so nothing more is read from it
    PARTED = auto()


class Shell(LeanSocket):
    """One WebSocket. Subclasses say what a token, a message and the end mean."""

    factory: ShellFactory

    #: Why we closed it; None while it is open, and if it was not we.
    parting: Parting | None = None
    _refusal: Refusal | None = None
    _ignored_bytes = 0

    def __init__(self) -> None:
        super().__init__()
        self._frames = TokenBucket()

    # For subclasses

    @property
    def known(self) -> bool:
        """Whether it is known who is at the other end."""
        return True

    def may_enter(self, request: ConnectionRequest) -> str | None:
        """The token that a proper handshake brings, if any; raises Refused."""
        return may_enter(request.path, request.params, request.headers, self.factory.settings.origins)

    def arrive(self, token: str | None) -> Refusal | None:
        """The handshake brought this token: why it cannot be let in, or None. From now on ``gone`` will be called."""

    def gone(self) -> None:
        """Nothing reaches the client any more. May be called again."""

    # The connection

    def connectionMade(self) -> None:
        """The transport is ours."""
        self.outlet = Outlet(self.transport)
        self.message_bytes_max = self.factory.settings.message_bytes_max
        if not isinstance(self.transport.getPeer(), UNIXAddress):
            self.transport.setTcpNoDelay(True)
        self._enter(Stage.SHAKING_HANDS, self.factory.settings.handshake_s_max)
        if not self.factory.lobby.enter(self):
            self.state = self.STATE_CLOSED  # or the request that a mount hands over at once would still be answered
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.state == self.STATE_CLOSED:
            self._ignored_bytes += len(data)
            if self._ignored_bytes > self.factory.settings.ignored_bytes_max:
                self.transport.pauseProducing()  # a reset might overtake our goodbye; the deadline cuts it off
            return
        if self.stage is Stage.PINGED:
            self.rest()
        self.data += data
        if self.state == self.STATE_CONNECTING and len(self.data) > self.factory.settings.handshake_bytes_max:
            self.failHandshake("The request is too big", 431)
        self.consumeData()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone and leaves nothing behind."""
        self.state = self.STATE_CLOSED
        self.gone()
        self.factory.lobby.leave(self)

    def look(self, now_s: float, wall_s: float) -> None:
        """The lobby's sweep: is anything due?"""
        if self._deadline_s <= now_s:
            self._due()
        elif self.state == self.STATE_OPEN and self.outlet.unread_s(now_s) >= self.factory.settings.untouched_s_max:
            self.factory.lobby.note_slow()
            self.part(UNTOUCHED)

    def _due(self) -> None:
        match self.stage:
            case Stage.SHAKING_HANDS | Stage.PINGED | Stage.PARTED:
                self.transport.abortConnection()
            case Stage.STRANGER:
                self.part(NO_TOKEN)
            case Stage.UNREAD:
                self.part(UNREAD)
            case Stage.CALM:
                self._enter(Stage.PINGED, self.factory.settings.ping_timeout_s)
                if self.outlet.drained:  # else the peer has something to answer TCP for
                    self.outlet.offer(PING)

    def rest(self) -> None:
        """All is well, for as long as this takes: a stranger's time, or the time to the next ping."""
        settings = self.factory.settings
        if self.known:
            self._enter(Stage.CALM, settings.ping_interval_s)
        else:
            self._enter(Stage.STRANGER, settings.stranger_s_max)

    def _enter(self, stage: Stage, seconds: float) -> None:
        self.stage = stage
        self._deadline_s = self.factory.clock.seconds() + seconds

    # The handshake

    def onConnect(  # type: ignore[override]  # Autobahn waits for a Deferred, its signature does not say so
        self, request: ConnectionRequest
    ) -> Deferred[None] | None:
        """Autobahn has a proper request: may it come in?"""
        factory = self.factory
        try:
            token = self.may_enter(request)
        except Refused as refused:
            raise self._denial(refused.refusal) from None
        peer = getattr(self.transport.getPeer(), "host", "")
        address = factory.address_of(peer, request.headers.get("x-forwarded-for"))
        if factory.knock is None:
            self._let_in(address, token)
            return None
        self.transport.pauseProducing()  # or what comes meanwhile would be taken for another handshake
        return ensureDeferred(self._let_in_after(factory.knock(address), address, token))

    async def _let_in_after(self, knocked: Awaitable[Verdict], address: str, token: str | None) -> None:
        verdict = await knocked
        if self.state == self.STATE_CLOSED:  # it has gone; Autobahn must not open it now
            raise ConnectionDeny(ConnectionDeny.SERVICE_UNAVAILABLE, "gone")
        self.transport.resumeProducing()
        if verdict.refused is not None:
            wait_s = -(-verdict.retry_after_ms // 1000)
            raise self._denial(Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message=_TOO_MANY, retry_after_s=wait_s))
        self._let_in(address, token)

    def _let_in(self, address: str, token: str | None) -> None:
        refusal = self.factory.lobby.seat(self, address) or self.arrive(token)
        if refusal is not None:
            raise self._denial(refusal)

    def _denial(self, refusal: Refusal) -> ConnectionDeny:
        self._refusal = refusal
        return ConnectionDeny(status_of(refusal), refusal.message)

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        """Answer in HTTP, then close."""
        if self.state == self.STATE_CONNECTING:
            refusal = self._refusal or refusal_of(code, reason)
            self.outlet.offer(http_answer(refusal, code, dict(responseHeaders or ())))
            self.dropConnection()

    def onOpen(self) -> None:
        """The handshake is over."""
        super().onOpen()
        self.rest()

    def onFrameBegin(self) -> None:
        """A frame of any kind begins. Empty ones count too."""
        factory = self.factory
        if self._frames.hit(factory.frames, 1, int(factory.clock.seconds() * 1000))[0]:
            super().onFrameBegin()
        else:
            self.part(TOO_MANY_FRAMES)

    # Out

    def say(self, data: bytes) -> None:
        """Write what answers the client. While it does not leave, we read no more, so that asking costs us nothing."""
        self.outlet.offer(data)
        if self.stage in (Stage.STRANGER, Stage.CALM, Stage.PINGED) and not self.outlet.drained:
            self._enter(Stage.UNREAD, self.factory.settings.unread_s_max)
            self.transport.pauseProducing()
            self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """The transport has nothing left to write (or asks a first time, see `registerProducer`)."""
        if self.stage is Stage.UNREAD and self.outlet.drained:
            self._read_again()
            self.rest()

    def stopProducing(self) -> None:
        """The transport is gone; ``connectionLost`` sees to it."""

    def _read_again(self) -> None:
        self.transport.unregisterProducer()
        self.transport.resumeProducing()

    def part(self, parting: Parting) -> None:
        """Say why, let the client see the end of the stream, and give it a moment to do the same."""
        if self.state == self.STATE_OPEN:
            self.parting = parting
            self._end(parting.code)
            self.outlet.offer(close_frame(parting))
            self.outlet.finish()
        else:
            self.dropConnection(abort=True)

    def dropConnection(self, abort: bool = False) -> None:
        """Close without a further word, at once or when all is written.

        After a close frame the client sees the end of the stream, as in `part`: closing both ways would reset the connection for
        whatever it still sends, and that may cost it what we said last.
        """
        if self.state == self.STATE_CLOSED:
            return
        shaking_hands = self.state == self.STATE_CONNECTING
        self._end()
        if abort:
            self.transport.abortConnection()
        elif not shaking_hands:
            self.outlet.finish()
        else:
            self.transport.loseConnection()

    def _end(self, code: int = 0) -> None:
        self.state = self.STATE_CLOSED  # for Autobahn too: it reads no further frame
        if self.stage is Stage.UNREAD:
            self._read_again()
        self._enter(Stage.PARTED, self.factory.settings.farewell_s(code))
        self.gone()


class ShellFactory(WebSocketServerFactory):
    """Makes shells of one kind, all in one lobby.

    ``address_of`` tells whom limits count, from the peer's address and the X-Forwarded-For header. ``knock`` asks the gate for
    such an address before the handshake is answered; None when whoever mounts us has asked already.
    """

    noisy = False

    def __init__(
        self,
        *,
        lobby: Lobby,
        settings: LiveSettings,
        clock: IReactorTime,
        address_of: Callable[[str, str | None], str],
        knock: Callable[[str], Awaitable[Verdict]] | None = None,
    ) -> None:
        super().__init__(reactor=clock, server="")
        self.lobby = lobby
        self.settings = settings
        self.clock = clock
        self.address_of = address_of
        self.knock = knock
        self.frames = settings.frames
