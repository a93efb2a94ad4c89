"""Events as Socket.IO clients hear them: ``42["name",payload]``, framed once for all of them, polling or not.

Who may come back hears ``42["name",payload,"<epoch>.<seq>"]``: the offset that its client library remembers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from scoreboard.domain.events import BoardChanged, Event, cursor_of
from scoreboard.net.websocket.frames import text_frame, unframed
from scoreboard.realtime.payloads import ROWS_EVENT, event_name, event_payload, rows_payload

#: What ticks offer is sealed once for all who are offered the same; single players' own pieces must not push it out at once.
_SEALED_MAX: Final = 16


class SocketIoEncoder:
    """Implements boundaries.Wire for the main namespace."""

    def frame(self, event: Event) -> bytes:
        """The event, ready to be written."""
        return self._framed(event_name(event), event_payload(event), event)

    def _framed(self, name: str, payload: bytes, event: Event) -> bytes:
        return text_frame(b'42["%b",%b]' % (name.encode(), payload))


class SocketIoRowsEncoder(SocketIoEncoder):
    """The same for those who want row operations in place of a top that they can make from the one before."""

    def frame(self, event: Event) -> bytes:
        """The event, ready to be written."""
        if isinstance(event, BoardChanged) and event.before is not None:
            return self._framed(ROWS_EVENT, rows_payload(event.page, event.before), event)
        return super().frame(event)


class RecoverableEncoder(SocketIoEncoder):
    """The same for those who may come back. Each event has its offset until all that leave with it are `sealed`."""

    def _framed(self, name: str, payload: bytes, event: Event) -> bytes:
        cursor = cursor_of(event)
        if cursor is None:
            return super()._framed(name, payload, event)
        return text_frame(b'42["%b",%b,"%b"]' % (name.encode(), payload, cursor.text.encode()))


class RecoverableRowsEncoder(RecoverableEncoder, SocketIoRowsEncoder):
    """Both."""


@lru_cache(_SEALED_MAX)
def sealed(frames: bytes) -> bytes:
    """What leaves at once, the offset on its last event alone: who is cut off in the middle comes back to before all of it."""
    events = [event for _, event in unframed(frames)]
    placed = [at for at, event in enumerate(events) if event.endswith(b'"]')]  # a payload alone ends with }]
    for at in placed[:-1]:
        events[at] = b"%b]" % events[at][: events[at].rindex(b',"')]
    return b"".join(map(text_frame, events)) if len(placed) > 1 else frames
