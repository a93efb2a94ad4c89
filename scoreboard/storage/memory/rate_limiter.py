"""Rate limiter in memory: for tests, and for the server while Redis does not answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
from typing_extensions import override

from scoreboard.boundaries.rate_limiter import RateLimiter
from scoreboard.domain.limits import ConcurrencySlot, Hit, Limit, RateVerdict, SlidingLog, TokenBucket

#: The name in a verdict for the limit of a ConcurrencySlot.
OPEN_ACTIONS: Final = "open_actions"


class Use(msgspec.Struct, frozen=True, gc=False):
    """A hit, ready to be counted: the key of its window, its limit and its units."""

    key: str
    limit: Limit
    units: int


def use_of(hit: Hit) -> Use:
    """The window in which a hit counts: ``rate_limit:<userId>`` for submissions, else ``rate_limit:<limit>:<subject>``.

    A user id with a colon gets the long form for submissions, too, so that no id names the window of another limit.
    """
    limit, subject = hit.limit, hit.subject
    if limit.name == "submit" and ":" not in subject:
        return Use("rate_limit:" + subject, limit, hit.units)
    return Use(f"rate_limit:{limit.name}:{subject}", limit, hit.units)


class MemoryRateLimiter(RateLimiter):
    """The ``subjects_max`` windows and slots used last, in this process alone. Tests may set ``broken``, which `check` raises."""

    def __init__(self, now_ms: Callable[[], int], subjects_max: int = 100_000) -> None:
        self.broken: Exception | None = None
        self.now_ms = now_ms
        self._subjects_max = subjects_max
        self._windows: OrderedDict[str, SlidingLog | TokenBucket] = OrderedDict()
        #: For each user, the time at which each of its slots expires.
        self._slots: OrderedDict[str, dict[str, int]] = OrderedDict()
        self._slots_count = 0

    @override
    async def check(self, hits: Sequence[Hit], slot: ConcurrencySlot | None = None) -> RateVerdict:
        if self.broken is not None:
            raise self.broken
        return self.judge([use_of(hit) for hit in hits], slot)

    @override
    def release(self, slots: Iterable[tuple[str, str]]) -> None:
        for user_id, holder in slots:
            held = self._slots.get(user_id)
            if held is not None and held.pop(holder, None) is not None:
                self._slots_count -= 1
                if not held:
                    del self._slots[user_id]

    def judge(self, uses: Sequence[Use], slot: ConcurrencySlot | None) -> RateVerdict:
        """The verdict of `check`, without waiting."""
        refusal = self.refusal_of(uses)
        if refusal is not None:
            return refusal
        wait_ms = 0 if slot is None else self.hold(slot)
        if wait_ms:
            return msgspec.structs.replace(self._refusal(uses, self.now_ms()), refused=OPEN_ACTIONS, retry_after_ms=wait_ms)
        left, reset_ms, now_ms = 0, 0, self.now_ms()
        for use in uses:
            _, left, reset_ms = self._window(use).hit(use.limit, use.units, now_ms)
        return RateVerdict(remaining=left, reset_ms=reset_ms)

    def refusal_of(self, uses: Sequence[Use]) -> RateVerdict | None:
        """None if all windows have room, else the refusal. Counts nothing."""
        now_ms = self.now_ms()
        return None if all(self._has_room(use, use.units, now_ms) for use in uses) else self._refusal(uses, now_ms)

    def charge(self, uses: Sequence[tuple[Use, int]]) -> bool:
        """Count these units of each use if all windows have room for them; whether they had."""
        now_ms = self.now_ms()
        if not all(self._has_room(use, units, now_ms) for use, units in uses):
            return False
        for use, units in uses:
            self._window(use).hit(use.limit, units, now_ms)
        return True

    def hold(self, slot: ConcurrencySlot) -> int:
        """Take a slot: 0, or the milliseconds until one is free."""
        now_ms = self.now_ms()
        slots = self._slots.setdefault(slot.user_id, {})
        self._slots.move_to_end(slot.user_id)
        if len(slots) >= slot.quota and slot.holder not in slots:
            self.release([(slot.user_id, holder) for holder, free_ms in slots.items() if free_ms <= now_ms])
            if len(slots) >= slot.quota:
                for holder, free_ms in slots.items():  # a later time was set before the clock was set back
                    slots[holder] = min(free_ms, now_ms + slot.ttl_ms)
                return max(1, min(slots.values()) - now_ms)
            self._slots[slot.user_id] = slots
        self._slots_count += slot.holder not in slots
        slots[slot.holder] = now_ms + slot.ttl_ms
        while self._slots_count > self._subjects_max:
            self._slots_count -= len(self._slots.popitem(last=False)[1])
        return 0

    def _has_room(self, use: Use, units: int, now_ms: int) -> bool:
        window = self._windows.get(use.key)
        return window is None or window.has_room(use.limit, units, now_ms)

    def _refusal(self, uses: Sequence[Use], now_ms: int) -> RateVerdict:
        """The limit with the longest wait (None if each has room), and the numbers of the last window."""
        refused, retry_after_ms, left, ms = None, 0, 0, 0
        for use in uses:
            window = self._windows.get(use.key)
            if window is None:
                window = _new_window(use.limit)
            else:  # a refused request keeps its window, or a flood could push it out
                self._windows.move_to_end(use.key)
            admitted, left, ms = window.peek(use.limit, use.units, now_ms)
            if admitted:
                left += use.units
            elif ms > retry_after_ms:
                refused, retry_after_ms = use.limit.name, ms
        return RateVerdict(refused=refused, retry_after_ms=retry_after_ms, remaining=left, reset_ms=ms)

    def _window(self, use: Use) -> SlidingLog | TokenBucket:
        window = self._windows.get(use.key)
        if window is None:
            window = self._windows[use.key] = _new_window(use.limit)
            if len(self._windows) > self._subjects_max:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(use.key)
        return window


def _new_window(limit: Limit) -> SlidingLog | TokenBucket:
    return SlidingLog() if limit.policy == "sliding" else TokenBucket()
