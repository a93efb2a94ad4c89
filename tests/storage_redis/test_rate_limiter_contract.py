"""The contract of rate limiters, tested in memory and with a real Redis.

The tests set the time: the limiter in Redis runs the script of the release, with the one line replaced that reads Redis' clock.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, ensureDeferred

from scoreboard.boundaries.rate_limiter import RateLimiter
from scoreboard.domain.limits import ConcurrencySlot, Hit, Limit, RateVerdict
from scoreboard.storage.memory.rate_limiter import MemoryRateLimiter
from scoreboard.storage.redis.client import RedisClient, Script
from scoreboard.storage.redis.protocol import Argument
from scoreboard.storage.redis.rate_limiter import RedisRateLimiter
from tests.awaiting import result_of, run
from tests.storage_redis.harness import NOW_MS, CountingMeter, passed, the_reactor
from tests.storage_redis.redis_server import RedisServer

CLOCK = "redis.call('TIME')"
SUBMIT = Limit(name="submit", quota=3, window_ms=60_000)
ADDRESS = Limit(name="ip", quota=7, window_ms=60_000)
COARSE = Limit(name="everyone", quota=200, window_ms=10_000)
BUCKET = Limit(name="initialize", quota=5, window_ms=6_000, policy="bucket")


class FakeTime:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.ms = NOW_MS + 123

    def now_ms(self) -> int:
        return self.ms


class ClockedClient(RedisClient):
    """A client whose scripts read the time of the test."""

    def __init__(self, url: str, fake_time: FakeTime) -> None:
        super().__init__(url, the_reactor(), CountingMeter())
        self._fake_time = fake_time

    def run(
        self, what: Script, keys: Sequence[str], arguments: Sequence[Argument], deadline_ms: int | None = None
    ) -> Deferred[Any]:
        now = f"{{{self._fake_time.ms // 1000}, {self._fake_time.ms % 1000 * 1000}}}"
        assert what.text.count(CLOCK) <= 1
        text = what.text.replace(CLOCK, now)
        return self.call("EVAL", text, len(keys), *keys, *arguments, deadline_ms=5_000)


class LimiterCase(NamedTuple):
    """A rate limiter and its clock. ``settle`` waits until unawaited commands have arrived."""

    rate_limiter: RateLimiter
    fake_time: FakeTime
    settle: Callable[[], Coroutine[Any, Any, None]]

    async def admits(self, *hits: Hit, slot: ConcurrencySlot | None = None) -> RateVerdict:
        return await self.rate_limiter.check(hits, slot)


Scenario = Callable[[LimiterCase], Coroutine[Any, Any, None]]
Play = Callable[[Scenario], None]


def run_in_memory(scenario: Scenario) -> None:
    fake_time = FakeTime()

    async def at_once() -> None: ...

    result_of(scenario(LimiterCase(MemoryRateLimiter(fake_time.now_ms), fake_time, at_once)))


def run_in_redis(server: RedisServer, scenario: Scenario, local_subjects_max: int = 1_000) -> None:
    async def main() -> None:
        server.flush()
        fake_time = FakeTime()
        client = ClockedClient(server.url, fake_time)
        await client.start()
        await client.reached(20_000)
        rate_limiter = RedisRateLimiter(
            client, MemoryRateLimiter(fake_time.now_ms, local_subjects_max), the_reactor(), CountingMeter()
        )
        try:
            await scenario(LimiterCase(rate_limiter, fake_time, lambda: passed(10)))
        finally:
            await client.stop()

    run(main)


@pytest.fixture(scope="module", params=["memory", "redis", "redis without a memory"])
def play(request: pytest.FixtureRequest) -> Iterator[Play]:
    """Runs a scenario with each limiter. The third one's own windows forget at once, so that Redis alone judges."""
    if request.param == "memory":
        yield run_in_memory
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    local_subjects_max = 1_000 if request.param == "redis" else 0
    yield lambda scenario: run_in_redis(server, scenario, local_subjects_max)


def hit(limit: Limit, subject: str = "ann", cost: int = 1) -> Hit:
    return Hit(limit=limit, subject=subject, cost=cost)


def test_a_quota_is_admitted_and_the_next_hit_gets_the_time_to_wait(play: Play) -> None:
    async def scenario(case: LimiterCase) -> None:
        verdicts = []
        for _ in range(3):
            verdicts.append(await case.admits(hit(SUBMIT)))
            case.fake_time.ms += 100
        assert verdicts == [
            RateVerdict(remaining=2, reset_ms=60_000),
            RateVerdict(remaining=1, reset_ms=59_900),
            RateVerdict(remaining=0, reset_ms=59_800),
        ]
        assert await case.admits(hit(SUBMIT)) == RateVerdict(
            refused="submit", retry_after_ms=59_700, remaining=0, reset_ms=59_700
        )
        case.fake_time.ms += 59_699
        assert (await case.admits(hit(SUBMIT))).refused == "submit"
        case.fake_time.ms += 1
        assert (await case.admits(hit(SUBMIT))).refused is None

    play(scenario)


