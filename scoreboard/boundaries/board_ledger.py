"""Board ledger: the standings of one board in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.ledger_state import ChangedPage, LedgerState
from scoreboard.domain.standings import Standing


class BoardLedger(Protocol):
    """What the ledger has of one bucket of one board. It decides what the board should show."""

    @property
    def bucket(self) -> BoardBucket:
        """Whose standings these are."""

    async def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        """At most ``limit`` standings, by shard and user id, after the given one ("" for the first page)."""

    async def ranked(self, after: Standing | None, limit: int) -> list[Standing]:
        """At most ``limit`` standings on the board after the given one (None: the first page), in an order of the ledger's own.

        The global board comes best first; equal points are ordered by time, then by user id descending. A player who moves
        between two pages may be missed, or read twice, the second time with a later version. `changed_since` a position before
        the first page has each such player.
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

    async def state(self) -> LedgerState:
        """Which ledger this is, and the epoch of the board."""

    async def next_epoch(self, run: str, above: int = 0) -> int:
        """Begin a new epoch of the board on a run of Redis; returns its number.

        The number is greater than any before, greater than ``above``, and at least the milliseconds since 1970. So a ledger that
        was restored from a copy does not give out an epoch twice.
        """

    async def note_followed(self, run: str) -> None:
        """Note that a server follows the ledger on this run of Redis. Does nothing if the newest epoch began on another run."""
