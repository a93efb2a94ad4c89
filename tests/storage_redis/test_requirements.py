"""Requirements on Redis: it never evicts keys, and its user may run the commands that docs/operations.md lists."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from twisted.internet.task import Clock

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.limits import ConcurrencySlot, Hit, Limit
from scoreboard.domain.players import Player
from scoreboard.domain.saved_session import SavedSession
from scoreboard.domain.standings import Standing
from scoreboard.storage.memory.rate_limiter import MemoryRateLimiter
from scoreboard.storage.redis.board import RedisBoard
from scoreboard.storage.redis.client import RedisClient, script
from scoreboard.storage.redis.errors import RedisUnavailable
from scoreboard.storage.redis.failures import RedisFailures
from scoreboard.storage.redis.rate_limiter import RedisRateLimiter
from scoreboard.storage.redis.sessions import RedisSessionStore
from scoreboard.storage.redis.tickets import RedisTickets
from tests.awaiting import run
from tests.programs import program
from tests.storage_redis.harness import NOW_MS, CountingMeter, linked, logged, passed, standing, the_reactor, until
from tests.storage_redis.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "scoreboard" / "storage" / "redis" / "scripts").glob("*.lua"))
(SETUSER,) = re.findall(r"^ +(ACL SETUSER .*)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)


@pytest.fixture(params=["the wheel's 6.2", "the distribution's"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    binary = None if "wheel" in request.param else program("redis-server", "redis-server")
    started = RedisServer(binary=binary)
    yield started
    started.close()


def setuser(server: RedisServer, *more: str) -> str:
    """Create the documented user on a server. Returns the URL to connect with."""
    words = SETUSER.replace("<password>", "open-sesame").split()
    assert server.tell(*words, *more) == "+OK"
    return server.url.replace("unix://", "unix://scoreboard:open-sesame@")


def condition(link: RedisClient, name: str) -> tuple[bool, str]:
    (found,) = [one for one in link.conditions() if one.name == name]
    return found.ok, found.reason


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_redis_that_may_evict_keys_fails_its_condition_and_logs_one_error(policy: str, server: RedisServer) -> None:
    async def main() -> None:
        server.tell("CONFIG", "SET", "maxmemory-policy", policy)  # without maxmemory it evicts nothing
        link = RedisClient(server.url, the_reactor(), CountingMeter(), refuse_eviction=True)
        with logged("RedisFailures") as text_lines:
            await link.start()
            await link.reached(20_000)
            assert (link.eviction, condition(link, "redis_eviction")) == ("", (True, ""))
            server.tell("CONFIG", "SET", "maxmemory", "1gb")
            await until(lambda: link.eviction != "")
            expected = (
                f"Redis may evict keys (maxmemory {1 << 30} bytes, maxmemory-policy {policy}): set maxmemory-policy noeviction"
            )
            assert condition(link, "redis_eviction") == (False, expected)
            await passed(1_000)
            assert text_lines == [f"error {expected}"]
            server.tell("CONFIG", "SET", "maxmemory-policy", "noeviction")
            await until(lambda: link.eviction == "")
            await link.stop()

    run(main)


def test_in_development_a_redis_that_may_evict_keys_is_logged_as_one_warning(server: RedisServer) -> None:
    async def main() -> None:
        server.tell("CONFIG", "SET", "maxmemory", "1gb")
        server.tell("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        with logged("RedisFailures") as text_lines:
            async with linked(server.url) as link:
                assert condition(link, "redis_eviction") == (True, "")
                assert link.eviction != ""
        assert [text_line.split(" (")[0] for text_line in text_lines] == ["warn Redis may evict keys"]

    run(main)


async def one_page(*rows: Standing) -> AsyncIterator[Sequence[Standing]]:
    yield rows


def test_the_documented_user_may_run_every_command_that_the_server_sends(server: RedisServer) -> None:
    url = setuser(server)

    async def main() -> None:
        meter, received = CountingMeter(), list[object]()
        with logged("RedisFailures", "RedisClient", "Subscription") as text_lines:
            async with linked(url, meter) as link, linked(url, meter) as others:
                board, writer = (
                    RedisBoard(GLOBAL_BOARD, link, the_reactor(), lambda: NOW_MS),
                    RedisBoard(GLOBAL_BOARD, others, the_reactor(), lambda: NOW_MS),
                )
                board.listen(lambda *news: received.append(news))
                await until(lambda: condition(link, "redis_subscription")[0])
                await use_everything(link, writer, meter)
                await until(lambda: received != [])
                await board.ping()
                await passed(50)
        assert {name: count for name, count in meter.counts.items() if name.startswith("redis_failures")} == {}
        assert [text_line for text_line in text_lines if not text_line.startswith("info")] == []

    run(main)


async def use_everything(link: RedisClient, board: RedisBoard, meter: CountingMeter) -> None:
    """Every script and every command that the stores send."""
    await board.rebuild(1, one_page(standing("ann", 5)), "7")
    await board.begin(2)
    await board.set([standing("ann", 7, 2), standing("bea", 0, 1, None)])
    await board.advance(2, "8")
    await board.differing([standing("ann", 8, 3)])
    assert await board.lock("sweep", 1_000)
    assert not await board.lock("sweep", 0)
    state = await board.state()
    assert state is not None
    await board.since(state.cursor, 10)
    await board.page(0, 10)
    await board.rank_of("ann")
    await board.totals_of(["ann"])
    link.tell(script("write_caches"), ["action:a", "user:score:ann"], [7, 1, "2026-11-26T00:00:00Z"])
    rate_limiter = RedisRateLimiter(link, MemoryRateLimiter(lambda: NOW_MS), the_reactor(), meter, deadline_ms=5_000)
    sliding = Limit(name="sliding", quota=10, window_ms=1_000)
    hits = [Hit(limit=sliding, subject="ann"), Hit(limit=replace(sliding, name="bucket", policy="bucket"), subject="ann")]
    assert (await rate_limiter.check(hits, ConcurrencySlot(user_id="ann", holder="a", quota=1, ttl_ms=60_000))).refused is None
    assert (
        await rate_limiter.check(hits, ConcurrencySlot(user_id="ann", holder="b", quota=1, ttl_ms=60_000))
    ).refused is not None
    rate_limiter.release([("ann", "a")])
    tickets = RedisTickets(link)
    assert (
        await tickets.redeem(await tickets.issue(Player(user_id="ann", username="Ann", role="user", expires_at_s=2_000_000_000)))
        is not None
    )
    session_store = RedisSessionStore(link, the_reactor(), meter)
    session_store.persist(SavedSession(pid="p", user_id="ann", sid="s"))
    assert await session_store.restore("p", "ann") is not None


def test_every_command_of_the_scripts_is_in_the_documented_list() -> None:
    listed = set(re.findall(r"`([A-Z]+)`", (ROOT / "docs" / "operations.md").read_text()))
    called = {name for path in SCRIPTS for name in re.findall(r"redis\.call\('(\w+)'", path.read_text())}
    assert called - listed == set()


@pytest.mark.parametrize(
    ("forbidden", "named"), [("-info", "'info'"), ("-evalsha", "'evalsha'"), ("-zrevrange", "ZREVRANGE"), ("-publish", "PUBLISH")]
)
def test_a_command_that_the_user_lacks_is_named_once_in_the_log(forbidden: str, named: str, server: RedisServer) -> None:
    url = setuser(server, forbidden)

    async def main() -> None:
        with logged("RedisFailures", "RedisClient") as text_lines:
            link = RedisClient(url, the_reactor(), CountingMeter())
            await link.start()
            if forbidden == "-info":
                await until(lambda: text_lines != [])
                await passed(600)  # it is tried again, and not logged again
                assert not link.up
            else:
                await link.reached(20_000)
                board = RedisBoard(GLOBAL_BOARD, link, the_reactor(), lambda: NOW_MS)
                for _ in range(2):
                    with pytest.raises(StoreUnavailable) as refused:
                        await set_and_read(board)
                    assert isinstance(refused.value, RedisUnavailable)
                    assert refused.value.kind == "NOPERM"
            await link.stop()
        found = [text_line for text_line in text_lines if named in text_line]
        assert len(found) == 1, text_lines

    run(main)


async def set_and_read(board: RedisBoard) -> None:
    await board.rebuild(1, one_page(standing("ann", 5)), "7")
    await board.page(0, 10)


def test_a_channel_that_the_user_lacks_is_named_once_in_the_log(server: RedisServer) -> None:
    url = setuser(server, "resetchannels", "&elsewhere")

    async def main() -> None:
        with logged("RedisSubscription") as text_lines:
            async with linked(url) as link:
                RedisBoard(GLOBAL_BOARD, link, the_reactor(), lambda: NOW_MS).listen(lambda *_: None)
                await until(lambda: "NOPERM" in condition(link, "redis_subscription")[1])
                await passed(900)  # it is tried again, and not logged again
        assert len(text_lines) == 1
        assert "NOPERM" in text_lines[0]
        assert "channel" in text_lines[0]

    run(main)


def test_keys_that_the_user_lacks_are_named_and_their_condition_is_not_ok(server: RedisServer) -> None:
    url = setuser(server, "resetkeys", "~{leaderboard:*", "~leaderboard:*", "~rate_limit:*")

    async def main() -> None:
        with logged("RedisFailures") as text_lines:
            async with linked(url) as link:
                assert condition(link, "redis_calls") == (True, "")
                for _ in range(2):
                    with pytest.raises(RedisUnavailable):
                        await RedisTickets(link).redeem("x" * 32)
                assert condition(link, "redis_calls")[0] is False
                link.tell(script("write_caches"), ["action:a", "user:score:ann"], [7, 1, "2026-11-26T00:00:00Z"])
                await until(lambda: len(text_lines) == 2)
                await passed(100)  # there is no third
        assert len(text_lines) == 2, text_lines
        assert all(text_line.startswith("error Redis forbids what the server needs (REDIS_URL names") for text_line in text_lines)
        assert text_lines[0].endswith("(keys ticket:*)")
        assert text_lines[1].endswith("(keys action:*, user:*)")

    run(main)


def test_a_key_of_another_type_is_named_and_its_condition_is_not_ok(server: RedisServer) -> None:
    async def main() -> None:
        with logged("RedisFailures") as text_lines:
            async with linked(server.url) as link:
                await link.call("SET", "servers:keys", "of another program")
                with pytest.raises(RedisUnavailable):
                    await link.call("HSET", "servers:keys", "a", "b")
                assert condition(link, "redis_calls")[0] is False
        (text_line,) = text_lines
        assert text_line.startswith("error another program writes the server's keys in Redis: ")
        assert text_line.endswith("(keys servers:*)")

    run(main)


def test_a_refusal_that_returns_after_a_minute_is_logged_again() -> None:
    clock = Clock()
    failures = RedisFailures(CountingMeter(), clock)
    with logged("RedisFailures") as text_lines:
        for pause_s in (0.0, 1.0, 59.0, 61.0):
            clock.advance(pause_s)
            failures.note(RedisUnavailable("NOPERM", "no"), ["ticket:abc"])
        assert failures.refuses_calls
        clock.advance(61)
        assert not failures.refuses_calls
    assert len(text_lines) == 2
