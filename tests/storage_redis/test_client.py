"""The client with a real Redis that is restarted, stopped, emptied, demoted and protected by a password."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.redis import client as client_module
from scoreboard.storage.redis import connection as connection_module
from scoreboard.storage.redis.client import RedisClient, script
from scoreboard.storage.redis.connection import address
from scoreboard.storage.redis.errors import RedisMisconfigured
from scoreboard.storage.redis.protocol import RedisUnavailable
from tests.awaiting import result_of, run
from tests.pauses import within
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
        client = RedisClient(own_server.url, the_reactor(), CountingMeter())
        await client.start()
        assert result_of(kind_of(client.call("INCR", "n"))) == "AWAY"
        assert result_of(kind_of(client.ping())) == "AWAY"
        assert await kind_of(client.reached(100)) == "AWAY"
        own_server.start()
        await client.reached(20_000)
        assert await client.call("GET", "n") is None
        await client.stop()

    run(main)


def test_after_a_crash_the_client_reconnects_within_a_second_and_reports_it(own_server: RedisServer) -> None:
    async def main() -> None:
        meter, ups = CountingMeter(), list[str]()
        async with linked(own_server.url, meter) as client:
            client.on_up(lambda: ups.append("up"))
            meter.changes.clear()
            run_before = client.run_id
            own_server.kill()
            await until(lambda: not client.up)
            assert await kind_of(client.call("PING")) == "AWAY"
            with pytest.raises(StoreUnavailable):
                _ = client.run_id
            own_server.start()
            with within(1.0):
                await client.reached(20_000)
            assert client.run_id != run_before
            await client.ping()
        assert (meter.changes, ups) == ([("redis_up", 0), ("redis_up", 1), ("redis_up", 0)], ["up"])

    run(main)


def test_calls_to_a_stopped_redis_fail_at_the_deadline_and_then_at_once(own_server: RedisServer) -> None:
    async def main() -> None:
        meter = CountingMeter()
        async with linked(own_server.url, meter, deadline_ms=100) as client:
            own_server.stop()
            for _ in range(3):
                assert client.up
                started = now_ms()
                with within(0.35):  # the default deadline is 0.4 s
                    assert await kind_of(client.call("PING")) == "SILENT"
                assert now_ms() - started > 90
            assert not client.up, "the circuit breaker is open"
            for _ in range(100):
                assert result_of(kind_of(client.call("PING"))) in ("AWAY", "LOST")
            await passed(600)
            assert not client.up
            own_server.cont()
            with within(1.0):
                await client.reached(20_000)
            await client.ping()
            assert meter.counts["redis_failures_total SILENT"] == 3

    run(main)


def test_a_reply_that_arrived_while_the_reactor_was_busy_is_in_time(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(redis_server.url, deadline_ms=20) as client:
            for _ in range(4):
                answer = client.call("PING")
                time.sleep(0.05)  # noqa: ASYNC251  # a reactor that is late is what this is about
                assert redis_server.tell("PING") == "+PONG"  # Redis has one thread: it answered the call before
                assert await answer == b"PONG"

    run(main)


def test_a_script_that_redis_does_not_know_any_more_is_sent_again(redis_server: RedisServer) -> None:
    async def main() -> None:
        meter = CountingMeter()
        async with linked(redis_server.url, meter) as client:
            for _ in range(2):
                redis_server.flush()
                for _ in range(2):
                    assert await client.run(script("release"), ["open_actions:ann"], ["a"]) == 1
        assert meter.counts == {}

    run(main)


def test_a_replica_gets_no_commands_until_it_is_a_master_again(own_server: RedisServer) -> None:
    async def main() -> None:
        meter = CountingMeter()
        async with linked(own_server.url, meter) as client:
            own_server.tell("REPLICAOF", "127.0.0.1", "1")
            assert await kind_of(client.run(script("begin"), BEGIN_KEYS, ["", "news", "me", 1, "run"])) == "READONLY"
            assert not client.up
            await passed(400)
            assert not client.up
            own_server.tell("REPLICAOF", "NO", "ONE")
            await client.reached(20_000)
            await client.run(script("begin"), BEGIN_KEYS, ["", "news", "me", 1, "run"])
        assert meter.counts["redis_failures_total READONLY"] == 1

    run(main)


def test_a_write_to_a_full_redis_fails_with_its_reason(own_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(own_server.url) as client:
            own_server.tell("CONFIG", "SET", "maxmemory", "1")
            assert await kind_of(client.call("SET", "a", "b")) == "OOM"
            assert await kind_of(client.run(script("begin"), BEGIN_KEYS, ["", "news", "me", 1, "run"])) == "OOM"
            assert client.up
            own_server.tell("CONFIG", "SET", "maxmemory", "0")
            await client.call("SET", "a", "b")

    run(main)


async def misconfigured(client: RedisClient) -> None:
    """Wait until Redis has refused what the URL says."""
    await until(lambda: client.misconfigured)


@pytest.fixture
def patient_greeting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake that a pause of the machine does not break off, for tests that count log lines."""
    for module in (client_module, connection_module):
        monkeypatch.setattr(module, "GREETING_S", 10.0)


