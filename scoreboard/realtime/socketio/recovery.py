"""Recovery of Socket.IO sessions: which closed connections are saved, and the writer before a client is accepted."""

from __future__ import annotations

from typing import Final

from scoreboard.domain.close_reasons import CloseCode, CloseReason
from scoreboard.net.socket_writer import FrameSink

#: The close codes after which a session is saved.
_LOST: Final = frozenset(
    {
        CloseCode.NORMAL_CLOSURE,  # the connection broke or was closed
        CloseCode.GOING_AWAY,  # no pong came, or the client gave up a GET
        CloseCode.INTERNAL_ERROR,  # a fault of the server
        CloseCode.SERVICE_RESTART,
        CloseCode.TOO_SLOW,  # the client read too slowly
    }
)


def is_loss(close_reason: CloseReason) -> bool:
    """Whether the connection was lost: the client did not leave, and the server did not refuse it."""
    return close_reason.code in _LOST


class _NoWriter:
    """Writer that is never drained: the client is not accepted yet, and its first events hold what happens meanwhile."""

    drained = False

    def offer(self, data: bytes) -> None: ...


NO_WRITER: Final[FrameSink] = _NoWriter()
