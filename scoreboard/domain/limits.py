"""How much of something, how often: limits as values, and the arithmetic of the two policies.

Sliding window (the default): in **any** window of ``window_ms`` at most ``quota`` units are admitted. The
log of a subject is a run of (slot, count) pairs; a slot is ``grain_ms`` long. Up to 128 units the grain is 1 ms and the
log exact; beyond, the window is cut into 100 slots and a slot counts until it has left the window whole, so the limit
still holds and a refusal lasts at most one grain too long.

Token bucket: ``quota`` tokens at most, refilled evenly over ``window_ms``. Smoother, but a burst and a refill may admit up
to twice the quota in one window.

A request that meets several limits is judged by all of them first and counted only if all admit it: what one limit refuses uses
up nothing of another (`Gate.admit`).

The Lua of the Redis gate computes the same; one contract suite holds both to it.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from scoreboard.domain.value import Value

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

    def leaves_ms(self, now_ms: int) -> int:
        """When the slot that holds ``now_ms`` will have left the window whole."""
        grain_ms = self.grain_ms
        return now_ms - now_ms % grain_ms + grain_ms - 1 + self.window_ms


class Hit(Value, frozen=True, kw_only=True):
    """One use of a limit by a subject (a user id, an address, or ``*`` for everyone together)."""

    limit: Limit
    subject: str
    cost: int = 1

    @property
    def units(self) -> int:
        """The cost, never more than the whole quota, so that every hit can succeed at some time."""
        return min(self.cost, self.limit.quota)


class ConcurrencySlot(Value, frozen=True, kw_only=True):
    """One of ``quota`` places that a user may hold at once, until ``ttl_ms`` have passed or it is released.

    An initialized action holds one until it is awarded or expires.
    """

    user_id: str
    holder: str
    quota: int
    ttl_ms: int


class RateVerdict(Value, frozen=True, kw_only=True):
    """Whether all hits were admitted. If not, nothing was counted; ``refused`` names the limit that refuses longest, and
    ``retry_after_ms`` says when that may pass.

    ``remaining`` and ``reset_ms`` speak of the last hit's limit (the narrowest): units left, and time until more come.
    """

    refused: str | None = None
    retry_after_ms: int = 0
    remaining: int = 0
    reset_ms: int = 0


class SlidingLog:
    """The log of one subject: (when the slot leaves the window, units in it), oldest first. The gate passes the time.

    A log whose newest slot lies ahead of that time was written before the clock was set back. How long ago, nobody can know, so
    it is taken for written just now, and the slots before it keep their distance: no window lasts longer than its length after
    the step, and none admits more than its quota.
    """

    __slots__ = ("pairs", "total")

    def __init__(self) -> None:
        self.pairs: deque[list[int]] = deque()
        self.total = 0

    def hit(self, limit: Limit, units: int, now_ms: int) -> tuple[bool, int, int]:
        """(admitted, units left, milliseconds until `units` more could be admitted or the oldest leaves)."""
        answer = self.peek(limit, units, now_ms)
        if answer[0]:
            leaves_ms = limit.leaves_ms(now_ms)
            if self.pairs and self.pairs[-1][0] == leaves_ms:
                self.pairs[-1][1] += units
            else:
                self.pairs.append([leaves_ms, units])
            self.total += units
        return answer

    def peek(self, limit: Limit, units: int, now_ms: int) -> tuple[bool, int, int]:
        """What `hit` would answer; nothing is counted."""
        pairs = self.pairs
        if pairs and pairs[-1][0] > now_ms + limit.window_ms:  # a slot of the present may be, by less than a grain
            self._rebase(limit.leaves_ms(now_ms))
        while pairs and pairs[0][0] <= now_ms:
            self.total -= pairs.popleft()[1]
        left = limit.quota - self.total
        if units > left:
            return False, left, self._wait(limit, units - left, now_ms)
        return True, left - units, (pairs[0][0] if pairs else limit.leaves_ms(now_ms)) - now_ms

    def has_room(self, limit: Limit, units: int, now_ms: int) -> bool:
        """Whether `hit` would admit; cheap as long as all that was ever counted leaves room."""
        return self.total + units <= limit.quota or self.peek(limit, units, now_ms)[0]

    def _rebase(self, leaves_ms: int) -> None:
        ahead_ms = self.pairs[-1][0] - leaves_ms
        if ahead_ms > 0:
            for pair in self.pairs:
                pair[0] -= ahead_ms

    def _wait(self, limit: Limit, excess: int, now_ms: int) -> int:
        for leaves_ms, count in self.pairs:
            excess -= count
            if excess <= 0:
                return max(1, leaves_ms - now_ms)
        return limit.window_ms


class TokenBucket:
    """The bucket of one subject. Mutable; the gate that holds it passes the time.

    Whole numbers only, so that Lua and Python never round apart: a token is ``window_ms`` of the level, and ``quota`` of it flows
    in each millisecond. A clock that was set back lets nothing flow in for the time that it skipped.
    """

    __slots__ = ("at_ms", "level")

    def __init__(self) -> None:
        self.level = -1
        self.at_ms = 0

    def hit(self, limit: Limit, units: int, now_ms: int) -> tuple[bool, int, int]:
        """(admitted, whole tokens left, milliseconds until the bucket is full or, if refused, until `units` are there)."""
        answer = self.peek(limit, units, now_ms)
        if answer[0]:
            self.level -= units * limit.window_ms
        return answer

    def peek(self, limit: Limit, units: int, now_ms: int) -> tuple[bool, int, int]:
        """What `hit` would answer; nothing is taken."""
        full, needed = limit.quota * limit.window_ms, units * limit.window_ms
        if self.level < 0:
            self.level = full
        else:
            self.level = min(full, self.level + max(0, now_ms - self.at_ms) * limit.quota)
        self.at_ms = now_ms
        if self.level < needed:
            return False, self.level // limit.window_ms, -((self.level - needed) // limit.quota)
        left = self.level - needed
        return True, left // limit.window_ms, -((left - full) // limit.quota)

    def has_room(self, limit: Limit, units: int, now_ms: int) -> bool:
        """Whether `hit` would admit."""
        return self.peek(limit, units, now_ms)[0]
