"""The ranking: what the board says, remembered while nothing changed.

Everything here is kept for one cursor; when a newer one is heard of, or an award could not be drawn, all of it is
forgotten. Askers of the same thing share one question to the store. When the store cannot be asked, or has not followed the
ledger for two seconds, the ledger answers (``degraded``), and that is remembered for a moment only, since the cursor stands
still meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from scoreboard.actors.degraded_reads import DegradedReads
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.ledger import Ledger
from scoreboard.caches import SingleFlightCache
from scoreboard.domain.board_pages import Page, PlayerRank, View
from scoreboard.domain.board_state import History
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StaleBoard, StoreUnavailable

PAGES_MAX = 256
RANKS_MAX = 10_000
#: Each may hold some hundred changes.
HISTORIES_MAX = 32
DEGRADED_S = 0.25
#: A board that has not followed the ledger for so long is not given as the present one.
LAGGING_S_MAX = 2.0

NOWHERE = Cursor(epoch=0, seq=0)


class Ranking:
    """Implements boundaries.Ranking."""

    def __init__(
        self,
        *,
        board: Board,
        ledger: Ledger,
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
        self._cursor = NOWHERE
        self._ledger_ahead_count = 0
        self._pages: SingleFlightCache[tuple[int, int], Page] = SingleFlightCache(clock, PAGES_MAX, _life_s)
        self._ranks: SingleFlightCache[str, PlayerRank] = SingleFlightCache(clock, RANKS_MAX, _life_s)
        self._histories: SingleFlightCache[tuple[Cursor, int], History] = SingleFlightCache(clock, HISTORIES_MAX, _life_s)

    @property
    def cursor(self) -> Cursor:
        """The newest state that this process has heard of."""
        return self._cursor

    @property
    def ledger_ahead_count(self) -> int:
        """How often the ledger ran ahead of the board."""
        return self._ledger_ahead_count

    def advance(self, cursor: Cursor) -> None:
        """The board is at least at this cursor now: what was remembered of older ones is forgotten."""
        if cursor > self._cursor:
            self._cursor = cursor
            self._forget()

    def note_ledger_ahead(self) -> None:
        """The ledger is ahead of the board, whose cursor stands still: what was remembered of it is no longer true."""
        self._ledger_ahead_count += 1
        self._forget()

    def _forget(self) -> None:
        self._pages.clear()
        self._ranks.clear()
        self._histories.clear()

    async def page(self, offset: int, limit: int) -> Page:
        """A stretch of the board, at least as new as ``cursor`` was when asked."""
        kept = self._pages.get((offset, limit))
        if kept is not None:
            return kept
        page = await self._pages.fetch((offset, limit), lambda: self._read_page(offset, limit))
        if not page.degraded:
            self.advance(page.cursor)
        return page

    async def read_views(self, views: Sequence[View]) -> list[Page]:
        """What these views show, all at one cursor, at least as new as ``cursor`` was when asked. Not remembered."""
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

    async def since(self, cursor: Cursor, limit: int) -> History:
        """What changed after a cursor, and the top of the same moment. Those who lost their place together ask once."""
        kept = self._histories.get((cursor, limit))
        if kept is not None:
            return kept
        history = await self._histories.fetch((cursor, limit), lambda: self._read_history(cursor, limit))
        if not history.degraded:
            self.advance(history.page.cursor)
        return history

    async def rank_of(self, user_id: str) -> PlayerRank:
        """Where a player stands, at least as new as ``cursor`` was when asked."""
        kept = self._ranks.get(user_id)
        if kept is not None:
            return kept
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
        """Raise StaleBoard where the store has lost what it told us already and was not rebuilt yet."""
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
