"""How much of something, how often: limits as values, and the arithmetic of the two policies.

Sliding window (the default): in **any** window of ``window_ms`` at most ``quota`` units are admitted (hardening 34). The
log of a subject is a run of (slot, count) pairs; a slot is ``grain_ms`` long. Up to 128 units the grain is 1 ms and the
log exact; beyond, the window is cut into 100 slots and a slot counts until it has left the window whole, so the limit
still holds and a refusal lasts at most one grain too long.

Token bucket: ``quota`` tokens at most, refilled evenly over ``window_ms``. Smoother, but a burst and a refill may admit up
to twice the quota in one window.

The Lua of the Redis gate computes the same; one contract suite holds both to it.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from scoreboard.domain.values import Value

Policy = Literal["sliding", "bucket"]
_EXACT_QUOTA_MAX: Final = 128
_SLOTS: Final = 100


class Limit(Value, frozen=True, kw_only=True):
    """At most ``quota`` units a subject in ``window_ms``; ``name`` is what clients and metrics call it."""

    name: str
    quota: int
    window_ms: int
    policy: Policy = "sliding"

    @property
    def grain_ms(self) -> int:
        """The length of one slot of the log."""
        return 1 if self.quota <= _EXACT_QUOTA_MAX else max(1, self.window_ms // _SLOTS)


class Hit(Value, frozen=True, kw_only=True):
    """One use of a limit by a subject (a user id, an address, or ``*`` for everyone together)."""

    limit: Limit
    subject: str
    cost: int = 1

    @property
    def units(self) -> int:
        """The cost, never more than the whole quota, so that every hit can succeed at some time."""
        return min(self.cost, self.limit.quota)


class Slot(Value, frozen=True, kw_only=True):
    """One of ``quota`` places that a user may hold at once, until ``ttl_ms`` have passed or it is released.

    An initialized action holds one until it is awarded or expires (hardening 6).
    """

    user_id: str
    holder: str
    quota: int
    ttl_ms: int


class Verdict(Value, frozen=True, kw_only=True):
    """Whether all hits were admitted. If not, ``refused`` names the limit and ``retry_after_ms`` when it may pass.

    ``remaining`` and ``reset_ms`` speak of the last hit's limit (the narrowest): units left, and time until more come.
    """

    refused: str | None = None
    retry_after_ms: int = 0
    remaining: int = 0
    reset_ms: int = 0


class SlidingLog:
    """The log of one subject. Mutable; the gate that holds it passes the time."""

    __slots__ = ("pairs", "total")

    def __init__(self) -> None:
        self.pairs: deque[list[int]] = deque()
        self.total = 0

    def hit(self, limit: Limit, units: int, now_ms: int) -> tuple[bool, int, int]:
        """(admitted, units left, milliseconds until `units` more could be admitted or the oldest leaves)."""
        grain = limit.grain_ms
        self._forget(limit, now_ms)
        if self.total + units > limit.quota:
            return False, limit.quota - self.total, self._wait(limit, units, now_ms)
        slot = now_ms // grain
        if self.pairs and self.pairs[-1][0] >= slot:  # also when the clock stepped back
            self.pairs[-1][1] += units
        else:
            self.pairs.append([slot, units])
        self.total += units
        return True, limit.quota - self.total, self._leaves(limit, self.pairs[0][0]) - now_ms

    def _forget(self, limit: Limit, now_ms: int) -> None:
        while self.pairs and self._leaves(limit, self.pairs[0][0]) <= now_ms:
            self.total -= self.pairs.popleft()[1]

    def _wait(self, limit: Limit, units: int, now_ms: int) -> int:
        excess = self.total + units - limit.quota
        for slot, count in self.pairs:
            excess -= count
            if excess <= 0:
                return max(1, self._leaves(limit, slot) - now_ms)
        return limit.window_ms

    @staticmethod
    def _leaves(limit: Limit, slot: int) -> int:
        """When the whole slot has left the window."""
        return (slot + 1) * limit.grain_ms - 1 + limit.window_ms


class TokenBucket:
    """The bucket of one subject. Mutable; the gate that holds it passes the time."""

    __slots__ = ("at_ms", "tokens")

    def __init__(self) -> None:
        self.tokens = -1.0
        self.at_ms = 0

    def hit(self, limit: Limit, units: int, now_ms: int) -> tuple[bool, int, int]:
        """(admitted, whole tokens left, milliseconds until `units` (or one) more are there)."""
        if self.tokens < 0:
            self.tokens, self.at_ms = float(limit.quota), now_ms
        rate = limit.quota / limit.window_ms
        self.tokens = min(float(limit.quota), self.tokens + max(0, now_ms - self.at_ms) * rate)
        self.at_ms = max(self.at_ms, now_ms)
        if self.tokens < units:
            return False, int(self.tokens), max(1, -int(-(units - self.tokens) // rate))
        self.tokens -= units
        return True, int(self.tokens), max(0, -int(-(limit.quota - self.tokens) // rate))
