"""Tests of the rate limits' arithmetic: the sliding log and the token bucket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scoreboard.domain.limits import Hit, Limit, Policy, SlidingLog, TokenBucket

NOW_MS = 1_790_000_000_000
MINUTE_MS = 60_000
TEN_A_MINUTE = Limit(name="submit", quota=10, window_ms=MINUTE_MS)

#: Pauses in ms. Many end near the edge of a window: ten hits at 59.9 s and ten at 60.1 s must not all pass.
PAUSES_MS = st.lists(
    st.one_of(st.integers(0, 5), st.integers(0, 30_000), st.sampled_from([59_900, 59_999, 60_000, 60_001, 60_100])), max_size=80
)


def times(pauses_ms: list[int]) -> list[int]:
    at_ms, found = NOW_MS, []
    for pause_ms in pauses_ms:
        at_ms += pause_ms
        found.append(at_ms)
    return found


def admitted_at(limit: Limit, pauses_ms: list[int], cost: int = 1) -> list[int]:
    log, units = SlidingLog(), Hit(limit=limit, subject="ann", cost=cost).units
    return [at_ms for at_ms in times(pauses_ms) if log.hit(limit, units, at_ms)[0]]


def most_in_any_window(times_ms: list[int], window_ms: int) -> int:
    return max((sum(start <= at < start + window_ms for at in times_ms) for start in times_ms), default=0)


@given(PAUSES_MS)
def test_at_most_ten_hits_are_admitted_in_any_sixty_seconds(pauses_ms: list[int]) -> None:
    assert most_in_any_window(admitted_at(TEN_A_MINUTE, pauses_ms), MINUTE_MS) <= 10


@given(PAUSES_MS)
def test_a_hit_is_refused_only_if_the_window_is_full(pauses_ms: list[int]) -> None:
    taken: list[int] = []
    log = SlidingLog()
    for at_ms in times(pauses_ms):
        within = [one for one in taken if at_ms - one < MINUTE_MS]
        admitted, left, wait_ms = log.hit(TEN_A_MINUTE, 1, at_ms)
        assert admitted == (len(within) < 10)
        if admitted:
            taken.append(at_ms)
            assert left == 9 - len(within)
        else:
            assert wait_ms == within[0] + MINUTE_MS - at_ms


@given(st.lists(st.integers(0, 900), max_size=120), st.integers(1, 300))
def test_a_log_with_slots_admits_at_most_the_quota_and_refuses_at_most_one_slot_too_long(pauses_ms: list[int], cost: int) -> None:
    limit = Limit(name="everyone", quota=1_000, window_ms=10_000)
    taken: list[int] = []
    log = SlidingLog()
    for at_ms in times(pauses_ms):
        surely = sum(cost for one in taken if at_ms - one < limit.window_ms)
        perhaps = sum(cost for one in taken if at_ms - one < limit.window_ms + limit.grain_ms)
        admitted = log.hit(limit, cost, at_ms)[0]
        assert not (admitted and surely + cost > limit.quota)
        assert admitted or perhaps + cost > limit.quota
        if admitted:
            taken.append(at_ms)
    assert len(log.pairs) <= 102


@given(PAUSES_MS, st.integers(1, 12))
def test_a_hit_is_admitted_after_the_reported_wait_and_not_earlier(pauses_ms: list[int], cost: int) -> None:
    log, units = SlidingLog(), Hit(limit=TEN_A_MINUTE, subject="ann", cost=cost).units
    at_ms = NOW_MS
    for pause_ms in pauses_ms:
        at_ms += pause_ms
        admitted, _, wait_ms = log.hit(TEN_A_MINUTE, units, at_ms)
        if not admitted:
            assert not log.hit(TEN_A_MINUTE, units, at_ms + wait_ms - 1)[0]
            at_ms += wait_ms
            assert log.hit(TEN_A_MINUTE, units, at_ms)[0]


@given(PAUSES_MS, st.integers(1, 12))
def test_peek_returns_what_a_hit_would_return_and_counts_nothing(pauses_ms: list[int], cost: int) -> None:
    for window in (SlidingLog(), TokenBucket()):
        for at_ms in times(pauses_ms):
            units = Hit(limit=TEN_A_MINUTE, subject="ann", cost=cost).units
            expected = window.peek(TEN_A_MINUTE, units, at_ms)
            assert window.has_room(TEN_A_MINUTE, units, at_ms) == expected[0]
            assert window.hit(TEN_A_MINUTE, units, at_ms) == expected


STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 5), st.integers(0, 30_000), st.sampled_from([59_999, 60_000])),
        st.one_of(st.just(0), st.integers(0, 5_000), st.sampled_from([60_000, 3_600_000, 86_400_000])),
    ),
    max_size=80,
)


@given(STEPS)
def test_a_clock_that_is_set_back_admits_at_most_the_quota_in_any_window(steps: list[tuple[int, int]]) -> None:
    """Each step is a pair: the time that really passes, and by how much the clock is then set back (ms)."""
    log, true_ms, back_ms, admitted = SlidingLog(), NOW_MS, 0, []
    for pause_ms, step_ms in steps:
        true_ms, back_ms = true_ms + pause_ms, back_ms + step_ms
        if log.hit(TEN_A_MINUTE, 1, true_ms - back_ms)[0]:
            admitted.append(true_ms)
    assert most_in_any_window(admitted, MINUTE_MS) <= 10


@given(PAUSES_MS, st.integers(0, 86_400_000), st.sampled_from(["sliding", "bucket"]))
def test_no_hit_waits_longer_than_a_window_when_the_clock_is_set_back(pauses_ms: list[int], back_ms: int, policy: Policy) -> None:
    limit = Limit(name="submit", quota=10, window_ms=MINUTE_MS, policy=policy)
    window = SlidingLog() if policy == "sliding" else TokenBucket()
    for at_ms in times(pauses_ms):
        window.hit(limit, 1, at_ms)
    now_ms = (times(pauses_ms) or [NOW_MS])[-1] - back_ms
    for units in (1, 10):
        admitted, _, wait_ms = window.peek(limit, units, now_ms)
        assert admitted or wait_ms <= MINUTE_MS
        assert window.peek(limit, units, now_ms + (0 if admitted else wait_ms))[0]


def test_a_full_token_bucket_admits_its_quota_at_once_and_then_single_hits() -> None:
    limit = Limit(name="submit", quota=10, window_ms=MINUTE_MS, policy="bucket")
    bucket = TokenBucket()
    assert [bucket.hit(limit, 1, NOW_MS)[0] for _ in range(11)] == [True] * 10 + [False]
    assert bucket.hit(limit, 1, NOW_MS) == (False, 0, 6_000)
    assert bucket.hit(limit, 1, NOW_MS + 5_999)[0] is False
    assert bucket.hit(limit, 1, NOW_MS + 6_001)[0] is True


@given(PAUSES_MS)
def test_a_token_bucket_admits_at_most_its_quota_plus_the_refill(pauses_ms: list[int]) -> None:
    limit = Limit(name="submit", quota=10, window_ms=MINUTE_MS, policy="bucket")
    bucket = TokenBucket()
    times_ms = [at_ms for at_ms in times(pauses_ms) if bucket.hit(limit, 1, at_ms)[0]]
    for first, start_ms in enumerate(times_ms):
        for last, end_ms in enumerate(times_ms[first:], first):
            assert last - first + 1 <= 10 + (end_ms - start_ms) * 10 / MINUTE_MS + 1e-6


def test_a_hit_never_costs_more_than_the_quota() -> None:
    assert Hit(limit=TEN_A_MINUTE, subject="ann", cost=50).units == 10
    assert admitted_at(TEN_A_MINUTE, [0, 0, MINUTE_MS], cost=50) == [NOW_MS, NOW_MS + MINUTE_MS]
