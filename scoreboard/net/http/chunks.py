"""Decoder of a body in chunks (RFC 9112, 7.1): strict, and it refuses a wrong size line or trailer as soon as its bytes are here.

Twisted's own decoder accepts any bytes in a trailer, and waits for the end of the line before it looks at a size.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from scoreboard.net.http.request_head import TOKEN, BadRequestHead, read_fields
from scoreboard.net.limits import HttpLimits

SIZE_DIGITS_MAX: Final = 16
SIZE_LINE_BYTES_MAX: Final = 1_024
_EXTENSION: Final = rb'[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|"(?:[^"\\]|\\.)*"))?' % (TOKEN, TOKEN)
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,%d})(?:%b)*" % (SIZE_DIGITS_MAX, _EXTENSION))
#: The first bytes of a size line that is not whole.
_SIZE_LINE_SO_FAR: Final = re.compile(rb"[0-9A-Fa-f]{0,%d}(?:(?<=[0-9A-Fa-f])[ \t;].*)?" % SIZE_DIGITS_MAX)
#: After a chunk's size, and after its bytes.
_LINE_ENDS_BYTES: Final = 4
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class BadChunks(Exception):
    """The bytes are no valid chunks. The message says why and repeats nothing that the client sent."""


class BodyTooLarge(Exception):
    """The chunks announce more bytes than a body may have."""


class ChunkedBody:
    """Decoder of one body: ``on_data`` gets the bytes of the body, ``on_end`` what came after it. Trailers are dropped."""

    def __init__(self, on_data: Callable[[bytes], None], on_end: Callable[[bytes], None], limits: HttpLimits) -> None:
        self._on_data = on_data
        self._on_end = on_end
        self._limits = limits
        self._buffer = bytearray()
        self._room = limits.body_bytes_max
        self._framing_room = limits.chunk_framing_bytes_max
        self._missing = 0  # bytes of the present chunk
        self._trailer_fields = 0
        self._trailer_room = limits.head_bytes_max
        self._read: Callable[[], bool] = self._read_size
        #: So many bytes at the beginning of the buffer hold neither a line's end nor a control character.
        self._searched = 0

    def dataReceived(self, data: bytes) -> None:
        """Twisted: bytes of the body, and perhaps of a later request. Raises BadChunks or BodyTooLarge."""
        self._buffer += data
        while self._buffer and self._read():
            pass

    def _read_size(self) -> bool:
        text = self._next_line(SIZE_LINE_BYTES_MAX)
        if text is None:
            found = _SIZE_LINE_SO_FAR.fullmatch(self._buffer[: SIZE_DIGITS_MAX + 1].removesuffix(b"\r"))
        else:
            found = _SIZE_LINE.fullmatch(text)
        if found is None:
            raise BadChunks("a chunk's size is not valid")
        if text is not None:
            self._framing_room -= len(text) + _LINE_ENDS_BYTES
            if self._framing_room < 0:
                raise BadChunks(f"the lines between its chunks have more than {self._limits.chunk_framing_bytes_max} bytes")
            self._missing = int(found[1], 16)
            self._room -= self._missing
            if self._room < 0:
                raise BodyTooLarge
            self._read = self._read_data if self._missing else self._read_trailer
        return text is not None

    def _read_data(self) -> bool:
        data = bytes(self._buffer[: self._missing])
        del self._buffer[: self._missing]
        self._missing -= len(data)
        if not self._missing:
            self._read = self._read_end_of_chunk
        self._on_data(data)
        return True

    def _read_end_of_chunk(self) -> bool:
        if not b"\r\n".startswith(self._buffer[:2]):
            raise BadChunks("a chunk is longer than its size")
        if len(self._buffer) < 2:
            return False
        del self._buffer[:2]
        self._read = self._read_size
        return True

    def _read_trailer(self) -> bool:
        text = self._next_line(self._trailer_room)
        if text is None:
            return False
        if not text:
            self._on_end(bytes(self._buffer))
            return False
        self._trailer_room -= len(text)
        self._trailer_fields += 1
        if self._trailer_fields > self._limits.head_fields_max:
            raise BadChunks(f"the trailer has more than {self._limits.head_fields_max} fields")
        try:
            read_fields([text])
        except BadRequestHead:
            raise BadChunks("the trailer is not valid") from None
        return True

    def _next_line(self, bytes_max: int) -> bytes | None:
        """Take the next line from the buffer; None if it is not whole. It looks at each byte once, in however many pieces."""
        end = self._buffer.find(b"\r\n", self._searched)
        length = end if end >= 0 else len(self._buffer) - self._buffer.endswith(b"\r")
        if length > bytes_max:
            raise BadChunks("a line is too long")
        if _CONTROLS.search(self._buffer, self._searched, length):
            raise BadChunks("a line holds control characters")
        if end < 0:
            self._searched = length
            return None
        text = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._searched = 0
        return text
