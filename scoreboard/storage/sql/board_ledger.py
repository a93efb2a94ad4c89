"""Board ledger in SQL: the standings of one board, by the threads of its ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from typing_extensions import override

from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.ledger_state import ChangedPage, LedgerState
from scoreboard.domain.standings import Standing
from scoreboard.storage.sql.award import AwardWriter
from scoreboard.storage.sql.commit_order import CommitOrder
from scoreboard.storage.sql.queries import LedgerQueries
from scoreboard.storage.sql.thread import SqlThread

WRITE_SECONDS_MAX: Final = 5.0
READ_SECONDS_MAX: Final = 3.0
AUDIT_SECONDS_MAX: Final = 35.0
REBUILD_SECONDS_MAX: Final = 10.0


class SqlBoardLedger(BoardLedger):
    """One board of a ledger in SQLite or PostgreSQL."""

    def __init__(
        self,
        bucket: BoardBucket,
        writing: SqlThread[AwardWriter],
        reading: SqlThread[LedgerQueries],
        auditing: SqlThread[LedgerQueries],
        rebuilding: SqlThread[CommitOrder],
    ) -> None:
        self._bucket = bucket
        self._writing = writing
        self._reading = reading
        self._auditing = auditing
        self._rebuilding = rebuilding

    @property
    @override
    def bucket(self) -> BoardBucket:
        return self._bucket

    @override
    async def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        return await self._rebuilding.ask(REBUILD_SECONDS_MAX, lambda order: order.accounts(self.bucket, after_user_id, limit))

    @override
    async def ranked(self, after: Standing | None, limit: int) -> list[Standing]:
        return await self._rebuilding.ask(REBUILD_SECONDS_MAX, lambda order: order.ranked(self.bucket, after, limit))

    @override
    async def unranked(self, after_user_id: str, limit: int) -> list[Standing]:
        return await self._rebuilding.ask(REBUILD_SECONDS_MAX, lambda order: order.unranked(self.bucket, after_user_id, limit))

    @override
    async def position(self) -> str:
        return await self._rebuilding.ask(READ_SECONDS_MAX, lambda order: order.position())

    @override
    async def changed_since(self, position: str, after: str, limit: int) -> ChangedPage:
        return await self._rebuilding.ask(
            REBUILD_SECONDS_MAX, lambda order: order.changed_since(self.bucket, position, after, limit)
        )

    @override
    async def top(self, offset: int, limit: int) -> list[Standing]:
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.top(self.bucket, offset, limit))

    @override
    async def ranked_count(self) -> int:
        return await self._auditing.ask(AUDIT_SECONDS_MAX, lambda audits: audits.ranked_count(self.bucket))

    @override
    async def accounts_of(self, user_ids: Sequence[str]) -> list[Standing]:
        asked = tuple(user_ids)
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.accounts_of(self.bucket, asked))

    @override
    async def account(self, user_id: str) -> Standing | None:
        return await self._reading.ask(READ_SECONDS_MAX, lambda reads: reads.account(self.bucket, user_id))

    @override
    async def state(self) -> LedgerState:
        return await self._rebuilding.ask(READ_SECONDS_MAX, lambda order: order.state(self.bucket))

    @override
    async def next_epoch(self, run: str, above: int = 0) -> int:
        return await self._writing.ask(WRITE_SECONDS_MAX, lambda writes: writes.next_epoch(self.bucket, run, above))

    @override
    async def note_followed(self, run: str) -> None:
        await self._rebuilding.ask(REBUILD_SECONDS_MAX, lambda order: order.note_followed(self.bucket, run))
