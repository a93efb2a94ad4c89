from __future__ import annotations

import pytest

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.limits import ConcurrencySlot, Hit, Limit
from scoreboard.storage.memory.rate_limiter import MemoryRateLimiter
from tests.awaiting import result_of

MINUTE = Limit(name="submit", quota=1, window_ms=60_000)


def hit(subject: str) -> list[Hit]:
    return [Hit(limit=MINUTE, subject=subject)]


def test_it_remembers_only_so_many_subjects_and_forgets_the_oldest_first() -> None:
    rate_limiter = MemoryRateLimiter(lambda: 0, subjects_max=3)
    for subject in ("ann", "bob", "cid", "ann", "dan"):
        result_of(rate_limiter.check(hit(subject)))
    assert result_of(rate_limiter.check(hit("ann"))).refused == "submit"
    assert result_of(rate_limiter.check(hit("bob"))).refused is None


def test_it_remembers_only_so_many_places() -> None:
    rate_limiter = MemoryRateLimiter(lambda: 0, subjects_max=3)
    for user_id in ("ann", "bob", "cid", "dan"):
        result_of(rate_limiter.check((), ConcurrencySlot(user_id=user_id, holder="a", quota=1, ttl_ms=1_000)))
    assert (
        result_of(rate_limiter.check((), ConcurrencySlot(user_id="dan", holder="b", quota=1, ttl_ms=1_000))).refused
        == "open_actions"
    )
    assert result_of(rate_limiter.check((), ConcurrencySlot(user_id="ann", holder="b", quota=1, ttl_ms=1_000))).refused is None


def test_it_breaks_when_it_is_told_to() -> None:
    rate_limiter = MemoryRateLimiter(lambda: 0)
    rate_limiter.broken = StoreUnavailable("as the test wished")
    with pytest.raises(StoreUnavailable):
        result_of(rate_limiter.check(hit("ann")))
