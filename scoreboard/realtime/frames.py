"""Frames: how the native protocol puts JSON on a WebSocket. RFC 6455, unmasked as servers must, made once for all sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scoreboard.boundaries import Parting
from scoreboard.domain.refusals import Refusal
from scoreboard.domain.values import BoardChanged, Event
from scoreboard.realtime.payloads import ROWS_EVENT, event_name, event_payload, refusal_payload, rows_payload

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


def close_frame(parting: Parting) -> bytes:
    """The close frame that says why; a longer reason is cut to what a control frame holds."""
    payload = parting.code.to_bytes(2, "big") + parting.reason.encode("ascii", "replace")[:_REASON_BYTES_MAX]
    return bytes((0x88, len(payload))) + payload


class NativeWire:
    """Implements boundaries.Wire for ``{"event": …, "data": …}`` in text frames."""

    def frame(self, event: Event) -> bytes:
        """The event, ready to be written."""
        return text_frame(b'{"event":"%b","data":%b}' % (event_name(event).encode(), event_payload(event)))

    def ack(self, number: int, data: bytes) -> bytes:
        """The answer (JSON) to the message that carried this id."""
        return text_frame(b'{"event":"ack","id":%d,"data":%b}' % (number, data))

    def refuse(self, refusal: Refusal, number: int | None) -> bytes:
        """A refusal, with the id of the message that it answers if it had one."""
        tail = b"}" if number is None else b',"id":%d}' % number
        return text_frame(b'{"event":"error","data":%b%b' % (refusal_payload(refusal), tail))


class NativeRowsWire(NativeWire):
    """The same for those who want row operations in place of a top that they can make from the one before."""

    def frame(self, event: Event) -> bytes:
        """The event, ready to be written."""
        if isinstance(event, BoardChanged) and event.before is not None:
            payload = rows_payload(event.page, event.before)
            return text_frame(b'{"event":"%b","data":%b}' % (ROWS_EVENT.encode(), payload))
        return super().frame(event)
