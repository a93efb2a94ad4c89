"""A WebSocket for Engine.IO: a session of its own, or a candidate for one that polls."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from scoreboard.domain.close_reasons import CLIENT_CLOSED, NO_UPGRADE
from scoreboard.domain.limits import RateVerdict
from scoreboard.domain.refusals import Refused
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.limits import LiveLimits
from scoreboard.net.websocket.connection import ConnectionRequest, Stage, WebSocketConnection, WebSocketFactory
from scoreboard.realtime.engineio.connection import Engine, EngineConnection
from scoreboard.realtime.engineio.query import read_query


class EngineWebSocket(WebSocketConnection):
    """Implements line.Carrier. Heartbeats are Engine.IO's, so RFC 6455's own pings rest."""

    factory: EngineFactory
    takes_binary = True
    _connection: EngineConnection | None = None
    _sid: str | None = None

    def connectionMade(self) -> None:
        """The transport is ours."""
        super().connectionMade()
        self.message_bytes_max = self.factory.engine.settings.max_payload_bytes

    def onConnect(self, request: ConnectionRequest) -> Deferred[None] | None:  # type: ignore[override]  # see Shell
        """A candidate needs no seat: its session has one, and the session's id is its ticket."""
        try:
            wish = read_query(request.params, request.headers, self.factory.cors)
        except Refused as refused:
            raise self._denial(refused.refusal) from None
        if wish.sid is None:
            return super().onConnect(request)
        self._sid = wish.sid
        return None

    def check_handshake(self, request: ConnectionRequest) -> str | None:
        """Tokens come with CONNECT."""
        return None

    def onOpen(self) -> None:
        """The handshake is over."""
        super().onOpen()
        engine = self.factory.engine
        if self._sid is None:
            self._connection = EngineConnection(engine, self)
            return
        self._connection = engine.connections.get(self._sid)
        if self._connection is None:
            self.close(NO_UPGRADE)
        else:
            self._connection.attach(self)

    def set_idle_deadline(self) -> None:
        """The session has its own clock."""
        self._set_stage(Stage.OPEN, math.inf)

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """The lobby's sweep."""
        if self._connection is not None:
            self._connection.check_deadlines(now_s, wall_s)
        super().check_deadlines(now_s, wall_s)

    def message_received(self, message: bytes) -> None:
        """A whole message came."""
        if self._connection is not None:
            self._connection.message_received(self, message if self.binary else message.decode())

    def disconnected(self) -> None:
        """Nothing reaches the client any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.transport_lost(self, self.close_reason or CLIENT_CLOSED)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        super().connectionLost(reason)
        self._connection = None


class EngineFactory(WebSocketFactory):
    """Makes Engine.IO WebSockets; see ShellFactory for what it takes besides."""

    protocol = EngineWebSocket  # type: ignore[assignment]  # Twisted wants a callable that returns one; a class is

    def __init__(
        self,
        *,
        engine: Engine,
        registry: ConnectionRegistry,
        settings: LiveLimits,
        clock: IReactorTime,
        address_of: Callable[[str, str | None], str],
        check_rate: Callable[[str], Awaitable[RateVerdict]] | None = None,
    ) -> None:
        super().__init__(registry=registry, settings=settings, clock=clock, address_of=address_of, check_rate=check_rate)
        self.engine = engine
