"""Board writer: sets standings on the board, one batch or all that changed since a position in the order of commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from scoreboard.boundaries.board import Board
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.domain.board_state import Projection
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StaleBoard
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.standings import Standing

ENTRIES_PER_PAGE: Final = 1_000
WRITTEN_VERSIONS_MAX: Final = 100_000

OnChanges = Callable[[Cursor, Sequence[ScoreChanged]], None]


class BoardWriter:
    """``on_changes`` is called with each cursor that the board reaches and with the changes of players that were set."""

    def __init__(self, *, ledger: BoardLedger, board: Board, clock: IReactorTime, on_changes: OnChanges) -> None:
        self._ledger = ledger
        self._board = board
        self._clock = clock
        self._on_changes = on_changes
        #: The epoch of the last write.
        self.epoch = 0
        #: The version of each player that was set in this epoch, by user id: it need not be set again.
        self._written_versions: dict[str, int] = {}

    def enter(self, epoch: int) -> None:
        """Write in this epoch from now on. What was set in an earlier epoch may be missing from it."""
        if epoch != self.epoch:
            self.epoch = epoch
            self._written_versions.clear()

    async def write(self, standings: Sequence[Standing], *, overwrite: bool = False) -> Projection:
        """Set standings and report the changes. Raises StoreUnavailable or StaleBoard."""
        projection = await self._board.set(standings, overwrite=overwrite)
        self.enter(projection.cursor.epoch)
        if len(self._written_versions) > WRITTEN_VERSIONS_MAX:
            self._written_versions.clear()
        changes = []
        for standing, placement in zip(standings, projection.placements, strict=True):
            self._written_versions[standing.user_id] = standing.version
            if placement.applied:
                changes.append(standing.score_changed(projection.cursor, placement.rank, placement.previous_rank))
        self._on_changes(projection.cursor, changes)
        return projection

    async def follow(self, epoch: int, position: str) -> str:
        """Set all totals that changed since a position. Returns the position that the board has then, and notes it there.

        Raises LedgerWentBack, and StaleBoard if another epoch has begun, from which some of these totals may be missing.
        """
        reached, after = await self._ledger.position(), ""
        while True:
            page = await self._ledger.changed_since(position, after, ENTRIES_PER_PAGE)
            news = [one for one in page.standings if one.version > self._written_versions.get(one.user_id, -1)]
            if news and (await self.write(news)).cursor.epoch != epoch:
                raise StaleBoard("another epoch has begun")
            after = page.after
            if not after:
                break
            await deferLater(self._clock, 0)
        # If we stop here, the server that follows next begins at the old position and sets the same standings again.
        await self._board.advance(epoch, reached)
        return reached
