"""Ledger: the insert-only record of awards in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scoreboard.domain.actions import PlacedReceipt
from scoreboard.domain.boards import BoardDefinition
from scoreboard.domain.entries import Entry, EntryFilter, Finding, ResetOrder, ResetResult
from scoreboard.domain.judgement import AWARD_S_MAX, Claim, Verdict
from scoreboard.domain.ledger_state import ChangedPage, LedgerState
from scoreboard.domain.standings import Standing


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

    async def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        """At most ``limit`` standings, by shard and user id, after the given one ("" for the first page)."""

    async def ranked(self, after: Standing | None, limit: int) -> list[Standing]:
        """At most ``limit`` standings on the board, best first, below the given one (None for the first page).

        Equal points are ordered by time, then by user id descending. A player who moves between two pages may be missed, or read
        twice, the second time with a later version. `changed_since` a position before the first page has each such player.
        """

    async def unranked(self, after_user_id: str, limit: int) -> list[Standing]:
        """The same as `accounts` for players off the board (they were reset)."""

    async def position(self) -> str:
        """The present position: all that is committed now is before it. Only `changed_since` can read it."""

    async def changed_since(self, position: str, after: str, limit: int) -> ChangedPage:
        """The present standings of players with an entry that was committed after a position.

        ``after`` is "" for the first page. Each page reads at most ``limit`` entries, each entry is read once, and none is
        missed, however transactions overlap. Raises LedgerWentBack if this ledger never had the position.
        """

    async def top(self, offset: int, limit: int) -> list[Standing]:
        """``limit`` standings of the board after the first ``offset``, best first, for reads without Redis. Counts nothing."""

    async def ranked_count(self) -> int:
        """The number of players on the board. It counts them all, so call it seldom."""

    async def accounts_of(self, user_ids: Sequence[str]) -> list[Standing]:
        """The standings of these players (at most 500), in their order, without unknown ones."""

    async def account(self, user_id: str) -> Standing | None:
        """One player's standing, or None for an unknown player."""

    async def state(self, board: BoardDefinition) -> LedgerState:
        """Which ledger this is, and the epoch of a board."""

    async def next_epoch(self, board: BoardDefinition, run: str, above: int = 0) -> int:
        """Begin a new epoch of a board on a run of Redis; returns its number.

        The number is greater than any before, greater than ``above``, and at least the milliseconds since 1970. So a ledger that
        was restored from a copy does not give out an epoch twice.
        """

    async def note_followed(self, board: BoardDefinition, run: str) -> None:
        """Note that a server follows the ledger on this run of Redis. Does nothing if the newest epoch began on another run."""

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
