"""Ranking: the read cache of a board.

All that it keeps was read at one cursor. It forgets all of it when it learns of a newer cursor, and when an award could not be
set on the board. Callers of the same read share one call of the store. When the store does not answer, or has not followed the
ledger for two seconds, the ledger answers (``degraded``). Such an answer is kept for a moment only, because the cursor does not
change meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from typing_extensions import override

from scoreboard.actors.degraded_reads import DegradedReads
from scoreboard.boundaries import ranking as boundary
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.boundaries.health import Meter
from scoreboard.caches import SingleFlightCache
from scoreboard.domain.board_pages import Page, PlayerRank, View
from scoreboard.domain.board_state import History
from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.cursor import NO_CURSOR, Cursor
from scoreboard.domain.errors import StaleBoard, StoreUnavailable

PAGES_MAX = 256
RANKS_MAX = 10_000
#: A history may hold some hundred changes.
HISTORIES_MAX = 32
DEGRADED_S = 0.25
#: A board that has not followed the ledger for this many seconds is not read.
LAGGING_S_MAX = 2.0


class Ranking(boundary.Ranking):
    """Ranking of one board.

    ``lagging_s`` says for how many seconds the board has not followed the ledger. ``on_stale`` is called when a read finds that
    the board cannot be used.
    """

    def __init__(
        self,
        *,
        board: Board,
        ledger: BoardLedger,
        clock: IReactorTime,
        now_ms: Callable[[], int],
        meter: Meter,
        lagging_s: Callable[[], float] = lambda: 0.0,
        on_stale: Callable[[StaleBoard], None] = lambda _: None,
    ) -> None:
        self._board = board
        self._lagging_s = lagging_s
        self._on_stale = on_stale
        self._degraded = DegradedReads(ledger=ledger, clock=clock, now_ms=now_ms, meter=meter)
        self._cursor = NO_CURSOR
        self._ledger_ahead_count = 0
        self._pages: SingleFlightCache[tuple[int, int], Page] = SingleFlightCache(clock, PAGES_MAX, _life_s)
        self._ranks: SingleFlightCache[str, PlayerRank] = SingleFlightCache(clock, RANKS_MAX, _life_s)
        self._histories: SingleFlightCache[tuple[Cursor, int], History] = SingleFlightCache(clock, HISTORIES_MAX, _life_s)

    @property
    @override
    def bucket(self) -> BoardBucket:
        return self._board.bucket

    @property
    @override
    def cursor(self) -> Cursor:
        return self._cursor

    @property
    @override
    def ledger_ahead_count(self) -> int:
        return self._ledger_ahead_count

    def advance(self, cursor: Cursor) -> None:
        """Forget what was read at older cursors: the board is at least at this one now."""
        if cursor > self._cursor:
            self._cursor = cursor
            self._forget()

    def note_ledger_ahead(self) -> None:
        """Forget what was read from the board: the ledger is ahead of it, and its cursor does not show that."""
        self._ledger_ahead_count += 1
        self._forget()

    def _forget(self) -> None:
        self._pages.clear()
        self._ranks.clear()
        self._histories.clear()

    @override
    async def page(self, offset: int, limit: int) -> Page:
        page = await self._pages.fetch((offset, limit), lambda: self._read_page(offset, limit))
        if not page.degraded:
            self.advance(page.cursor)
        return page

    @override
    async def read_views(self, views: Sequence[View]) -> list[Page]:
        asked = self._cursor
        try:
            pages = await self._board.read_views(views)
            self._no_older_than(asked, *pages)
        except StaleBoard as stale:
            self._degrade(stale)
            raise StoreUnavailable(str(stale)) from stale
        for page in pages:
            self.advance(page.cursor)
        return pages

    @override
    async def since(self, cursor: Cursor, limit: int) -> History:
        history = await self._histories.fetch((cursor, limit), lambda: self._read_history(cursor, limit))
        if not history.degraded:
            self.advance(history.page.cursor)
        return history

    @override
    async def rank_of(self, user_id: str) -> PlayerRank:
        rank = await self._ranks.fetch(user_id, lambda: self._read_rank(user_id))
        if not rank.degraded:
            self.advance(rank.cursor)
        return rank

    async def _read_page(self, offset: int, limit: int) -> Page:
        asked = self._cursor
        try:
            self._refuse_what_lags()
            page = await self._board.page(offset, limit)
            self._no_older_than(asked, page)
        except (StoreUnavailable, StaleBoard) as trouble:
            self._degrade(trouble)
            return await self._degraded.page(self._cursor, offset, limit)
        self._degraded.counted(page.total)
        return page

    async def _read_history(self, cursor: Cursor, limit: int) -> History:
        asked = self._cursor
        try:
            self._refuse_what_lags()
            history = await self._board.since(cursor, limit)
            self._no_older_than(asked, history.page)
        except (StoreUnavailable, StaleBoard) as trouble:
            self._degrade(trouble)
            return History(page=await self._degraded.page(self._cursor, 0, limit), changes=None)
        return history

    def _degrade(self, trouble: Exception) -> None:
        if isinstance(trouble, StaleBoard):
            self._on_stale(trouble)

    def _refuse_what_lags(self) -> None:
        if self._lagging_s() > LAGGING_S_MAX:
            raise StaleBoard("the board does not follow the ledger")

    def _no_older_than(self, cursor: Cursor, *pages: Page) -> None:
        """Raise StaleBoard if the store has lost a state that this process knows, and was not rebuilt yet."""
        if any(page.cursor < cursor for page in pages):
            raise StaleBoard("the store went back")

    async def _read_rank(self, user_id: str) -> PlayerRank:
        try:
            self._refuse_what_lags()
            rank = await self._board.rank_of(user_id)
        except (StoreUnavailable, StaleBoard) as trouble:
            self._degrade(trouble)
            return await self._degraded.rank_of(self._cursor, user_id)
        self._degraded.counted(rank.total)
        return rank


def _life_s(read: Page | PlayerRank | History) -> float:
    """What the ledger answered is kept for a moment only, because the cursor does not tell when it is out of date."""
    return DEGRADED_S if read.degraded else 0.0
