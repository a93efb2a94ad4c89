"""The rate limiter while its Redis is killed, stopped, emptied and slow: it always answers, and never exceeds a quota."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import ensureDeferred

from scoreboard.domain.limits import ConcurrencySlot, Hit, Limit
from scoreboard.storage.memory.rate_limiter import MemoryRateLimiter
from scoreboard.storage.redis.rate_limiter import RedisRateLimiter
from tests.awaiting import run
from tests.fake_clock import FakeClock
from tests.storage_redis.harness import CountingMeter, linked, passed, the_reactor
from tests.storage_redis.redis_server import RedisServer

DEGRADED = "rate_limiter_degraded_total"
WINDOW_MS = 700
FIVE = Limit(name="submit", quota=5, window_ms=WINDOW_MS)
HITS = (Hit(limit=Limit(name="ip", quota=10_000, window_ms=WINDOW_MS), subject="10.0.0.1"), Hit(limit=FIVE, subject="ann"))


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


def most_in_any_window(times_ms: list[int]) -> int:
    return max(sum(start <= at < start + WINDOW_MS for at in times_ms) for start in times_ms)


def restart_empty(server: RedisServer) -> None:
    server.flush()
    server.kill()
    server.start()


HARMS: dict[str, Callable[[RedisServer], None]] = {
    "killed": RedisServer.kill,
    "stopped": RedisServer.stop,
    "emptied": RedisServer.flush,
    "restarted empty": restart_empty,
}


class RecordingClock:
    """A clock that keeps the last time it gave, which is when a hit was counted."""

    def __init__(self) -> None:
        self.read_ms = 0

    def now_ms(self) -> int:
        self.read_ms = now_ms()
        return self.read_ms


@pytest.mark.parametrize("harm", HARMS)
def test_no_window_admits_more_than_the_quota_whatever_happens_to_redis(own_server: RedisServer, harm: str) -> None:
    async def main() -> None:
        meter, read_clock, verdicts = CountingMeter(), RecordingClock(), list[tuple[str | None, int]]()
        async with linked(own_server.url, meter) as client:
            rate_limiter = RedisRateLimiter(client, MemoryRateLimiter(read_clock.now_ms), the_reactor(), meter)

            async def hit() -> None:
                verdict = await rate_limiter.check(HITS)
                verdicts.append((verdict.refused, read_clock.read_ms))

            async def hit_until(end_ms: int) -> None:
                while now_ms() < end_ms:
                    for one in [ensureDeferred(hit()) for _ in range(3)]:
                        await one
                    await passed(17)

            started = now_ms()
            await hit_until(started + WINDOW_MS // 2)
            HARMS[harm](own_server)
            await hit_until(started + 2 * WINDOW_MS)
            own_server.cont()
            if own_server.tell("PING") != "+PONG":
                own_server.start()
            await hit_until(started + 4 * WINDOW_MS)
        admitted = [at_ms for refused, at_ms in verdicts if refused is None]
        assert most_in_any_window(admitted) == 5
        assert len(admitted) >= 15, "a user who waits is admitted again, with or without Redis"
        assert len(verdicts) > 100
        if harm in ("killed", "stopped"):
            assert meter.counts[DEGRADED] > 0

    run(main)


@pytest.mark.parametrize("step_s", [-3_600, -60, 60, 3_600])
def test_setting_the_clock_of_redis_neither_empties_a_window_nor_keeps_it_full(tmp_path: Path, step_s: int) -> None:
    clock = FakeClock(tmp_path)
    server = RedisServer(environment=clock.environment)

    async def main() -> None:
        read_clock, admitted_ms = RecordingClock(), list[int]()
        async with linked(server.url) as client:
            rate_limiter = RedisRateLimiter(
                client, MemoryRateLimiter(read_clock.now_ms), the_reactor(), CountingMeter(), deadline_ms=2_000
            )

            async def hit_until(end_ms: int) -> None:
                while now_ms() < end_ms:
                    verdict = await rate_limiter.check(HITS)
                    if verdict.refused is None:
                        admitted_ms.append(read_clock.read_ms)
                    assert verdict.retry_after_ms <= WINDOW_MS + 10
                    await passed(7)

            await hit_until(now_ms() + WINDOW_MS // 2)
            clock.step(step_s)
            stepped_ms = now_ms()
            await hit_until(stepped_ms + 3 * WINDOW_MS)
        assert most_in_any_window(admitted_ms) == 5
        # The window starts again at the step. A second in which it was already shown to Redis may have to end first.
        assert min(at_ms for at_ms in admitted_ms if at_ms >= stepped_ms) <= stepped_ms + WINDOW_MS + 1_000 + 100

    try:
        run(main)
    finally:
        server.close()


def test_a_check_does_not_wait_for_a_late_redis(own_server: RedisServer) -> None:
    async def main() -> None:
        meter = CountingMeter()
        async with linked(own_server.url, meter) as client:
            rate_limiter = RedisRateLimiter(client, MemoryRateLimiter(now_ms), the_reactor(), meter)
            own_server.stop()
            waits = []
            for _ in range(5):
                started = now_ms()
                assert (await rate_limiter.check(HITS)).refused is None
                waits.append(now_ms() - started)
            assert all(45 <= one < 400 for one in waits[:3]), "after 50 ms the local limiter judges"
            assert all(one < 45 for one in waits[3:]), "the circuit breaker is open: no check waits"
            assert (await rate_limiter.check(HITS)).refused == "submit", "there is always a limit"
            assert meter.counts[DEGRADED] == 6
            own_server.cont()
            await client.reached(20_000)
            assert (await rate_limiter.check(HITS)).refused == "submit", "the requests that were admitted meanwhile still count"

    run(main)


def test_a_request_whose_own_window_is_full_is_refused_without_a_call(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as client:
            rate_limiter = RedisRateLimiter(client, MemoryRateLimiter(now_ms), the_reactor(), CountingMeter())
            minute = (Hit(limit=Limit(name="submit", quota=2, window_ms=60_000), subject="ann"),)
            for _ in range(2):
                await rate_limiter.check(minute)
            result: list[object] = []
            ensureDeferred(rate_limiter.check(minute)).addCallback(result.append)
            assert len(result) == 1, "at once"

    run(main)


def test_two_processes_share_one_window(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        limit = Limit(name="submit", quota=10, window_ms=60_000)
        async with linked(redis_server.url) as client, linked(redis_server.url) as another:
            rate_limiters = [
                RedisRateLimiter(one, MemoryRateLimiter(now_ms), the_reactor(), CountingMeter(), deadline_ms=2_000)
                for one in (client, another)
            ]
            asked = [ensureDeferred(rate_limiters[n % 2].check([Hit(limit=limit, subject="ann")])) for n in range(40)]
            assert [(await one).refused for one in asked].count(None) == 10

    run(main)


def test_an_address_that_floods_two_processes_takes_nothing_from_other_users(redis_server: RedisServer) -> None:
    address = Limit(name="ip", quota=10, window_ms=60_000)
    everyone = Limit(name="everyone", quota=60, window_ms=60_000)

    def request(from_address: str, user_id: str) -> list[Hit]:
        return [
            Hit(limit=address, subject=from_address),
            Hit(limit=everyone, subject="*"),
            Hit(limit=Limit(name="submit", quota=50, window_ms=60_000), subject=user_id),
        ]

    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as client, linked(redis_server.url) as another:
            rate_limiters = [
                RedisRateLimiter(one, MemoryRateLimiter(now_ms), the_reactor(), CountingMeter(), deadline_ms=2_000)
                for one in (client, another)
            ]
            flood = [ensureDeferred(rate_limiters[n % 2].check(request("10.0.0.1", f"user-{n % 7}"))) for n in range(2_000)]
            unknown_clients = [
                ensureDeferred(rate_limiters[n % 2].check(request(f"10.0.1.{n}", f"stranger-{n}"))) for n in range(40)
            ]
            assert [(await one).refused for one in unknown_clients] == [None] * 40
            verdicts = [await one for one in flood]
            assert [one.refused for one in verdicts].count(None) == 10
            # The shared limit is used up now. A player whom it refuses keeps the whole quota of their own.
            for n in range(20):
                last = await rate_limiters[0].check(request(f"10.0.2.{n}", "late"))
            assert last.refused == "everyone"
            own = await rate_limiters[1].check(request("10.0.3.1", "late")[2:])
            assert own.remaining == 49 - 10, "ten were admitted, and ten that were refused took nothing"

    run(main)


def test_the_keys_are_those_of_the_specification_and_expire(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as client:
            rate_limiter = RedisRateLimiter(client, MemoryRateLimiter(now_ms), the_reactor(), CountingMeter())
            limits = {name: Limit(name=name, quota=10, window_ms=60_000) for name in ("submit", "ip", "initialize", "everyone")}
            subjects = {"submit": "user-1", "ip": "10.0.0.1", "initialize": "user-1", "everyone": "*"}
            await rate_limiter.check(
                [Hit(limit=limit, subject=subjects[name]) for name, limit in limits.items()],
                ConcurrencySlot(user_id="user-1", holder="action", quota=50, ttl_ms=600_000),
            )
            keys = sorted(await client.call("KEYS", "*"))
            assert keys == [
                b"open_actions:user-1",
                b"rate_limit:everyone:*",
                b"rate_limit:initialize:user-1",
                b"rate_limit:ip:10.0.0.1",
                b"rate_limit:user-1",
            ]
            assert await client.call("TYPE", "rate_limit:user-1") == b"string"
            assert 59_000 < await client.call("PTTL", "rate_limit:user-1") <= 60_000
            assert 590_000 < await client.call("PTTL", "open_actions:user-1") <= 600_000

    run(main)


def test_a_log_holds_no_more_than_its_window(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as client:
            rate_limiter = RedisRateLimiter(client, MemoryRateLimiter(now_ms, subjects_max=0), the_reactor(), CountingMeter())
            limit = Limit(name="submit", quota=20, window_ms=50)
            for _ in range(200):
                await rate_limiter.check([Hit(limit=limit, subject="ann")])
                await passed(1)
            assert await client.call("STRLEN", "rate_limit:ann") <= 10 + 12 * 2 * 21

    run(main)


def test_a_value_that_is_not_ours_counts_as_none(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        meter = CountingMeter()
        async with linked(redis_server.url, meter) as client:
            rate_limiter = RedisRateLimiter(client, MemoryRateLimiter(now_ms), the_reactor(), meter, deadline_ms=2_000)
            for value in ("7", "x" * 16):
                await client.call("SET", "rate_limit:ann", value)
                assert (await rate_limiter.check(HITS)).refused is None
        assert meter.counts == {}

    run(main)


def test_slots_are_released_in_redis_too(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as client:
            rate_limiter = RedisRateLimiter(client, MemoryRateLimiter(now_ms), the_reactor(), CountingMeter())
            for holder in "abc":
                await rate_limiter.check((), ConcurrencySlot(user_id="ann", holder=holder, quota=5, ttl_ms=60_000))
            rate_limiter.release([("ann", "a"), ("ann", "c")])
            for _ in range(100):
                if await client.call("ZRANGE", "open_actions:ann", 0, -1) == [b"b"]:
                    return
                await passed(2)
            raise AssertionError("still held")

    run(main)
