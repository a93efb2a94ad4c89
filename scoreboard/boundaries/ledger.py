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
    """The truth: an insert-only record of awards in SQL, and every player's total."""

    async def award(
        self, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt], seconds_max: float = AWARD_S_MAX
    ) -> list[Verdict]:
        """Judge and append a batch in one transaction; when it returns, every Award in it is committed for good.

        ``receipts`` are the placed receipts of an earlier batch, kept in the same commit so that a retry is
        answered with the original. Verdicts are in the order of the claims. Two processes never award one action
        twice nor lose an update. Raises StoreUnavailable within ``seconds_max``, and then nothing of the batch was awarded,
        unless the connection died during COMMIT: then a retry tells. With StoreAway nothing was tried at all.
        """

    async def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        """Every player's standing, by shard and user id, from after the given one ("" for the first): at most ``limit``."""

    async def ranked(self, after: Standing | None, limit: int) -> list[Standing]:
        """Standings on the board, best first, from below the given one (None for the first): at most ``limit``.

        Equal points stand first-come-first, then by user id descending. A player who moves between two pages may be missed, or
        read once more with a later version: `changed_since` a position from before the first page has each such player.
        """

    async def unranked(self, after_user_id: str, limit: int) -> list[Standing]:
        """Standings off the board (players who were reset), by shard and user id as `accounts`: at most ``limit``."""

    async def position(self) -> str:
        """Where the order of commits stands: all that is committed now is before it. Only `changed_since` can read it."""

    async def changed_since(self, position: str, after: str, limit: int) -> ChangedPage:
        """The standings now of players with an entry that was not committed yet at a position.

        ``after`` is "" for the first page, which reads at most ``limit`` entries as every page does, each entry once. No entry
        is ever missed, however transactions overlapped. Raises LedgerWentBack when the position is not of this ledger's past.
        """

    async def top(self, offset: int, limit: int) -> list[Standing]:
        """A stretch of the board as SQL sees it, best first, for when Redis cannot be asked. Nothing is counted."""

    async def ranked_count(self) -> int:
        """How many players are on the board: counts them all, so it is asked seldom."""

    async def accounts_of(self, user_ids: Sequence[str]) -> list[Standing]:
        """The standings of these players (at most 500), in their order; who is unknown is left out."""

    async def account(self, user_id: str) -> Standing | None:
        """One player's standing, or None if the ledger never heard of the player."""

    async def state(self, board: BoardDefinition) -> LedgerState:
        """Which ledger this is, and the board's epoch."""

    async def next_epoch(self, board: BoardDefinition, run: str, above: int = 0) -> int:
        """Begin a new epoch on a run of Redis: greater than any before and than ``above``, at least the milliseconds since 1970.

        The clock is a floor only: with it, a ledger that was restored from a copy does not give an epoch out a second time.
        """

    async def note_followed(self, board: BoardDefinition, run: str) -> None:
        """Note that a server draws the newest epoch on this run of Redis; nothing happens when another is the newest's."""

    async def reset(self, order: ResetOrder) -> ResetResult:
        """Take players (or every player) back to nothing by entries of their own, by user id.

        Nothing is deleted. A player already off the board gets no entry. No row that another session holds is waited for.
        """

    async def entries(
        self, where: EntryFilter, after: tuple[int, str] | None, limit: int, newest_first: bool = False
    ) -> list[Entry]:
        """Ledger entries by (time, transaction id), ascending or newest first, from beyond the given one: at most ``limit``."""

    async def count_entries(self, where: EntryFilter) -> int:
        """How many entries the filter finds."""

    async def verify(self, after_user_id: str, limit: int) -> tuple[str | None, list[Finding]]:
        """Recompute the totals of a page of players from their entries: (last user id seen or None at the end, what differs)."""

    async def clock_ms(self) -> int:
        """The time by the ledger's own clock, read while this is asked."""

    async def ping(self) -> None:
        """Return if the ledger can commit what needs room as an award does; raise StoreUnavailable if not.

        It waits for no award and for no player's row, no award waits for it, and it leaves nothing behind that grows.
        """
