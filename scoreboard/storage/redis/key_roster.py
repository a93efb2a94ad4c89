"""Key roster in Redis: each server writes the keys that it knows and reads those of the others."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec
from typing_extensions import override

from scoreboard.boundaries.keys import KeyRoster
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.rotation import ServerKeys
from scoreboard.storage.redis.client import RedisClient, script

KEY: Final = "servers:keys"
#: A live server writes its record three times in this time.
RECORD_LIFE_MS: Final = 15_000
_ROSTER: Final = script("roster")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ServerKeys).decode


class RedisKeyRoster(KeyRoster):
    """``servers:keys`` holds a record for each live server, by its id."""

    def __init__(self, client: RedisClient, server_id: str) -> None:
        self._client = client
        self._server_id = server_id

    @override
    async def exchange(self, own: ServerKeys) -> list[ServerKeys]:
        found = await self._client.run(_ROSTER, [KEY], [self._server_id, _encode(own), RECORD_LIFE_MS])
        others = []
        for record in found:
            with suppress(msgspec.MsgspecError):  # a record of a release with another format
                others.append(_decode(record))
        return others

    @override
    async def leave(self) -> None:
        with suppress(StoreUnavailable):
            await self._client.call("HDEL", KEY, self._server_id)
