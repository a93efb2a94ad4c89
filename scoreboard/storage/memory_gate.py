"""The gate of one process: the twin of the Redis gate, and what takes over when Redis does not answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from scoreboard.boundaries import Gate
from scoreboard.domain.limits import Hit, Limit, SlidingLog, Slot, TokenBucket, Verdict

#: What a verdict calls the limit of a `Slot`.
OPEN_ACTIONS: Final = "open_actions"


class Use(msgspec.Struct, frozen=True, gc=False):
    """A hit, ready to be counted: the key of its window, its limit and its units."""

    key: str
    limit: Limit
    units: int


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of hits of one `Use`: how many were ``admitted``, units left, and times as `Verdict` has them.

    ``reset_ms`` is until more come, ``wait_ms`` until a refused one may be admitted (0 if none was refused).
    """

    admitted: int
    left: int
    reset_ms: int
    wait_ms: int


def use_of(hit: Hit) -> Use:
    """The window that a hit counts in: ``rate_limit:<userId>`` for submissions, else ``rate_limit:<limit>:<subject>``.

    A user id may hold colons; one that does goes the long way, so that nobody's id names another limit's window.
    """
    limit, subject = hit.limit, hit.subject
    if limit.name == "submit" and ":" not in subject:
        return Use("rate_limit:" + subject, limit, hit.units)
    return Use(f"rate_limit:{limit.name}:{subject}", limit, hit.units)


def verdict_of(outcomes: Sequence[tuple[str, Outcome]]) -> Verdict:
    """All outcomes in one: the refusing limit that takes longest, and the numbers of the last hit."""
    refused, retry_after_ms = None, 0
    for name, outcome in outcomes:
        if outcome.wait_ms > retry_after_ms:
            refused, retry_after_ms = name, outcome.wait_ms
    _, last = outcomes[-1] if outcomes else ("", Outcome(0, 0, 0, 0))
    return Verdict(refused=refused, retry_after_ms=retry_after_ms, remaining=last.left, reset_ms=last.reset_ms)


def with_place(verdict: Verdict, wait_ms: int) -> Verdict:
    """A verdict that admitted all hits, after the place was asked for as well (``wait_ms`` 0 if it was taken)."""
    if not wait_ms:
        return verdict
    return Verdict(refused=OPEN_ACTIONS, retry_after_ms=wait_ms, remaining=verdict.remaining, reset_ms=verdict.reset_ms)


class MemoryGate:
    """Windows of the ``subjects_max`` most recently seen subjects and as many places, in this process alone.

    Tests may set ``broken``, which `admit` then raises.
    """

    def __init__(self, now_ms: Callable[[], int], subjects_max: int = 100_000) -> None:
        self.broken: Exception | None = None
        self._now_ms = now_ms
        self._subjects_max = subjects_max
        self._windows: OrderedDict[str, SlidingLog | TokenBucket] = OrderedDict()
        #: For each user, when each of its places will be free again.
        self._places: OrderedDict[str, dict[str, int]] = OrderedDict()
        self._places_count = 0

    async def admit(self, hits: Sequence[Hit], slot: Slot | None = None) -> Verdict:
        """Count the hits and take the slot."""
        if self.broken is not None:
            raise self.broken
        return self.judge([use_of(hit) for hit in hits], slot)

    def release(self, slots: Iterable[tuple[str, str]]) -> None:
        """Give back places."""
        for user_id, holder in slots:
            places = self._places.get(user_id)
            if places is not None and places.pop(holder, None) is not None:
                self._places_count -= 1
                if not places:
                    del self._places[user_id]

    def judge(self, uses: Sequence[Use], slot: Slot | None) -> Verdict:
        """What `admit` answers."""
        verdict = verdict_of([(use.limit.name, self.count(use)) for use in uses])
        if slot is None or verdict.refused is not None:
            return verdict
        return with_place(verdict, self.hold(slot))

    def outlook(self, uses: Sequence[Use]) -> list[Outcome] | None:
        """None if all would be admitted, else what each would get; nothing is counted."""
        now_ms = self._now_ms()
        for use in uses:
            window = self._windows.get(use.key)
            if window is not None and not window.has_room(use.limit, use.units, now_ms):
                return [self._peek(use, now_ms) for use in uses]
        return None

    def count(self, use: Use, times: int = 1) -> Outcome:
        """Count a use so many times, as far as there is room."""
        limit, units = use.limit, use.units
        window, now_ms, reset_ms = self._window(use), self._now_ms(), 0
        if times > 1:
            all_fit, left, reset_ms = window.hit(limit, units * times, now_ms)
            if all_fit:
                return Outcome(times, left, reset_ms, 0)
        for done in range(times):
            admitted, left, ms = window.hit(limit, units, now_ms)
            if not admitted:
                return Outcome(done, left, reset_ms if done else ms, ms)
            reset_ms = ms
        return Outcome(times, left, reset_ms, 0)

    def hold(self, slot: Slot) -> int:
        """Take a place: 0, or how many milliseconds until one is free."""
        now_ms = self._now_ms()
        places = self._places.setdefault(slot.user_id, {})
        self._places.move_to_end(slot.user_id)
        if len(places) >= slot.quota and slot.holder not in places:
            self.release([(slot.user_id, holder) for holder, free_ms in places.items() if free_ms <= now_ms])
            if len(places) >= slot.quota:
                return max(1, min(places.values()) - now_ms)
            self._places[slot.user_id] = places
        self._places_count += slot.holder not in places
        places[slot.holder] = now_ms + slot.ttl_ms
        while self._places_count > self._subjects_max:
            self._places_count -= len(self._places.popitem(last=False)[1])
        return 0

    def _peek(self, use: Use, now_ms: int) -> Outcome:
        window = self._windows.get(use.key) or _new_window(use.limit)
        admitted, left, ms = window.peek(use.limit, use.units, now_ms)
        return Outcome(1, left, ms, 0) if admitted else Outcome(0, left, ms, ms)

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


_conforms: type[Gate] = MemoryGate
