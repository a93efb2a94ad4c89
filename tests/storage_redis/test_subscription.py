"""The subscription to a real Redis behind a proxy that goes silent, loses messages, or changes to another master."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scoreboard.storage.redis import subscription as subscription_module
from scoreboard.storage.redis.client import RedisClient
from tests.awaiting import run
from tests.journeys.server import free_port
from tests.storage_redis.harness import CountingMeter, linked, logged, passed, the_reactor, until
from tests.storage_redis.proxy import RedisProxy, master_of
from tests.storage_redis.redis_server import RedisServer

#: The server promises to notice and replace a silent connection within this time.
NOTICED_MS = 2_000


@pytest.fixture
def proxied(redis_server: RedisServer) -> Iterator[RedisProxy]:
    proxy = RedisProxy(lambda: redis_server.socket)
    yield proxy
    proxy.close()


class Listener:
    """A subscriber to "news": the messages it received, and how often it may have missed some."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.missed = 0

    def miss(self) -> None:
        self.missed += 1


@asynccontextmanager
async def subscribed(url: str, meter: CountingMeter | None = None) -> AsyncIterator[tuple[RedisClient, Listener]]:
    """A client and a subscription that is up."""
    listener = Listener()
    async with linked(url, meter) as client:
        client.subscribe("news", listener.received.append, listener.miss)
        await until(lambda: listener.missed == 1)
        yield client, listener


def subscription_of(client: RedisClient) -> tuple[bool, str]:
    (condition,) = [one for one in client.conditions() if one.name == "redis_subscription"]
    return condition.ok, condition.reason


async def receives(listener: Listener, server: RedisServer, message: str) -> None:
    listener.received.clear()
    server.tell("PUBLISH", "news", message)
    await until(lambda: listener.received == [message.encode()])


def test_a_silent_subscription_is_noticed_and_replaced(proxied: RedisProxy, redis_server: RedisServer) -> None:
    async def main() -> None:
        meter = CountingMeter()
        async with subscribed(proxied.url, meter) as (client, listener):
            await receives(listener, redis_server, "one")
            assert subscription_of(client) == (True, "")
            with logged("RedisSubscription") as text_lines:
                assert proxied.silence(only_subscribed=True) == 1
                redis_server.tell("PUBLISH", "news", "lost")
                await until(lambda: listener.missed == 2, NOTICED_MS)
                await receives(listener, redis_server, "two")
                await passed(1_000)
            assert client.up
            assert [text_line.split(":")[0].split(" after")[0] for text_line in text_lines] == [
                "warn Redis' messages do not arrive",
                "info Redis' messages arrive again",
            ]
            assert meter.counts["redis_subscription_restarts_total"] == 1
            assert meter.gauges["redis_subscription_up"] == 1
            assert (subscription_of(client), listener.missed) == ((True, ""), 2)

    run(main)


def test_an_idle_process_replaces_connections_that_all_went_silent(proxied: RedisProxy, redis_server: RedisServer) -> None:
    async def main() -> None:
        meter = CountingMeter()
        async with subscribed(proxied.url, meter) as (client, listener):
            assert proxied.silence() == 2
            await until(lambda: ("redis_up", 0) in meter.changes and client.up and listener.missed == 2, NOTICED_MS)
            await receives(listener, redis_server, "again")

    run(main)


@pytest.mark.parametrize("commands_first", [True, False])
def test_the_log_says_that_messages_arrive_again_only_if_it_said_that_they_do_not(
    commands_first: bool, proxied: RedisProxy
) -> None:
    async def main() -> None:
        async with subscribed(proxied.url) as (client, listener):
            with logged("RedisSubscription") as of_messages, logged("RedisClient") as of_commands:
                proxied.refuses = True
                proxied.silence(only_subscribed=not commands_first)
                await until(lambda: not (client.up if commands_first else subscription_of(client)[0]), NOTICED_MS)
                proxied.silence()
                await until(lambda: not client.up and not subscription_of(client)[0], NOTICED_MS)
                proxied.refuses = False
                await until(lambda: client.up and listener.missed == 2, NOTICED_MS)
        for text_lines in (of_commands, [] if commands_first else of_messages):  # commands that are down already say why
            levels = [text_line.split()[0] for text_line in text_lines]
            assert levels == ["warn"] * (len(levels) - 1) + ["info"] * bool(levels), "each reason is a warning of its own"
        assert bool(of_messages) is not commands_first

    run(main)


