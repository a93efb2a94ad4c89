"""Boards: all boards of this process, by name. A committed batch goes to each of them at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from typing_extensions import override

from scoreboard.actors.board_series import BoardSeries
from scoreboard.actors.projector import Projector
from scoreboard.actors.ranking import Ranking
from scoreboard.background import Loop, report_failure, run_in_background
from scoreboard.boundaries import boards as boundary
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.ledger import Ledger
from scoreboard.domain.actions import BoardRank, Receipt
from scoreboard.domain.boards import DEFAULT_BOARD, BoardDefinition, FedBoard
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.judgement import Award
from scoreboard.domain.periods import ALL_TIME, Bucket
from scoreboard.domain.refusals import Refused, malformed, unavailable

#: How many players are filled in at a time. Awards of these players wait meanwhile, some ten milliseconds.
PLAYERS_PER_PAGE: Final = 200
#: How many rows of removed boards are deleted at a time.
ROWS_PER_DELETE: Final = 1_000
#: The pause after a page, so that awards and reads get their turn.
PAGE_PAUSE_S: Final = 0.02
#: How often the ledger is asked for boards that lack standings, and for those that other servers removed or changed.
LOOK_S: Final = 2.0

#: How often one of the buckets compares a page of players with the ledger. They take turns.
SWEEP_S: Final = 1.0


class Boards(boundary.Boards):
    """The boards of these ``definitions``, the global one first.

    ``open_series`` makes the series of a board whose standings are filled in. ``together`` sends in one write what the store is
    asked within it.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        ledger: Ledger,
        definitions: Sequence[BoardDefinition],
        ranking: Ranking,
        projector: Projector,
        open_series: Callable[[FedBoard], BoardSeries],
        together: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: IReactorTime,
        meter: Meter,
    ) -> None:
        self._ledger = ledger
        self._definitions = definitions
        self._names = [board.board_id for board in definitions[1:]]
        self._clock = clock
        self._meter = meter
        self._ranking = ranking
        self._projector = projector
        self._open_series = open_series
        self._together = together
        self._series: dict[str, BoardSeries] = {}
        self._filler = Loop("board_filler", self._fill, LOOK_S, clock=clock, meter=meter)
        self._sweeps = 0
        self._sweeper = Loop("board_sweeps", self._sweep, SWEEP_S, clock=clock, meter=meter)

    async def start(self) -> None:
        """Declare the boards to the ledger, and begin to follow those that have all standings. Raises BoardCannotChange."""
        for change in await self._ledger.declare_boards(self._definitions[1:]):
            self._log.info("the board {board} was {kind}", board=change.definition.board_id, kind=change.kind)
            if change.kind == "removed":
                dropped = self._open_series(FedBoard(number=0, definition=change.definition))
                run_in_background("board_series", dropped.drop(), self._meter)
        await self._ledger.fill_boards(PLAYERS_PER_PAGE)  # all players, where the ledger is new
        await self._follow_declared()
        self._filler.start()
        self._sweeper.start()

    async def stop(self) -> None:
        """Follow no board any more."""
        self._sweeper.stop()
        self._filler.stop()
        for series in self._series.values():
            await series.stop()

    def catch_up_soon(self) -> None:
        """Bring all boards but the global one in sync with the ledger, without waiting for the end."""
        for series in self._series.values():
            series.catch_up_soon()

    @property
    def in_sync(self) -> bool:
        """Whether the other boards are like the ledger, as far as we know. Boards that are being filled in do not count."""
        return all(series.in_sync for series in self._series.values())

    @property
    @override
    def definitions(self) -> Sequence[BoardDefinition]:
        followed = {board_id: series.fed.definition for board_id, series in self._series.items()}
        return [followed.get(one.board_id, one) for one in self._definitions]

    @override
    def present(self, board_id: str) -> Bucket | None:
        return ALL_TIME if board_id == DEFAULT_BOARD else self._find(board_id).present

    @override
    def ranking(self, board_id: str, bucket: str | None = None) -> Ranking:
        if board_id == DEFAULT_BOARD:
            if bucket is not None:
                raise Refused(malformed("bucket", "the global board has no buckets"))
            return self._ranking
        try:
            ranking = self._find(board_id).ranking(bucket)
        except StoreUnavailable as trouble:
            raise Refused(unavailable(f"The bucket cannot be read now: {trouble}")) from None
        if ranking is None and bucket is None:
            raise Refused(malformed("board", f"{board_id} has no bucket now; name a closed one with bucket"))
        if ranking is None:
            raise Refused(malformed("bucket", f"{board_id} has no such bucket, or does not keep it any more"))
        return ranking

    async def project(self, awards: Sequence[Award]) -> dict[str, Receipt]:
        """Set a committed batch on all boards. Returns receipts by action id; none if the global board cannot be set now."""
        with self._together():
            under_way = [ensureDeferred(self._project_on(series, awards)) for series in self._series.values()]
            on_global = ensureDeferred(self._projector.project(awards))
        receipts = await on_global
        found = [one for projected in under_way for one in await projected]
        ranks = {(user_id, rank.board_id, rank.bucket): rank for user_id, rank in found}
        if not ranks:
            return receipts
        for award in awards:
            receipt = receipts.get(award.claim.grant.action_id)
            buckets = [score.bucket for _, score in award.scores]
            moved = [ranks.get((award.user_id, bucket.board_id, bucket.bucket)) for bucket in buckets]
            if receipt is not None:
                boards = tuple([rank for rank in moved if rank is not None])
                receipts[award.claim.grant.action_id] = msgspec.structs.replace(receipt, boards=boards)
        return receipts

    def _find(self, board_id: str) -> BoardSeries:
        series = self._series.get(board_id)
        if series is not None:
            return series
        if board_id in self._names:
            text = "The board is being filled in from the ledger, or another server has removed it"
            raise Refused(unavailable(text, retry_after_s=5))
        raise Refused(malformed("board", f"must be one of {', '.join([DEFAULT_BOARD, *self._names])}"))

    async def _project_on(self, series: BoardSeries, awards: Sequence[Award]) -> list[tuple[str, BoardRank]]:
        try:
            return await series.project(awards)
        except Exception:  # the awards are committed, so their players get their receipts
            report_failure("boards", self._meter)
            return []

    async def _sweep(self) -> None:
        """Let the next bucket compare a page of players with the ledger."""
        buckets = [one for series in self._series.values() for one in series.followed]
        if buckets:
            self._sweeps += 1
            await buckets[self._sweeps % len(buckets)].sweep.step()

    async def _fill(self) -> None:
        try:
            await self._follow_declared()
            while len(self._series) < len(self._names) and await self._ledger.fill_boards(PLAYERS_PER_PAGE):
                await deferLater(self._clock, PAGE_PAUSE_S)
                await self._follow_declared()
            while await self._ledger.clear_boards(ROWS_PER_DELETE):
                await deferLater(self._clock, PAGE_PAUSE_S)
        except StoreUnavailable as trouble:
            self._log.debug("boards are not filled in now: {trouble}", trouble=str(trouble))

    async def _follow_declared(self) -> None:
        """Follow each declared board that has all standings by now, and no other: another server may have removed some."""
        fed = {one.definition.board_id: one for one in await self._ledger.fed_boards()}
        for board_id, series in list(self._series.items()):
            now = fed.get(board_id)
            if now is not None and now.number == series.fed.number:
                series.fed = now
                continue
            del self._series[board_id]
            await series.stop()
            self._log.info("the board {board} is followed no more: another server has removed it", board=board_id)
            if now is None:
                await series.drop()
        for board_id in self._names:
            filled = fed.get(board_id)
            if filled is not None and filled.filled_through is None and board_id not in self._series:
                self._series[board_id] = series = self._open_series(filled)
                await series.start()
