"""Rate limiter: one check for all limits that a request meets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from scoreboard.domain.limits import ConcurrencySlot, Hit, RateVerdict


class RateLimiter(Protocol):
    """Counts requests, and refuses those that exceed a limit."""

    async def check(self, hits: Sequence[Hit], slot: ConcurrencySlot | None = None) -> RateVerdict:
        """Count all hits, each in its own window, and take the slot; or refuse, and count nothing. Never raises.

        So an address takes no more than its own quota from a limit that it shares with others, however fast it sends. A refusal
        by a shared limit takes nothing from a user's own quota.
        """

    def release(self, slots: Iterable[tuple[str, str]]) -> None:
        """Give back the slots of these (user id, holder) pairs, without waiting."""
