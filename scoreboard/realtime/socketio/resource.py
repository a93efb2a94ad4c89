"""The mount: Socket.IO as one resource, which the web wing puts at ``/socket.io/``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from scoreboard.boundaries import Absentees, Announcer, Doorkeeper
from scoreboard.domain.limits import Verdict
from scoreboard.net.connections import Lobby
from scoreboard.net.live_limits import LiveSettings
from scoreboard.realtime.engineio.connection import Engine
from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.engineio.polling import EngineResource
from scoreboard.realtime.engineio.websocket import EngineFactory
from scoreboard.realtime.socketio.client import Doors

#: Where clients look for it when nobody tells them otherwise.
SOCKETIO_PATH: Final = b"/socket.io/"


def socketio_resource(
    *,
    doorkeeper: Doorkeeper,
    announcer: Announcer,
    absentees: Absentees,
    lobby: Lobby,
    settings: LiveSettings,
    engine: EngineSettings,
    clock: IReactorTime,
    new_sid: Callable[[], str],
    address_of: Callable[[str, str | None], str],
    knock: Callable[[str], Awaitable[Verdict]] | None = None,
) -> EngineResource:
    """The board for Socket.IO clients. ``new_sid`` makes ids of 128 random bits at least; see ShellFactory for the rest."""
    doors = Doors(
        doorkeeper=doorkeeper,
        announcer=announcer,
        absentees=absentees,
        events=settings.events,
        clock=clock,
        new_sid=new_sid,
    )
    lines = Engine(settings=engine, requests=settings.frames, lobby=lobby, clock=clock, new_sid=new_sid, board=doors.board)
    return EngineResource(
        EngineFactory(engine=lines, lobby=lobby, settings=settings, clock=clock, address_of=address_of, knock=knock)
    )
