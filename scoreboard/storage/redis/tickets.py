"""Tickets in Redis: any server process issues them, and any one redeems them."""

from __future__ import annotations

import re
import secrets
from typing import Final

import msgspec
from typing_extensions import override

from scoreboard.boundaries.authentication import Tickets
from scoreboard.domain.players import TICKET_LIFE_S, Player
from scoreboard.storage.redis.client import RedisClient, script

_REDEEM: Final = script("redeem")
_RANDOM_BYTES: Final = 24
_TICKET: Final = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Player).decode


class RedisTickets(Tickets):
    """``ticket:<192 random bits>`` holds a player for 30 seconds, or until `redeem` takes it."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    @override
    async def issue(self, player: Player) -> str:
        ticket = secrets.token_urlsafe(_RANDOM_BYTES)
        await self._client.call("SET", "ticket:" + ticket, _encode(player), "EX", TICKET_LIFE_S)
        return ticket

    @override
    async def redeem(self, ticket: str) -> Player | None:
        if _TICKET.fullmatch(ticket) is None:
            return None
        held = await self._client.run(_REDEEM, ["ticket:" + ticket], [1000 * TICKET_LIFE_S])
        return None if held is None else _decode(held)
