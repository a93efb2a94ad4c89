"""Cost of views in a tick: the check of each view, and one call to a real Redis for the rows that are due."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scoreboard.actors.members import Member
from scoreboard.actors.views import ROWS_PER_TICK_MAX, VIEWS_MAX, Views
from scoreboard.domain.board_pages import RankRange, View
from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.storage.redis.board import RedisBoard
from tests.actors.fakes import FakeListener, PlainEncoder, moved
from tests.awaiting import run
from tests.storage_redis.harness import NOW_MS, linked, standing, the_reactor
from tests.storage_redis.redis_server import RedisServer

CALLS = 20
PLAYERS = 10_000
ROWS = 10


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.mark.parametrize("followed", [1_000, VIEWS_MAX])
def test_checking_every_view_after_ten_changes(followed: int, benchmark: Any) -> None:
    views = Views()
    for n in range(followed):
        views.follow(Member(FakeListener(PlainEncoder(), f"user-{n}")), RankRange(offset=n, limit=11))
    while views.waiting:
        views.take()
    changes = [moved(f"user-{n}", 20_000 + 100 * n, 20_001 + 100 * n) for n in range(10)]

    def tick() -> list[View]:
        views.note(changes)
        return views.take()

    assert benchmark(tick) == []


def test_20_calls_for_as_many_rows_as_a_tick_may_read(redis: RedisServer, benchmark: Any) -> None:
    views: list[View] = [RankRange(offset=37 * n, limit=ROWS) for n in range(ROWS_PER_TICK_MAX // ROWS)]

    async def draw() -> None:
        async with linked(redis.url) as link:
            board = RedisBoard(GLOBAL_BOARD, link, the_reactor(), lambda: NOW_MS)
            await board.begin(1)
            for start in range(0, PLAYERS, 500):
                await board.set([standing(f"user-{n}", n) for n in range(start, start + 500)])

    async def read() -> int:
        async with linked(redis.url) as link:
            board = RedisBoard(GLOBAL_BOARD, link, the_reactor(), lambda: NOW_MS)
            return sum([len(page.rows) for _ in range(CALLS) for page in await board.read_views(views)])

    run(draw)
    assert benchmark.pedantic(lambda: run(read), rounds=5) == CALLS * ROWS_PER_TICK_MAX
