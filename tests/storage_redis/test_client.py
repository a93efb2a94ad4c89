"""The client with a real Redis that is restarted, stopped, emptied, demoted and protected by a password."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.redis.client import RedisClient, script
from scoreboard.storage.redis.connection import address
from scoreboard.storage.redis.errors import RedisMisconfigured
from scoreboard.storage.redis.protocol import RedisUnavailable
from tests.awaiting import run
from tests.storage_redis.harness import CountingMeter, linked, logged, passed, the_reactor, until
from tests.storage_redis.redis_server import RedisServer

BEGIN_KEYS = ["ranking", "players", "state", "history"]


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server that only this test uses, and may harm."""
    server = RedisServer()
    yield server
    server.close()


def now_ms() -> float:
    return float(the_reactor().seconds() * 1000)


async def kind_of(failing: object) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        await failing  # type: ignore[misc]  # whatever can be awaited
    assert isinstance(refused.value, RedisUnavailable)
    return refused.value.kind


def test_a_call_while_redis_is_away_fails_at_once_and_is_never_queued(own_server: RedisServer) -> None:
    async def main() -> None:
        own_server.kill()
        link = RedisClient(own_server.url, the_reactor(), CountingMeter())
        await link.start()
        started = now_ms()
        assert await kind_of(link.call("INCR", "n")) == "AWAY"
        assert await kind_of(link.ping()) == "AWAY"
        assert now_ms() - started < 50
        assert await kind_of(link.reached(100)) == "AWAY"
        own_server.start()
        await link.reached(2_000)
        assert await link.call("GET", "n") is None
        await link.stop()

    run(main)


def test_after_a_crash_the_client_reconnects_within_a_second_and_reports_it(own_server: RedisServer) -> None:
    async def main() -> None:
        meter, ups = CountingMeter(), list[str]()
        async with linked(own_server.url, meter) as link:
            link.on_up(lambda: ups.append("up"))
            meter.changes.clear()
            run_before = link.run_id
            own_server.kill()
            await until(lambda: not link.up)
            assert await kind_of(link.call("PING")) == "AWAY"
            with pytest.raises(StoreUnavailable):
                _ = link.run_id
            own_server.start()
            started = now_ms()
            await link.reached(2_000)
            assert now_ms() - started < 1_000
            assert link.run_id != run_before
            await link.ping()
        assert (meter.changes, ups) == ([("redis_up", 0), ("redis_up", 1), ("redis_up", 0)], ["up"])

    run(main)


def test_calls_to_a_stopped_redis_fail_at_the_deadline_then_at_once_until_it_continues(own_server: RedisServer) -> None:
    async def main() -> None:
        meter = CountingMeter()
        async with linked(own_server.url, meter, deadline_ms=100) as link:
            own_server.stop()
            for _ in range(3):
                assert link.up
                started = now_ms()
                assert await kind_of(link.call("PING")) == "SILENT"
                assert 90 < now_ms() - started < 300
            assert not link.up, "the breaker is open"
            started = now_ms()
            for _ in range(100):
                assert await kind_of(link.call("PING")) in ("AWAY", "LOST")
            assert now_ms() - started < 100
            await passed(600)
            assert not link.up
            own_server.cont()
            started = now_ms()
            await link.reached(2_000)
            assert now_ms() - started < 1_000
            await link.ping()
            assert meter.counts["redis_failures_total SILENT"] == 3

    run(main)


