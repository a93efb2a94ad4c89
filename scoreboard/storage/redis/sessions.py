"""Session store in Redis: the sessions of clients that lost their connection. Any server process can restore them."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from typing_extensions import override

from scoreboard.background import run_in_background
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.sessions import SessionStore
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.saved_session import SESSION_KEPT_S, SavedSession
from scoreboard.storage.redis.client import RedisClient

#: How many sessions may be on their way to Redis: one for each socket, if all of them are lost at once.
KEEPING_MAX: Final = 10_000
_POLL_S: Final = 0.01
#: A pid has no colon, so that a pid and a user id together make one key only.
_PID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SavedSession).decode


class RedisSessionStore(SessionStore):
    """``absent:<pid>:<user id>`` holds a session for two minutes, or until `restore` takes it."""

    def __init__(self, client: RedisClient, clock: IReactorTime, meter: Meter) -> None:
        self._client = client
        self._clock = clock
        self._meter = meter
        self._under_way = 0

    @override
    def persist(self, saved_session: SavedSession) -> None:
        if self._under_way >= KEEPING_MAX:
            self._meter.count("saved_sessions_dropped_total")
            return
        self._under_way += 1
        run_in_background("saved_session", self._store(saved_session), self._meter)

    @override
    async def restore(self, pid: str, user_id: str) -> SavedSession | None:
        if _PID.fullmatch(pid) is None:
            return None
        self._under_way += 1
        try:
            held = await self._client.call("GETDEL", _key(pid, user_id))
            return None if held is None else _decode(held)
        except (StoreUnavailable, msgspec.MsgspecError):  # Redis is away, or another release wrote the session
            return None
        finally:
            self._under_way -= 1

    async def settled(self) -> None:
        """Return when no call is under way any more. Each call has a deadline, so this ends."""
        while self._under_way:  # polled: a client that is lost during its restore is saved again in the same turn
            await deferLater(self._clock, _POLL_S)

    async def _store(self, saved_session: SavedSession) -> None:
        key = _key(saved_session.pid, saved_session.user_id)
        try:
            await self._client.call("SET", key, _encode(saved_session), "EX", SESSION_KEPT_S)
        except StoreUnavailable:
            self._meter.count("saved_sessions_dropped_total")
        finally:
            self._under_way -= 1


def _key(pid: str, user_id: str) -> str:
    return f"absent:{pid}:{user_id}"
