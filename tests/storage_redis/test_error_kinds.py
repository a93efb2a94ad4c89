"""Error replies of a real Redis, and the kind of the failure that a call or a script gets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from scoreboard.storage.redis import client as client_module
from scoreboard.storage.redis.client import RedisClient, Script, script
from scoreboard.storage.redis.errors import RedisUnavailable
from tests.awaiting import run
from tests.programs import program
from tests.storage_redis.harness import CountingMeter, linked, passed, the_reactor, until
from tests.storage_redis.redis_server import RedisServer

_BEGIN = script("begin")


def _inline(text: str) -> Script:
    return Script(text, "0" * 40)


@pytest.fixture(params=["the wheel's 6.2", "the distribution's"])
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., RedisServer]]:
    binary = None if "wheel" in request.param else program("redis-server", "redis-server")
    servers: list[RedisServer] = []

    def start_one(*options: str) -> RedisServer:
        servers.append(RedisServer(*options, binary=binary))
        return servers[-1]

    yield start_one
    for server in servers:
        server.close()


async def kinds_of(client: RedisClient, *command: str) -> list[str]:
    """The kinds of failure of a command and of a script that write; the client must be up before each of them."""
    kinds = []
    for ask in (
        lambda: client.call(*command),
        lambda: client.run(_BEGIN, ["ranking", "players", "state", "history"], ["", "news", "me", 1, "run"]),
    ):
        await client.reached(20_000)
        with pytest.raises(RedisUnavailable) as failed:
            await ask()
        kinds.append(failed.value.kind)
    return kinds


def out_of_memory(server: RedisServer) -> None:
    server.tell("CONFIG", "SET", "maxmemory", "1")


def without_replicas(server: RedisServer) -> None:
    server.tell("CONFIG", "SET", "min-replicas-to-write", "1")


def unable_to_save(server: RedisServer) -> None:
    (server.socket.parent / "dump.rdb" / "in the way").mkdir(parents=True)
    server.tell("CONFIG", "SET", "save", "3600 1")
    server.tell("BGSAVE")
    until_s = time.monotonic() + 20
    while "rdb_last_bgsave_status:err" not in server.ask("INFO", "persistence"):
        assert time.monotonic() < until_s
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("harm", "kind"), [(out_of_memory, "OOM"), (without_replicas, "NOREPLICAS"), (unable_to_save, "MISCONF")]
)
def test_a_redis_that_takes_no_writes_stays_up_and_its_condition_reports_it(
    harm: Callable[[RedisServer], None], kind: str, start: Callable[..., RedisServer]
) -> None:
    server = start()

    async def main() -> None:
        async with linked(server.url) as client:
            harm(server)
            assert await kinds_of(client, "SET", "a", "b") == [kind, kind]
            assert client.up
            (writes,) = [one for one in client.conditions() if one.name == "redis_writes"]
            assert not writes.ok
            assert writes.reason.startswith(f"Redis takes no writes: {kind}: ")
            await passed(2_100)
            (writes,) = [one for one in client.conditions() if one.name == "redis_writes"]
            assert writes.ok, "no write was refused lately"
        async with linked(server.url) as client:  # it answers reads, so the client is up
            assert await client.call("GET", "a") is None

    run(main)


def test_keys_of_another_type_have_an_error_kind_of_their_own(start: Callable[..., RedisServer]) -> None:
    server = start()

    async def main() -> None:
        async with linked(server.url) as client:
            await client.call("SET", "state", "a string")
            assert await kinds_of(client, "HSET", "state", "a", "b") == ["WRONGTYPE", "WRONGTYPE"]
            assert client.up

    run(main)


def test_a_busy_redis_is_used_again_when_its_script_ends(start: Callable[..., RedisServer]) -> None:
    server = start("--lua-time-limit", "50")

    async def main() -> None:
        async with linked(server.url) as client, linked(server.url) as others:
            with pytest.raises(RedisUnavailable) as late:
                await others.run(_inline("while true do end"), [], [], deadline_ms=300)
            assert late.value.kind == "SILENT"
            assert await kinds_of(client, "SET", "a", "b") == ["BUSY", "BUSY"]
            await passed(2_000)  # time for several checks
            assert client.up
            assert server.tell("SCRIPT", "KILL") == "+OK"
            await until(lambda: server.tell("PING") == "+PONG")  # the script ends a moment later
            await client.call("SET", "a", "b")

    run(main)


def test_the_client_disconnects_from_a_demoted_redis(start: Callable[..., RedisServer]) -> None:
    server = start()

    async def main() -> None:
        async with linked(server.url) as client:
            server.tell("REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(RedisUnavailable) as failed:
                await client.run(_BEGIN, ["ranking", "players", "state", "history"], ["", "news", "me", 1, "run"])
            assert failed.value.kind == "READONLY"
            await until(lambda: not client.up)
            server.tell("REPLICAOF", "NO", "ONE")
            await client.reached(20_000)
            server.tell("CONFIG", "SET", "replica-serve-stale-data", "no")
            server.tell("REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(RedisUnavailable) as failed:
                await client.call("GET", "a")
            assert failed.value.kind == "MASTERDOWN"
            await until(lambda: not client.up)

    run(main)


def test_an_idle_process_notices_a_demotion(start: Callable[..., RedisServer]) -> None:
    server = start()

    async def main() -> None:
        async with linked(server.url) as client:
            server.tell("REPLICAOF", "127.0.0.1", "1")
            await until(lambda: not client.up, 2_000)
            (commands, *_) = client.conditions()
            assert commands[:3] == ("redis", False, "Redis cannot be asked: READONLY: a replica answers")

    run(main)


def test_a_redis_that_loads_its_file_gets_no_commands_until_it_is_ready(
    start: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "GREETING_S", 10.0)  # while it loads, Redis answers only now and then
    server = start()
    server.tell("EVAL", "for i = 1, 10000 do redis.call('SET', i, 'x') end", "0")

    async def main() -> None:
        client = RedisClient(server.url, the_reactor(), CountingMeter())
        server.kill()
        server.launch("--key-load-delay", "100")
        await client.start()
        seen = set()

        def is_up() -> bool:
            seen.add(client.conditions()[0].reason)
            return client.up

        await until(is_up)
        assert "Redis cannot be asked: LOADING: Redis reads its file" in seen
        await client.stop()

    run(main)


def test_a_cluster_node_without_slots_answers_clusterdown(start: Callable[..., RedisServer]) -> None:
    server = start("--cluster-enabled", "yes")

    async def main() -> None:
        async with linked(server.url) as client:
            assert await kinds_of(client, "SET", "a", "b") == ["CLUSTERDOWN", "CLUSTERDOWN"]

    run(main)