def test_a_reply_that_arrived_while_the_reactor_was_busy_is_in_time(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(redis_server.url, deadline_ms=20) as link:
            for _ in range(4):
                answer = link.call("PING")
                time.sleep(0.05)  # noqa: ASYNC251  # a reactor that is late is what this is about
                assert await answer == b"PONG"

    run(main)


def test_a_script_that_redis_does_not_know_any_more_is_sent_again(redis_server: RedisServer) -> None:
    async def main() -> None:
        meter = CountingMeter()
        async with linked(redis_server.url, meter) as link:
            for _ in range(2):
                redis_server.flush()
                for _ in range(2):
                    assert await link.run(script("release"), ["open_actions:ann"], ["a"]) == 1
        assert meter.counts == {}

    run(main)


def test_a_replica_gets_no_commands_until_it_is_a_master_again(own_server: RedisServer) -> None:
    async def main() -> None:
        meter = CountingMeter()
        async with linked(own_server.url, meter) as link:
            own_server.tell("REPLICAOF", "127.0.0.1", "1")
            assert await kind_of(link.run(script("begin"), BEGIN_KEYS, ["", "news", "me", 1, "run"])) == "READONLY"
            assert not link.up
            await passed(400)
            assert not link.up
            own_server.tell("REPLICAOF", "NO", "ONE")
            await link.reached(2_000)
            await link.run(script("begin"), BEGIN_KEYS, ["", "news", "me", 1, "run"])
        assert meter.counts["redis_failures_total READONLY"] == 1

    run(main)


def test_a_write_to_a_full_redis_fails_with_its_reason(own_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(own_server.url) as link:
            own_server.tell("CONFIG", "SET", "maxmemory", "1")
            assert await kind_of(link.call("SET", "a", "b")) == "OOM"
            assert await kind_of(link.run(script("begin"), BEGIN_KEYS, ["", "news", "me", 1, "run"])) == "OOM"
            assert link.up
            own_server.tell("CONFIG", "SET", "maxmemory", "0")
            await link.call("SET", "a", "b")

    run(main)


def test_password_and_database_are_sent_and_after_a_wrong_password_the_client_goes_on() -> None:
    server = RedisServer("--requirepass", "open sesame")

    async def main() -> None:
        right = server.url + "?password=open%20sesame"
        for wrong, why in (
            (server.url, "REDIS_URL (or REDIS_PASSWORD): Redis asks for a password, and none is set"),
            (server.url + "?password=open", "REDIS_URL (or REDIS_PASSWORD): Redis refuses the user or the password"),
            (right + "&db=99", "REDIS_URL: this Redis has no database of that number"),
        ):
            link = RedisClient(wrong, the_reactor(), CountingMeter())
            with logged("RedisClient") as text_lines:
                await link.start()
                with pytest.raises(RedisMisconfigured) as refused:
                    await link.reached(400)
            assert str(refused.value) == why
            assert text_lines == [f"warn Redis cannot be asked: {why} ({server.socket})"]
            assert (link.misconfigured, link.conditions()[0].reason) == (True, f"Redis cannot be asked: {why}")
            await link.stop()
        async with linked(server.url + "?db=3&password=open%20sesame") as link:
            await link.call("SET", "where", "three")
            await link.call("SELECT", 0)
            assert await link.call("GET", "where") is None

    try:
        run(main)
    finally:
        server.close()


def test_a_password_for_a_redis_that_has_none_is_named(own_server: RedisServer) -> None:
    async def main() -> None:
        link = RedisClient(own_server.url + "?password=open", the_reactor(), CountingMeter())
        await link.start()
        with pytest.raises(
            RedisMisconfigured, match=r"^REDIS_URL \(or REDIS_PASSWORD\): a password is set, and this Redis has none$"
        ):
            await link.reached(400)
        await link.stop()

    run(main)


def test_urls_are_read_as_redis_py_writes_them() -> None:
    reactor = the_reactor()
    assert address("redis://localhost", reactor).handshake == ()
    assert address("redis://:s%3Aecret@localhost:6380/2", reactor).handshake == (("AUTH", "s:ecret"), ("SELECT", 2))
    assert address("rediss://ann:pw@redis.example/0", reactor).handshake == (("AUTH", "ann", "pw"), ("SELECT", 0))
    assert address("unix:///var/a%20b/redis.sock?db=1", reactor).handshake == (("SELECT", 1),)
    with pytest.raises(ValueError, match="redis://"):
        address("http://localhost", reactor)


def test_a_subscriber_gets_messages_again_after_a_restart(own_server: RedisServer) -> None:
    async def main() -> None:
        received: list[bytes] = []
        meter = CountingMeter()
        async with linked(own_server.url, meter) as link:
            link.subscribe("news", received.append)
            for message in ("one", "two"):
                await until(lambda: own_server.tell("PUBSUB", "NUMSUB", "news") != "" and _subscribed(own_server))
                await link.call("PUBLISH", "news", message)
                await until(lambda: received != [])
                assert received == [message.encode()]
                received.clear()
                meter.changes.clear()
                own_server.kill()
                own_server.start()
                # else the next command may still go to the server that was killed
                await until(lambda: ("redis_up", 0) in meter.changes)
                await link.reached(2_000)

    run(main)


def _subscribed(server: RedisServer) -> bool:
    return server.tell("PUBLISH", "elsewhere", "") == ":0" and server.tell("PUBSUB", "CHANNELS", "news") == "*1"


def test_a_stopped_client_leaves_no_timer_behind(own_server: RedisServer) -> None:
    async def main() -> None:
        await passed(0)
        before = the_reactor().getDelayedCalls()
        link = RedisClient(own_server.url, the_reactor(), CountingMeter())
        await link.stop()
        for wait_ms in (0, 5, 60):
            link = RedisClient(own_server.url, the_reactor(), CountingMeter())
            link.subscribe("news", lambda _: None)
            await link.start()
            await passed(wait_ms)
            await link.stop()
            assert not link.up
        assert the_reactor().getDelayedCalls() == before

    run(main)
