"""Socket.IO as one resource, which `service/` puts at ``/socket.io/``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from scoreboard.boundaries.sessions import SessionStore
from scoreboard.realtime.engineio.connection import Engine
from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.engineio.polling import CountRefused, EngineResource
from scoreboard.realtime.services import LiveServices
from scoreboard.realtime.socketio.client import ClientFactory

#: The path that client libraries use by default.
SOCKETIO_PATH: Final = b"/socket.io/"


def socketio_resource(
    services: LiveServices,
    *,
    session_store: SessionStore,
    settings: EngineSettings,
    new_sid: Callable[[], str],
    count_refused: CountRefused | None = None,
) -> EngineResource:
    """Build the resource. ``new_sid`` makes ids of at least 128 random bits; for ``count_refused`` see `EngineResource`."""
    clients = ClientFactory(services=services, session_store=session_store, new_sid=new_sid)
    engine = Engine(services, settings=settings, new_sid=new_sid, handler_factory=clients.make_client)
    return EngineResource(engine, count_refused)
