"""Warning of a token's end: its client gets one event, a while before."""

from __future__ import annotations

from typing import Final

from scoreboard.boundaries.announcer import Listener
from scoreboard.domain.events import TokenExpiring

EXPIRING_S: Final = 30


def warn_of_end(listener: Listener, warned_s: int, wall_s: float) -> int:
    """Warn a client whose token ends soon, unless it was warned of that end. Takes and returns the end that it was warned of."""
    ends_s = listener.player.expires_at_s
    if ends_s == warned_s or ends_s - wall_s > EXPIRING_S or not listener.drained:
        return warned_s
    listener.offer(listener.encoder.encode((TokenExpiring(expires_at_s=ends_s),)))
    return ends_s
