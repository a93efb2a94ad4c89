"""WebSockets of Engine.IO: one carries a session of its own, or upgrades a session that polls."""

from __future__ import annotations

import math

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from scoreboard.domain.close_reasons import CLIENT_CLOSED, NO_UPGRADE, PACKET_TOO_BIG
from scoreboard.domain.refusals import Refusal, Refused
from scoreboard.net.http.response import Response
from scoreboard.net.websocket.connection import ConnectionRequest, Stage, WebSocketConnection, WebSocketFactory
from scoreboard.net.websocket.handshake import check_page
from scoreboard.realtime.engineio.connection import Engine, EngineConnection
from scoreboard.realtime.engineio.query import engine_refused, read_query


class EngineWebSocket(WebSocketConnection):
    """Implements connection.WebSocketTransport. Engine.IO has heartbeats of its own, so no RFC 6455 ping is sent."""

    factory: EngineFactory
    takes_binary = True
    too_big = PACKET_TOO_BIG
    _connection: EngineConnection | None = None
    _sid: str | None = None

    def connectionMade(self) -> None:
        """Take the transport."""
        super().connectionMade()
        self.message_bytes_max = self.factory.engine.settings.max_payload_bytes

    def onConnect(self, request: ConnectionRequest) -> Deferred[None] | None:  # type: ignore[override]  # see WebSocketConnection
        """Refuse a bad query, and too many upgrades at a time. A session's first upgrade was counted when the session began."""
        try:
            check_page(request.params, request.headers, self.factory.cors)
            wanted = read_query(request.params, "GET", self.factory.engine.connections, upgrade=True)
        except Refused as refused:
            raise self._denial(refused.refusal) from None
        self._sid = wanted.sid
        if wanted.sid is not None and self.factory.engine.connections[wanted.sid].begin_upgrade():
            self._admit(self.address_of(request), None)
            return None
        return super().onConnect(request)

    def _admit(self, address: str, token: str | None) -> None:
        if self._sid is None:
            super()._admit(address, token)
            return
        refusal = self.factory.registry.admit_upgrade(self, address)
        if refusal is not None:
            raise self._denial(refusal)

    def refusal_response(self, refusal: Refusal, status: int) -> Response:
        """Return the response that HTTP long polling has for the same refusal."""
        return engine_refused(refusal, status)

    def check_handshake(self, request: ConnectionRequest) -> str | None:
        """Return no token: Socket.IO clients send theirs with CONNECT."""
        return None

    def onOpen(self) -> None:
        """Begin a session, or the upgrade of one."""
        super().onOpen()
        engine = self.factory.engine
        if self._sid is None:
            self._connection = EngineConnection(engine, self)
            return
        self._connection = engine.connections.get(self._sid)
        if self._connection is None:  # it ended since the handshake began
            self.close(NO_UPGRADE)
        else:
            self._connection.attach(self)

    def set_idle_deadline(self) -> None:
        """Set no deadline: the session has its own."""
        self._set_stage(Stage.OPEN, math.inf)

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """Do what is due."""
        if self._connection is not None:
            self._connection.check_deadlines(now_s, wall_s)
        super().check_deadlines(now_s, wall_s)

    def message_received(self, message: bytes) -> None:
        """Handle a whole message."""
        if self._connection is not None:
            self._connection.message_received(self, message if self.binary else message.decode())

    def disconnected(self) -> None:
        """Note that nothing reaches the client any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.transport_lost(self, self.close_reason or CLIENT_CLOSED)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection."""
        super().connectionLost(reason)
        self._connection = None


class EngineFactory(WebSocketFactory):
    """Factory of the WebSockets of an engine."""

    protocol = EngineWebSocket  # type: ignore[assignment]  # Twisted wants a callable that returns one; a class is

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.services)
        self.engine = engine
