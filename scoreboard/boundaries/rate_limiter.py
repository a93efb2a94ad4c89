"""Rate limiter: one check for all limits that a request meets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from scoreboard.domain.limits import ConcurrencySlot, Hit, RateVerdict


class RateLimiter(Protocol):
    """The limits: one question for all that a request needs."""

    async def check(self, hits: Sequence[Hit], slot: ConcurrencySlot | None = None) -> RateVerdict:
        """Count the hits (each in a window of its own) and take the slot, all of it or nothing. Never raises, never unlimited.

        A request that one limit refuses is counted in no other: whatever the rate of an address, it takes from what others share
        no more than its own quota, and a refusal by the limit that all share takes nothing from a user's own.
        """

    def release(self, slots: Iterable[tuple[str, str]]) -> None:
        """Give back the places of (user id, holder) pairs; told, not asked."""
