"""WebSocket frames (RFC 6455), unmasked as a server must send them. A frame is made once and written to many connections."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from scoreboard.domain.close_reasons import CloseReason

_REASON_BYTES_MAX: Final = 123
_FIN: Final = 0x80
_OPCODE_MASK: Final = 0x0F


class Opcode(IntEnum):
    """The opcodes that the server sends (RFC 6455, 5.2)."""

    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9


def text_frame(payload: bytes) -> bytes:
    """One whole text message."""
    return _frame(Opcode.TEXT, payload)


def binary_frame(payload: bytes) -> bytes:
    """One whole binary message."""
    return _frame(Opcode.BINARY, payload)


def _frame(opcode: Opcode, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes((_FIN | opcode, size))
    elif size < 65_536:
        head = bytes((_FIN | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FIN | opcode, 127)) + size.to_bytes(8, "big")
    return head + payload


PING: Final = _frame(Opcode.PING, b"")


def unframed(frames: bytes) -> Iterator[tuple[bool, bytes]]:
    """(whether it is text, payload) of each message in frames that this module made."""
    at = 0
    while at < len(frames):
        is_text, size = frames[at] & _OPCODE_MASK == Opcode.TEXT, frames[at + 1]
        at += 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(frames[at : at + width], "big")
            at += width
        yield is_text, frames[at : at + size]
        at += size


def close_frame(close_reason: CloseReason) -> bytes:
    """The close frame of a reason. Its text is cut to what a control frame can hold."""
    reason = close_reason.reason.encode("ascii", "replace")[:_REASON_BYTES_MAX]
    return _frame(Opcode.CLOSE, close_reason.code.to_bytes(2, "big") + reason)
