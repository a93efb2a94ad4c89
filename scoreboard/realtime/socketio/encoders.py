"""Encoder of Socket.IO: events as ``42["name",payload]`` in text frames, for polling clients as well.

A client that can come back gets ``42["name",payload,"<epoch>.<seq>"]`` as the last event of a piece: its client library remembers
the last argument as its offset.
"""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from scoreboard.boundaries.announcer import EventEncoder
from scoreboard.domain.events import Event
from scoreboard.net.websocket.frames import text_frame
from scoreboard.realtime.payloads import last_cursor, name_and_payload


class SocketIoEncoder(EventEncoder):
    """Encodes for the main namespace. ``rows`` as in NativeEncoder; ``recoverable`` adds the offset."""

    def __init__(self, *, rows: bool = False, recoverable: bool = False) -> None:
        self._rows = rows
        self._recoverable = recoverable

    @override
    def encode(self, events: Sequence[Event], *, more: bool = False) -> bytes:
        last, offset = last_cursor(events) if self._recoverable and not more else (-1, b"")
        frames = []
        for at, event in enumerate(events):
            name, payload = name_and_payload(event, rows=self._rows)
            text = b'42["%b",%b,"%b"]' % (name, payload, offset) if at == last else b'42["%b",%b]' % (name, payload)
            frames.append(text_frame(text))
        return b"".join(frames)
