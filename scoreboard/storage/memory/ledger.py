"""Ledger in memory, for tests: keeps every promise of a ledger but durability, and can be made to fail or to wait."""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Callable, Iterable, Sequence

import msgspec
from typing_extensions import override

from scoreboard.boundaries.ledger import Ledger
from scoreboard.domain.actions import PlacedReceipt
from scoreboard.domain.boards import BoardDefinition
from scoreboard.domain.entries import RESET, Entry, EntryFilter, Finding, ResetOrder, ResetResult
from scoreboard.domain.errors import LedgerWentBack
from scoreboard.domain.judgement import (
    AWARD_S_MAX,
    Award,
    BatchFacts,
    Claim,
    MilestoneKey,
    Verdict,
    judge_batch,
    milestones_crossed,
    with_unlocks,
)
from scoreboard.domain.ledger_state import ChangedPage, LedgerState
from scoreboard.domain.players import Achievement, ledger_shard
from scoreboard.domain.standings import Standing
from scoreboard.storage.memory.faults import FaultInjection
from scoreboard.storage.sql.award_rows import achievement_of, entries_of, read_standings, reset_metadata, totals_of


def _random_id() -> str:
    return str(uuid.uuid4())


class MemoryLedger(FaultInjection, Ledger):
    """A ledger in memory. A test may change ``standings``; MemoryPlayerStore shares ``achievements`` and ``suspended``."""

    def __init__(
        self, new_id: Callable[[], str] = _random_id, clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        super().__init__()
        self._clock_ms = clock_ms
        self.ledger_id, self.instance, self.followed_s_ago = _random_id(), "memory", 0
        self.standings: dict[str, Standing] = {}
        self.achievements: dict[MilestoneKey, Achievement] = {}
        self._new_id = new_id
        self.suspended: set[str] = set()
        self._past = BatchFacts(accounts={}, suspended=self.suspended, used={}, today={}, completed=set())
        self._entries: list[Entry] = []
        #: The epoch of each board, and the run of the Redis on which it began.
        self._epochs: dict[BoardDefinition, tuple[int, str]] = {}
        self.seconds_allowed = 0.0  # of the last batch

    def backup(self) -> Callable[[], None]:
        """Returns a function that sets the ledger back to its present content, as a restore does."""
        kept = (dict(self.standings), dict(self.achievements), copy.deepcopy(self._past), list(self._entries), dict(self._epochs))

        def restore() -> None:
            self.standings, self.achievements, self._past, self._entries, self._epochs = kept

        return restore

    @override
    async def award(
        self, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt], seconds_max: float = AWARD_S_MAX
    ) -> list[Verdict]:
        self.seconds_allowed = seconds_max
        await self._wait_or_fail()
        for user_id, action_id, receipt in receipts:
            used = self._past.used.get((user_id, action_id))
            if used is not None and used.receipt.degraded and receipt.rank is not None:
                placed = msgspec.structs.replace(
                    used.receipt, rank=receipt.rank, previous_rank=receipt.previous_rank, degraded=False
                )
                self._past.used[user_id, action_id] = msgspec.structs.replace(used, receipt=placed)
        verdicts = judge_batch(claims, self._past)
        awards = [verdict for verdict in verdicts if isinstance(verdict, Award)]
        self._entries += entries_of(awards)
        rows = [
            (total.user_id, total.username, total.avatar, total.score, total.version, total.at_ms, total.at_ms)
            for total in totals_of(awards)
        ]
        self.standings.update({standing.user_id: standing for standing in read_standings(rows)})
        new = {key: given for key, given in milestones_crossed(awards).items() if key not in self.achievements}
        self.achievements.update({key: achievement_of(key, given) for key, given in new.items()})
        return with_unlocks(verdicts, new)

    @override
    async def reset(self, order: ResetOrder) -> ResetResult:
        await self._wait_or_fail()
        gone = [
            standing
            for user_id, standing in sorted(self.standings.items())
            if standing.reached_at_ms is not None and (order.user_ids is None or user_id in order.user_ids)
        ]
        return ResetResult(standings=[self._take_back(standing, order) for standing in gone])

    @override
    async def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        await self._wait_or_fail()
        return [self.standings[user_id] for user_id in beyond(self.standings, after_user_id)][:limit]

    @override
    async def ranked(self, after: Standing | None, limit: int) -> list[Standing]:
        board = await self.top(0, len(self.standings))
        return [one for one in board if after is None or _below(one, after)][:limit]

    @override
    async def unranked(self, after_user_id: str, limit: int) -> list[Standing]:
        await self._wait_or_fail()
        known = [self.standings[user_id] for user_id in beyond(self.standings, after_user_id)]
        return [one for one in known if one.reached_at_ms is None][:limit]

    @override
    async def position(self) -> str:
        await self._wait_or_fail()
        return str(len(self._entries))

    @override
    async def changed_since(self, position: str, after: str, limit: int) -> ChangedPage:
        await self._wait_or_fail()
        if int(position) > len(self._entries):
            raise LedgerWentBack(f"it has {len(self._entries)} entries; the board has seen {position}")
        first = int(after or position)
        page = self._entries[first : first + limit]
        standings = [self.standings[user_id] for user_id in sorted({entry.user_id for entry in page})]
        return ChangedPage(standings=standings, after=str(first + limit) if len(page) == limit else "")

    @override
    async def top(self, offset: int, limit: int) -> list[Standing]:
        await self._wait_or_fail()
        board = [standing for _, standing in sorted(self.standings.items(), reverse=True) if standing.reached_at_ms is not None]
        board.sort(key=lambda standing: (-standing.points, standing.reached_at_ms))
        return board[offset : offset + limit]

    @override
    async def ranked_count(self) -> int:
        await self._wait_or_fail()
        return sum(standing.reached_at_ms is not None for standing in self.standings.values())

    @override
    async def accounts_of(self, user_ids: Sequence[str]) -> list[Standing]:
        await self._wait_or_fail()
        return [self.standings[user_id] for user_id in user_ids if user_id in self.standings]

    @override
    async def account(self, user_id: str) -> Standing | None:
        await self._wait_or_fail()
        return self.standings.get(user_id)

    @override
    async def state(self, board: BoardDefinition) -> LedgerState:
        await self._wait_or_fail()
        epoch, epoch_run = self._epochs.get(board, (0, ""))
        return LedgerState(
            ledger_id=self.ledger_id, instance=self.instance, epoch=epoch, epoch_run=epoch_run, followed_s_ago=self.followed_s_ago
        )

    @override
    async def next_epoch(self, board: BoardDefinition, run: str, above: int = 0) -> int:
        await self._wait_or_fail()
        before, _ = self._epochs.get(board, (0, ""))
        epoch = max(before + 1, above + 1, self._clock_ms())
        self._epochs[board] = epoch, run
        return epoch

    @override
    async def note_followed(self, board: BoardDefinition, run: str) -> None:
        await self._wait_or_fail()

    @override
    async def clock_ms(self) -> int:
        await self._wait_or_fail()
        return self._clock_ms()

    @override
    async def entries(
        self, where: EntryFilter, after: tuple[int, str] | None, limit: int, newest_first: bool = False
    ) -> list[Entry]:
        await self._wait_or_fail()
        found = sorted((entry for entry in self._entries if _fits(entry, where)), key=_position, reverse=newest_first)
        if after is not None:
            found = [entry for entry in found if (_position(entry) < after if newest_first else _position(entry) > after)]
        return found[:limit]

    @override
    async def count_entries(self, where: EntryFilter) -> int:
        await self._wait_or_fail()
        return sum(_fits(entry, where) for entry in self._entries)

    @override
    async def verify(self, after_user_id: str, limit: int) -> tuple[str | None, list[Finding]]:
        page = await self.accounts(after_user_id, limit)
        findings = []
        for standing in page:
            awarded = [entry.score_awarded for entry in self._entries if entry.user_id == standing.user_id]
            expected = f"{sum(awarded)} points from {len(awarded)} entries"
            found = f"{standing.points} points from {standing.version} entries"
            if found != expected:
                findings.append(Finding(user_id=standing.user_id, where="user_scores", expected=expected, found=found))
        return (page[-1].user_id if len(page) == limit else None), findings

    @override
    async def ping(self) -> None:
        await self._wait_or_fail()

    def _take_back(self, standing: Standing, order: ResetOrder) -> Standing:
        user_id, version = standing.user_id, standing.version + 1
        self._entries.append(
            Entry(
                transaction_id=self._new_id(),
                user_id=user_id,
                action_id=self._new_id(),
                action_type=RESET,
                score_before=standing.points,
                score_after=0,
                score_awarded=-standing.points,
                at_ms=order.at_ms,
                ip_address="",
                user_agent="",
                validated=True,
                metadata=reset_metadata(order),
            )
        )
        account = self._past.accounts[user_id]
        self._past.accounts[user_id] = msgspec.structs.replace(account, points=0, version=version, actions=0)
        self.standings[user_id] = msgspec.structs.replace(
            standing, points=0, version=version, reached_at_ms=None, updated_at_ms=order.at_ms
        )
        return self.standings[user_id]


def beyond(user_ids: Iterable[str], after: str) -> list[str]:
    """The ids after one ("" for all), by shard and id, as in SQL."""
    ordered = sorted(user_ids, key=_player_key)
    return [user_id for user_id in ordered if not after or _player_key(user_id) > _player_key(after)]


def _player_key(user_id: str) -> tuple[int, str]:
    return ledger_shard(user_id), user_id


def _below(one: Standing, other: Standing) -> bool:
    ahead, behind = ((-each.points, each.reached_at_ms or 0) for each in (other, one))
    return ahead < behind or (ahead == behind and one.user_id < other.user_id)


def _position(entry: Entry) -> tuple[int, str]:
    return entry.at_ms, entry.transaction_id


def _fits(entry: Entry, where: EntryFilter) -> bool:
    return (
        where.user_id in (None, entry.user_id)
        and where.action_id in (None, entry.action_id)
        and where.action_type in (None, entry.action_type)
        and (where.since_ms is None or entry.at_ms >= where.since_ms)
        and (where.until_ms is None or entry.at_ms < where.until_ms)
    )
