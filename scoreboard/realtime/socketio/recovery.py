"""Recovery of Socket.IO sessions: which closed connections are saved, and the writer before a client is accepted."""

from __future__ import annotations

from typing import Final

from scoreboard.domain.close_reasons import LOST, CloseCode, CloseReason
from scoreboard.net.socket_writer import FrameSink

#: The close codes after which a session is saved. The first: the connection broke, or the engine was closed without a DISCONNECT.
_SAVED: Final = LOST | {CloseCode.NORMAL_CLOSURE}


def is_loss(close_reason: CloseReason) -> bool:
    """Whether the connection was lost: the client did not leave, and the server did not refuse it."""
    return close_reason.code in _SAVED


class _NoWriter:
    """Writer that is never drained: the client is not accepted yet, and its first events hold what happens meanwhile."""

    drained = False

    def offer(self, data: bytes) -> None: ...


NO_WRITER: Final[FrameSink] = _NoWriter()
