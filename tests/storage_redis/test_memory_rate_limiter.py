from __future__ import annotations

import pytest

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.limits import ConcurrencySlot, Hit, Limit
from scoreboard.storage.memory.rate_limiter import MemoryRateLimiter
from tests.awaiting import result_of

MINUTE = Limit(name="submit", quota=1, window_ms=60_000)


def hit(subject: str) -> list[Hit]:
    return [Hit(limit=MINUTE, subject=subject)]


def test_the_number_of_subjects_is_bounded_and_the_oldest_is_forgotten_first() -> None:
    rate_limiter = MemoryRateLimiter(lambda: 0, subjects_max=3)
    for subject in ("ann", "bob", "cid", "ann", "dan"):
        result_of(rate_limiter.check(hit(subject)))
    assert result_of(rate_limiter.check(hit("ann"))).refused == "submit"
    assert result_of(rate_limiter.check(hit("bob"))).refused is None


def test_the_number_of_slots_is_bounded() -> None:
    rate_limiter = MemoryRateLimiter(lambda: 0, subjects_max=3)
    for user_id in ("ann", "bob", "cid", "dan"):
        result_of(rate_limiter.check((), ConcurrencySlot(user_id=user_id, holder="a", quota=1, ttl_ms=1_000)))
    assert (
        result_of(rate_limiter.check((), ConcurrencySlot(user_id="dan", holder="b", quota=1, ttl_ms=1_000))).refused
        == "open_actions"
    )
    assert result_of(rate_limiter.check((), ConcurrencySlot(user_id="ann", holder="b", quota=1, ttl_ms=1_000))).refused is None


def test_a_check_raises_what_a_test_injects() -> None:
    rate_limiter = MemoryRateLimiter(lambda: 0)
    rate_limiter.broken = StoreUnavailable("the test made it fail")
    with pytest.raises(StoreUnavailable):
        result_of(rate_limiter.check(hit("ann")))
