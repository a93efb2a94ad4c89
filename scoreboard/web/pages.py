"""Static files of the pages: read once at the start, so that no path of a client reaches the file system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from scoreboard.domain.limits import Limit
from scoreboard.domain.refusals import Reason, Refusal
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import Response
from scoreboard.web.conditional import TaggedResponse, tagged_by_content
from scoreboard.web.open_route_limiter import OpenRouteLimiter

#: No other origin and nothing inline; `connect-src 'self'` covers the WebSocket of the same host and port.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    b"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADER_LINES: Final = (
    b"Content-Security-Policy: " + _POLICY + b"\r\n"
    b"Referrer-Policy: no-referrer\r\n"
    b"Cross-Origin-Opener-Policy: same-origin\r\n"
    b"Cache-Control: no-cache\r\n"  # no build step renames the files: a browser asks each time and gets 304
)
_NO_PAGE: Final = Refusal(reason=Reason.NOT_FOUND, message="There is no such page")
_TYPES: Final = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".ico": b"image/x-icon",
    ".js": b"text/javascript; charset=utf-8",
    ".json": b"application/json",
    ".mjs": b"text/javascript; charset=utf-8",
    ".png": b"image/png",
    ".svg": b"image/svg+xml",
    ".webmanifest": b"application/manifest+json",
    ".woff2": b"font/woff2",
}


class Pages:
    """The files under a directory, by their path from there with `/` between folders."""

    def __init__(self, directory: Path, open_route_limiter: OpenRouteLimiter, limit: Limit) -> None:
        self._open_route_limiter = open_route_limiter
        self._limit = limit
        self._answers: Mapping[str, TaggedResponse] = dict(_read(directory))

    async def page(self, request: Request, name: str) -> Response | Refusal:
        """The file of this name, or 304 to a client that has it."""
        await self._open_route_limiter.check(request, self._limit)
        found = self._answers.get(name)
        return _NO_PAGE if found is None else found.answer(request)


def _read(directory: Path) -> Iterator[tuple[str, TaggedResponse]]:
    for file in sorted(directory.rglob("*")):
        content_type = _TYPES.get(file.suffix)
        if content_type is not None and file.is_file():
            header_lines = b"Content-Type: %b\r\n" % content_type + _HEADER_LINES
            yield file.relative_to(directory).as_posix(), tagged_by_content(file.read_bytes(), header_lines)
