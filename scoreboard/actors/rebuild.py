"""Board rebuild: reads all standings of the ledger page by page into a new epoch. A page that fails is read again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from twisted.internet.defer import ensureDeferred

from scoreboard.boundaries.board import Board
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.domain.board_state import BoardState
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.standings import Standing

#: Pages are large because the reading thread waits for the busy reactor at each page (docs/performance.md).
PLAYERS_PER_PAGE: Final = 8_000
#: How often a page is read before the rebuild fails.
TRIES_MAX: Final = 20
PAUSE_S: Final = 0.5

Pause = Callable[[float], Awaitable[object]]
#: Reads the page after a standing, or the first page.
Read = Callable[[Standing | None], Awaitable[Sequence[Standing]]]


async def rebuild(ledger: BoardLedger, board: Board, state: BoardState | None, pause: Pause) -> tuple[int, int]:
    """Rebuild the board in a new epoch; returns (the epoch, the number of ranked players).

    Awards that are committed during the rebuild may be missing. They are after the board's position, so the next following
    of the ledger sets them.
    """
    run = board.run()
    # The epoch of a ledger that was restored may be lower than the board's.
    epoch = await ledger.next_epoch(run, 0 if state is None else state.cursor.epoch)
    position = await ledger.position()
    return epoch, await board.rebuild(epoch, every_standing(ledger, pause), position)


async def every_standing(ledger: BoardLedger, pause: Pause) -> AsyncIterator[Sequence[Standing]]:
    """All standings, page by page. The next page is read while the last one is written.

    Players off the board come first, then the board from its top down: a write costs Redis only a third as much when the rows
    arrive in the order of the sorted set. A player who moves during this may be missed, or may come twice, the second time with a
    later version. Each such player has an entry after the position, so the next following of the ledger sets the total.
    """

    async def unranked(last: Standing | None) -> Sequence[Standing]:
        return await ledger.unranked("" if last is None else last.user_id, PLAYERS_PER_PAGE)

    async def ranked(last: Standing | None) -> Sequence[Standing]:
        return await ledger.ranked(last, PLAYERS_PER_PAGE)

    for read in (unranked, ranked):
        async for page in _pages(read, pause):
            yield page


async def _pages(read: Read, pause: Pause) -> AsyncIterator[Sequence[Standing]]:
    reading = ensureDeferred(_page(read, None, pause))
    try:
        while page := await reading:
            reading = ensureDeferred(_page(read, page[-1], pause))
            yield page
    finally:
        reading.addErrback(lambda _: None)  # the page that was under way when the rebuild failed
        reading.cancel()


async def _page(read: Read, last: Standing | None, pause: Pause) -> Sequence[Standing]:
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            return await read(last)
        except StoreUnavailable:
            if not tries_left:
                raise
            await pause(PAUSE_S)
    raise AssertionError("the last try returns or raises")