@pytest.mark.usefixtures("patient_greeting")
def test_password_and_database_are_sent_and_after_a_wrong_password_the_client_goes_on() -> None:
    server = RedisServer("--requirepass", "open sesame")

    async def main() -> None:
        right = server.url + "?password=open%20sesame"
        for wrong, why in (
            (server.url, "REDIS_URL (or REDIS_PASSWORD): Redis asks for a password, and none is set"),
            (server.url + "?password=open", "REDIS_URL (or REDIS_PASSWORD): Redis refuses the user or the password"),
            (right + "&db=99", "REDIS_URL: this Redis has no database of that number"),
        ):
            client = RedisClient(wrong, the_reactor(), CountingMeter())
            with logged("RedisClient") as text_lines:
                await client.start()
                await misconfigured(client)
                with pytest.raises(RedisMisconfigured) as refused:
                    await client.reached(400)
            assert str(refused.value) == why
            assert text_lines == [f"error Redis cannot be asked: {why} ({server.socket})"]
            assert (client.misconfigured, client.conditions()[0].reason) == (True, f"Redis cannot be asked: {why}")
            await client.stop()
        async with linked(server.url + "?db=3&password=open%20sesame") as client:
            await client.call("SET", "where", "three")
            await client.call("SELECT", 0)
            assert await client.call("GET", "where") is None

    try:
        run(main)
    finally:
        server.close()


@pytest.mark.usefixtures("patient_greeting")
def test_a_password_for_a_redis_that_has_none_is_named(own_server: RedisServer) -> None:
    async def main() -> None:
        client = RedisClient(own_server.url + "?password=open", the_reactor(), CountingMeter())
        await client.start()
        await misconfigured(client)
        with pytest.raises(
            RedisMisconfigured, match=r"^REDIS_URL \(or REDIS_PASSWORD\): a password is set, and this Redis has none$"
        ):
            await client.reached(400)
        await client.stop()

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
        async with linked(own_server.url, meter) as client:
            client.subscribe("news", received.append)
            for message in ("one", "two"):
                await until(lambda: own_server.tell("PUBSUB", "NUMSUB", "news") != "" and _subscribed(own_server))
                await client.call("PUBLISH", "news", message)
                await until(lambda: received != [])
                assert received == [message.encode()]
                received.clear()
                meter.changes.clear()
                own_server.kill()
                own_server.start()
                # else the next command may still go to the server that was killed
                await until(lambda: ("redis_up", 0) in meter.changes)
                await client.reached(20_000)

    run(main)


def _subscribed(server: RedisServer) -> bool:
    return server.tell("PUBLISH", "elsewhere", "") == ":0" and server.tell("PUBSUB", "CHANNELS", "news") == "*1"


def test_a_stopped_client_leaves_no_timer_behind(own_server: RedisServer) -> None:
    async def main() -> None:
        await passed(0)
        before = the_reactor().getDelayedCalls()
        client = RedisClient(own_server.url, the_reactor(), CountingMeter())
        await client.stop()
        for wait_ms in (0, 5, 60):
            client = RedisClient(own_server.url, the_reactor(), CountingMeter())
            client.subscribe("news", lambda _: None)
            await client.start()
            await passed(wait_ms)
            await client.stop()
            assert not client.up
        assert [call for call in the_reactor().getDelayedCalls() if call not in before] == []

    run(main)
