"""A WebSocket for Engine.IO: a session of its own, or a candidate for one that polls."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from scoreboard.domain.limits import Verdict
from scoreboard.domain.refusals import Refused
from scoreboard.net.connections import Lobby
from scoreboard.net.live_limits import LiveSettings
from scoreboard.net.websocket.connection import ConnectionRequest, Shell, ShellFactory, Stage
from scoreboard.realtime.engineio.connection import NO_UPGRADE, Engine, Line
from scoreboard.realtime.engineio.query import read_query
from scoreboard.realtime.engineio.session import LEFT


class EngineSocket(Shell):
    """Implements line.Carrier. Heartbeats are Engine.IO's, so RFC 6455's own pings rest."""

    factory: EngineFactory
    takes_binary = True
    _line: Line | None = None
    _sid: str | None = None

    def connectionMade(self) -> None:
        """The transport is ours."""
        super().connectionMade()
        self.message_bytes_max = self.factory.engine.settings.max_payload_bytes

    def onConnect(self, request: ConnectionRequest) -> Deferred[None] | None:  # type: ignore[override]  # see Shell
        """A candidate needs no seat: its session has one, and the session's id is its ticket."""
        try:
            wish = read_query(request.params, request.headers, self.factory.settings.origins)
        except Refused as refused:
            raise self._denial(refused.refusal) from None
        if wish.sid is None:
            return super().onConnect(request)
        self._sid = wish.sid
        return None

    def may_enter(self, request: ConnectionRequest) -> str | None:
        """Tokens come with CONNECT."""
        return None

    def onOpen(self) -> None:
        """The handshake is over."""
        super().onOpen()
        engine = self.factory.engine
        if self._sid is None:
            self._line = Line(engine, self)
            return
        self._line = engine.lines.get(self._sid)
        if self._line is None:
            self.part(NO_UPGRADE)
        else:
            self._line.attach(self)

    def rest(self) -> None:
        """The session has its own clock."""
        self._enter(Stage.CALM, math.inf)

    def look(self, now_s: float, wall_s: float) -> None:
        """The lobby's sweep."""
        if self._line is not None:
            self._line.look(now_s, wall_s)
        super().look(now_s, wall_s)

    def heard(self, message: bytes) -> None:
        """A whole message came."""
        if self._line is not None:
            self._line.hear(self, message if self.binary else message.decode())

    def gone(self) -> None:
        """Nothing reaches the client any more."""
        line, self._line = self._line, None
        if line is not None:
            line.lose(self, self.parting or LEFT)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        super().connectionLost(reason)
        self._line = None


class EngineFactory(ShellFactory):
    """Makes Engine.IO WebSockets; see ShellFactory for what it takes besides."""

    protocol = EngineSocket  # type: ignore[assignment]  # Twisted wants a callable that returns one; a class is

    def __init__(
        self,
        *,
        engine: Engine,
        lobby: Lobby,
        settings: LiveSettings,
        clock: IReactorTime,
        address_of: Callable[[str, str | None], str],
        knock: Callable[[str], Awaitable[Verdict]] | None = None,
    ) -> None:
        super().__init__(lobby=lobby, settings=settings, clock=clock, address_of=address_of, knock=knock)
        self.engine = engine
