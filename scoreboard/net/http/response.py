"""Response as a value: a status, a body, and header lines that are ready to be written.

Header lines are bytes from the start. Nothing that a client sends gets into one, so nothing has to be escaped.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from scoreboard.domain.value import Value

JSON: Final = b"Content-Type: application/json\r\n"
NO_STORE: Final = b"Cache-Control: no-store\r\n"
#: Of a body with data of one player.
PRIVATE_JSON: Final = JSON + b"Cache-Control: private, no-store\r\n"
NOSNIFF: Final = b"X-Content-Type-Options: nosniff\r\n"

_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_WITHOUT_BODY: Final = frozenset({204, 304})


class Response(Value, frozen=True):
    """What a handler returns. Each of ``header_lines`` ends with CRLF; Content-Length and Date are added by others."""

    status: int
    body: bytes = b""
    header_lines: bytes = JSON

    def encode(self, more_lines: bytes, *, for_head: bool = False, last: bool = False) -> bytes:
        """The bytes of the response: without a body for HEAD, and with Connection: close if it is the connection's ``last``."""
        status = self.status
        return b"".join(
            (
                _STATUS_LINES[status],
                more_lines,
                self.header_lines,
                b"" if status in _WITHOUT_BODY else b"Content-Length: %d\r\n" % len(self.body),
                b"Connection: close\r\n\r\n" if last else b"\r\n",
                b"" if for_head or status in _WITHOUT_BODY else self.body,
            )
        )
