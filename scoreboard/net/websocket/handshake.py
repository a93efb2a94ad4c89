"""WebSocket handshake: it checks the request, and makes the HTTP response of a refusal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Final

from twisted.web.http import datetimeToString

from scoreboard.domain.refusals import Reason, Refusal, Refused
from scoreboard.net.http.bearer import bearer
from scoreboard.net.http.cors import Cors
from scoreboard.net.http.response import Response

#: The header lines of a status.
_HEADER_LINES: Final[Mapping[int, bytes]] = {
    HTTPStatus.METHOD_NOT_ALLOWED: b"Allow: GET\r\n",
    HTTPStatus.UPGRADE_REQUIRED: b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
}
PATHS: Final = ("/", "/ws")
#: Names of query parameters with a token. A token must not be in a URL: it would end up in logs and histories.
_TOKEN_NAMES: Final = frozenset({"token", "access_token", "jwt", "auth", "authorization"})
_FOREIGN: Final = Refusal(reason=Reason.FORBIDDEN, message="This origin is not allowed")
_NOWHERE: Final = Refusal(reason=Reason.NOT_FOUND, message="There is no such path; the socket is at /ws")
_OUR_FAULT: Final = Refusal(reason=Reason.UNAVAILABLE, message="The server has a fault")
_IN_THE_QUERY: Final = Refusal(
    reason=Reason.MALFORMED_REQUEST,
    message="a token does not belong in a URL; send it in Authorization or in the event auth, with Socket.IO in the option auth",
)


def check_handshake(path: str, query: Collection[str], headers: Mapping[str, str], cors: Cors) -> str | None:
    """The token in the handshake, or None. ``headers`` are by lower-case name. Raises Refused."""
    if path not in PATHS:
        raise Refused(_NOWHERE)
    check_page(query, headers, cors)
    authorization = headers.get("authorization")
    if authorization is None:
        return None
    token = bearer([authorization.encode("latin-1", "replace")])
    if isinstance(token, Refusal):
        raise Refused(token)
    return token


def check_page(query: Collection[str], headers: Mapping[str, str], cors: Cors) -> None:
    """Raise Refused if a page of another origin sent the request, or if its URL contains a token."""
    check_query(query)
    check_origin(headers.get("origin"), headers.get("host", ""), cors)


def check_query(query: Collection[str]) -> None:
    """Raise Refused if a parameter of these names is a token."""
    if any(name.lower() in _TOKEN_NAMES for name in query):
        raise Refused(_IN_THE_QUERY)


def check_origin(origin: str | None, host: str, cors: Cors) -> None:
    """Raise Refused if a page of another origin sent the request to this host."""
    if not cors.allows(origin, host):
        raise Refused(_FOREIGN)


def refusal_of(status: int, message: str) -> Refusal:
    """The refusal for a request that Autobahn found wrong. For a fault of the server it reveals nothing."""
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _OUR_FAULT
    reason = Reason.METHOD_NOT_ALLOWED if status == HTTPStatus.METHOD_NOT_ALLOWED else Reason.MALFORMED_REQUEST
    return Refusal(reason=reason, message=message[:200])


def refused_handshake(response: Response, headers: Mapping[str, str], cors: Cors, origin: str | None) -> bytes:
    """The whole response to a refused handshake, with Autobahn's headers. The connection is closed after it.

    A page of an allowed ``origin`` may read it, like any other response.
    """
    cors_lines = cors.constant_lines + cors.lines_for(None if origin is None else origin.encode("latin-1", "replace"))
    fields = {"Date": datetimeToString().decode("ascii"), **headers}
    extra = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("latin-1")
    return response.encode(extra + cors_lines + _HEADER_LINES.get(response.status, b""), last=True)
