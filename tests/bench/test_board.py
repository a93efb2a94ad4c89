"""Cost of the board script with a real Redis: batches of awards, there and back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.standings import Standing
from scoreboard.storage.redis.board import RedisBoard
from scoreboard.storage.redis.client import RedisClient
from tests.actors.fakes import FakeMeter
from tests.awaiting import run
from tests.storage_redis.redis_server import RedisServer

BATCHES = 200
NOW = 1_800_000_000_000


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.mark.parametrize("batch", [1, 32])
def test_200_batches_through_the_board_script(batch: int, redis: RedisServer, benchmark: Any) -> None:
    versions = itertools.count(1)

    def batch_at(version: int) -> list[Standing]:
        return [
            Standing(
                user_id=f"user-{(version * batch + n) % 1_000}",
                username=f"name-{n}",
                avatar=None,
                points=100 * version,
                version=version,
                reached_at_ms=NOW + version,
                updated_at_ms=NOW + version,
            )
            for n in range(batch)
        ]

    async def draw() -> int:
        from twisted.internet import reactor

        link = RedisClient(redis.url, reactor, FakeMeter())
        board = RedisBoard(GLOBAL_BOARD, link, reactor, lambda: NOW)
        await link.start()
        await link.reached(5_000)
        if await board.state() is None:
            await board.rebuild(1, _no_listener(), "7")
        applied = 0
        for version in itertools.islice(versions, BATCHES):
            projection = await board.set(batch_at(version))
            applied += sum(placement.applied for placement in projection.placements)
        await link.stop()
        return applied

    assert benchmark.pedantic(lambda: run(draw), rounds=5) == BATCHES * batch


async def _no_listener() -> Any:
    return
    yield
