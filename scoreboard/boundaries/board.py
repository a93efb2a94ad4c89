"""Board: the ranking in Redis, drawn from the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from scoreboard.domain.actions import Receipt
from scoreboard.domain.board_pages import Page, PlayerRank, View
from scoreboard.domain.board_state import BoardState, History, Projection
from scoreboard.domain.boards import BoardDefinition
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.judgement import Award
from scoreboard.domain.standings import Standing


class Board(Protocol):
    """The drawing: the ranking, rebuilt from the ledger whenever in doubt.

    ``owner`` says for which ledger we read and draw. What another one drew is neither shown nor changed: each method that reads
    or draws raises StaleBoard then, as it does when nothing is drawn or a part of it was lost.
    """

    definition: BoardDefinition
    owner: str

    async def set(self, standings: Sequence[Standing], *, overwrite: bool = False) -> Projection:
        """Set totals (never add), each only if its version is newer than the one drawn; one round trip for all.

        Repeating it, late or twice, changes nothing; to ``mend`` sets what is drawn of this very version as well. ``seq`` rises
        by one if anything was applied. Everyone who listens is told. Raises StoreUnavailable or StaleBoard.
        """

    async def state(self) -> BoardState | None:
        """What is drawn and whose it is, or None when nothing is (an empty store)."""

    def run(self) -> str:
        """Names the run of the store that answers now. Raises StoreUnavailable when none does."""

    async def begin(self, epoch: int) -> None:
        """Begin a new epoch on what is drawn: ``seq`` 0, ``origin`` the store's present run."""

    async def advance(self, epoch: int, position: str) -> None:
        """Note that the ledger is drawn up to a position; StaleBoard if another epoch has begun."""

    async def rebuild(self, epoch: int, standings: AsyncIterator[Sequence[Standing]], position: str) -> int:
        """Draw everything anew beside what is drawn, then put it in its place at once; how many are ranked.

        What others set on the old drawing meanwhile is not in the new one: set again what changed since the position.
        StaleBoard if another drawing took the place meanwhile.
        """

    async def page(self, offset: int, limit: int) -> Page:
        """A stretch of the board at one cursor."""

    async def read_views(self, views: Sequence[View]) -> list[Page]:
        """What these views show, in their order and all at one cursor; one round trip for all."""

    async def since(self, cursor: Cursor, limit: int) -> History:
        """What changed after a cursor, and the first ``limit`` rows of the board at that same moment.

        At least the last 1,000 steps of an epoch are kept. A cursor of another epoch, or one ahead of the board, has no history.
        """

    async def rank_of(self, user_id: str) -> PlayerRank:
        """Where one player stands."""

    async def totals_of(self, user_ids: Sequence[str]) -> list[tuple[int, int] | None]:
        """(points, version) as drawn for each user, None where not on the board: for checks."""

    async def differing(self, standings: Sequence[Standing]) -> list[tuple[Standing, int]]:
        """Which of at most 500 standings are drawn otherwise, each with its drawn version (-1: unknown to the board).

        One short question (a digest of all) when none is.
        """

    async def lock(self, what: str, life_ms: int) -> bool:
        """Take or keep a lock that one server holds at a time: True while it is ours.

        It ends by itself after its life, and a life of 0 gives it back.
        """

    async def write_caches(self, receipts: Sequence[tuple[Award, Receipt]]) -> None:
        """Leave the specification's conveniences: used-markers and score caches, with their times to live.

        Nothing depends on them; never raises.
        """

    def listen(
        self, on_changes: Callable[[Cursor, Sequence[ScoreChanged]], None], missed: Callable[[], None] = lambda: None
    ) -> None:
        """From now on call ``hear`` with changes that others than this process made (a CLI, another server).

        ``missed`` is called whenever some of them may not have been heard.
        """

    async def ping(self) -> None:
        """Return if the board's store answers; raise StoreUnavailable if not."""