def test_each_subject_and_limit_has_its_own_window(play: Play) -> None:
    async def scenario(case: LimiterCase) -> None:
        for _ in range(3):
            await case.admits(hit(SUBMIT, "ann"))
        for other in (hit(SUBMIT, "bob"), hit(SUBMIT, "ip:ann"), hit(ADDRESS, "ann"), hit(BUCKET, "ann")):
            assert (await case.admits(other)).refused is None

    play(scenario)


def test_a_request_that_one_limit_refuses_is_counted_in_none(play: Play) -> None:
    async def scenario(case: LimiterCase) -> None:
        for _ in range(20):
            last = await case.admits(hit(ADDRESS, "10.0.0.1"), hit(SUBMIT))
        assert (last.refused, last.remaining) == ("submit", 0)
        await case.settle()
        assert (await case.admits(hit(ADDRESS, "10.0.0.1"))).remaining == 3

    play(scenario)


def test_each_request_of_one_batch_is_counted_whole_or_not_at_all(play: Play) -> None:
    async def scenario(case: LimiterCase) -> None:
        asked = [ensureDeferred(case.admits(hit(ADDRESS, "10.0.0.1"), hit(SUBMIT, who))) for who in ("ann",) * 9 + ("bob",) * 3]
        assert [(await one).refused for one in asked] == [None] * 3 + ["submit"] * 6 + [None] * 3
        assert (await case.admits(hit(ADDRESS, "10.0.0.1"))).remaining == 0

    play(scenario)


def test_a_request_that_gets_no_slot_is_counted_in_no_window(play: Play) -> None:
    def slot(holder: str) -> ConcurrencySlot:
        return ConcurrencySlot(user_id="ann", holder=holder, quota=2, ttl_ms=10_000)

    async def scenario(case: LimiterCase) -> None:
        asked = [ensureDeferred(case.admits(hit(ADDRESS, "10.0.0.1"), hit(SUBMIT), slot=slot(name))) for name in "abcde"]
        verdicts = [await one for one in asked]
        assert [one.refused for one in verdicts] == [None, None, "open_actions", "open_actions", "open_actions"]
        assert [one.remaining for one in verdicts] == [2, 1, 1, 1, 1]
        assert (await case.admits(hit(ADDRESS, "10.0.0.1"), hit(SUBMIT))).remaining == 0
        assert (await case.admits(hit(ADDRESS, "10.0.0.1"))).remaining == 3

    play(scenario)


def test_a_verdict_has_the_last_hits_numbers_and_the_refusing_hits_wait(play: Play) -> None:
    async def scenario(case: LimiterCase) -> None:
        for _ in range(3):
            await case.admits(hit(SUBMIT))
        case.fake_time.ms += 1_000
        verdict = await case.admits(hit(SUBMIT), hit(ADDRESS, "10.0.0.1"))
        assert verdict == RateVerdict(refused="submit", retry_after_ms=59_000, remaining=7, reset_ms=60_000)

    play(scenario)


def test_an_expensive_hit_costs_more_but_never_more_than_the_quota(play: Play) -> None:
    async def scenario(case: LimiterCase) -> None:
        assert (await case.admits(hit(ADDRESS, cost=5))).remaining == 2
        assert (await case.admits(hit(ADDRESS, cost=5))).refused == "ip"
        assert (await case.admits(hit(ADDRESS, cost=2))).remaining == 0
        assert (await case.admits(hit(SUBMIT, cost=5))).remaining == 0

    play(scenario)


def test_requests_of_one_batch_are_judged_one_by_one(play: Play) -> None:
    async def scenario(case: LimiterCase) -> None:
        asked = [ensureDeferred(case.admits(hit(ADDRESS, "10.0.0.1"), hit(SUBMIT, f"user-{n % 2}"))) for n in range(8)]
        verdicts = [await one for one in asked]
        assert [one.refused for one in verdicts] == [None] * 6 + ["submit", "submit"]
        assert [one.remaining for one in verdicts] == [2, 2, 1, 1, 0, 0, 0, 0]
        assert (await case.admits(hit(ADDRESS, "10.0.0.1"))).remaining == 0
        assert (await case.admits(hit(ADDRESS, "10.0.0.1"))).refused == "ip"

    play(scenario)


