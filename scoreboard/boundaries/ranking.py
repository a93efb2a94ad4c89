"""Ranking: the read cache of a board."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scoreboard.domain.board_pages import Page, PlayerRank, View
from scoreboard.domain.board_state import History
from scoreboard.domain.cursor import Cursor


class Ranking(Protocol):
    """Reads of the board: from memory while nothing changed, from the ledger when the board cannot be asked."""

    @property
    def cursor(self) -> Cursor:
        """The newest state that this process has heard of."""

    @property
    def ledger_ahead_count(self) -> int:
        """How often the ledger ran ahead of a board that could not be drawn: what was read before is no longer true."""

    async def page(self, offset: int, limit: int) -> Page:
        """A stretch of the board, at least as new as ``cursor`` was when asked."""

    async def read_views(self, views: Sequence[View]) -> list[Page]:
        """What these views show, all at one cursor, at least as new as ``cursor`` was when asked.

        Not remembered, and asked of the board alone: StoreUnavailable when that does not answer.
        """

    async def since(self, cursor: Cursor, limit: int) -> History:
        """What changed after a cursor, and the first ``limit`` rows, at least as new as ``cursor`` was when asked."""

    async def rank_of(self, user_id: str) -> PlayerRank:
        """Where a player stands, at least as new as ``cursor`` was when asked."""
