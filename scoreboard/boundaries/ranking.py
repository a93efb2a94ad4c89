"""Ranking: the read cache of a board."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scoreboard.domain.board_pages import Page, PlayerRank, View
from scoreboard.domain.board_state import History
from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.cursor import Cursor


class Ranking(Protocol):
    """Reads of a board: from memory while nothing changes, from the ledger (``degraded``) if the board cannot be read."""

    @property
    def bucket(self) -> BoardBucket:
        """What is read."""

    @property
    def cursor(self) -> Cursor:
        """The newest state of the board that this process knows."""

    @property
    def ledger_ahead_count(self) -> int:
        """How often the board could not be set after a commit. What was read before the last time is out of date."""

    async def page(self, offset: int, limit: int) -> Page:
        """``limit`` rows after the first ``offset``, at least as new as ``cursor`` was at the call."""

    async def read_views(self, views: Sequence[View]) -> list[Page]:
        """A page for each view, all at one cursor, at least as new as ``cursor`` was at the call.

        Read from the board alone, and not kept. Raises StoreUnavailable if the board cannot be read.
        """

    async def since(self, cursor: Cursor, limit: int) -> History:
        """What changed after a cursor, and the first ``limit`` rows, at least as new as ``self.cursor`` was at the call."""

    async def rank_of(self, user_id: str) -> PlayerRank:
        """The rank and points of a player, at least as new as ``cursor`` was at the call."""
