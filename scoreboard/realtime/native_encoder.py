"""Encoder of the native protocol: events as JSON objects in text frames."""

from __future__ import annotations

from scoreboard.domain.events import BoardChanged, Event
from scoreboard.domain.refusals import Refusal
from scoreboard.net.websocket.frames import text_frame
from scoreboard.realtime.payloads import ROWS_EVENT, event_name, event_payload, refusal_payload, rows_payload


class NativeEncoder:
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


class NativeRowsEncoder(NativeEncoder):
    """The same for those who want row operations in place of a top that they can make from the one before."""

    def frame(self, event: Event) -> bytes:
        """The event, ready to be written."""
        if isinstance(event, BoardChanged) and event.before is not None:
            payload = rows_payload(event.page, event.before)
            return text_frame(b'{"event":"%b","data":%b}' % (ROWS_EVENT.encode(), payload))
        return super().frame(event)
