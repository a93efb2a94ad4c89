"""Rate limits as values, and the arithmetic of the two policies.

Sliding window (the default): in **any** window of ``window_ms`` at most ``quota`` units are admitted. The
log of a subject is a list of (slot, count) pairs; a slot is ``grain_ms`` long. Up to 128 units the grain is 1 ms and the
log is exact. Above that the window is divided into 100 slots. A slot counts until it has left the window completely. So the limit
still holds, and a refusal lasts at most one grain too long.

Token bucket: ``quota`` tokens at most, refilled evenly over ``window_ms``. Smoother, but a burst and a refill may admit up
to twice the quota in one window.

If several limits apply to a request, all are checked first, and the request counts only if all admit it: a refusal by one
limit uses up nothing of another (`RateLimiter.check`).

The Lua script of the Redis rate limiter computes the same; one contract suite tests both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, Literal

from scoreboard.domain.value import Value

Policy = Literal["sliding", "bucket"]
_EXACT_QUOTA_MAX: Final = 128
_SLOTS: Final = 100


class Limit(Value, frozen=True, kw_only=True):
    """At most ``quota`` units in ``window_ms`` for each subject; clients and metrics see ``name``.

    A window of 0 means at the same time: open actions, or sockets.
    """

    name: str
    quota: int
    window_ms: int
    policy: Policy = "sliding"

    @property
    def grain_ms(self) -> int:
        """The length of one slot of the log."""
        return 1 if self.quota <= _EXACT_QUOTA_MAX else max(1, self.window_ms // _SLOTS)

    def leaves_ms(self, now_ms: int) -> int:
        """The time at which the slot of ``now_ms`` has left the window completely."""
        grain_ms = self.grain_ms
        return now_ms - now_ms % grain_ms + grain_ms - 1 + self.window_ms


class Hit(Value, frozen=True, kw_only=True):
    """One use of a limit by a subject (a user id, an address, or ``*`` for all together)."""

    limit: Limit
    subject: str
    cost: int = 1

    @property
    def units(self) -> int:
        """The cost, at most the whole quota, so that every hit can succeed at some time."""
        return min(self.cost, self.limit.quota)


class ConcurrencySlot(Value, frozen=True, kw_only=True):
    """One of ``quota`` slots that a user may hold at the same time, until ``ttl_ms`` have passed or it is released.

    An initialized action holds a slot until it is awarded or expires.
    """

    user_id: str
    holder: str
    quota: int
    ttl_ms: int


class RateVerdict(Value, frozen=True, kw_only=True):
    """Whether all hits were admitted. If not, none was counted; ``refused`` names the limit with the longest wait, and
    ``retry_after_ms`` is that wait.

    ``remaining`` and ``reset_ms`` belong to the limit of the last hit (the narrowest): the units left, and the time until more.
    """

    refused: str | None = None
    retry_after_ms: int = 0
    remaining: int = 0
    reset_ms: int = 0

    def limit_in(self, hits: Iterable[Hit]) -> Limit | None:
        """The limit that refused, or None if no hit has it."""
        return next((hit.limit for hit in hits if hit.limit.name == self.refused), None)


class SlidingLog:
    """The log of one subject: (the time at which a slot leaves the window, its units), oldest first. The caller passes the time.

    If the newest slot is ahead of that time, the clock was set back after it. The age of the slot is then unknown, so it counts
    as written now. The older slots move by the same amount, so the times between the slots do not change. After the step no
    window lasts longer than its length, and none admits more than its quota.
    """

    __slots__ = ("pairs", "total")

    def __init__(self) -> None:
        self.pairs: deque[list[int]] = deque()
        self.total = 0

    def hit(self, limit: Limit, units: int, now_ms: int) -> tuple[bool, int, int]:
        """(admitted, units left, milliseconds until `units` more could be admitted or the oldest slot leaves)."""
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
        """The answer of `hit`, without a count."""
        pairs = self.pairs
        if pairs and pairs[-1][0] > now_ms + limit.window_ms:  # the present slot may be ahead by less than a grain
            self._rebase(limit.leaves_ms(now_ms))
        while pairs and pairs[0][0] <= now_ms:
            self.total -= pairs.popleft()[1]
        left = limit.quota - self.total
        if units > left:
            return False, left, self._wait(limit, units - left, now_ms)
        return True, left - units, (pairs[0][0] if pairs else limit.leaves_ms(now_ms)) - now_ms

    def has_room(self, limit: Limit, units: int, now_ms: int) -> bool:
        """Whether `hit` would admit. It costs little while all units in the log, even the expired ones, fit in the quota."""
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
    """The token bucket of one subject: ``quota`` tokens at most, refilled evenly. Mutable; the caller passes the time.

    It uses whole numbers only, so that Lua and Python round alike: a token is ``window_ms`` units of the level, and each
    millisecond adds ``quota`` units. After a clock was set back, nothing is added until it reaches its former time again.
    """

    __slots__ = ("at_ms", "level")

    def __init__(self) -> None:
        self.level = -1
        self.at_ms = 0

    def hit(self, limit: Limit, units: int, now_ms: int) -> tuple[bool, int, int]:
        """(admitted, whole tokens left, milliseconds until the bucket is full or, if refused, until it has `units` tokens)."""
        answer = self.peek(limit, units, now_ms)
        if answer[0]:
            self.level -= units * limit.window_ms
        return answer

    def peek(self, limit: Limit, units: int, now_ms: int) -> tuple[bool, int, int]:
        """The answer of `hit`, without taking tokens."""
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
