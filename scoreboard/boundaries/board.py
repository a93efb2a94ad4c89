"""Board: the ranking of all players in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from scoreboard.domain.actions import Receipt
from scoreboard.domain.board_pages import Page, PlayerRank, RankRange, View
from scoreboard.domain.board_state import BoardState, History, Projection
from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.judgement import Award
from scoreboard.domain.standings import Standing


class Board(Protocol):
    """One board: a copy of the ledger's totals, which can be rebuilt at any time.

    ``bucket`` says which board it is, ``owner`` for which ledger we read and write. Each method that reads or writes raises
    StaleBoard if the board is another ledger's, does not exist or has lost a part. Each that waits may raise StoreUnavailable.
    """

    bucket: BoardBucket
    owner: str

    async def set(self, standings: Sequence[Standing], *, overwrite: bool = False) -> Projection:
        """Set totals (never add), each only if its version is newer than the board's. One round trip for all.

        A repeated or late call changes nothing. ``overwrite`` also sets a total of the same version. ``seq`` rises by one if
        anything was applied, and the changes are published.
        """

    async def state(self) -> BoardState | None:
        """The state of the board, or None if there is none (an empty store)."""

    def run(self) -> str:
        """The id of the store's present run. Raises StoreUnavailable if the store does not answer."""

    async def begin(self, epoch: int) -> None:
        """Begin a new epoch on the present data: ``seq`` 0, on the store's present run. StaleBoard if a newer epoch has begun."""

    async def advance(self, epoch: int, position: str) -> None:
        """Note that the board has all up to a position of the ledger. StaleBoard if another epoch has begun."""

    async def rebuild(self, epoch: int, standings: AsyncIterator[Sequence[Standing]], position: str) -> int:
        """Write a new board beside the old one, then put it in place at once; returns the number of ranked players.

        What other servers set on the old board meanwhile is not on the new one: set again what changed since the position.
        StaleBoard if another board was put in place meanwhile.
        """

    async def page(self, offset: int, limit: int) -> Page:
        """``limit`` rows after the first ``offset``, at one cursor."""
        (page,) = await self.read_views([RankRange(offset=offset, limit=limit)])
        return page

    async def read_views(self, views: Sequence[View]) -> list[Page]:
        """A page for each view, in their order and all at one cursor. One round trip for all."""

    async def since(self, cursor: Cursor, limit: int) -> History:
        """What changed after a cursor, and the first ``limit`` rows of the board at the same moment.

        At least the last 1,000 steps of an epoch are kept. A cursor of another epoch, or one ahead of the board, has no history.
        """

    async def rank_of(self, user_id: str) -> PlayerRank:
        """The rank and points of one player."""

    async def totals_of(self, user_ids: Sequence[str]) -> list[tuple[int, int] | None]:
        """(points, version) of each player, None for one who is not on the board."""

    async def differing(self, standings: Sequence[Standing]) -> list[tuple[Standing, int]]:
        """Those of at most 500 standings that differ on the board, with its versions (-1: unknown). Quick if none differs."""

    async def lock(self, what: str, life_ms: int) -> bool:
        """Take or keep a lock that one server holds at a time, for ``life_ms``; 0 releases it. True while it is ours."""

    async def write_caches(self, receipts: Sequence[tuple[Award, Receipt]]) -> None:
        """Write the keys that the specification names for other programs: used actions and scores, each with a time to live.

        Nothing here reads them. Never raises, and does not wait for the store.
        """

    def listen(
        self, on_changes: Callable[[Cursor, Sequence[ScoreChanged]], None], missed: Callable[[], None] = lambda: None
    ) -> None:
        """Call ``on_changes`` with changes that other processes make, and ``missed`` when some may not have been received."""

    def ignore(self) -> None:
        """End what `listen` began."""

    async def expire(self, life_ms: int) -> None:
        """Let the board go away after this time, unless it is rebuilt before."""

    async def ping(self) -> None:
        """Return if the store answers. Raises StoreUnavailable if not."""
