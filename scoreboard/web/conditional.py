"""Conditional requests (RFC 9110, section 13): 304 to a client that already has the response."""

from __future__ import annotations

import hashlib

from scoreboard.domain.value import Value
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import Response


class TaggedResponse(Value, frozen=True):
    """A 200 and its entity tag, with the quotes. The header lines of the response name the tag."""

    tag: bytes
    response: Response

    def answer(self, request: Request) -> Response:
        """The response, or 304 if If-None-Match names its tag. A tag is quoted, so that a search in the list is exact."""
        held = request.getHeader(b"If-None-Match")
        if held is not None and (self.tag in held or held.strip() == b"*"):
            return Response(304, b"", self.response.header_lines)
        return self.response


def tagged(tag: bytes, body: bytes, header_lines: bytes) -> TaggedResponse:
    """A 200 with this tag."""
    return TaggedResponse(tag, Response(200, body, header_lines + b"ETag: %b\r\n" % tag))


def tagged_by_content(body: bytes, header_lines: bytes) -> TaggedResponse:
    """A 200 whose tag is a hash of the body: the same in every process that serves the same bytes."""
    return tagged(b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode(), body, header_lines)
