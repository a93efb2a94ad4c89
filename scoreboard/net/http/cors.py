"""CORS and WebSocket origins: the pages that may call the server, from the operator's list."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from scoreboard.domain.value import Value
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import Response

_EXPOSED: Final = b"Access-Control-Expose-Headers: ETag, Retry-After, RateLimit, RateLimit-Policy, Idempotent-Replayed\r\n"
_PREFLIGHT: Final = b"Access-Control-Allow-Headers: Authorization, Content-Type, If-None-Match\r\nAccess-Control-Max-Age: 600\r\n"
_VARY: Final = b"Vary: Origin\r\n"


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

    def lines_for(self, request: Request) -> bytes:
        """The further header lines of the response to this request."""
        if self.everyone or not self.origins:
            return b""
        origin = (request.getHeader(b"Origin") or b"").lower()
        listed = origin.decode("latin-1") in self.origins
        return b"Access-Control-Allow-Origin: %b\r\n" % origin + _EXPOSED if listed else b""

    def lines_for_page(self, request: Request) -> bytes:
        """The same for a request that `allows` admitted: behind a proxy with TLS, our own pages have another origin."""
        origin = request.getHeader(b"Origin")
        if self.everyone or origin is None:
            return b""
        return b"Access-Control-Allow-Origin: %b\r\n" % origin + (b"" if self.origins else _VARY)

    def allows(self, origin: str | None, host: str) -> bool:
        """Whether a page of this origin may call us: no page (None), our own page, or a listed origin."""
        if origin is None or self.everyone:
            return True
        origin = origin.lower()
        return origin in self.origins or (host != "" and origin in (f"http://{host.lower()}", f"https://{host.lower()}"))

    def preflight(self, methods: bytes) -> Response:
        """The response to OPTIONS with these methods."""
        return Response(204, b"", b"Allow: %b\r\nAccess-Control-Allow-Methods: %b\r\n" % (methods, methods) + _PREFLIGHT)


def cors(origins: Collection[str]) -> Cors:
    """The Cors of the operator's list."""
    return Cors(origins=frozenset(origin.lower() for origin in origins))
