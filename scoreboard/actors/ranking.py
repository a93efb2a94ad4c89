"""The ranking: what the board says, remembered while nothing changed.

Everything here is kept for one cursor; when a newer one is heard of, or an award could not be drawn, all of it is
forgotten. Askers of the same thing share one question to the store. When the store cannot be asked, or has not followed the
ledger for two seconds, the ledger answers (``degraded``), and that is remembered for a moment only, since the cursor stands
still meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from scoreboard.actors.degraded_reads import DegradedReads
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.ledger import Ledger
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

Key = TypeVar("Key")
Read = TypeVar("Read", Page, PlayerRank, History)
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
        self._pages: _SingleFlightCache[tuple[int, int], Page] = _SingleFlightCache(clock, PAGES_MAX)
        self._ranks: _SingleFlightCache[str, PlayerRank] = _SingleFlightCache(clock, RANKS_MAX)
        self._histories: _SingleFlightCache[tuple[Cursor, int], History] = _SingleFlightCache(clock, HISTORIES_MAX)

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


class _SingleFlightCache(Generic[Key, Read]):
    """What was read at the present cursor, by key, and who is waiting for what is being read."""

    def __init__(self, clock: IReactorTime, kept_max: int) -> None:
        self._clock = clock
        self._kept_max = kept_max
        self._kept: dict[Key, tuple[Read, float]] = {}
        self._reading: dict[Key, list[Deferred[Read]]] = {}

    def get(self, key: Key) -> Read | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        read, until_s = kept
        return read if not until_s or self._clock.seconds() < until_s else None

    def clear(self) -> None:
        """Forget; those who wait still get what they asked for, but nobody joins them."""
        self._kept.clear()
        self._reading = {}

    async def fetch(self, key: Key, read: Callable[[], Awaitable[Read]]) -> Read:
        """Read, or wait for the same read already under way."""
        waiting = self._reading.get(key)
        if waiting is not None:
            mine: Deferred[Read] = Deferred()
            waiting.append(mine)
            return await mine
        waiting = self._reading[key] = []
        era = self._reading
        try:
            result = await read()
        except Exception:
            self._done(era, key)
            failure = Failure()
            for other in waiting:
                other.errback(failure)
            raise
        if self._done(era, key):
            self._keep(key, result)
        for other in waiting:
            other.callback(result)
        return result

    def _done(self, era: dict[Key, list[Deferred[Read]]], key: Key) -> bool:
        era.pop(key, None)
        return era is self._reading

    def _keep(self, key: Key, result: Read) -> None:
        if len(self._kept) >= self._kept_max:
            self._kept.clear()
        self._kept[key] = (result, self._clock.seconds() + DEGRADED_S if result.degraded else 0.0)
