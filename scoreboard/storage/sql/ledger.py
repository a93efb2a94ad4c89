"""Ledger in SQL: asynchronous calls to blocking sessions that run in threads, so that the reactor never blocks.

Each kind of call has a SqlThread with a connection of its own, so an award waits for no other kind. The kinds are: writes, reads,
audits (reads that may take long), the order of commits with the rebuilds, and probes. A thread that hangs is replaced with its
connection, and every await has a deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from typing_extensions import override

from scoreboard.background import Counter
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.boundaries.ledger import Ledger
from scoreboard.domain.actions import PlacedReceipt
from scoreboard.domain.board_changes import BoardChange
from scoreboard.domain.boards import BoardBucket, BoardDefinition, FedBoard
from scoreboard.domain.entries import Entry, EntryFilter, Finding, ResetOrder, ResetResult
from scoreboard.domain.judgement import AWARD_S_MAX, Claim, Verdict
from scoreboard.failpoints import Failpoint, no_failpoint
from scoreboard.storage.sql.board_ledger import AUDIT_SECONDS_MAX, READ_SECONDS_MAX, SqlBoardLedger
from scoreboard.storage.sql.stores import SqlStore, store_opener
from scoreboard.storage.sql.thread import Reactor
from scoreboard.storage.sql.threaded_store import ThreadedStore

RESET_SECONDS_MAX: Final = 65.0
PROBE_SECONDS_MAX: Final = 0.9
WRITES_WAITING_MAX: Final = 16
READS_WAITING_MAX: Final = 256
AUDITS_WAITING_MAX: Final = 16
#: Each bucket that a server follows asks one thing at a time, and all of them may ask at once.
REBUILDS_WAITING_MAX: Final = 256
PROBES_WAITING_MAX: Final = 4
DECLARE_SECONDS_MAX: Final = 10.0
FILLS_WAITING_MAX: Final = 4


class SqlLedger(ThreadedStore, Ledger):
    """A ledger in SQLite or PostgreSQL."""

    def __init__(self, open_store: Callable[[], SqlStore], reactor: Reactor, meter: Counter | None = None) -> None:
        super().__init__(reactor, "ledger", meter)
        self._writing = self._thread("writes", lambda: open_store().writes, WRITES_WAITING_MAX)
        self._reading = self._thread("reads", lambda: open_store().reads, READS_WAITING_MAX)
        self._auditing = self._thread("audits", lambda: open_store().audits, AUDITS_WAITING_MAX)
        self._rebuilding = self._thread("rebuilds", lambda: open_store().order, REBUILDS_WAITING_MAX)
        self._keeping = self._thread("boards", lambda: open_store().keeper, FILLS_WAITING_MAX)
        self._probing = self._thread("probes", lambda: open_store().commit_probe, PROBES_WAITING_MAX)

    @override
    async def award(
        self, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt], seconds_max: float = AWARD_S_MAX
    ) -> list[Verdict]:
        batch, placed = tuple(claims), tuple(receipts)
        return await self._writing.ask(seconds_max, lambda writes: writes.award(batch, placed))

    @override
    def board(self, bucket: BoardBucket) -> BoardLedger:
        return SqlBoardLedger(bucket, self._writing, self._reading, self._auditing, self._rebuilding)

    @override
    async def declare_boards(self, boards: Sequence[BoardDefinition]) -> list[BoardChange]:
        declared = tuple(boards)
        return await self._keeping.ask(DECLARE_SECONDS_MAX, lambda keeper: keeper.declare_boards(declared))

    @override
    async def fed_boards(self) -> list[FedBoard]:
        return await self._keeping.ask(READ_SECONDS_MAX, lambda keeper: keeper.fed_boards())

    @override
    async def fill_boards(self, players_max: int) -> bool:
        return await self._keeping.ask(DECLARE_SECONDS_MAX, lambda keeper: keeper.fill_boards(players_max))

    @override
    async def clear_boards(self, rows_max: int) -> bool:
        return await self._keeping.ask(DECLARE_SECONDS_MAX, lambda keeper: keeper.clear_boards(rows_max))

    @override
    async def reset(self, order: ResetOrder) -> ResetResult:
        return await self._writing.ask(RESET_SECONDS_MAX, lambda writes: writes.reset(order))

    @override
    async def ping(self) -> None:
        await self._probing.ask(PROBE_SECONDS_MAX, lambda probe: probe.commit())

    @override
    async def clock_ms(self) -> int:
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.clock_ms())

    @override
    async def entries(
        self, where: EntryFilter, after: tuple[int, str] | None, limit: int, newest_first: bool = False
    ) -> list[Entry]:
        return await self._auditing.ask(AUDIT_SECONDS_MAX, lambda audits: audits.entries(where, after, limit, newest_first))

    @override
    async def count_entries(self, where: EntryFilter) -> int:
        return await self._auditing.ask(AUDIT_SECONDS_MAX, lambda audits: audits.count_entries(where))

    @override
    async def verify(self, after_user_id: str, limit: int) -> tuple[str | None, list[Finding]]:
        return await self._auditing.ask(AUDIT_SECONDS_MAX, lambda audits: audits.verify(after_user_id, limit))


def open_ledger(url: str, reactor: Reactor, failpoint: Failpoint = no_failpoint, meter: Counter | None = None) -> SqlLedger:
    """The ledger behind ``sqlite:///path`` or ``postgresql://…``, not started. Raises LedgerUnusable for any other URL."""
    return SqlLedger(store_opener(url, failpoint), reactor, meter)
