"""Encoder of the native protocol: events as JSON objects in text frames."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from scoreboard.boundaries.announcer import EventEncoder
from scoreboard.domain.events import Event
from scoreboard.domain.refusals import Refusal
from scoreboard.net.websocket.frames import text_frame
from scoreboard.realtime.payloads import name_and_payload, refusal_payload


class NativeEncoder(EventEncoder):
    """Encodes an event as ``{"event": …, "data": …}``. With ``rows``, a top is row operations where the top before is known."""

    def __init__(self, *, rows: bool = False) -> None:
        self._rows = rows

    @override
    def encode(self, events: Sequence[Event], *, more: bool = False) -> bytes:
        named = [name_and_payload(event, rows=self._rows) for event in events]
        return b"".join([text_frame(b'{"event":"%b","data":%b}' % one) for one in named])

    def ack(self, number: int, data: bytes) -> bytes:
        """Encode the answer (JSON) to the message with this id."""
        return text_frame(b'{"event":"ack","id":%d,"data":%b}' % (number, data))

    def refuse(self, refusal: Refusal, number: int | None) -> bytes:
        """Encode a refusal, with the id of the message that it answers if that had one."""
        tail = b"}" if number is None else b',"id":%d}' % number
        return text_frame(b'{"event":"error","data":%b%b' % (refusal_payload(refusal), tail))