def test_slots_are_held_until_they_are_released_or_expire(play: Play) -> None:
    def slot(holder: str, user_id: str = "ann") -> ConcurrencySlot:
        return ConcurrencySlot(user_id=user_id, holder=holder, quota=2, ttl_ms=10_000)

    async def scenario(case: LimiterCase) -> None:
        assert (await case.admits(slot=slot("a"))).refused is None
        case.fake_time.ms += 4_000
        assert (await case.admits(slot=slot("b"))).refused is None
        full = await case.admits(slot=slot("c"))
        assert (full.refused, full.retry_after_ms) == ("open_actions", 6_000)
        assert (await case.admits(slot=slot("c", "bob"))).refused is None
        case.rate_limiter.release([("ann", "b"), ("ann", "unknown"), ("nobody", "b")])
        await case.settle()
        assert (await case.admits(slot=slot("c"))).refused is None
        assert (await case.admits(slot=slot("d"))).refused == "open_actions"
        case.fake_time.ms += 6_000
        assert (await case.admits(slot=slot("d"))).refused is None

    play(scenario)


def test_a_refused_request_takes_no_slot(play: Play) -> None:
    async def scenario(case: LimiterCase) -> None:
        for _ in range(3):
            await case.admits(hit(SUBMIT))
        slot = ConcurrencySlot(user_id="ann", holder="a", quota=1, ttl_ms=10_000)
        asked = [
            ensureDeferred(case.admits(hit(SUBMIT, "bob", 2), slot=slot)),
            ensureDeferred(case.admits(hit(SUBMIT, "bob", 2))),
        ]
        assert [(await one).refused for one in asked] == [None, "submit"]
        case.rate_limiter.release([("ann", "a")])
        await case.settle()
        assert (await case.admits(hit(SUBMIT), slot=slot)).refused == "submit"
        assert (await case.admits(hit(SUBMIT, "bob", 2), slot=slot)).refused == "submit"
        await case.settle()
        assert (await case.admits(slot=ConcurrencySlot(user_id="ann", holder="b", quota=1, ttl_ms=10_000))).refused is None

    play(scenario)


def test_a_token_bucket_refills_evenly(play: Play) -> None:
    async def scenario(case: LimiterCase) -> None:
        for left in (4, 3, 2, 1, 0):
            assert (await case.admits(hit(BUCKET))).remaining == left
        assert (await case.admits(hit(BUCKET))).retry_after_ms == 1_200
        case.fake_time.ms += 1_200
        assert (await case.admits(hit(BUCKET))).refused is None
        case.fake_time.ms += 60_000
        assert (await case.admits(hit(BUCKET))).remaining == 4

    play(scenario)


def test_a_clock_that_steps_back_admits_no_more(play: Play) -> None:
    async def scenario(case: LimiterCase) -> None:
        for _ in range(3):
            await case.admits(hit(SUBMIT))
            case.fake_time.ms -= 10_000
        assert (await case.admits(hit(SUBMIT))).refused == "submit"

    play(scenario)


@pytest.mark.parametrize("limit", [SUBMIT, COARSE, BUCKET])
@pytest.mark.parametrize("step_ms", [60_000, 3_600_000, 86_400_000])
def test_after_a_clock_step_back_no_request_waits_longer_than_a_window(play: Play, limit: Limit, step_ms: int) -> None:
    async def scenario(case: LimiterCase) -> None:
        while (await case.admits(hit(limit))).refused is None:
            case.fake_time.ms += 1
        case.fake_time.ms -= step_ms
        first = await case.admits(hit(limit))
        assert first.refused == limit.name
        assert first.retry_after_ms <= limit.window_ms + limit.grain_ms
        await case.settle()
        for _ in range(5):  # a check meanwhile does not prolong the wait
            case.fake_time.ms += first.retry_after_ms // 6
            await case.admits(hit(limit))
        case.fake_time.ms += first.retry_after_ms // 6 + 6
        assert (await case.admits(hit(limit))).refused is None

    play(scenario)


STEPS_BACK = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 5), st.integers(0, 30_000), st.sampled_from([59_999, 60_000])),
        st.one_of(st.just(0), st.integers(0, 5_000), st.sampled_from([60_000, 3_600_000])),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS_BACK)
def test_when_redis_clock_steps_back_any_true_window_admits_at_most_the_quota(
    redis_server: RedisServer, steps: list[tuple[int, int]]
) -> None:
    async def scenario(case: LimiterCase) -> None:
        true_ms, admitted = 0, list[int]()
        for pause_ms, step_ms in steps:
            true_ms += pause_ms
            case.fake_time.ms += pause_ms - step_ms
            verdict = await case.admits(hit(SUBMIT))
            assert verdict.retry_after_ms <= SUBMIT.window_ms
            if verdict.refused is None:
                admitted.append(true_ms)
        assert all(sum(start <= at_ms < start + SUBMIT.window_ms for at_ms in admitted) <= SUBMIT.quota for start in admitted)

    run_in_redis(redis_server, scenario, local_subjects_max=0)


