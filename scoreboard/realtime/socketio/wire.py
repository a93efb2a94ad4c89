"""Events as Socket.IO clients hear them: ``42["name",payload]``, framed once for all of them, polling or not."""

from __future__ import annotations

from scoreboard.domain.values import BoardChanged, Event
from scoreboard.realtime.frames import text_frame
from scoreboard.realtime.payloads import ROWS_EVENT, event_name, event_payload, rows_payload


class SocketIoWire:
    """Implements boundaries.Wire for the main namespace."""

    def frame(self, event: Event) -> bytes:
        """The event, ready to be written."""
        return _framed(event_name(event), event_payload(event))


class SocketIoRowsWire(SocketIoWire):
    """The same for those who want row operations in place of a top that they can make from the one before."""

    def frame(self, event: Event) -> bytes:
        """The event, ready to be written."""
        if isinstance(event, BoardChanged) and event.before is not None:
            return _framed(ROWS_EVENT, rows_payload(event.page, event.before))
        return super().frame(event)


def _framed(name: str, payload: bytes) -> bytes:
    return text_frame(b'42["%b",%b]' % (name.encode(), payload))
