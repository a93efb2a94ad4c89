"""Player store in SQL: asynchronous calls to blocking sessions that run in threads, so that the reactor never blocks.

It has two SqlThreads of its own, for reads and for changes: a slow or locked call here delays no award and no read of the board,
and a change that waits for another server's lock delays no read. Every await has a deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from typing_extensions import override

from scoreboard.background import Counter
from scoreboard.boundaries.players import PlayerStore
from scoreboard.domain.players import Achievement, PlayerChange, PlayerSettings, SuspensionOrder
from scoreboard.storage.sql.ledger import STOP_SECONDS_MAX
from scoreboard.storage.sql.player_queries import PlayerQueries, PlayerWriter
from scoreboard.storage.sql.stores import PlayerSessions, player_sessions_opener
from scoreboard.storage.sql.thread import Reactor, SqlThread, stop_threads

READ_SECONDS_MAX: Final = 3.0
CHANGE_SECONDS_MAX: Final = 5.0
READS_WAITING_MAX: Final = 256
CHANGES_WAITING_MAX: Final = 64


class SqlPlayerStore(PlayerStore):
    """A player store in SQLite or PostgreSQL. `start` comes before the first call, `stop` after the last."""

    def __init__(self, open_store: Callable[[], PlayerSessions], reactor: Reactor, meter: Counter | None = None) -> None:
        self._reading: SqlThread[PlayerQueries] = SqlThread(
            reactor, "player store reads", lambda: open_store().reads, waiting_max=READS_WAITING_MAX, meter=meter
        )
        self._changing: SqlThread[PlayerWriter] = SqlThread(
            reactor, "player store changes", lambda: open_store().changes, waiting_max=CHANGES_WAITING_MAX, meter=meter
        )
        self._threads: tuple[SqlThread[Any], ...] = (self._changing, self._reading)

    async def start(self) -> None:
        """Start the threads. Each connects at its first call."""
        for sql_thread in self._threads:
            sql_thread.start()

    async def stop(self) -> None:
        """Finish the calls that were made, close the connections and end the threads, within about 2 s."""
        await stop_threads(self._threads, STOP_SECONDS_MAX)

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
