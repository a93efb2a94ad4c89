"""Ledger: the insert-only record of awards in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.domain.actions import PlacedReceipt
from scoreboard.domain.board_changes import BoardChange
from scoreboard.domain.boards import BoardBucket, BoardDefinition, FedBoard
from scoreboard.domain.entries import Entry, EntryFilter, Finding, ResetOrder, ResetResult
from scoreboard.domain.judgement import AWARD_S_MAX, Claim, Verdict


class Ledger(Protocol):
    """An insert-only record of awards in SQL, and every player's total. It decides what is true."""

    async def award(
        self, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt], seconds_max: float = AWARD_S_MAX
    ) -> list[Verdict]:
        """Judge and append a batch in one transaction; when it returns, every Award in it is committed for good.

        ``receipts`` of an earlier batch, with ranks, are written in the same commit, so that a retry gets the original receipt.
        Verdicts are in the order of the claims. Two processes never award one action twice and never lose an update.
        Raises StoreUnavailable within ``seconds_max``. Then no award of the batch was committed, except if the connection was
        lost during COMMIT: a retry shows whether the batch was committed. After StoreAway nothing was tried.
        """

    def board(self, bucket: BoardBucket) -> BoardLedger:
        """The standings of a board, as the ledger has them."""

    async def declare_boards(self, boards: Sequence[BoardDefinition]) -> list[BoardChange]:
        """Feed these boards beside the global one, and no others; returns what changed. Raises BoardCannotChange.

        A new board has no standings yet: `fill_boards` fills them in. A removed board loses its standings, no entry.
        """

    async def fed_boards(self) -> list[FedBoard]:
        """The boards that the ledger feeds beside the global one."""

    async def fill_boards(self, players_max: int) -> bool:
        """Fill in the standings of at most ``players_max`` players on each board that lacks some. False: none lacks any.

        It delays awards of these players for some milliseconds. All processes may call it at once.
        """

    async def clear_boards(self, rows_max: int) -> bool:
        """Delete at most ``rows_max`` standings of boards that were removed. False: there are none."""

    async def reset(self, order: ResetOrder) -> ResetResult:
        """Set players (or every player) to 0 points by new entries; the standings are in the order of user ids.

        Nothing is deleted. A player who is off the board gets no entry. It waits for no row that another session has locked.
        """

    async def entries(
        self, where: EntryFilter, after: tuple[int, str] | None, limit: int, newest_first: bool = False
    ) -> list[Entry]:
        """At most ``limit`` entries by (time, transaction id), ascending or newest first, after the given one."""

    async def count_entries(self, where: EntryFilter) -> int:
        """How many entries the filter finds."""

    async def verify(self, after_user_id: str, limit: int) -> tuple[str | None, list[Finding]]:
        """Compare a page of totals with their entries: (the last user id, None at the end; the differences)."""

    async def clock_ms(self) -> int:
        """The time by the ledger's clock, in milliseconds since 1970."""

    async def ping(self) -> None:
        """Return if the ledger can commit something that needs room as an award does. Raises StoreUnavailable if not.

        The probe and the awards never wait for each other. The probe waits for no player's row and leaves no data that grows.
        """
