"""The ledger's shell: implements boundaries.Ledger over a blocking SQL store, and never blocks the reactor.

Five lanes, so that awards wait for nothing else: one writes, one reads, one makes the reads that may take long, one follows the
order of commits and rebuilds boards, which waits for no reader, and one probes. Each is a thread with a connection of its own,
and both are replaced when they hang; every await has a deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from scoreboard.boundaries.ledger import Ledger
from scoreboard.domain.actions import PlacedReceipt
from scoreboard.domain.entries import Entry, EntryFilter, Finding, ResetOrder, ResetResult
from scoreboard.domain.judgement import AWARD_S_MAX, Claim, Verdict
from scoreboard.domain.ledger_state import ChangedPage, LedgerState
from scoreboard.domain.standings import Standing
from scoreboard.failpoints import Failpoint, no_failpoint
from scoreboard.storage.sql.commit_order import CommitOrder
from scoreboard.storage.sql.probes import SqlProbe
from scoreboard.storage.sql.queries import LedgerQueries
from scoreboard.storage.sql.stores import SqlStore, ThreadedAwardWriter, store_opener
from scoreboard.storage.sql.thread import Counter, Reactor, SqlThread, close_threads

WRITE_SECONDS_MAX: Final = 5.0
RESET_SECONDS_MAX: Final = 65.0
READ_SECONDS_MAX: Final = 3.0
AUDIT_SECONDS_MAX: Final = 35.0
REBUILD_SECONDS_MAX: Final = 10.0
PROBE_SECONDS_MAX: Final = 0.9
WRITES_WAITING_MAX: Final = 16
READS_WAITING_MAX: Final = 256
AUDITS_WAITING_MAX: Final = 16
REBUILDS_WAITING_MAX: Final = 16
PROBES_WAITING_MAX: Final = 4
#: How long a stop waits for what was asked; what is not done then is given up.
CLOSE_SECONDS_MAX: Final = 2.0


class SqlLedger:
    """Implements boundaries.Ledger. ``start`` before the first call; ``close`` finishes what was asked and lets go."""

    def __init__(self, open_store: Callable[[], SqlStore], reactor: Reactor, meter: Counter | None = None) -> None:
        def sql_thread(name: str, build: Callable[[], Any], waiting_max: int) -> SqlThread[Any]:
            return SqlThread(reactor, f"ledger {name}", build, waiting_max=waiting_max, meter=meter)

        self._writing: SqlThread[ThreadedAwardWriter] = sql_thread("writes", lambda: open_store().writes, WRITES_WAITING_MAX)
        self._reading: SqlThread[LedgerQueries] = sql_thread("reads", lambda: open_store().reads, READS_WAITING_MAX)
        self._auditing: SqlThread[LedgerQueries] = sql_thread("audits", lambda: open_store().audits, AUDITS_WAITING_MAX)
        self._rebuilding: SqlThread[CommitOrder] = sql_thread("rebuilds", lambda: open_store().order, REBUILDS_WAITING_MAX)
        self._probing: SqlThread[SqlProbe] = sql_thread("probes", lambda: open_store().commit_probe, PROBES_WAITING_MAX)
        self._threads: tuple[SqlThread[Any], ...] = (
            self._writing,
            self._reading,
            self._auditing,
            self._rebuilding,
            self._probing,
        )

    def start(self) -> None:
        """Start the threads; connections are opened when they are first needed."""
        for sql_thread in self._threads:
            sql_thread.start()

    async def close(self) -> None:
        """Finish what was asked, end the threads, close the connections; what is not done in time is given up."""
        await close_threads(self._threads, CLOSE_SECONDS_MAX)

    async def award(
        self, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt], seconds_max: float = AWARD_S_MAX
    ) -> list[Verdict]:
        """As boundaries.Ledger.award."""
        batch, placed = tuple(claims), tuple(receipts)
        return await self._writing.ask(seconds_max, lambda writes: writes.award(batch, placed))

    async def reset(self, order: ResetOrder) -> ResetResult:
        """As boundaries.Ledger.reset."""
        return await self._writing.ask(RESET_SECONDS_MAX, lambda writes: writes.reset(order))

    async def next_epoch(self, drawn_on: str, above: int = 0) -> int:
        """As boundaries.Ledger.next_epoch."""
        return await self._writing.ask(WRITE_SECONDS_MAX, lambda writes: writes.next_epoch(drawn_on, above))

    async def sign(self, drawn_on: str) -> None:
        """As boundaries.Ledger.sign."""
        await self._rebuilding.ask(REBUILD_SECONDS_MAX, lambda order: order.sign(drawn_on))

    async def ping(self) -> None:
        """As boundaries.Ledger.ping."""
        await self._probing.ask(PROBE_SECONDS_MAX, lambda probe: probe.commit())

    async def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        """As boundaries.Ledger.accounts."""
        return await self._rebuilding.ask(REBUILD_SECONDS_MAX, lambda order: order.accounts(after_user_id, limit))

    async def ranked(self, after: Standing | None, limit: int) -> list[Standing]:
        """As boundaries.Ledger.ranked."""
        return await self._rebuilding.ask(REBUILD_SECONDS_MAX, lambda order: order.ranked(after, limit))

    async def unranked(self, after_user_id: str, limit: int) -> list[Standing]:
        """As boundaries.Ledger.unranked."""
        return await self._rebuilding.ask(REBUILD_SECONDS_MAX, lambda order: order.unranked(after_user_id, limit))

    async def position(self) -> str:
        """As boundaries.Ledger.position."""
        return await self._rebuilding.ask(READ_SECONDS_MAX, lambda order: order.position())

    async def changed_since(self, position: str, after: str, limit: int) -> ChangedPage:
        """As boundaries.Ledger.changed_since."""
        return await self._rebuilding.ask(REBUILD_SECONDS_MAX, lambda order: order.changed_since(position, after, limit))

    async def top(self, offset: int, limit: int) -> list[Standing]:
        """As boundaries.Ledger.top."""
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.top(offset, limit))

    async def ranked_count(self) -> int:
        """As boundaries.Ledger.ranked_count."""
        return await self._auditing.ask(AUDIT_SECONDS_MAX, lambda audits: audits.ranked_count())

    async def accounts_of(self, user_ids: Sequence[str]) -> list[Standing]:
        """As boundaries.Ledger.accounts_of."""
        asked = tuple(user_ids)
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.accounts_of(asked))

    async def account(self, user_id: str) -> Standing | None:
        """As boundaries.Ledger.account."""
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.account(user_id))

    async def state(self) -> LedgerState:
        """As boundaries.Ledger.state."""
        return await self._rebuilding.ask(READ_SECONDS_MAX, lambda order: order.state())

    async def clock_ms(self) -> int:
        """As boundaries.Ledger.clock_ms."""
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.clock_ms())

    async def entries(
        self, where: EntryFilter, after: tuple[int, str] | None, limit: int, newest_first: bool = False
    ) -> list[Entry]:
        """As boundaries.Ledger.entries."""
        return await self._auditing.ask(AUDIT_SECONDS_MAX, lambda audits: audits.entries(where, after, limit, newest_first))

    async def count_entries(self, where: EntryFilter) -> int:
        """As boundaries.Ledger.count_entries."""
        return await self._auditing.ask(AUDIT_SECONDS_MAX, lambda audits: audits.count_entries(where))

    async def verify(self, after_user_id: str, limit: int) -> tuple[str | None, list[Finding]]:
        """As boundaries.Ledger.verify."""
        return await self._auditing.ask(AUDIT_SECONDS_MAX, lambda audits: audits.verify(after_user_id, limit))


def open_ledger(url: str, reactor: Reactor, failpoint: Failpoint = no_failpoint, meter: Counter | None = None) -> SqlLedger:
    """The ledger behind ``sqlite:///path`` or ``postgresql://…``, not started yet. Raises LedgerUnusable for any other URL."""
    return SqlLedger(store_opener(url, failpoint), reactor, meter)


_conforms: type[Ledger] = SqlLedger
