"""Board sweep: compares ledger and board by key, slowly and for ever, so that no gap outlives a round, whatever its cause.

One server at a time sweeps. A page of players is compared by a digest; where it differs, player by player, and what differs is
looked at once more a second later, for an award may be between its commit and its drawing. A gap is counted, logged and mended. A
board that has more than the ledger means that the ledger went back: the projector rebuilds it then.

500 players every 0.28 s: a round takes 56 s at 100,000 players, 560 s at a million. Rounds begin 5 s apart at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from scoreboard.actors.projector import Projector
from scoreboard.background import Loop
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.ledger import Ledger
from scoreboard.domain.errors import StaleBoard, StoreUnavailable

STEP_S: Final = 0.28
PLAYERS_PER_STEP: Final = 500
#: From one round's beginning to the next's: a few players are not compared again and again.
ROUND_S_MIN: Final = 5.0
SETTLE_S: Final = 1.0
LOCK_MS: Final = 10_000


class BoardSweep:
    """Sweeps while the projector is in sync."""

    _log = Logger()

    def __init__(self, *, ledger: Ledger, board: Board, projector: Projector, clock: IReactorTime, meter: Meter) -> None:
        self._ledger = ledger
        self._board = board
        self._projector = projector
        self._clock = clock
        self._meter = meter
        self._after = ""
        self._ranked = 0
        self._ranked_on_board = 0
        self._began_s = -ROUND_S_MIN
        self._loop = Loop("board_sweep", self._step, STEP_S, clock=clock, meter=meter, on_failure=self._begin_round)

    async def start(self) -> None:
        """Begin to sweep."""
        self._loop.start()

    async def stop(self) -> None:
        """Sweep no more."""
        self._loop.stop()

    async def _step(self) -> None:
        if not self._after and self._clock.seconds() < self._began_s + ROUND_S_MIN:
            return
        try:
            if self._projector.in_sync and await self._board.lock("sweep", LOCK_MS):
                await self._sweep_page()
            else:
                self._begin_round()
        except (StoreUnavailable, StaleBoard):
            self._begin_round()  # the projector sees to it

    def _begin_round(self) -> None:
        self._after, self._ranked = "", 0

    async def _sweep_page(self) -> None:
        before = self._after
        if not before:
            self._began_s = self._clock.seconds()
            state = await self._board.state()
            self._ranked_on_board = 0 if state is None else state.ranked
        page = await self._ledger.accounts(before, PLAYERS_PER_STEP)
        if not page:
            await self._end_round()
            return
        self._after = page[-1].user_id
        self._ranked += sum(one.reached_at_ms is not None for one in page)
        suspects = await self._board.differing(page)
        if suspects:
            await deferLater(self._clock, SETTLE_S)
            await self._recheck_page(before, {one.user_id: one.version for one, _ in suspects})

    async def _recheck_page(self, before: str, seen: Mapping[str, int]) -> None:
        """What the ledger had a second ago must be drawn by now. Suspects that new players push off the page are left to the next
        round.
        """
        page = await self._ledger.accounts(before, PLAYERS_PER_STEP)
        differing = await self._board.differing([one for one in page if one.user_id in seen])
        gaps = [one for one, drawn in differing if drawn < seen[one.user_id] or drawn == one.version == seen[one.user_id]]
        ahead = [one.user_id for one, drawn in differing if drawn > one.version]
        if gaps:
            self._meter.count("board_gaps_total", len(gaps))
            self._log.warn("the board lacked what the ledger has of {players} players; mended", players=len(gaps))
            await self._projector.overwrite(gaps)
        if ahead:
            await self._projector.compare(ahead)

    async def _end_round(self) -> None:
        """Every player who was on the board when the round began was counted in the ledger since, or was reset meanwhile. If the
        board had more, it has players whom the ledger does not know.
        """
        self._meter.gauge("board_sweep_round_seconds", max(ROUND_S_MIN, self._clock.seconds() - self._began_s))
        too_many = self._ranked_on_board > self._ranked
        self._begin_round()
        if not too_many:
            return
        state = await self._board.state()
        if state is not None and state.ranked > await self._ledger.ranked_count():
            await deferLater(self._clock, SETTLE_S)  # newcomers are in the ledger first, so what remains is no newcomer
            if state.ranked > await self._ledger.ranked_count():
                await self._projector.rebuild_because("the ledger went back: the board has players whom it does not know")
