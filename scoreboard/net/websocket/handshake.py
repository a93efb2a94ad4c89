"""The handshake: who may open a socket, told from the request alone, and how a refusal looks in HTTP."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from scoreboard.domain.refusals import Reason, Refusal, Refused, malformed

PATHS: Final = ("/", "/ws")
#: What a token is called where it must not be: in a URL it ends up in logs and histories.
_TOKEN_NAMES: Final = frozenset({"token", "access_token", "jwt", "auth", "authorization"})
_STATUS: Final = {
    Reason.MALFORMED_REQUEST: 400,
    Reason.UNAUTHORIZED: 401,
    Reason.INVALID_TOKEN: 401,
    Reason.FORBIDDEN: 403,
    Reason.NOT_FOUND: 404,
    Reason.BODY_TOO_LARGE: 413,
    Reason.UNSUPPORTED_MEDIA_TYPE: 415,
    Reason.RATE_LIMIT_EXCEEDED: 429,
    Reason.UNAVAILABLE: 503,
}
_NOT_BEARER: Final = Refusal(reason=Reason.UNAUTHORIZED, message="Authorization must be Bearer and one token")
_FOREIGN: Final = Refusal(reason=Reason.FORBIDDEN, message="This origin is not allowed")
_NOWHERE: Final = Refusal(reason=Reason.NOT_FOUND, message="There is nothing here; the socket is at /ws")
_OUR_FAULT: Final = Refusal(reason=Reason.UNAVAILABLE, message="The server has a fault")
_IN_THE_QUERY: Final = malformed("query", "a token does not belong in a URL; send it in a header or as the first message")


class _Body(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    success: bool
    error: str
    message: str
    code: int
    retry_after: int | None = None


def check_handshake(path: str, query: Collection[str], headers: Mapping[str, str], origins: Collection[str]) -> str | None:
    """The token that the handshake brings, or None. ``headers`` by lower-case name. Raises Refused."""
    if path not in PATHS:
        raise Refused(_NOWHERE)
    check_page(query, headers, origins)
    authorization = headers.get("authorization")
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.isascii() or len(token.split()) != 1:
        raise Refused(_NOT_BEARER)
    return token.strip()


def check_page(query: Collection[str], headers: Mapping[str, str], origins: Collection[str]) -> None:
    """Refuse what a foreign page asks, and what carries a token in its URL. Raises Refused."""
    if any(name.lower() in _TOKEN_NAMES for name in query):
        raise Refused(_IN_THE_QUERY)
    if not origin_allowed(headers.get("origin"), headers.get("host", ""), origins):
        raise Refused(_FOREIGN)


def origin_allowed(origin: str | None, host: str, origins: Collection[str]) -> bool:
    """Whether a page from there may speak to us: no page at all, our own page, or one that is listed."""
    if origin is None or "*" in origins:
        return True
    origin = origin.lower()
    return origin in origins or (host != "" and origin in (f"http://{host.lower()}", f"https://{host.lower()}"))


def status_of(refusal: Refusal) -> int:
    """The status of a handshake that is refused."""
    return _STATUS[refusal.reason]


def refusal_of(status: int, message: str) -> Refusal:
    """A refusal for what Autobahn found wrong with a request. Of a fault of ours nothing is told."""
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _OUR_FAULT
    reason = Reason.METHOD_NOT_ALLOWED if status == HTTPStatus.METHOD_NOT_ALLOWED else Reason.MALFORMED_REQUEST
    return Refusal(reason=reason, message=message[:200])


def refusal_body(refusal: Refusal) -> bytes:
    """The refusal as JSON, in the shape of the HTTP API."""
    reason = refusal.reason
    return msgspec.json.encode(_Body(False, reason.name, refusal.message, reason.value, refusal.retry_after_s))


def http_answer(refusal: Refusal, status: int, headers: Mapping[str, str]) -> bytes:
    """The refusal as a whole HTTP answer after which the connection closes."""
    answer = HTTPStatus(status)
    body = refusal_body(refusal)
    header_lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Cache-Control": "no-store", **headers}
    if answer == HTTPStatus.UNAUTHORIZED:
        fault = ', error="invalid_token"' if refusal.reason is Reason.INVALID_TOKEN else ""
        header_lines["WWW-Authenticate"] = 'Bearer realm="scoreboard"' + fault
    if answer == HTTPStatus.METHOD_NOT_ALLOWED:
        header_lines["Allow"] = "GET"
    if refusal.retry_after_s is not None:
        header_lines["Retry-After"] = str(refusal.retry_after_s)
    if answer == HTTPStatus.UPGRADE_REQUIRED:
        header_lines["Upgrade"] = "websocket"
    header_lines["Connection"] = "close" if "Upgrade" not in header_lines else "Upgrade, close"
    head = "".join(f"{name}: {value}\r\n" for name, value in header_lines.items())
    return f"HTTP/1.1 {answer.value} {answer.phrase}\r\n{head}\r\n".encode("latin-1") + body
