"""Board rebuild: every standing of the ledger into a new epoch, a page at a time. It goes on where a store failed it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import ensureDeferred

from scoreboard.boundaries.board import Board
from scoreboard.boundaries.ledger import Ledger
from scoreboard.domain.board_state import BoardState
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.standings import Standing

#: Large pages: the reading thread meets the busy reactor only when a page begins and ends (docs/performance.md).
PLAYERS_PER_PAGE: Final = 8_000
#: A page that the ledger did not give is asked for again, so often in a row.
TRIES_MAX: Final = 20
PAUSE_S: Final = 0.5

Pause = Callable[[float], Awaitable[object]]
#: The page after a standing, or the first.
Read = Callable[[Standing | None], Awaitable[Sequence[Standing]]]


async def rebuild(ledger: Ledger, board: Board, state: BoardState | None, pause: Pause) -> tuple[int, int]:
    """Rebuild the board in a new epoch: (the epoch, how many players are ranked).

    What is committed meanwhile may be missing from it; the board's position says so.
    """
    run = board.run()
    # A ledger that was restored may have given out fewer epochs than the board has seen.
    epoch = await ledger.next_epoch(board.definition, run, 0 if state is None else state.cursor.epoch)
    position = await ledger.position()
    return epoch, await board.rebuild(epoch, every_standing(ledger, pause), position)


async def every_standing(ledger: Ledger, pause: Pause) -> AsyncIterator[Sequence[Standing]]:
    """Every player's standing, a page at a time; the next page is read while the last one is drawn.

    Players who are off the board come first, then the board from its top down: what comes in the sorted set's own order costs
    Redis a third. A player who moves meanwhile may be missed, or come again with a later version: one seen off the board may come
    again on it, and never the other way round. Each such player has an entry beyond the position: the follow-up draws it.
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
        reading.addErrback(_forget)  # a page that was asked for when the rebuild was given up
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


def _forget(_: Any) -> None:
    """The rebuild was given up, so the outcome of its last page is dropped."""
