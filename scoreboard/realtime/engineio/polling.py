"""Long-polling: a twisted.web resource. A GET waits for packets, a POST brings some; answers have their length, never chunks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs

from twisted.internet.defer import ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.pages import notFound
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from scoreboard.domain.refusals import Reason, Refusal, Refused, unavailable
from scoreboard.net.websocket.handshake import check_page, refusal_body, status_of
from scoreboard.net.websocket.resource import WebSocketResource
from scoreboard.realtime.engineio.connection import Engine, EngineConnection
from scoreboard.realtime.engineio.packets import Malformed
from scoreboard.realtime.engineio.query import BAD_METHOD, BAD_REQUEST, UNKNOWN_SID, read_query
from scoreboard.realtime.engineio.session import BAD_PACKET, Misplaced
from scoreboard.realtime.engineio.websocket import EngineFactory

_FIELDS_MAX: Final = 20
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "600",
}
_TEXT: Final = {"Content-Type": "text/plain; charset=UTF-8"}
_TOO_LARGE: Final = Refusal(reason=Reason.BODY_TOO_LARGE, message="The payload is over maxPayload")
_NOT_TEXT: Final = Refusal(reason=Reason.UNSUPPORTED_MEDIA_TYPE, message="A payload is plain text")
_TOO_MANY: Final = "Too many requests. Please try again later."


@implementer(IResource)
class EngineResource:
    """Engine.IO at one path, over both transports."""

    isLeaf = True  # noqa: N815 -- twisted.web's name
    _log = Logger()

    def __init__(self, factory: EngineFactory) -> None:
        self._factory = factory
        self._engine: Engine = factory.engine
        self._sockets = WebSocketResource(factory)

    @property
    def sessions(self) -> int:
        """How many there are, whatever carries them."""
        return len(self._engine.connections)

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        """Nothing is below this."""
        return notFound()

    def putChild(self, path: bytes, child: IResource) -> None:
        """Nothing is below this."""
        raise NotImplementedError("Engine.IO has no children")

    def render(self, request: Any) -> int:
        """Answer, now or when there is something to say."""
        try:
            self._obey(request)
        except Refused as refused:
            _refuse(request, refused.refusal)
        return NOT_DONE_YET

    def _obey(self, request: Any) -> None:
        origins = self._factory.settings.origins
        headers = {name: request.getHeader(name) for name in ("origin", "host") if request.getHeader(name) is not None}
        _allow(request, headers, origins)
        if request.method == b"OPTIONS":
            _answer(request, 204, b"", _PREFLIGHT)
            return
        wish = read_query(_query(request), headers, origins)
        if wish.transport == "websocket":
            if (request.getHeader("upgrade") or "").lower() != "websocket":
                raise Refused(BAD_REQUEST)
            self._sockets.render(request)
        elif wish.sid is not None:
            self._go_on(request, wish.sid)
        elif request.method == b"GET":
            ensureDeferred(self._open(request)).addErrback(self._failed, request)
        else:
            raise Refused(BAD_METHOD)

    def _go_on(self, request: Any, sid: str) -> None:
        connection = self._engine.connections.get(sid)
        if connection is None:
            raise Refused(UNKNOWN_SID)
        if request.method == b"GET":
            _poll(request, connection)
        elif request.method == b"POST":
            self._post(request, connection)
        else:
            raise Refused(BAD_REQUEST)

    async def _open(self, request: Any) -> None:
        """A new session, if there is room for one more."""
        factory = self._factory
        forwarded = b",".join(request.requestHeaders.getRawHeaders(b"x-forwarded-for", ())).decode("latin-1") or None
        address = factory.address_of(getattr(request.channel.getPeer(), "host", ""), forwarded)
        if factory.check_rate is not None:
            verdict = await factory.check_rate(address)
            if verdict.refused is not None:
                wait_s = -(-verdict.retry_after_ms // 1000)
                _refuse(request, Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message=_TOO_MANY, retry_after_s=wait_s))
                return
        if request.channel is None:  # it left meanwhile, and would leave a session behind
            return
        connection = self._engine.open(address)
        if isinstance(connection, Refusal):
            _refuse(request, connection)
        else:
            _poll(request, connection)

    def _post(self, request: Any, connection: EngineConnection) -> None:
        body = request.content.read()
        if len(body) > self._engine.settings.max_payload_bytes:
            raise Refused(_TOO_LARGE)
        binary = (request.getHeader("content-type") or "").lower().startswith("application/octet-stream")
        if binary or request.getHeader("content-encoding") is not None:
            connection.close(BAD_PACKET)
            raise Refused(_NOT_TEXT if not binary else BAD_REQUEST)
        try:
            connection.post(body)
        except (Misplaced, Malformed):
            raise Refused(BAD_REQUEST) from None
        _answer(request, 200, b"ok")

    def _failed(self, failure: Failure, request: Any) -> None:
        self._log.failure("a session could not be opened", failure=failure)
        _refuse(request, unavailable("The server has a fault"))


def _query(request: Any) -> dict[str, list[str]]:
    try:
        return parse_qs(request.uri.partition(b"?")[2].decode(), max_num_fields=_FIELDS_MAX)
    except ValueError:  # not UTF-8, or too much of it
        raise Refused(BAD_REQUEST) from None


def _poll(request: Any, connection: EngineConnection) -> None:
    request.notifyFinish().addErrback(lambda _: connection.abandon())
    try:
        connection.poll(partial(_answer, request, 200))
    except Misplaced:
        raise Refused(BAD_REQUEST) from None


def _allow(request: Any, headers: Mapping[str, str], origins: Collection[str]) -> None:
    """Let the page read the answer, if it is one that may ask. Raises Refused."""
    check_page((), headers, origins)
    origin = headers.get("origin")
    if origin is not None:
        request.setHeader("Access-Control-Allow-Origin", "*" if "*" in origins else origin)
        request.setHeader("Vary", "Origin")


def _refuse(request: Any, refusal: Refusal) -> None:
    more = {"Content-Type": "application/json"}
    if refusal.retry_after_s is not None:
        more["Retry-After"] = str(refusal.retry_after_s)
    _answer(request, status_of(refusal), refusal_body(refusal), more)


def _answer(request: Any, status: int, body: bytes, more: Mapping[str, str] = _TEXT) -> None:
    """Say it whole, with its length; to nobody if the client has hung up."""
    if request.channel is None:
        return
    request.setResponseCode(status)
    for name, value in {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **more}.items():
        request.setHeader(name, value)
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()
