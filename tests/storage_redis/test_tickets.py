"""Tickets in a real Redis: valid once, in any process, for a short time."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.players import TICKET_LIFE_S, Player
from scoreboard.storage.redis.client import RedisClient
from scoreboard.storage.redis.tickets import RedisTickets
from tests.awaiting import run
from tests.fake_clock import FakeClock
from tests.storage_redis.harness import CountingMeter, linked, the_reactor
from tests.storage_redis.redis_server import RedisServer

AMY = Player(user_id="amy", username="Amy", role="spectator", expires_at_s=2**33, avatar="https://pictures.example/1")


def test_a_ticket_is_redeemed_once_in_any_process(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(redis_server.url) as client, linked(redis_server.url) as another:
            ticket = await RedisTickets(client).issue(AMY)
            assert 0 < await client.call("TTL", "ticket:" + ticket) <= TICKET_LIFE_S
            assert await RedisTickets(another).redeem(ticket) == AMY
            assert await RedisTickets(client).redeem(ticket) is None

    run(main)


def test_tickets_differ_and_hold_at_least_128_random_bits(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(redis_server.url) as client:
            tickets = {await RedisTickets(client).issue(AMY) for _ in range(20)}
            assert len(tickets) == 20
            assert {len(ticket) for ticket in tickets} == {32}

    run(main)


def test_a_ticket_from_before_a_step_back_of_redis_clock_has_expired(tmp_path: Path) -> None:
    clock = FakeClock(tmp_path)
    server = RedisServer(environment=clock.environment)

    async def main() -> None:
        async with linked(server.url) as client:
            tickets = RedisTickets(client)
            ticket, other = await tickets.issue(AMY), await tickets.issue(AMY)
            assert await tickets.redeem(other) == AMY
            clock.step(-3_600)
            assert await client.call("TTL", "ticket:" + ticket) > 3_000, "Redis itself would keep it for an hour"
            assert await tickets.redeem(ticket) is None
            assert await client.call("EXISTS", "ticket:" + ticket) == 0
            assert await tickets.redeem(await tickets.issue(AMY)) == AMY

    try:
        run(main)
    finally:
        server.close()


@pytest.mark.parametrize("ticket", ["", "x", "x" * 32, "../state", "x" * 5_000, "é" * 32])
def test_text_that_is_no_ticket_gives_no_player(redis_server: RedisServer, ticket: str) -> None:
    async def main() -> None:
        async with linked(redis_server.url) as client:
            assert await RedisTickets(client).redeem(ticket) is None

    run(main)


def test_without_redis_tickets_fail_at_once() -> None:
    async def main() -> None:
        tickets = RedisTickets(RedisClient("unix:///nowhere", the_reactor(), CountingMeter()))
        for refused in (tickets.issue(AMY), tickets.redeem("x" * 32)):
            with pytest.raises(StoreUnavailable):
                await refused

    run(main)
