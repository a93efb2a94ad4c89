"""The ledger's shell: implements boundaries.Ledger over a blocking SQL store, and never blocks the reactor.

Four lanes, so that awards wait for nobody: one writes, one reads, one makes the reads that may take long, one probes. Each is a
thread with a connection of its own; every await has a deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scoreboard.boundaries import Failpoint, Ledger, no_failpoint
from scoreboard.domain.entries import Entry, EntryFilter, Finding, ResetOrder
from scoreboard.domain.judgement import Claim, Verdict
from scoreboard.domain.values import Receipt, Standing
from scoreboard.storage.lane import Lane, Reactor
from scoreboard.storage.opening import SqlStore, open_store

WRITE_SECONDS_MAX: Final = 5.0
RESET_SECONDS_MAX: Final = 65.0
READ_SECONDS_MAX: Final = 3.0
AUDIT_SECONDS_MAX: Final = 35.0
PROBE_SECONDS_MAX: Final = 0.9
WRITES_WAITING_MAX: Final = 16
READS_WAITING_MAX: Final = 256
AUDITS_WAITING_MAX: Final = 16
PROBES_WAITING_MAX: Final = 4


class SqlLedger:
    """Implements boundaries.Ledger. ``start`` before the first call; ``close`` finishes what was asked and lets go."""

    def __init__(self, store: SqlStore, reactor: Reactor) -> None:
        self._writes = store.writes
        self._reads = store.reads
        self._audits = store.audits
        self._probe = store.probe
        self._writing = Lane(reactor, "ledger writes", store.writes, waiting_max=WRITES_WAITING_MAX)
        self._reading = Lane(reactor, "ledger reads", store.reads, waiting_max=READS_WAITING_MAX)
        self._auditing = Lane(reactor, "ledger audits", store.audits, waiting_max=AUDITS_WAITING_MAX)
        self._probing = Lane(reactor, "ledger probes", store.probe, waiting_max=PROBES_WAITING_MAX)

    def start(self) -> None:
        """Start the threads; connections are opened when they are first needed."""
        for lane in self._lanes:
            lane.start()

    async def close(self) -> None:
        """Finish what was asked, end the threads, close the connections."""
        for lane in self._lanes:
            await lane.close()

    @property
    def _lanes(self) -> tuple[Lane, ...]:
        return self._writing, self._reading, self._auditing, self._probing

    async def award(self, claims: Sequence[Claim], receipts: Sequence[tuple[str, Receipt]]) -> list[Verdict]:
        """As boundaries.Ledger.award."""
        return await self._writing.ask(WRITE_SECONDS_MAX, self._writes.award, tuple(claims), tuple(receipts))

    async def reset(self, order: ResetOrder) -> list[Standing]:
        """As boundaries.Ledger.reset."""
        return await self._writing.ask(RESET_SECONDS_MAX, self._writes.reset, order)

    async def next_epoch(self) -> int:
        """As boundaries.Ledger.next_epoch."""
        return await self._writing.ask(WRITE_SECONDS_MAX, self._writes.next_epoch)

    async def ping(self) -> None:
        """As boundaries.Ledger.ping."""
        await self._probing.ask(PROBE_SECONDS_MAX, self._probe.commit)

    async def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        """As boundaries.Ledger.accounts."""
        return await self._reading.ask(READ_SECONDS_MAX, self._reads.accounts, after_user_id, limit)

    async def changed_since(self, since_ms: int, after_user_id: str, limit: int) -> list[Standing]:
        """As boundaries.Ledger.changed_since."""
        return await self._reading.ask(READ_SECONDS_MAX, self._reads.changed_since, since_ms, after_user_id, limit)

    async def top(self, offset: int, limit: int) -> tuple[int, list[Standing]]:
        """As boundaries.Ledger.top."""
        return await self._reading.ask(READ_SECONDS_MAX, self._reads.top, offset, limit)

    async def account(self, user_id: str) -> Standing | None:
        """As boundaries.Ledger.account."""
        return await self._reading.ask(READ_SECONDS_MAX, self._reads.account, user_id)

    async def epoch(self) -> int:
        """As boundaries.Ledger.epoch."""
        return await self._reading.ask(READ_SECONDS_MAX, self._reads.epoch)

    async def entries(
        self, where: EntryFilter, after: tuple[int, str] | None, limit: int, newest_first: bool = False
    ) -> list[Entry]:
        """As boundaries.Ledger.entries."""
        return await self._auditing.ask(AUDIT_SECONDS_MAX, self._audits.entries, where, after, limit, newest_first)

    async def count_entries(self, where: EntryFilter) -> int:
        """As boundaries.Ledger.count_entries."""
        return await self._auditing.ask(AUDIT_SECONDS_MAX, self._audits.count_entries, where)

    async def verify(self, after_user_id: str, limit: int) -> tuple[str | None, list[Finding]]:
        """As boundaries.Ledger.verify."""
        return await self._auditing.ask(AUDIT_SECONDS_MAX, self._audits.verify, after_user_id, limit)


def open_ledger(url: str, reactor: Reactor, failpoint: Failpoint = no_failpoint) -> SqlLedger:
    """The ledger behind ``sqlite:///path`` or ``postgresql://…``, not started yet. Raises LedgerUnusable for any other URL."""
    return SqlLedger(open_store(url, failpoint), reactor)


_conforms: type[Ledger] = SqlLedger
