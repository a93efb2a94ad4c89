"""Board in Redis: its keys, its round trips, and faults of Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from twisted.internet.defer import ensureDeferred

from scoreboard.domain.actions import ClientInfo, Receipt
from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.errors import DamagedBoard, StaleBoard, StoreUnavailable
from scoreboard.domain.grants import Grant
from scoreboard.domain.judgement import Award, Claim
from scoreboard.domain.players import Player
from scoreboard.domain.rules import ActionRule
from scoreboard.domain.standings import POINTS_MAX, Standing, sort_score
from scoreboard.storage.redis.board import RedisBoard
from scoreboard.storage.redis.client import RedisClient
from tests.awaiting import run
from tests.storage_redis.harness import NOW_MS, CountingMeter, linked, passed, standing, the_reactor, until
from tests.storage_redis.redis_server import RedisServer
from tests.storage_redis.test_board_contract import pages, refused_everywhere

RANKING, PLAYERS, STATE = "leaderboard:global", "{leaderboard:global}:players", "{leaderboard:global}:state"
ACTION_ID = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


def board_on(link: RedisClient) -> RedisBoard:
    return RedisBoard(GLOBAL_BOARD, link, the_reactor(), lambda: NOW_MS)


def award() -> Award:
    claim = Claim(
        transaction_id="t-1",
        player=Player(user_id="ann", username="Ann", role="user", expires_at_s=2**33),
        grant=Grant(
            action_id=ACTION_ID,
            user_id="ann",
            action_type="COMPLETE_QUEST",
            issued_at_ms=NOW_MS,
            not_before_ms=NOW_MS,
            expires_at_ms=NOW_MS + 1,
            points=100,
            metadata=(),
        ),
        rule=ActionRule(action_type="COMPLETE_QUEST", points=100),
        metadata=(),
        client=ClientInfo(address="10.0.0.1", agent=""),
        at_ms=1_761_128_400_007,
    )
    return Award(claim=claim, score_before=0, score_after=100, version=1, actions=1, created_at_ms=NOW_MS)


async def calls_of(link: RedisClient) -> int:
    return int(str(await link.call("INFO", "commandstats")).split("cmdstat_evalsha:calls=")[1].split(",")[0])


def test_the_caches_have_the_names_and_times_to_live_of_the_specification(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as link:
            receipts = [(award(), Receipt(points=100, total=1250, rank=5, previous_rank=7))]
            await board_on(link).write_caches(receipts)  # Redis does this before the next call
            assert await link.call("GET", f"action:{ACTION_ID}") == b"used"
            assert 3_590 < await link.call("TTL", f"action:{ACTION_ID}") <= 3_600
            cached = await link.call("HGETALL", "user:score:ann")
            assert cached == [b"score", b"1250", b"rank", b"5", b"lastUpdated", b"2025-10-22T10:20:00.007Z"]
            assert 290 < await link.call("TTL", "user:score:ann") <= 300

    run(main)


def test_write_caches_does_not_raise_without_redis(own_server: RedisServer) -> None:
    async def main() -> None:
        meter = CountingMeter()
        async with linked(own_server.url, meter, deadline_ms=50) as link:
            board = board_on(link)
            own_server.stop()
            await board.write_caches([(award(), Receipt(points=1, total=1, rank=None, previous_rank=None))])
            await passed(100)
            own_server.kill()
            await passed(100)
            await board.write_caches([(award(), Receipt(points=1, total=1, rank=1, previous_rank=None))])
        assert meter.counts == {}

    run(main)


def test_the_ranking_is_the_sorted_set_of_the_specification_with_exact_scores(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as link:
            board = board_on(link)
            await board.begin(1)
            await board.set([standing("ann", 1250), standing("top", POINTS_MAX), standing("low", -POINTS_MAX)])
            assert float(await link.call("ZSCORE", "leaderboard:global", "ann")) == sort_score(1250, NOW_MS)
            assert int(float(await link.call("ZSCORE", "leaderboard:global", "ann"))) == 1250
            assert await link.call("ZREVRANK", "leaderboard:global", "ann") == 1
            assert sorted(await link.call("KEYS", "*")) == [
                b"leaderboard:global",
                b"{leaderboard:global}:history",
                b"{leaderboard:global}:players",
                b"{leaderboard:global}:state",
            ]

    run(main)


def test_a_large_set_is_split_into_calls_that_redis_accepts(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as link:
            board = board_on(link)
            await board.begin(1)
            assert (await board.set([])).placements == ()
            projection = await board.set([standing(f"p{n}", n) for n in range(2_000)])
            assert (len(projection.placements), projection.total, projection.cursor.seq) == (2_000, 2_000, 4)
            assert (await board.page(0, 1)).rows[0].user_id == "p1999"

    run(main)


def test_concurrent_reads_of_a_rank_share_one_round_trip(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as link:
            board = board_on(link)
            await board.begin(1)
            await board.set([standing(f"p{n}", n) for n in range(100)])
            await board.rank_of("p0")
            before = await calls_of(link)
            asked = [ensureDeferred(board.rank_of(f"p{n}")) for n in range(100)]
            assert [(await one).rank for one in asked] == list(range(100, 0, -1))
            assert await calls_of(link) - before == 1

    run(main)


def test_each_call_of_rank_of_fails_when_redis_is_unavailable(own_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(own_server.url) as link:
            board = board_on(link)
            own_server.kill()
            for one in [ensureDeferred(board.rank_of(f"p{n}")) for n in range(3)]:
                with pytest.raises(StoreUnavailable):
                    await one

    run(main)


def test_a_ranked_player_without_a_record_means_that_the_board_must_be_rebuilt(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as link:
            board = board_on(link)
            await board.begin(1)
            await board.set([standing("ann", 1)])
            await link.call("DEL", "{leaderboard:global}:players")
            with pytest.raises(StaleBoard):
                await board.page(0, 10)

    run(main)


RANKING, PLAYERS, STATE = "leaderboard:global", "{leaderboard:global}:players", "{leaderboard:global}:state"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (("DEL", RANKING), "0 players are ranked there, and it should be 2"),
        (("ZREM", RANKING, "ann"), "1 players are ranked there, and it should be 2"),
        (("SET", RANKING, "x"), "0 players are ranked there, and it should be 2"),
        (("DEL", PLAYERS), "0 players are known there, and it should be 3"),
        (("HDEL", PLAYERS, "off"), "2 players are known there, and it should be 3"),
        (("SET", PLAYERS, "x"), "0 players are known there, and it should be 3"),
        (("HDEL", STATE, "ranked"), "2 players are ranked there, and it should be 0"),
        (("HDEL", STATE, "players"), "3 players are known there, and it should be 0"),
        (("DEL", STATE), None),
        (("SET", STATE, "x"), None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_board_with_a_lost_part_is_not_used_until_it_is_rebuilt(
    redis_server: RedisServer, harm: tuple[str, ...], said: str | None
) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as link:
            board = board_on(link)
            on_board = [standing("ann", 30), standing("bob", 40), standing("off", 0, 1, None)]
            await board.begin(1)
            await board.set(on_board)
            await board.advance(1, "7")
            await link.call(*harm)
            state = await board.state()
            assert (None if state is None else state.damage) == said
            await refused_everywhere(board, 1)
            await board.rebuild(2, one_page(on_board), "8")
            state = await board.state()
            assert state is not None
            assert (state.damage, state.ranked, state.players, state.position) == ("", 2, 3, "8")
            assert [row.user_id for row in (await board.page(0, 10)).rows] == ["bob", "ann"]
            assert (await board.set([standing("ann", 50, 2)])).placements[0].rank == 1

    run(main)


def test_a_lock_ends_by_itself(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as link:
            board, other = board_on(link), board_on(link)
            assert await board.lock("follow", 200)
            assert await board.lock("follow", 60_000), "kept for another minute"
            await passed(250)
            assert not await other.lock("follow", 60_000)
            assert await board.lock("follow", 50), "kept for another 50 ms"
            await passed(100)
            assert await other.lock("follow", 60_000)
            assert not await board.lock("follow", 60_000)

    run(main)


def test_a_new_board_that_lost_a_part_is_not_put_in_place(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as link:
            board = board_on(link)

            async def flushed_meanwhile() -> AsyncIterator[Sequence[Standing]]:
                yield [standing("ann", 1)]
                await link.call("FLUSHALL")
                yield [standing("bob", 2)]

            with pytest.raises(StaleBoard, match="was lost"):
                await board.rebuild(1, flushed_meanwhile(), "7")
            assert await board.state() is None
            assert await link.call("KEYS", "{leaderboard:global}:new:*") == []

    run(main)


def test_a_new_board_that_was_never_put_in_place_ends_by_itself(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()

        async def broken_off() -> AsyncIterator[Sequence[Standing]]:
            yield [standing("ann", 1)]
            raise StoreUnavailable("the ledger went away")

        async with linked(redis_server.url) as link:
            board = board_on(link)
            with pytest.raises(StoreUnavailable):
                await board.rebuild(1, broken_off(), "7")
            left = await link.call("KEYS", "{leaderboard:global}:new:*")
            assert len(left) == 2
            for key in left:
                assert 0 < await link.call("TTL", key) <= 600
            await board.rebuild(2, one_page([standing("ann", 1)]), "7")
            assert await link.call("TTL", "leaderboard:global") == -1
            assert await link.call("TTL", "{leaderboard:global}:players") == -1

    run(main)


async def one_page(standings: Sequence[Standing]) -> AsyncIterator[Sequence[Standing]]:
    yield standings


def test_a_restarted_redis_is_another_run_with_the_same_data(own_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(own_server.url) as link:
            board = board_on(link)
            await board.begin(3)
            await board.set([standing("ann", 1)])
            # Redis writes its file before it answers, but not while it syncs the file.
            await until(lambda: "aof_buffer_length:0\r" in own_server.ask("INFO", "persistence"))
            own_server.kill()
            await until(lambda: not link.up)
            own_server.start()
            await link.reached(20_000)
            state = await board.state()
            assert state is not None
            assert state.cursor.epoch == 3
            assert state.epoch_run != state.run
            assert (await board.rank_of("ann")).rank == 1

    run(main)


SPOILT = {
    "a record of another shape": ("HSET", PLAYERS, "ann", "1|[1,2]"),
    "a record without a version": ("HSET", PLAYERS, "ann", "no bar"),
    "an infinite score": ("ZADD", RANKING, "inf", "ann"),
}
SPOILT_STATE = {
    "an epoch that is no number": ("HSET", STATE, "epoch", "abc"),
    "an epoch that no ledger gives out": ("HSET", STATE, "epoch", "9007199254740991"),
    "an epoch beyond all numbers": ("HSET", STATE, "epoch", "9223372036854775807"),
    "a seq that is no number": ("HSET", STATE, "seq", "abc"),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_record_that_cannot_be_read_is_damage_and_not_a_fault(redis_server: RedisServer, spoilt: str) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as link:
            board = board_on(link)
            await board.rebuild(1, pages([standing("ann", 5)]), "7")
            await link.call(*SPOILT[spoilt])
            with pytest.raises(DamagedBoard):
                await board.page(0, 10)
            with pytest.raises(DamagedBoard):
                await board.rank_of("ann")
            await board.rebuild(2, pages([standing("ann", 5)]), "7")
            assert (await board.rank_of("ann")).points == 5

    run(main)


@pytest.mark.parametrize("spoilt", SPOILT_STATE)
def test_a_state_that_cannot_be_read_is_damage_and_is_replaced(redis_server: RedisServer, spoilt: str) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as link:
            board = board_on(link)
            await board.rebuild(1, pages([standing("ann", 5)]), "7")
            await link.call(*SPOILT_STATE[spoilt])
            state = await board.state()
            assert state is not None
            assert state.damage
            assert state.cursor.epoch == 0, "the ledger does not get it"
            await board.rebuild(2, pages([standing("ann", 5)]), "7")
            state = await board.state()
            assert state is not None
            assert (state.damage, state.cursor.epoch) == ("", 2)
            assert (await board.rank_of("ann")).points == 5

    run(main)
