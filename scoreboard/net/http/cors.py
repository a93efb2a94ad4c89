"""Who else's pages may call us: CORS, for the origins that the operator named."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from scoreboard.domain.value import Value
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import Response

_EXPOSED: Final = b"Access-Control-Expose-Headers: ETag, Retry-After, RateLimit, RateLimit-Policy, Idempotent-Replayed\r\n"
_PREFLIGHT: Final = b"Access-Control-Allow-Headers: Authorization, Content-Type, If-None-Match\r\nAccess-Control-Max-Age: 600\r\n"


class Cors(Value, frozen=True, kw_only=True):
    """The origins that may read our answers: ``*`` for all, none for nobody but our own pages."""

    origins: frozenset[bytes]

    @property
    def everyone(self) -> bool:
        """Whether any page may."""
        return b"*" in self.origins

    @property
    def constant_lines(self) -> bytes:
        """What every answer carries. One that depends on who asks says so, for caches."""
        if self.everyone:
            return b"Access-Control-Allow-Origin: *\r\n" + _EXPOSED
        return b"Vary: Origin\r\n" if self.origins else b""

    def header_lines(self, request: Request) -> bytes:
        """What the answer to this request carries besides."""
        if self.everyone or not self.origins:
            return b""
        origin = (request.getHeader(b"Origin") or b"").lower()
        return b"Access-Control-Allow-Origin: %b\r\n" % origin + _EXPOSED if origin in self.origins else b""

    def preflight(self, methods: bytes) -> Response:
        """The answer to OPTIONS: what may be done here."""
        return Response(204, b"", b"Allow: %b\r\nAccess-Control-Allow-Methods: %b\r\n" % (methods, methods) + _PREFLIGHT)


def cors(origins: Collection[str]) -> Cors:
    """From the operator's list, in lower case as origins are."""
    return Cors(origins=frozenset(origin.lower().encode() for origin in origins))
