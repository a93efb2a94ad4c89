"""The register's shell: implements boundaries.Register over a blocking SQL store, and never blocks the reactor.

Two lanes of its own, each a thread with a connection: what is slow or locked here delays no award and no read of the board, and
a change that waits for another server's lock delays nobody who only asks. Every await has a deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from scoreboard.boundaries.players import PlayerStore
from scoreboard.domain.players import Achievement, PlayerChange, PlayerSettings, SuspensionOrder
from scoreboard.storage.sql.ledger import CLOSE_SECONDS_MAX
from scoreboard.storage.sql.player_queries import PlayerQueries, PlayerWriter
from scoreboard.storage.sql.stores import PlayerSessions, player_sessions_opener
from scoreboard.storage.sql.thread import Counter, Reactor, SqlThread, close_threads

READ_SECONDS_MAX: Final = 3.0
CHANGE_SECONDS_MAX: Final = 5.0
READS_WAITING_MAX: Final = 256
CHANGES_WAITING_MAX: Final = 64


class SqlPlayerStore:
    """Implements boundaries.Register. ``start`` before the first call; ``close`` finishes what was asked and lets go."""

    def __init__(self, open_store: Callable[[], PlayerSessions], reactor: Reactor, meter: Counter | None = None) -> None:
        self._reading: SqlThread[PlayerQueries] = SqlThread(
            reactor, "register reads", lambda: open_store().reads, waiting_max=READS_WAITING_MAX, meter=meter
        )
        self._changing: SqlThread[PlayerWriter] = SqlThread(
            reactor, "register changes", lambda: open_store().changes, waiting_max=CHANGES_WAITING_MAX, meter=meter
        )
        self._threads: tuple[SqlThread[Any], ...] = (self._changing, self._reading)

    def start(self) -> None:
        """Start the threads; connections are opened when they are first needed."""
        for sql_thread in self._threads:
            sql_thread.start()

    async def close(self) -> None:
        """Finish what was asked, end the threads, close the connections; what is not done in time is given up."""
        await close_threads(self._threads, CLOSE_SECONDS_MAX)

    async def achievements(self, user_id: str) -> list[Achievement]:
        """As boundaries.Register.achievements."""
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.achievements(user_id))

    async def settings(self, user_id: str) -> PlayerSettings:
        """As boundaries.Register.settings."""
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.settings(user_id))

    async def change_settings(self, user_id: str, settings: PlayerSettings, at_ms: int) -> int:
        """As boundaries.Register.change_settings."""
        return await self._changing.ask(CHANGE_SECONDS_MAX, lambda changes: changes.change_settings(user_id, settings, at_ms))

    async def suspend(self, order: SuspensionOrder) -> bool:
        """As boundaries.Register.suspend."""
        return await self._changing.ask(CHANGE_SECONDS_MAX, lambda changes: changes.suspend(order))

    async def suspensions(self, user_id: str, limit: int) -> list[SuspensionOrder]:
        """As boundaries.Register.suspensions."""
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.suspensions(user_id, limit))

    async def suspended(self, after_user_id: str, limit: int) -> list[str]:
        """As boundaries.Register.suspended."""
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.suspended(after_user_id, limit))

    async def private(self, after_user_id: str, limit: int) -> list[str]:
        """As boundaries.Register.private."""
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.private(after_user_id, limit))

    async def revision(self) -> int:
        """As boundaries.Register.turn."""
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.revision())

    async def changes_since(self, after: int, limit: int) -> list[PlayerChange]:
        """As boundaries.Register.turns."""
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.changes_since(after, limit))


def open_player_store(url: str, reactor: Reactor, meter: Counter | None = None) -> SqlPlayerStore:
    """The register beside the ledger of the same URL, not started yet. Raises LedgerUnusable for what is no URL of a ledger."""
    return SqlPlayerStore(player_sessions_opener(url), reactor, meter)


_conforms: type[PlayerStore] = SqlPlayerStore
