"""A visitor that may be lost and come back: what it hears has offsets, and how it went says whether it is kept."""

from __future__ import annotations

from typing import Final

from scoreboard.domain.close_reasons import CloseReason
from scoreboard.net.socket_writer import FrameSink

#: The connection broke or was closed; no pong, or a GET given up; a fault of ours; a restart; too slow.
_LOST: Final = frozenset({1000, 1001, 1011, 1012, 4008})


def is_loss(close_reason: CloseReason) -> bool:
    """Whether a client that parted so neither wanted it nor was put out."""
    return close_reason.code in _LOST


class _Shut:
    """Takes nothing: its client is not answered yet, and what happens meanwhile is in what it will be told."""

    drained = False

    def offer(self, data: bytes) -> None: ...


SHUT: Final[FrameSink] = _Shut()
