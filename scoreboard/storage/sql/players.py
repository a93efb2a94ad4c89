"""Player store in SQL: asynchronous calls to blocking sessions that run in threads, so that the reactor never blocks.

It has two SQL threads of its own, for reads and for changes. So a slow or locked call here delays no award and no read of the
board. A change that waits for another server's lock delays no read. Every await has a deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from typing_extensions import override

from scoreboard.background import Counter
from scoreboard.boundaries.players import PlayerStore
from scoreboard.domain.players import Achievement, PlayerChange, PlayerSettings, SuspensionOrder
from scoreboard.storage.sql.stores import PlayerSessions, player_sessions_opener
from scoreboard.storage.sql.thread import Reactor
from scoreboard.storage.sql.threaded_store import ThreadedStore

READ_SECONDS_MAX: Final = 3.0
CHANGE_SECONDS_MAX: Final = 5.0
READS_WAITING_MAX: Final = 256
CHANGES_WAITING_MAX: Final = 64


class SqlPlayerStore(ThreadedStore, PlayerStore):
    """A player store in SQLite or PostgreSQL."""

    def __init__(self, open_store: Callable[[], PlayerSessions], reactor: Reactor, meter: Counter | None = None) -> None:
        super().__init__(reactor, "player store", meter)
        self._changing = self._thread("changes", lambda: open_store().changes, CHANGES_WAITING_MAX)
        self._reading = self._thread("reads", lambda: open_store().reads, READS_WAITING_MAX)

    @override
    async def achievements(self, user_id: str) -> list[Achievement]:
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.achievements(user_id))

    @override
    async def settings(self, user_id: str) -> PlayerSettings:
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.settings(user_id))

    @override
    async def change_settings(self, user_id: str, settings: PlayerSettings, at_ms: int) -> int:
        return await self._changing.ask(CHANGE_SECONDS_MAX, lambda changes: changes.change_settings(user_id, settings, at_ms))

    @override
    async def suspend(self, order: SuspensionOrder) -> bool:
        return await self._changing.ask(CHANGE_SECONDS_MAX, lambda changes: changes.suspend(order))

    @override
    async def suspensions(self, user_id: str, limit: int) -> list[SuspensionOrder]:
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.suspensions(user_id, limit))

    @override
    async def suspended(self, after_user_id: str, limit: int) -> list[str]:
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.suspended(after_user_id, limit))

    @override
    async def private(self, after_user_id: str, limit: int) -> list[str]:
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.private(after_user_id, limit))

    @override
    async def revision(self) -> int:
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.revision())

    @override
    async def changes_since(self, after: int, limit: int) -> list[PlayerChange]:
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.changes_since(after, limit))


def open_player_store(url: str, reactor: Reactor, meter: Counter | None = None) -> SqlPlayerStore:
    """The player store in the ledger's database, not started. Raises LedgerUnusable as `open_ledger` does."""
    return SqlPlayerStore(player_sessions_opener(url), reactor, meter)
