"""A visitor that may be lost and come back: what it hears has offsets, and how it went says whether it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from scoreboard.domain.close_reasons import CloseCode, CloseReason
from scoreboard.domain.events import Event
from scoreboard.net.socket_writer import FrameSink
from scoreboard.realtime.client_session import ClientSession
from scoreboard.realtime.socketio.encoders import sealed

#: The connection broke or was closed; no pong, or a GET given up; a fault of ours; a restart; too slow.
_LOST: Final = frozenset(
    {
        CloseCode.NORMAL_CLOSURE,
        CloseCode.GOING_AWAY,
        CloseCode.INTERNAL_ERROR,
        CloseCode.SERVICE_RESTART,
        CloseCode.TOO_SLOW,
    }
)


def is_loss(close_reason: CloseReason) -> bool:
    """Whether a client that parted so neither wanted it nor was put out."""
    return close_reason.code in _LOST


class RecoverableClientSession(ClientSession):
    """Of all that leaves for it at once, the last event alone carries the offset."""

    __slots__ = ()

    def offer(self, frames: bytes) -> None:
        """Hand over all that a tick owes this client."""
        self.writer.offer(sealed(frames))

    def frames(self, events: Iterable[Event]) -> bytes:
        """Events for this client alone, ready to be written in one piece."""
        return sealed(super().frames(events))


class _Shut:
    """Takes nothing: its client is not answered yet, and what happens meanwhile is in what it will be told."""

    drained = False

    def offer(self, data: bytes) -> None: ...


SHUT: Final[FrameSink] = _Shut()
