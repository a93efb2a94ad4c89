"""Recovery of Socket.IO sessions: which closed connections are saved, and the writer before a client is accepted."""

from __future__ import annotations

from typing import Final

from scoreboard.domain.close_reasons import CloseCode, CloseReason
from scoreboard.net.socket_writer import FrameSink

#: The connection broke or was closed; no pong, or a GET given up; a fault of the server; a restart; too slow.
_LOST: Final = frozenset(
    {CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.INTERNAL_ERROR, CloseCode.SERVICE_RESTART, CloseCode.TOO_SLOW}
)


def is_loss(close_reason: CloseReason) -> bool:
    """Whether the connection was lost: the client did not leave, and the server did not refuse it."""
    return close_reason.code in _LOST


class _NoWriter:
    """Writer that is never drained: the client is not accepted yet, and its first events hold what happens meanwhile."""

    drained = False

    def offer(self, data: bytes) -> None: ...


NO_WRITER: Final[FrameSink] = _NoWriter()
