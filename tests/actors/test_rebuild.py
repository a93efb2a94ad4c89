"""A rebuild while the ledger changes: after following once, board and ledger agree."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence

import pytest
from twisted.internet.task import Clock

from scoreboard.actors.board_writer import BoardWriter
from scoreboard.actors.rebuild import every_standing, rebuild
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.domain.boards import GLOBAL_BOARD, BoardBucket
from scoreboard.domain.entries import ResetOrder
from scoreboard.domain.standings import Standing
from scoreboard.storage.memory.board import MemoryBoard
from scoreboard.storage.memory.board_ledger import MemoryBoardLedger
from scoreboard.storage.memory.ledger import MemoryLedger
from tests.actors.fakes import NOW
from tests.awaiting import result_of
from tests.storage.claims import claim


class MovingLedger(MemoryLedger):
    """A ledger in which some players get an award, lose points or are reset between two pages of its standings."""

    def __init__(self, seed: int) -> None:
        super().__init__(clock_ms=lambda: NOW)
        self.random, self.moves = random.Random(seed), False

    def board(self, bucket: BoardBucket) -> BoardLedger:
        return MovingBoardLedger(self, bucket)

    async def move(self) -> None:
        user = f"user-{self.random.randrange(30)}"
        if self.random.random() < 0.4:
            order = ResetOrder(reset_id="r", user_ids=(user,), operator="root", reason="", at_ms=NOW)
            await self.reset(order)
        else:
            await self.award([claim(user, self.random.randrange(-50, 50), at_ms=NOW + len(self.recorded))], [])

    async def move_on(self) -> None:
        if self.moves:
            for _ in range(3):
                await self.move()


class MovingBoardLedger(MemoryBoardLedger):
    """Pages of three players, and moves between them."""

    def __init__(self, ledger: MovingLedger, bucket: BoardBucket) -> None:
        super().__init__(ledger, bucket)
        self.moving = ledger

    async def ranked(self, after: Standing | None, limit: int) -> list[Standing]:
        page = await super().ranked(after, 3)
        await self.moving.move_on()
        return page

    async def unranked(self, after_user_id: str, limit: int) -> list[Standing]:
        page = await super().unranked(after_user_id, 3)
        await self.moving.move_on()
        return page


async def paused(_seconds: float) -> None:
    raise AssertionError("no page is asked for again here")


@pytest.mark.parametrize("seed", range(20))
def test_a_board_that_changes_during_a_rebuild_equals_the_ledger_after_one_follow_up(seed: int) -> None:
    ledger, board = MovingLedger(seed), MemoryBoard(GLOBAL_BOARD, lambda: NOW)
    for _ in range(60):
        result_of(ledger.move())
    clock = Clock()
    ledger.moves = True
    epoch, _ = result_of(rebuild(ledger.board(GLOBAL_BOARD), board, None, paused))
    ledger.moves = False
    writer = BoardWriter(ledger=ledger.board(GLOBAL_BOARD), board=board, clock=clock, on_changes=lambda _cursor, _changes: None)
    result_of(writer.follow(epoch, board.shared_state.position))
    assert board.shared_state.standings == ledger.standings
    assert board.shared_state.order == [one.user_id for one in result_of(ledger.board(GLOBAL_BOARD).top(0, 100))]


@pytest.mark.parametrize("seed", range(20))
def test_a_rebuild_that_reads_a_player_twice_gets_a_newer_standing_on_the_board(seed: int) -> None:
    ledger = MovingLedger(seed)
    for _ in range(60):
        result_of(ledger.move())
    ledger.moves = True
    seen: dict[str, Standing] = {}
    for one in result_of(_all(every_standing(ledger.board(GLOBAL_BOARD), paused))):
        before = seen.get(one.user_id)
        assert before is None or one.version > before.version
        assert before is None or before.reached_at_ms is None or one.reached_at_ms is not None
        seen[one.user_id] = one


async def _all(pages: AsyncIterator[Sequence[Standing]]) -> list[Standing]:
    return [one async for page in pages for one in page]
