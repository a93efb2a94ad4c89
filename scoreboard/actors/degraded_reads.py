"""Degraded reads: pages and ranks from the ledger while the board cannot be read, in shared and bounded calls.

At any time at most one read of players' totals (up to 500 players) and a few reads of pages are under way, however many callers
wait. So a rebuild of the board never waits behind them. All players are counted at most twice a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from scoreboard.background import run_in_background
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.boundaries.health import Meter
from scoreboard.caches import SingleFlightCache
from scoreboard.domain.board_pages import Page, PlayerRank
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.standings import Standing

RANKS_PER_READ_MAX: Final = 500
RANKS_WAITING_MAX: Final = 4_096
PAGES_AT_ONCE_MAX: Final = 8
#: The pause between two reads of totals: clients that ask again and again must leave the reactor to the rebuild.
PAUSE_S: Final = 0.5
COUNT_KEPT_S: Final = 30.0

_TOO_MANY: Final = "too many reads wait for the ledger while the board is away"


class DegradedReads:
    """Pages and totals from the ledger. `counted` keeps the number of players that the board had last."""

    def __init__(self, *, ledger: BoardLedger, clock: IReactorTime, now_ms: Callable[[], int], meter: Meter) -> None:
        self._ledger = ledger
        self._clock = clock
        self._now_ms = now_ms
        self._meter = meter
        #: The number of players on the board; its one key is "".
        self._total: SingleFlightCache[str, int] = SingleFlightCache(clock, 1, lambda _: COUNT_KEPT_S)
        self._pages_at_once = 0
        self._waiting: dict[str, list[Deferred[Standing | None]]] = {}
        self._reading = False

    def counted(self, total: int) -> None:
        """Keep the number of players that the board states."""
        self._total.put("", total)

    async def page(self, cursor: Cursor, offset: int, limit: int) -> Page:
        """A page of the board. Raises StoreUnavailable, also if too many pages are read at once."""
        self._meter.count("degraded_reads_total")
        if self._pages_at_once >= PAGES_AT_ONCE_MAX:
            raise StoreUnavailable(_TOO_MANY)
        self._pages_at_once += 1
        try:
            standings = await self._ledger.top(offset, limit)
            total = await self._players()
        finally:
            self._pages_at_once -= 1
        rows = tuple([standing.row(offset + at) for at, standing in enumerate(standings, 1)])
        return Page(cursor=cursor, total=max(total, len(rows)), rows=rows, read_at_ms=self._now_ms(), degraded=True)

    async def rank_of(self, cursor: Cursor, user_id: str) -> PlayerRank:
        """A player's total, without a rank. Raises StoreUnavailable, also if too many callers wait."""
        self._meter.count("degraded_reads_total")
        standing = await self._standing(user_id)
        points, at_ms = (0, None) if standing is None else (standing.points, standing.updated_at_ms)
        total = await self._players()
        return PlayerRank(cursor=cursor, total=total, points=points, rank=None, updated_at_ms=at_ms, degraded=True)

    def _standing(self, user_id: str) -> Deferred[Standing | None]:
        if user_id not in self._waiting and len(self._waiting) >= RANKS_WAITING_MAX:
            raise StoreUnavailable(_TOO_MANY)
        standing: Deferred[Standing | None] = Deferred()
        self._waiting.setdefault(user_id, []).append(standing)
        if not self._reading:
            self._read()
        return standing

    def _read(self) -> None:
        self._reading = True
        first = list(self._waiting)[:RANKS_PER_READ_MAX]
        asked = {user_id: self._waiting.pop(user_id) for user_id in first}
        run_in_background("degraded_reads", self._answer(asked), self._meter)

    async def _answer(self, asked: dict[str, list[Deferred[Standing | None]]]) -> None:
        found: dict[str, Standing] = {}
        failure: Failure | None = None
        try:
            found = {one.user_id: one for one in await self._ledger.accounts_of(list(asked))}
        except Exception:
            failure = Failure()
        for user_id, callers in asked.items():
            for caller in callers:
                if not caller.called:  # it may be cancelled
                    caller.callback(failure or found.get(user_id))
        self._reading = bool(self._waiting)
        if self._reading:
            self._clock.callLater(PAUSE_S, self._read)

    async def _players(self) -> int:
        return await self._total.fetch("", self._ledger.ranked_count)