def test_after_a_clock_step_back_a_slot_is_held_no_longer_than_its_life(play: Play) -> None:
    def slot(holder: str) -> ConcurrencySlot:
        return ConcurrencySlot(user_id="ann", holder=holder, quota=2, ttl_ms=10_000)

    async def scenario(case: LimiterCase) -> None:
        assert (await case.admits(slot=slot("a"))).refused is None
        case.fake_time.ms -= 3_600_000
        assert (await case.admits(slot=slot("b"))).refused is None
        full = await case.admits(slot=slot("c"))
        assert (full.refused, full.retry_after_ms) == ("open_actions", 10_000)
        case.fake_time.ms += 9_999
        assert (await case.admits(slot=slot("c"))).refused == "open_actions"
        case.fake_time.ms += 1
        assert (await case.admits(slot=slot("c"))).refused is None
        assert (await case.admits(slot=slot("d"))).refused is None

    play(scenario)


def _timeless(verdict: RateVerdict) -> tuple[str | None, int, int]:
    return verdict.refused, verdict.retry_after_ms, verdict.remaining


SCHEDULES = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 3), st.integers(0, 2_000), st.sampled_from([1_199, 1_200, 9_999, 10_000, 59_999, 60_000])),
        st.sampled_from([SUBMIT, ADDRESS, COARSE, BUCKET]),
        st.integers(1, 60),
        st.integers(1, 3),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(schedule=SCHEDULES)
def test_lua_and_python_agree_on_any_schedule(redis_server: RedisServer, schedule: list[tuple[int, Limit, int, int]]) -> None:
    async def scenario(case: LimiterCase) -> None:
        twin = MemoryRateLimiter(case.fake_time.now_ms)
        for wait_ms, limit, cost, at_once in schedule:
            case.fake_time.ms += wait_ms
            slot = ConcurrencySlot(user_id="ann", holder=f"{case.fake_time.ms}", quota=3, ttl_ms=5_000) if cost % 4 == 0 else None
            hits = [(hit(COARSE, "*"), hit(limit, subject, cost)) for subject in ("ann", "bob", "ann")[:at_once]]
            asked = [ensureDeferred(case.rate_limiter.check(one, slot)) for one in hits]
            shared, own = [await one for one in asked], [await twin.check(one, slot) for one in hits]
            assert shared[-1] == own[-1]
            # Requests of one batch get the reset of the whole batch; a token bucket's is later for each of them.
            assert [_timeless(one) for one in shared] == [_timeless(one) for one in own]

    run_in_redis(redis_server, scenario, local_subjects_max=0)


FLOODS = st.lists(
    st.tuples(st.sampled_from(["flooding address", "ann", "bob"]), st.integers(1, 40), st.integers(0, 42_000)),
    min_size=1,
    max_size=40,
)
SHARED = Limit(name="everyone", quota=12, window_ms=60_000)  # Redis forgets a window by the true time
A_FEW = Limit(name="ip", quota=4, window_ms=60_000)


async def _property_of_floods(case: LimiterCase, floods: list[tuple[str, int, int]]) -> None:
    """Each window has counted exactly the units of the requests that all limits admitted."""
    taken: dict[str, list[int]] = {}

    def within(key: str) -> int:
        return sum(case.fake_time.ms - at_ms < SHARED.window_ms for at_ms in taken.get(key, ()))

    for who, times, pause_ms in floods:
        hits = (hit(A_FEW, f"address of {who}"), hit(SHARED, "*"), hit(SUBMIT, who))
        asked = [ensureDeferred(case.rate_limiter.check(hits)) for _ in range(times)]
        for one in asked:
            verdict = await one
            keys = {"ip": f"address of {who}", "everyone": "*", "submit": who}
            full = {name for name, key in keys.items() if within(key) >= {"ip": 4, "everyone": 12, "submit": 3}[name]}
            assert (verdict.refused in full) if full else (verdict.refused is None)
            if verdict.refused is None:
                for key in keys.values():
                    taken.setdefault(key, []).append(case.fake_time.ms)
        case.fake_time.ms += pause_ms


@settings(max_examples=60, deadline=None)
@given(floods=FLOODS)
def test_a_flood_costs_others_no_more_than_its_own_quota_in_memory(floods: list[tuple[str, int, int]]) -> None:
    run_in_memory(lambda case: _property_of_floods(case, floods))


@settings(max_examples=60, deadline=None)
@given(floods=FLOODS)
def test_a_flood_costs_others_no_more_than_its_own_quota_in_redis(
    redis_server: RedisServer, floods: list[tuple[str, int, int]]
) -> None:
    for local_subjects_max in (1_000, 0):
        run_in_redis(redis_server, lambda case: _property_of_floods(case, floods), local_subjects_max)
