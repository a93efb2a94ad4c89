"""Board ledger in memory, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from typing_extensions import override

from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.entries import Entry
from scoreboard.domain.errors import LedgerWentBack
from scoreboard.domain.ledger_state import ChangedPage, LedgerState
from scoreboard.domain.players import player_key
from scoreboard.domain.standings import Standing


class Records(Protocol):
    """What a MemoryLedger keeps."""

    ledger_id: str
    instance: str
    followed_s_ago: int
    recorded: list[Entry]
    epochs: dict[BoardBucket, tuple[int, str]]
    now_ms: Callable[[], int]

    def standings_in(self, bucket: BoardBucket) -> Mapping[str, Standing]:
        """The standings in a bucket, by user id."""

    async def wait_or_fail(self) -> None:
        """Each call begins with this."""


class MemoryBoardLedger(BoardLedger):
    """One board of a MemoryLedger."""

    def __init__(self, ledger: Records, bucket: BoardBucket) -> None:
        self._ledger = ledger
        self._bucket = bucket

    @property
    def _standings(self) -> Mapping[str, Standing]:
        return self._ledger.standings_in(self.bucket)

    @property
    @override
    def bucket(self) -> BoardBucket:
        return self._bucket

    @override
    async def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        await self._ledger.wait_or_fail()
        known = self._standings
        return [known[user_id] for user_id in beyond(known, after_user_id)][:limit]

    @override
    async def ranked(self, after: Standing | None, limit: int) -> list[Standing]:
        board = await self.top(0, len(self._standings))
        return [one for one in board if after is None or _below(one, after)][:limit]

    @override
    async def unranked(self, after_user_id: str, limit: int) -> list[Standing]:
        return [one for one in await self.accounts(after_user_id, len(self._standings)) if one.reached_at_ms is None][:limit]

    @override
    async def position(self) -> str:
        await self._ledger.wait_or_fail()
        return str(len(self._ledger.recorded))

    @override
    async def changed_since(self, position: str, after: str, limit: int) -> ChangedPage:
        await self._ledger.wait_or_fail()
        if int(position) > len(self._ledger.recorded):
            raise LedgerWentBack(f"it has {len(self._ledger.recorded)} entries; the board has seen {position}")
        first = int(after or position)
        page = self._ledger.recorded[first : first + limit]
        known = self._standings
        standings = [known[user_id] for user_id in sorted({entry.user_id for entry in page}) if user_id in known]
        return ChangedPage(standings=standings, after=str(first + limit) if len(page) == limit else "")

    @override
    async def top(self, offset: int, limit: int) -> list[Standing]:
        await self._ledger.wait_or_fail()
        board = [standing for _, standing in sorted(self._standings.items(), reverse=True) if standing.reached_at_ms is not None]
        board.sort(key=lambda standing: (-standing.points, standing.reached_at_ms))
        return board[offset : offset + limit]

    @override
    async def ranked_count(self) -> int:
        await self._ledger.wait_or_fail()
        return sum(standing.reached_at_ms is not None for standing in self._standings.values())

    @override
    async def accounts_of(self, user_ids: Sequence[str]) -> list[Standing]:
        await self._ledger.wait_or_fail()
        known = self._standings
        return [known[user_id] for user_id in user_ids if user_id in known]

    @override
    async def account(self, user_id: str) -> Standing | None:
        await self._ledger.wait_or_fail()
        return self._standings.get(user_id)

    @override
    async def state(self) -> LedgerState:
        await self._ledger.wait_or_fail()
        epoch, epoch_run = self._ledger.epochs.get(self.bucket, (0, ""))
        return LedgerState(
            ledger_id=self._ledger.ledger_id,
            instance=self._ledger.instance,
            epoch=epoch,
            epoch_run=epoch_run,
            followed_s_ago=self._ledger.followed_s_ago,
        )

    @override
    async def next_epoch(self, run: str, above: int = 0) -> int:
        await self._ledger.wait_or_fail()
        before, _ = self._ledger.epochs.get(self.bucket, (0, ""))
        epoch = max(before + 1, above + 1, self._ledger.now_ms())
        self._ledger.epochs[self.bucket] = epoch, run
        return epoch

    @override
    async def note_followed(self, run: str) -> None:
        await self._ledger.wait_or_fail()


def beyond(user_ids: Iterable[str], after: str) -> list[str]:
    """The ids after one ("" for all), by shard and id, as in SQL."""
    ordered = sorted(user_ids, key=player_key)
    return [user_id for user_id in ordered if player_key(user_id) > player_key(after)]


def _below(one: Standing, other: Standing) -> bool:
    ahead, behind = ((-each.points, each.reached_at_ms or 0) for each in (other, one))
    return ahead < behind or (ahead == behind and one.user_id < other.user_id)
