"""Refusals in HTTP: one table from reasons to statuses, one JSON object, and the response made of both.

docs/protocol.md lists the same reasons and statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from scoreboard.domain.limits import Limit
from scoreboard.domain.refusals import Reason, Refusal
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import JSON, NO_STORE, Response

STATUS: Final[Mapping[Reason, int]] = {
    Reason.MALFORMED_REQUEST: 400,
    Reason.INVALID_ACTION: 400,
    Reason.ACTION_EXPIRED: 400,
    Reason.ACTION_ALREADY_USED: 409,
    Reason.ACTION_TOO_EARLY: 409,
    Reason.REQUIREMENT_NOT_MET: 409,
    Reason.DAILY_LIMIT: 429,
    Reason.SCORE_LIMIT: 409,
    Reason.UNAUTHORIZED: 401,
    Reason.INVALID_TOKEN: 401,
    Reason.FORBIDDEN: 403,
    Reason.NOT_FOUND: 404,
    Reason.METHOD_NOT_ALLOWED: 405,
    Reason.BODY_TOO_LARGE: 413,
    Reason.UNSUPPORTED_MEDIA_TYPE: 415,
    Reason.RATE_LIMIT_EXCEEDED: 429,
    Reason.UNAVAILABLE: 503,
}
#: The header lines of a reason.
_HEADER_LINES: Final[Mapping[Reason, bytes]] = {
    Reason.ACTION_ALREADY_USED: b"Idempotent-Replayed: true\r\n",
    Reason.UNAUTHORIZED: b'WWW-Authenticate: Bearer realm="scoreboard"\r\n',
    Reason.INVALID_TOKEN: b'WWW-Authenticate: Bearer realm="scoreboard", error="invalid_token"\r\n',
}
_PROBLEM: Final = b"application/problem+json"
_encode: Final = msgspec.json.Encoder().encode


class RefusalBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A refusal as JSON. ``code`` and ``error`` never change; ``message`` is for people. The last five members are RFC 9457's."""

    success: Literal[False] = False
    error: str
    message: str
    code: int
    retry_after: int | UnsetType = UNSET
    field: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    status: int | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    instance: str | UnsetType = UNSET


NOT_FOUND: Final = Refusal(
    reason=Reason.NOT_FOUND,
    message="There is no such path: the API's begin with /api/v1/ and end without a slash; there are /ws and /socket.io/, too",
)
#: All that a client learns about a fault of the server.
FAULT: Final = RefusalBody(error="INTERNAL_ERROR", message="The server has a fault", code=5000)
FAULT_RESPONSE: Final = Response(500, _encode(FAULT), JSON + NO_STORE)


def rate_lines(limit: Limit, remaining: int, reset_s: int) -> bytes:
    """RateLimit fields as draft-ietf-httpapi-ratelimit-headers spells them: quota and window, what is left and for how long."""
    name, window_s = limit.name.encode(), -(-limit.window_ms // 1000)
    window = b";w=%d" % window_s if window_s else b""
    return b'RateLimit-Policy: "%b";q=%d%b\r\nRateLimit: "%b";r=%d;t=%d\r\n' % (
        name,
        limit.quota,
        window,
        name,
        remaining,
        reset_s,
    )


def refusal_body(refusal: Refusal) -> RefusalBody:
    """The body for a refusal. The message for a malformed request names the field too: many clients show only the message."""
    named = refusal.field is not None and refusal.reason is Reason.MALFORMED_REQUEST
    return RefusalBody(
        error=refusal.reason.name,
        message=f"{refusal.field}: {refusal.message}" if named else refusal.message,
        code=refusal.reason.value,
        retry_after=UNSET if refusal.retry_after_s is None else refusal.retry_after_s,
        field=UNSET if refusal.field is None else refusal.field,
    )


def refused(
    refusal: Refusal, request: Request | None = None, *, body: RefusalBody | None = None, status: int | None = None
) -> Response:
    """The response to a request that is refused. A client that accepts problem+json also gets the members of RFC 9457.

    ``body`` replaces the refusal's own body where it has more members, ``status`` the status of the reason.
    """
    status = status or STATUS[refusal.reason]
    body, content_type = body or refusal_body(refusal), JSON
    if request is not None and _PROBLEM in (request.getHeader(b"Accept") or b""):
        content_type = b"Content-Type: %b\r\n" % _PROBLEM
        body = msgspec.structs.replace(
            body,
            type="about:blank",
            title=HTTPStatus(status).phrase,
            status=status,
            detail=refusal.message,
            instance=request.path.decode("ascii"),
        )
    if refusal.limit is not None and request is not None:
        request.rate_lines = b""  # what is left of another limit
    rate = b"" if refusal.limit is None else rate_lines(refusal.limit, 0, refusal.retry_after_s or 0)
    retry = b"" if refusal.retry_after_s is None else b"Retry-After: %d\r\n" % refusal.retry_after_s
    return Response(status, _encode(body), content_type + NO_STORE + retry + rate + _HEADER_LINES.get(refusal.reason, b""))
