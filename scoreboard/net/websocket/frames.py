"""WebSocket frames (RFC 6455), unmasked as servers must: made once and written to many connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scoreboard.domain.close_reasons import CloseReason

PING: Final = b"\x89\x00"
_REASON_BYTES_MAX: Final = 123
_TEXT_OPCODE: Final = 1


def text_frame(payload: bytes) -> bytes:
    """One whole text message."""
    return _frame(0x81, payload)


def binary_frame(payload: bytes) -> bytes:
    """One whole binary message."""
    return _frame(0x82, payload)


def _frame(head: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((head, size)) + payload
    if size < 65_536:
        return bytes((head, 126)) + size.to_bytes(2, "big") + payload
    return bytes((head, 127)) + size.to_bytes(8, "big") + payload


def unframed(frames: bytes) -> Iterator[tuple[bool, bytes]]:
    """(whether it is text, payload) of each message in frames of ours, which are whole and unmasked."""
    at = 0
    while at < len(frames):
        is_text, size = frames[at] & 0x0F == _TEXT_OPCODE, frames[at + 1]
        at += 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(frames[at : at + width], "big")
            at += width
        yield is_text, frames[at : at + size]
        at += size


def close_frame(close_reason: CloseReason) -> bytes:
    """The close frame that says why; a longer reason is cut to what a control frame holds."""
    payload = close_reason.code.to_bytes(2, "big") + close_reason.reason.encode("ascii", "replace")[:_REASON_BYTES_MAX]
    return bytes((0x88, len(payload))) + payload
