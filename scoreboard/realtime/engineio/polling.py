"""Engine.IO over HTTP: a GET waits for packets, a POST sends some, and the same path accepts WebSockets."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from scoreboard.domain.close_reasons import BAD_PACKET
from scoreboard.domain.refusals import Reason, Refusal, Refused, too_many_requests, unavailable
from scoreboard.net.http.refusals import refused
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import NO_STORE, Response
from scoreboard.net.websocket.handshake import check_page
from scoreboard.net.websocket.resource import WebSocketResource
from scoreboard.realtime.engineio.connection import Engine, EngineConnection
from scoreboard.realtime.engineio.packets import Malformed
from scoreboard.realtime.engineio.query import BAD_METHOD, BAD_REQUEST, UNKNOWN_SID, read_query
from scoreboard.realtime.engineio.session import Misplaced
from scoreboard.realtime.engineio.websocket import EngineFactory

_FIELDS_MAX: Final = 20
_METHODS: Final = b"GET, POST"
_TEXT: Final = b"Content-Type: text/plain; charset=UTF-8\r\n" + NO_STORE
_POSTED: Final = Response(200, b"ok", _TEXT)
_TOO_LARGE: Final = Refusal(reason=Reason.BODY_TOO_LARGE, message="The payload is over maxPayload")
_NOT_TEXT: Final = Refusal(reason=Reason.UNSUPPORTED_MEDIA_TYPE, message="A payload is plain text")
_FAULT: Final = refused(unavailable("The server has a fault"))


class EngineResource(Resource):
    """Resource of Engine.IO at one path, for both transports."""

    isLeaf = True  # noqa: N815 -- twisted.web's name

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self._factory = EngineFactory(engine)
        self._websockets = WebSocketResource(self._factory)

    @property
    def sessions(self) -> int:
        """Number of sessions, over either transport."""
        return len(self._engine.connections)

    def render(self, request: Request) -> int:
        """Answer a request: at once, or a GET when there are packets."""
        try:
            self._dispatch(request)
        except Refused as error:
            request.respond(refused(error.refusal))
        return NOT_DONE_YET

    def _dispatch(self, request: Request) -> None:
        cors = self._factory.cors
        given = ((name, request.getHeader(name.encode())) for name in ("origin", "host"))
        headers = {name: value.decode("latin-1") for name, value in given if value is not None}
        check_page((), headers, cors)
        request.header_lines = cors.lines_for_page(request)
        if request.method == b"OPTIONS":
            request.respond(cors.preflight(_METHODS))
            return
        wanted = read_query(_query(request), headers, cors)
        if wanted.transport == "websocket":
            if (request.getHeader(b"Upgrade") or b"").lower() != b"websocket":
                raise Refused(BAD_REQUEST)
            self._websockets.render(request)
        elif wanted.sid is not None:
            self._continue(request, wanted.sid)
        elif request.method == b"GET":
            self._engine.services.run("engineio_open", self._open(request), lambda: request.respond(_FAULT))
        else:
            raise Refused(BAD_METHOD)

    def _continue(self, request: Request, sid: str) -> None:
        connection = self._engine.connections.get(sid)
        if connection is None:
            raise Refused(UNKNOWN_SID)
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
            verdict = await factory.check_rate(address)
            if verdict.refused is not None:
                request.respond(refused(too_many_requests(verdict.retry_after_ms)))
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
            raise Refused(_TOO_LARGE)
        binary = (request.getHeader(b"Content-Type") or b"").lower().startswith(b"application/octet-stream")
        if binary or request.getHeader(b"Content-Encoding") is not None:
            connection.close(BAD_PACKET)
            raise Refused(_NOT_TEXT if not binary else BAD_REQUEST)
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
    request.notifyFinish().addErrback(lambda _: connection.abandon())
    try:
        connection.poll(lambda payload: request.respond(Response(200, payload, _TEXT)))
    except Misplaced:
        raise Refused(BAD_REQUEST) from None
