"""A token's end: whoever holds it is told once, a while before."""

from __future__ import annotations

from typing import Final

from scoreboard.boundaries.announcer import Listener
from scoreboard.domain.events import TokenExpiring

EXPIRING_S: Final = 30


def warn_of_end(listener: Listener, warned_s: int, wall_s: float) -> int:
    """Tell a client whose token ends soon, unless it was told of that end (``warned_s``): the end that it was told of now."""
    ends_s = listener.player.expires_at_s
    if ends_s == warned_s or ends_s - wall_s > EXPIRING_S or not listener.drained:
        return warned_s
    listener.offer(listener.encoder.encode((TokenExpiring(expires_at_s=ends_s),)))
    return ends_s
