"""Board sweep: compares ledger and board by key, slowly and without end, so that no gap lasts longer than a round.

One server at a time sweeps. It compares a page of players by a digest, and player by player if the digest differs. What differs
is compared once more a second later, because an award may be committed and not yet on the board. A gap is counted, logged and
closed. A board that has more than the ledger means that the ledger went back: then the projector rebuilds the board.

The sweep compares 500 players every 0.28 s: a round of 100,000 players takes 56 s, a round of a million 560 s. The buckets of
other boards take turns, a page a second (actors/boards.py), so that all of them together cost less than the global one.
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
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.boundaries.health import Meter
from scoreboard.domain.errors import StaleBoard, StoreUnavailable

STEP_S: Final = 0.28
PLAYERS_PER_STEP: Final = 500
#: The least time from the beginning of a round to that of the next: a few players are not compared again and again. A few players
#: are right again within five seconds: one round, a step for each page and one for the end, and two pauses of SETTLE_S.
ROUND_S_MIN: Final = 1.5
SETTLE_S: Final = 1.0
#: How long another server waits for the next page of one that stopped.
LOCK_MS: Final = 10_000


class BoardSweep:
    """Sweeps while the projector is in sync: by itself from `start` to `stop`, or a page with each `step`.

    ``lock_ms`` is longer than the time between two pages.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        ledger: BoardLedger,
        board: Board,
        projector: Projector,
        clock: IReactorTime,
        meter: Meter,
        lock_ms: int = LOCK_MS,
    ) -> None:
        self._ledger = ledger
        self._board = board
        self._projector = projector
        self._clock = clock
        self._meter = meter
        self._lock_ms = lock_ms
        self._after = ""
        self._ranked = 0
        self._ranked_on_board = 0
        self._began_s = -ROUND_S_MIN
        self._loop = Loop("board_sweep", self._step, STEP_S, clock=clock, meter=meter, on_failure=self._begin_round)

    async def start(self) -> None:
        """Begin to sweep."""
        self._loop.start()

    async def stop(self) -> None:
        """Stop sweeping."""
        self._loop.stop()

    async def step(self) -> None:
        """Sweep a page. A failure is logged and does not reach the caller."""
        await self._loop.call()

    async def _step(self) -> None:
        if not self._after and self._clock.seconds() < self._began_s + ROUND_S_MIN:
            return
        try:
            if self._projector.in_sync and await self._board.lock("sweep", self._lock_ms):
                await self._sweep_page()
            else:
                self._begin_round()
        except (StoreUnavailable, StaleBoard):
            self._begin_round()  # the projector repairs this

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
        """Compare the suspects again: what the ledger had a second ago must be on the board by now.

        New players may push suspects off the page. The next round compares those.
        """
        page = await self._ledger.accounts(before, PLAYERS_PER_STEP)
        differing = await self._board.differing([one for one in page if one.user_id in seen])
        gaps = [one for one, found in differing if found < seen[one.user_id] or found == one.version == seen[one.user_id]]
        ahead = [one.user_id for one, found in differing if found > one.version]
        if gaps:
            self._meter.count("board_gaps_total", len(gaps))
            self._log.warn(
                "the board {board} had no total or a wrong one for {players} players; the sweep set them right",
                board=self._board.bucket.key,
                players=len(gaps),
            )
            await self._projector.overwrite(gaps)
        if ahead:
            await self._projector.compare(ahead)

    async def _end_round(self) -> None:
        """Rebuild a board that has players whom the ledger does not know.

        Since the round began, each player of the board was counted in the ledger or was reset. So a board that had more players
        at the beginning has unknown ones.
        """
        self._meter.gauge("board_sweep_round_seconds", max(ROUND_S_MIN, self._clock.seconds() - self._began_s))
        too_many = self._ranked_on_board > self._ranked
        self._begin_round()
        if not too_many:
            return
        state = await self._board.state()
        if state is not None and state.ranked > await self._ledger.ranked_count():
            # A new player is in the ledger before the board. So a difference that stays is not a new player.
            await deferLater(self._clock, SETTLE_S)
            if state.ranked > await self._ledger.ranked_count():
                await self._projector.rebuild_because("the ledger went back: the board has players whom it does not know")
