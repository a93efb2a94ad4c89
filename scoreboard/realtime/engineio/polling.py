"""Engine.IO over HTTP: a GET waits for packets, a POST sends some, and the same path accepts WebSockets."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from scoreboard.domain.close_reasons import BAD_PACKET
from scoreboard.domain.refusals import Reason, Refusal, Refused, unavailable
from scoreboard.net.http.refusals import refused
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import NO_STORE, Response
from scoreboard.net.http.slow_down import SlowDown
from scoreboard.net.websocket.handshake import check_origin, check_query
from scoreboard.net.websocket.resource import WebSocketResource
from scoreboard.realtime.engineio.connection import Engine, EngineConnection
from scoreboard.realtime.engineio.packets import Malformed
from scoreboard.realtime.engineio.query import BAD_REQUEST, engine_refused, read_query
from scoreboard.realtime.engineio.session import Misplaced
from scoreboard.realtime.engineio.websocket import EngineFactory

_FIELDS_MAX: Final = 100
_METHODS: Final = b"GET, POST"
_TEXT: Final = b"Content-Type: text/plain; charset=UTF-8\r\n" + NO_STORE
_POSTED: Final = Response(200, b"ok", _TEXT)
#: The response to a payload over maxPayload, as the reference server gives it.
_TOO_LARGE: Final = Response(413, b"", NO_STORE)
_NOT_TEXT: Final = Refusal(reason=Reason.UNSUPPORTED_MEDIA_TYPE, message="A payload is plain text")
#: Answers the waiting GET of a client that was lost, for example by a restart. Every client library then connects again.
_LOST: Final = refused(unavailable("The session has ended; connect again"))
_FAULT: Final = refused(unavailable("The server has a fault"))


#: Counts a request that no other limit counts. Raises Refused after too many of them from one address.
CountRefused = Callable[[Request], Coroutine[Any, Any, None]]


class EngineResource(Resource):
    """Resource of Engine.IO at one path, for both transports. ``count_refused`` counts refused requests and those for options."""

    isLeaf = True  # noqa: N815 -- twisted.web's name

    def __init__(self, engine: Engine, count_refused: CountRefused | None = None) -> None:
        super().__init__()
        self._count_refused = count_refused
        self._engine = engine
        self._factory = EngineFactory(engine)
        self._websockets = WebSocketResource(self._factory)
        self._slow_down = SlowDown(engine.services.clock)

    @property
    def sessions(self) -> int:
        """Number of sessions, over either transport."""
        return len(self._engine.connections)

    def render(self, request: Request) -> int:
        """Answer a request: at once, or a GET when there are packets."""
        try:
            self._dispatch(request)
        except Refused as error:
            if error.refusal.reason is Reason.FORBIDDEN:  # another origin; a wrong sid is usual after a restart
                self._engine.services.registry.note_refusal(error.refusal, request.counted_as)
            self._respond_counted(request, engine_refused(error.refusal))
        return NOT_DONE_YET

    def _respond_counted(self, request: Request, response: Response) -> None:
        self._engine.services.run("engineio_refuse", self._counted(request, response), lambda: request.respond(_FAULT))

    async def _counted(self, request: Request, response: Response) -> None:
        try:
            if self._count_refused is not None:
                await self._count_refused(request)
        except Refused as error:
            response = refused(error.refusal)
        request.respond(response)

    def _dispatch(self, request: Request) -> None:
        cors = self._factory.cors
        origin, host = request.getHeader(b"Origin"), request.getHeader(b"Host") or b""
        check_origin(None if origin is None else origin.decode("latin-1"), host.decode("latin-1"), cors)
        request.header_lines = cors.lines_for_page(origin)
        if request.method == b"OPTIONS":
            preflight = cors.preflight(_METHODS, request.getHeader(b"Access-Control-Request-Headers"))
            self._respond_counted(request, preflight)
            return
        query, connections = _query(request), self._engine.connections
        check_query(query)
        upgrade = (request.getHeader(b"Upgrade") or b"").lower() == b"websocket"
        wanted = read_query(query, request.method.decode("ascii"), connections, upgrade=upgrade)
        if wanted.transport == "websocket":
            self._websockets.render(request)
        elif wanted.sid is not None:
            self._continue(request, connections[wanted.sid])
        else:
            self._engine.services.run("engineio_open", self._open(request), lambda: request.respond(_FAULT))

    def _continue(self, request: Request, connection: EngineConnection) -> None:
        if request.method == b"GET":
            _poll(request, connection)
        elif request.method == b"POST":
            self._post(request, connection)
        else:
            raise Refused(BAD_REQUEST)

    async def _open(self, request: Request) -> None:
        """Open a session, unless the client is refused."""
        factory, address = self._factory, request.counted_as
        if factory.check_rate is not None:
            refusal = await factory.check_rate(address)
            if refusal is not None:
                self._engine.services.registry.note_refusal(refusal, address)
                await self._slow_down.wait()
                request.respond(refused(refusal))
                return
        if request.has_left:  # it disconnected meanwhile, and would never close the session
            return
        connection = self._engine.open(address)
        if isinstance(connection, Refusal):
            request.respond(refused(connection))
        else:
            _poll(request, connection)

    def _post(self, request: Request, connection: EngineConnection) -> None:
        if len(request.body) > self._engine.settings.max_payload_bytes:
            request.respond(_TOO_LARGE)
            return
        binary = (request.getHeader(b"Content-Type") or b"").lower() == b"application/octet-stream"
        if binary or request.getHeader(b"Content-Encoding") is not None:
            connection.close(BAD_PACKET)
            raise Refused(BAD_REQUEST if binary else _NOT_TEXT)
        try:
            connection.post(request.body)
        except (Misplaced, Malformed):
            raise Refused(BAD_REQUEST) from None
        request.respond(_POSTED)


def _query(request: Request) -> dict[str, list[str]]:
    try:
        return parse_qs(request.query.decode(), max_num_fields=_FIELDS_MAX)
    except ValueError:  # not UTF-8, or too much of it
        raise Refused(BAD_REQUEST) from None


def _poll(request: Request, connection: EngineConnection) -> None:
    try:
        connection.poll(lambda payload: request.respond(Response(200, payload, _TEXT) if payload else _LOST))
    except Misplaced:
        raise Refused(BAD_REQUEST) from None
    request.when_client_ends(partial(_abandon, request, connection))


def _abandon(request: Request, connection: EngineConnection) -> None:
    """The client of a waiting GET has disconnected, or has closed its half of the connection and still reads the response."""
    connection.abandon()
    request.respond(engine_refused(BAD_REQUEST))