def test_a_subscription_that_loses_messages_is_noticed_although_it_answers_pings(
    proxied: RedisProxy, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription_module, "GREETING_S", 10.0)  # a pause of the machine would be another reason to log

    async def main() -> None:
        meter = CountingMeter()
        async with subscribed(proxied.url, meter) as (client, listener):
            with logged("RedisSubscription") as text_lines:
                proxied.drops_messages = True
                await until(lambda: not subscription_of(client)[0], NOTICED_MS)
                assert meter.gauges["redis_subscription_up"] == 0
                assert subscription_of(client) == (
                    False,
                    "Redis' messages do not arrive: SILENT: what was published did not come back in time",
                )
                await passed(3_000)  # it is tried again, and not logged again
                proxied.drops_messages = False
                await until(lambda: subscription_of(client)[0], NOTICED_MS)
            assert (len(text_lines), listener.missed) == (2, 2)
            await receives(listener, redis_server, "again")

    run(main)


@pytest.fixture
def pair() -> Iterator[tuple[RedisServer, RedisServer, RedisProxy]]:
    """A master, its replica, and a load balancer by role in front of them."""
    ports = (free_port(), free_port())
    servers = [RedisServer("--port", str(port), "--repl-diskless-sync-delay", "0") for port in ports]
    servers[1].tell("REPLICAOF", "127.0.0.1", str(ports[0]))
    balancer = RedisProxy(master_of(*servers))
    yield servers[0], servers[1], balancer
    balancer.close()
    for server in servers:
        server.close()


def promote(new: RedisServer, old: RedisServer) -> None:
    new.tell("REPLICAOF", "NO", "ONE")
    port = new.ask("CONFIG", "GET", "port").split("\r\n")[4]
    old.tell("REPLICAOF", "127.0.0.1", port)


def stop(old: RedisServer) -> None:
    old.stop()


def kill(old: RedisServer) -> None:
    old.kill()


def leave_alone(_old: RedisServer) -> None:
    """The old master continues as a replica."""


@pytest.mark.parametrize("then", [leave_alone, stop, kill])
def test_after_a_failover_commands_and_subscription_use_the_new_master(
    then: Callable[[RedisServer], None], pair: tuple[RedisServer, RedisServer, RedisProxy]
) -> None:
    old, new, balancer = pair

    async def main() -> None:
        async with subscribed(balancer.url) as (client, listener):
            await receives(listener, old, "one")
            run_before = client.run_id
            promote(new, old)
            then(old)
            await until(lambda: client.up and client.run_id != run_before, NOTICED_MS)
            await until(lambda: listener.missed == 2, NOTICED_MS)
            assert f"run_id:{client.run_id}" in new.ask("INFO", "server")
            await receives(listener, new, "two")
            assert new.tell("PUBSUB", "NUMSUB", "news") == "*2"
            assert new.ask("PUBSUB", "NUMSUB", "news").split("\r\n")[3] == ":1"

    run(main)


def test_a_subscription_at_another_redis_than_the_commands_is_not_up(redis_server: RedisServer) -> None:
    other = RedisServer()
    led_to: list[Path] = [redis_server.socket]
    proxy = RedisProxy(lambda: led_to[0])

    async def main() -> None:
        listener = Listener()
        async with linked(proxy.url) as client:
            led_to[0] = other.socket
            client.subscribe("news", listener.received.append, listener.miss)
            await until(lambda: "another Redis answers" in subscription_of(client)[1])
            await passed(700)
            assert listener.missed == 0
            led_to[0] = redis_server.socket
            await until(lambda: listener.missed == 1)
            await receives(listener, redis_server, "at last")

    try:
        run(main)
    finally:
        proxy.close()
        other.close()


def test_a_message_that_cannot_be_read_is_counted_and_the_next_one_is_delivered(redis_server: RedisServer) -> None:
    async def main() -> None:
        meter, received = CountingMeter(), list[int]()
        standing: list[bool] = []
        async with linked(redis_server.url, meter) as client:
            client.subscribe("news", lambda message: received.append(int(message)), lambda: standing.append(True))
            await until(lambda: standing != [])
            with logged("RedisSubscription") as text_lines:
                for message in ("1", "nonsense", "more nonsense", "2"):
                    redis_server.tell("PUBLISH", "news", message)
                await until(lambda: received == [1, 2])
            assert meter.counts["redis_messages_unreadable_total"] == 2
            assert (len(text_lines), len(standing)) == (1, 1)

    run(main)


def test_a_stopped_client_with_a_subscription_leaves_no_timer(proxied: RedisProxy) -> None:
    async def main() -> None:
        await passed(0)
        before = the_reactor().getDelayedCalls()
        async with subscribed(proxied.url):
            await passed(450)  # a check is under way, or about to be
        assert [call for call in the_reactor().getDelayedCalls() if call not in before] == []

    run(main)
