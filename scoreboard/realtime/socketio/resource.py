"""The mount: Socket.IO as one resource, which the web wing puts at ``/socket.io/``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from scoreboard.boundaries.announcer import Announcer
from scoreboard.boundaries.authentication import Authenticator
from scoreboard.boundaries.sessions import SessionStore
from scoreboard.domain.limits import RateVerdict
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.limits import LiveLimits
from scoreboard.realtime.engineio.connection import Engine
from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.engineio.polling import EngineResource
from scoreboard.realtime.engineio.websocket import EngineFactory
from scoreboard.realtime.socketio.client import SocketIoServices

#: Where clients look for it when nobody tells them otherwise.
SOCKETIO_PATH: Final = b"/socket.io/"


def socketio_resource(
    *,
    authenticator: Authenticator,
    announcer: Announcer,
    session_store: SessionStore,
    registry: ConnectionRegistry,
    settings: LiveLimits,
    engine: EngineSettings,
    clock: IReactorTime,
    new_sid: Callable[[], str],
    address_of: Callable[[str, str | None], str],
    check_rate: Callable[[str], Awaitable[RateVerdict]] | None = None,
) -> EngineResource:
    """The board for Socket.IO clients. ``new_sid`` makes ids of 128 random bits at least; see ShellFactory for the rest."""
    services = SocketIoServices(
        authenticator=authenticator,
        announcer=announcer,
        session_store=session_store,
        events=settings.events,
        clock=clock,
        new_sid=new_sid,
    )
    connections = Engine(
        settings=engine,
        requests=settings.frames,
        registry=registry,
        clock=clock,
        new_sid=new_sid,
        handler_factory=services.make_client,
    )
    return EngineResource(
        EngineFactory(
            engine=connections,
            registry=registry,
            settings=settings,
            clock=clock,
            address_of=address_of,
            check_rate=check_rate,
        )
    )
