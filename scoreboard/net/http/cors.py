"""CORS and WebSocket origins: the pages that may call the server, from the operator's list."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from scoreboard.domain.value import Value
from scoreboard.net.http.request_head import TOKEN
from scoreboard.net.http.response import Response

_EXPOSED: Final = b"Access-Control-Expose-Headers: ETag, Retry-After, RateLimit, RateLimit-Policy, Idempotent-Replayed\r\n"
#: The request headers that our API reads. A preflight also allows the others that it names, because libraries and tracing agents
#: add their own (traceparent, X-Requested-With, …). A header brings a page no more rights than its token.
_HEADERS: Final = b"Authorization, Content-Type, If-None-Match, Last-Event-ID"
_REQUESTED_BYTES_MAX: Final = 2_048
_REQUESTED: Final = re.compile(rb"[ \t]*%b(?:[ \t]*,[ \t]*%b)*[ \t]*" % (TOKEN, TOKEN))
_VARY: Final = b"Vary: Origin\r\n"
#: A listed page may send cookies: a load balancer with several servers needs its own cookie to bring the
#: requests of one Engine.IO session to the same server. This server reads and sets no cookie, so a cookie brings no rights here.
#: Browsers forbid the line together with ``*``, and a page that the operator did not list gets no such line.
_CREDENTIALS: Final = b"Access-Control-Allow-Credentials: true\r\n"


class Cors(Value, frozen=True, kw_only=True):
    """The origins that may read our responses, in lower case: ``*`` means all, an empty set means only our own pages."""

    origins: frozenset[str]

    @property
    def everyone(self) -> bool:
        """Whether every page may read them."""
        return "*" in self.origins

    @property
    def constant_lines(self) -> bytes:
        """The header lines of every response. Vary tells caches that a response depends on the origin."""
        if self.everyone:
            return b"Access-Control-Allow-Origin: *\r\n" + _EXPOSED
        return _VARY if self.origins else b""

    def lines_for(self, origin: bytes | None) -> bytes:
        """The further header lines of the response to a page of this origin, which gets its own spelling back."""
        if self.everyone or not self.origins or origin is None:
            return b""
        listed = origin.lower().decode("latin-1") in self.origins
        return b"Access-Control-Allow-Origin: %b\r\n" % origin + _CREDENTIALS + _EXPOSED if listed else b""

    def lines_for_page(self, origin: bytes | None) -> bytes:
        """The further header lines for a request that `allows` admitted. Our own pages get them as well.

        Behind a proxy with TLS their origin differs from the server's.
        """
        if self.everyone or origin is None:
            return b""
        own_page = b"Access-Control-Allow-Origin: %b\r\n" % origin + _EXPOSED + (b"" if self.origins else _VARY)
        return self.lines_for(origin) or own_page

    def allows(self, origin: str | None, host: str) -> bool:
        """Whether a page of this origin may call us: no page (None), our own page, or a listed origin."""
        if origin is None or self.everyone:
            return True
        origin = origin.lower()
        return origin in self.origins or (host != "" and origin in (f"http://{host.lower()}", f"https://{host.lower()}"))

    def preflight(self, methods: bytes, requested_headers: bytes | None) -> Response:
        """The response to OPTIONS with these methods. ``requested_headers`` is the value of Access-Control-Request-Headers."""
        names = _HEADERS
        requested = requested_headers or b""
        if len(requested) <= _REQUESTED_BYTES_MAX and _REQUESTED.fullmatch(requested):
            names += b", " + requested.strip(b" \t")
        header_lines = b"Access-Control-Allow-Methods: %b\r\nAccess-Control-Allow-Headers: %b\r\n" % (methods, names)
        return Response(204, b"", b"Allow: %b\r\n" % methods + header_lines + b"Access-Control-Max-Age: 600\r\n")


def cors(origins: Collection[str]) -> Cors:
    """The Cors of the operator's list."""
    return Cors(origins=frozenset(origin.lower() for origin in origins))
