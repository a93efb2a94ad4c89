"""Open bucket: a bucket that this process follows, with its board, the reads of it, and what keeps it like the ledger."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from scoreboard.actors.board_sweep import BoardSweep
from scoreboard.actors.projector import Projector
from scoreboard.actors.ranking import Ranking
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.boundaries.health import Meter
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import ScoreChanged

#: The buckets of a process take turns, a page each (actors/boards.py).
SWEEP_LOCK_MS: Final = 60_000


@dataclass(frozen=True, eq=False, kw_only=True)
class OpenBucket:
    """A bucket of a board beside the global one."""

    board: Board
    ranking: Ranking
    projector: Projector
    sweep: BoardSweep

    async def start(self) -> None:
        """Begin to follow the ledger. Waits for no store."""
        await self.projector.start()

    async def stop(self) -> None:
        """Follow no more."""
        self.board.ignore()
        await self.projector.stop()


def open_bucket(
    *,
    board: Board,
    ledger: BoardLedger,
    clock: IReactorTime,
    now_ms: Callable[[], int],
    meter: Meter,
    store_is_shared: bool,
    may_change: Callable[[], bool],
    rebuild_turn: DeferredLock,
) -> OpenBucket:
    """A bucket that is not started yet. ``may_change`` says whether it may still get awards."""
    meter = _BucketMeter(meter)

    def lagging_s() -> float:
        # What Redis has of a bucket that was not compared yet may be old, so the ledger is read.
        return projector.lagging_s if projector.has_followed else math.inf

    ranking = Ranking(
        board=board,
        ledger=ledger,
        clock=clock,
        now_ms=now_ms,
        meter=meter,
        lagging_s=lagging_s,
        on_stale=lambda trouble: projector.check_soon(trouble),
    )

    def on_changes(cursor: Cursor, _changes: Sequence[ScoreChanged]) -> None:
        ranking.advance(cursor)

    projector = Projector(
        ledger=ledger,
        board=board,
        clock=clock,
        on_changes=on_changes,
        note_ledger_ahead=ranking.note_ledger_ahead,
        meter=meter,
        store_is_shared=store_is_shared,
        may_change=may_change,
        rebuild_turn=rebuild_turn,
    )
    sweep = BoardSweep(ledger=ledger, board=board, projector=projector, clock=clock, meter=meter, lock_ms=SWEEP_LOCK_MS)
    board.listen(on_changes, missed=projector.check_soon)
    return OpenBucket(board=board, ranking=ranking, projector=projector, sweep=sweep)


class _BucketMeter:
    """The meter of a bucket: it counts as the global board's, and leaves that board's gauges alone."""

    def __init__(self, meter: Meter) -> None:
        self.count, self.observe = meter.count, meter.observe

    def gauge(self, name: str, value: float) -> None:
        """Do nothing."""
