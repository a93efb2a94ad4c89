"""The roster of servers in a real Redis: which servers are alive, and which keys they know."""

from __future__ import annotations

from pathlib import Path

from scoreboard.domain.rotation import KnownKeys, ServerKeys
from scoreboard.storage.redis.key_roster import KEY, RECORD_LIFE_MS, RedisKeyRoster
from tests.awaiting import run
from tests.fake_clock import FakeClock
from tests.storage_redis.harness import linked
from tests.storage_redis.redis_server import RedisServer


def keys(name: str) -> ServerKeys:
    return ServerKeys(actions=KnownKeys(signs=name, verifies=(name, "0" * 8)), tokens=KnownKeys(signs="t", verifies=("t",)))


def test_each_server_gets_the_keys_of_the_others_until_they_leave(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as client:
            one, other = RedisKeyRoster(client, "one"), RedisKeyRoster(client, "other")
            assert await one.exchange(keys("a")) == []
            assert await other.exchange(keys("b")) == [keys("a")]
            assert await one.exchange(keys("a")) == [keys("b")]
            await other.leave()
            assert await one.exchange(keys("a")) == []
            assert 0 < await client.call("PTTL", KEY) <= RECORD_LIFE_MS
            await client.call("HSET", KEY, "strange", "not ours")
            seconds, _ = await client.call("TIME")
            await client.call("HSET", KEY, "newer", b"%d {}" % (int(seconds) * 1000))
            assert await one.exchange(keys("a")) == []

    run(main)


def test_a_dead_server_is_forgotten_whatever_the_clock_does(tmp_path: Path) -> None:
    clock = FakeClock(tmp_path)
    server = RedisServer(environment=clock.environment)

    async def main() -> None:
        async with linked(server.url) as client:
            one, dead = RedisKeyRoster(client, "one"), RedisKeyRoster(client, "dead")
            for step_s in (RECORD_LIFE_MS // 1000 + 2, -3_600):
                await dead.exchange(keys("d"))
                assert await one.exchange(keys("a")) == [keys("d")]
                clock.step(step_s)
                assert await one.exchange(keys("a")) == []

    try:
        run(main)
    finally:
        server.close()
