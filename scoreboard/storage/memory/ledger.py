"""Ledger in memory, for tests: keeps every promise of a ledger but durability, and can be made to fail or to wait."""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

import msgspec
from typing_extensions import override

from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.boundaries.ledger import Ledger
from scoreboard.domain.actions import PlacedReceipt
from scoreboard.domain.board_changes import BoardChange, changes_between
from scoreboard.domain.board_scores import Counted, fold, off_board
from scoreboard.domain.boards import BoardBucket, BoardDefinition, FedBoard
from scoreboard.domain.entries import RESET, Entry, EntryFilter, Finding, ResetOrder, ResetResult
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
from scoreboard.domain.periods import bucket_at
from scoreboard.domain.players import Achievement, player_key
from scoreboard.domain.standings import Standing
from scoreboard.storage.memory.board_ledger import MemoryBoardLedger, beyond
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
        self.now_ms = clock_ms
        self.ledger_id, self.instance, self.followed_s_ago = _random_id(), "memory", 0
        self.standings: dict[str, Standing] = {}
        self.achievements: dict[MilestoneKey, Achievement] = {}
        self._new_id = new_id
        self.suspended: set[str] = set()
        self._past = BatchFacts(accounts={}, suspended=self.suspended, used={}, today={}, completed=set(), scores={})
        self.recorded: list[Entry] = []
        self._fed: tuple[FedBoard, ...] = ()
        self._numbers = 0
        #: The epoch of each board, and the run of the Redis on which it began.
        self.epochs: dict[BoardBucket, tuple[int, str]] = {}
        self.seconds_allowed = 0.0  # of the last batch

    def backup(self) -> Callable[[], None]:
        """Returns a function that sets the ledger back to its present content, as a restore does."""
        kept = (dict(self.standings), dict(self.achievements), copy.deepcopy(self._past), list(self.recorded), dict(self.epochs))

        def restore() -> None:
            self.standings, self.achievements, self._past, self.recorded, self.epochs = kept

        return restore

    @override
    async def award(
        self, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt], seconds_max: float = AWARD_S_MAX
    ) -> list[Verdict]:
        self.seconds_allowed = seconds_max
        await self.wait_or_fail()
        for user_id, action_id, receipt in receipts:
            used = self._past.used.get((user_id, action_id))
            if used is not None and used.receipt.degraded and receipt.rank is not None:
                placed = msgspec.structs.replace(
                    used.receipt, rank=receipt.rank, previous_rank=receipt.previous_rank, degraded=False
                )
                self._past.used[user_id, action_id] = msgspec.structs.replace(used, receipt=placed)
        verdicts = judge_batch(claims, msgspec.structs.replace(self._past, boards=self._fed))
        awards = [verdict for verdict in verdicts if isinstance(verdict, Award)]
        self.recorded += entries_of(awards)
        rows = [
            (total.user_id, total.username, total.avatar, total.score, total.version, total.at_ms, total.at_ms)
            for total in totals_of(awards)
        ]
        self.standings.update({standing.user_id: standing for standing in read_standings(rows)})
        new = {key: given for key, given in milestones_crossed(awards).items() if key not in self.achievements}
        self.achievements.update({key: achievement_of(key, given) for key, given in new.items()})
        return with_unlocks(verdicts, new)

    @override
    async def declare_boards(self, boards: Sequence[BoardDefinition]) -> list[BoardChange]:
        await self.wait_or_fail()
        changes = changes_between(self._fed, boards, self.now_ms())
        fed = {one.definition.board_id: one for one in self._fed}
        for change in changes:
            board_id = change.definition.board_id
            if change.kind == "added":
                self._numbers += 1
                fed[board_id] = FedBoard(number=self._numbers, definition=change.definition, filled_through=player_key(""))
            elif change.kind == "changed":
                fed[board_id] = msgspec.structs.replace(fed[board_id], definition=change.definition)
            else:
                del fed[board_id]
        self._fed = tuple(fed.values())
        return changes

    @override
    async def fed_boards(self) -> list[FedBoard]:
        await self.wait_or_fail()
        return list(self._fed)

    @override
    async def fill_boards(self, players_max: int) -> bool:
        await self.wait_or_fail()
        lacking = {one.number: one.filled_through for one in self._fed if one.filled_through is not None}
        if not lacking:
            return False
        after = min(lacking.values())
        page = beyond(self._past.accounts, after[1])[:players_max]
        through = player_key(page[-1]) if len(page) == players_max else None
        for user_id in page:
            entries = [Counted(one.action_type, one.score_awarded, one.at_ms) for one in self.recorded if one.user_id == user_id]
            for board in self._fed:
                if board.number in lacking:
                    for bucket, score in fold(board.definition, entries).items():
                        self._past.scores[user_id, board.number, bucket] = score
        filled = {number for number, mark in lacking.items() if through is None or mark < through}
        self._fed = tuple(
            [msgspec.structs.replace(one, filled_through=through) if one.number in filled else one for one in self._fed]
        )
        if through is None:
            names = {one.definition.board_id for one in self._fed if one.number in filled}
            self.epochs = {bucket: one for bucket, one in self.epochs.items() if bucket.board_id not in names}
        return True

    @override
    async def clear_boards(self, rows_max: int) -> bool:
        await self.wait_or_fail()
        fed = {one.number for one in self._fed}
        dead = [key for key in self._past.scores if key[1] not in fed][:rows_max]
        for key in dead:
            del self._past.scores[key]
        return bool(dead)

    def standings_in(self, bucket: BoardBucket) -> Mapping[str, Standing]:
        """The standings in a bucket, by user id."""
        if bucket.is_global:
            return self.standings
        numbers = {one.number for one in self._fed if one.filled_through is None}
        return {
            user_id: msgspec.structs.replace(
                account,
                points=score.score,
                version=score.version,
                reached_at_ms=score.reached_at_ms,
                updated_at_ms=score.reached_at_ms or account.updated_at_ms,
            )
            for (user_id, number, _), score in self._past.scores.items()
            if score.bucket == bucket and number in numbers
            for account in (self.standings[user_id],)
        }

    @override
    async def reset(self, order: ResetOrder) -> ResetResult:
        await self.wait_or_fail()
        gone = [
            standing
            for user_id, standing in sorted(self.standings.items())
            if standing.reached_at_ms is not None and (order.user_ids is None or user_id in order.user_ids)
        ]
        return ResetResult(standings=[self._take_back(standing, order) for standing in gone])

    @override
    def board(self, bucket: BoardBucket) -> BoardLedger:
        return MemoryBoardLedger(self, bucket)

    @override
    async def clock_ms(self) -> int:
        await self.wait_or_fail()
        return self.now_ms()

    @override
    async def entries(
        self, where: EntryFilter, after: tuple[int, str] | None, limit: int, newest_first: bool = False
    ) -> list[Entry]:
        await self.wait_or_fail()
        found = sorted((entry for entry in self.recorded if _fits(entry, where)), key=_position, reverse=newest_first)
        if after is not None:
            found = [entry for entry in found if (_position(entry) < after if newest_first else _position(entry) > after)]
        return found[:limit]

    @override
    async def count_entries(self, where: EntryFilter) -> int:
        await self.wait_or_fail()
        return sum(_fits(entry, where) for entry in self.recorded)

    @override
    async def verify(self, after_user_id: str, limit: int) -> tuple[str | None, list[Finding]]:
        await self.wait_or_fail()
        page = [self.standings[user_id] for user_id in beyond(self.standings, after_user_id)[:limit]]
        findings = []
        for standing in page:
            awarded = [entry.score_awarded for entry in self.recorded if entry.user_id == standing.user_id]
            expected = f"{sum(awarded)} points from {len(awarded)} entries"
            found = f"{standing.points} points from {standing.version} entries"
            if found != expected:
                findings.append(Finding(user_id=standing.user_id, where="user_scores", expected=expected, found=found))
        return (page[-1].user_id if len(page) == limit else None), findings

    @override
    async def ping(self) -> None:
        await self.wait_or_fail()

    def _take_back(self, standing: Standing, order: ResetOrder) -> Standing:
        user_id, version = standing.user_id, standing.version + 1
        self.recorded.append(
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
        for board in self._fed:
            bucket = bucket_at(board.definition.period, order.at_ms)
            key = (user_id, board.number, "" if bucket is None else bucket.name)
            if key in self._past.scores:
                self._past.scores[key] = off_board(self._past.scores[key], version)
        account = self._past.accounts[user_id]
        self._past.accounts[user_id] = msgspec.structs.replace(account, points=0, version=version, actions=0)
        self.standings[user_id] = msgspec.structs.replace(
            standing, points=0, version=version, reached_at_ms=None, updated_at_ms=order.at_ms
        )
        return self.standings[user_id]


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
