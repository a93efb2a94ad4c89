"""The projector: draws the ledger on the board, and redraws it whenever the two may differ.

States: *behind* (nothing is drawn; awards are answered without ranks) and *abreast* (each batch is drawn as it is
committed). It starts behind. ``catch_up`` leads to abreast:

- the store is empty, or its epoch is not the ledger's → a new epoch, everything drawn afresh beside the old;
- the store was restarted since the epoch began, so it may have lost its last changes → a new epoch on what is there, and
  what the ledger changed since the last drawn position (with an overlap) is set again;
- otherwise only the latter.

Setting is idempotent (law 4), so overlaps and repeats are harmless. Any failure to draw leads back to behind; while
behind the drawn position never moves, so that a hole is never stepped over. A small reconcile every few seconds notices a
lost epoch and draws what another process committed but did not live to draw.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from scoreboard.boundaries import (
    Board,
    BoardState,
    Failpoint,
    Ledger,
    Meter,
    Placement,
    StaleBoard,
    StoreUnavailable,
    no_failpoint,
)
from scoreboard.domain.judgement import Award, standings_of, unplaced
from scoreboard.domain.values import Cursor, Receipt, ScoreChanged, Standing

RECONCILE_S = 5.0
#: Retry while behind; a reconnect of the store asks for it at once as well.
RETRY_S = 0.5
#: How far back to look again: bounds clock skew between servers plus the longest commit.
OVERLAP_MS = 60_000
#: A write may commit some seconds after its claim was made.
RECONCILE_OVERLAP_MS = 10_000
STANDINGS_PER_PAGE = 500
DRAWN_VERSIONS_MAX = 100_000

Hear = Callable[[Cursor, Sequence[ScoreChanged]], None]


def _nobody() -> None:
    """Nobody wants to know."""


class Projector:
    """Draws awards; ``hear`` is told of every cursor reached and of every player's change that was drawn.

    ``outrun`` is told of every batch that was committed and could not be drawn.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        ledger: Ledger,
        board: Board,
        clock: IReactorTime,
        now_ms: Callable[[], int],
        hear: Hear,
        outrun: Callable[[], None] = _nobody,
        meter: Meter,
        failpoint: Failpoint = no_failpoint,
    ) -> None:
        self._ledger = ledger
        self._board = board
        self._clock = clock
        self._now_ms = now_ms
        self._hear = hear
        self._outrun = outrun
        self._meter = meter
        self._failpoint = failpoint
        self._abreast = False
        self._catching_up: Deferred[None] | None = None
        self._again = False
        self._reconciled_ms = 0
        #: What is known to be drawn in this epoch, by user: spares setting it again.
        self._drawn_versions: dict[str, int] = {}
        self._epoch = 0
        self._loop = LoopingCall(self._reconcile)
        self._loop.clock = clock

    @property
    def abreast(self) -> bool:
        """Whether the board follows the ledger, as far as we know."""
        return self._abreast

    async def start(self) -> None:
        """Catch up once (an unreachable store does not hinder) and go on reconciling."""
        await self.catch_up()
        self._loop.start(RECONCILE_S, now=False)

    async def stop(self) -> None:
        """Stop reconciling; a catch-up under way is waited for."""
        if self._loop.running:
            self._loop.stop()
        if self._catching_up is not None:
            await _joined(self._catching_up)

    async def project(self, awards: Sequence[Award]) -> dict[str, Receipt]:
        """Draw a committed batch: a receipt with ranks by action id, or nothing when the board cannot be drawn now."""
        if not self._abreast:
            self._outrun()
            return {}
        standings = standings_of(awards)
        try:
            placements = await self._draw(standings, max(award.claim.at_ms for award in awards))
        except (StoreUnavailable, StaleBoard) as trouble:
            self._fall_behind(trouble)
            self._outrun()
            return {}
        self._failpoint("drawn")
        by_user = {standing.user_id: placement for standing, placement in zip(standings, placements, strict=True)}
        receipts = [(award, _receipt(award, by_user[award.user_id])) for award in awards]
        await self._board.mark(receipts)
        return {award.claim.grant.action_id: receipt for award, receipt in receipts}

    async def catch_up(self) -> None:
        """Bring the board abreast of the ledger. Never raises: an unreachable store is tried again soon.

        Callers that come while one is under way wait for it, and it runs once more for their sake.
        """
        if self._catching_up is not None:
            self._again = True
            await _joined(self._catching_up)
            return
        self._catching_up = Deferred()
        try:
            self._again = True
            while self._again:
                self._again = False
                await self._catch_up()
        except (StoreUnavailable, StaleBoard) as trouble:
            self._fall_behind(trouble)
        finally:
            done, self._catching_up = self._catching_up, None
            done.callback(None)

    async def _catch_up(self) -> None:
        began_ms = self._now_ms()
        state, epoch = await self._board.state(), await self._ledger.epoch()
        if state is None or state.cursor.epoch != epoch:
            await self._redraw(state, began_ms)
        else:
            if state.origin != state.run:
                epoch = await self._ledger.next_epoch()
                await self._board.begin(epoch)
            self._in_epoch(epoch)
            await self._redo(state.position_ms - OVERLAP_MS, state.position_ms)
        # From here on new batches draw themselves; what was committed meanwhile is drawn by one more look.
        self._abreast = True
        await self._redo(began_ms - OVERLAP_MS, began_ms)
        self._reconciled_ms = began_ms
        self._meter.gauge("board_abreast", 1)

    async def _redraw(self, state: BoardState | None, began_ms: int) -> None:
        epoch, drawn = await redraw(self._ledger, self._board, state, began_ms)
        self._in_epoch(epoch)
        self._hear(Cursor(epoch=epoch, seq=0), ())
        self._log.info("the board was redrawn: {drawn} players, epoch {epoch}", drawn=drawn, epoch=epoch)

    def _in_epoch(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._epoch = epoch
            self._drawn_versions.clear()

    async def _redo(self, since_ms: int, position_ms: int) -> None:
        after = ""
        while True:
            page = await self._ledger.changed_since(max(0, since_ms), after, STANDINGS_PER_PAGE)
            news = [one for one in page if one.version > self._drawn_versions.get(one.user_id, -1)]
            if news:
                await self._draw(news, position_ms)
            if len(page) < STANDINGS_PER_PAGE:
                return
            after = page[-1].user_id
            await deferLater(self._clock, 0, lambda: None)

    async def _draw(self, standings: Sequence[Standing], position_ms: int) -> Sequence[Placement]:
        projection = await self._board.set(standings, position_ms)
        if len(self._drawn_versions) > DRAWN_VERSIONS_MAX:
            self._drawn_versions.clear()
        changes = []
        for standing, placement in zip(standings, projection.placements, strict=True):
            self._drawn_versions[standing.user_id] = standing.version
            if placement.applied:
                changes.append(standing.moved(projection.cursor, placement.rank, placement.previous_rank))
        self._hear(projection.cursor, changes)
        return projection.placements

    def _fall_behind(self, trouble: Exception) -> None:
        if self._abreast:
            self._log.warn("the board cannot be drawn: {trouble}", trouble=str(trouble))
            self._abreast = False
        self._meter.gauge("board_abreast", 0)
        self._clock.callLater(RETRY_S, self._retry)

    def _retry(self) -> None:
        if not self._abreast and self._catching_up is None and self._loop.running:
            ensureDeferred(self.catch_up())

    async def _reconcile(self) -> None:
        if not self._abreast:
            return
        now_ms = self._now_ms()
        try:
            state, epoch = await self._board.state(), await self._ledger.epoch()
            if state is None or state.cursor.epoch != epoch or state.origin != state.run:
                self._fall_behind(StaleBoard("the board was lost or replaced"))
                await self.catch_up()
                return
            overlap_ms = RECONCILE_OVERLAP_MS if epoch == self._epoch else OVERLAP_MS
            self._in_epoch(epoch)  # somebody else may have redrawn the board
            await self._redo(self._reconciled_ms - overlap_ms, now_ms - RECONCILE_OVERLAP_MS)
            self._reconciled_ms = now_ms
            self._hear(state.cursor, ())
        except (StoreUnavailable, StaleBoard) as trouble:
            self._fall_behind(trouble)


async def redraw(ledger: Ledger, board: Board, state: BoardState | None, began_ms: int) -> tuple[int, int]:
    """Draw the whole ledger afresh in a new epoch: (the epoch, how many players).

    What is committed meanwhile may be missing from it, so whoever calls sets again what changed since ``began_ms``.
    """
    epoch = await ledger.next_epoch()
    while state is not None and epoch <= state.cursor.epoch:  # the ledger was restored from an older copy
        epoch = await ledger.next_epoch()
    return epoch, await board.redraw(epoch, every_standing(ledger), began_ms - OVERLAP_MS)


async def every_standing(ledger: Ledger) -> AsyncIterator[Sequence[Standing]]:
    """Every player's standing, a page at a time, as a redraw wants them."""
    after = ""
    while page := await ledger.accounts(after, STANDINGS_PER_PAGE):
        yield page
        after = page[-1].user_id


def _receipt(award: Award, placement: Placement) -> Receipt:
    if placement.rank is None:  # taken off the board (a reset) between the commit and the drawing
        return unplaced(award)
    return Receipt(
        points=award.points,
        total=award.score_after,
        rank=placement.rank,
        previous_rank=placement.previous_rank,
    )


async def _joined(under_way: Deferred[None]) -> None:
    """Wait for what someone else began, without taking its result away."""
    mine: Deferred[None] = Deferred()
    under_way.chainDeferred(mine)
    await mine
