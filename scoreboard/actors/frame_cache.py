"""Frames each event once for each wire, however many hear it."""

from __future__ import annotations

from scoreboard.boundaries.announcer import EventEncoder
from scoreboard.domain.events import Event


class FrameCache:
    """For as long as one tick takes."""

    def __init__(self) -> None:
        self._framed: dict[tuple[EventEncoder, int], bytes] = {}

    def __call__(self, encoder: EventEncoder, event: Event) -> bytes:
        """The event's frame; whoever asks keeps the event for as long as the framer."""
        key = (encoder, id(event))
        framed = self._framed.get(key)
        if framed is None:
            framed = self._framed[key] = encoder.frame(event)
        return framed
