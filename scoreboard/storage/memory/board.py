"""Board in memory: behaves like the board in Redis, for tests."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
from typing_extensions import override

from scoreboard.boundaries.board import Board
from scoreboard.domain.actions import Receipt
from scoreboard.domain.board_pages import Around, Page, PlayerRank, RankRange, View
from scoreboard.domain.board_state import BoardState, History, Placement, Projection
from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.coalesce import coalesce_all
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StaleBoard, StoreUnavailable
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.judgement import Award
from scoreboard.domain.standings import Standing, sort_score

STEPS_KEPT_MAX = 1_024
OnChanges = Callable[[Cursor, Sequence[ScoreChanged]], None]


class SharedBoardState:
    """The data of one board, which several processes share. `lose` empties it, `restart` begins a new run."""

    def __init__(self) -> None:
        self.run = secrets.token_hex(20)
        self.locks: dict[str, MemoryBoard] = {}
        self.life_ms: int | None = None
        self.listeners: list[tuple[MemoryBoard, OnChanges]] = []
        self.lose()

    def lose(self) -> None:
        """Remove the board."""
        self.cursor: Cursor | None = None
        self.steps: list[Sequence[ScoreChanged]] = []
        self.position = ""
        self.epoch_run = ""
        self.owner = ""
        self.damage = ""
        self.followed_s_ago = 0
        self.replace_all({})

    def restart(self) -> None:
        """Begin another run with the same data, as a Redis that was restarted."""
        self.run = secrets.token_hex(20)

    def replace_all(self, standings: dict[str, Standing]) -> None:
        """Hold these players, on the board or not, and no others."""
        self.standings = standings
        self.rank()

    def rank(self) -> None:
        """Order the players as a sorted set does: by score, equal scores by user id descending."""
        written_score = [
            (sort_score(one.points, one.reached_at_ms), one.user_id)
            for one in self.standings.values()
            if one.reached_at_ms is not None
        ]
        self.order = [user_id for _, user_id in sorted(written_score, reverse=True)]
        self.ranks = {user_id: rank for rank, user_id in enumerate(self.order, 1)}

    def begin(self, epoch: int) -> Cursor:
        """Begin an epoch in this run."""
        self.cursor, self.epoch_run, self.steps = Cursor(epoch=epoch, seq=0), self.run, []
        return self.cursor


class MemoryBoard(Board):
    """The board of one process. ``broken``: the store does not answer; ``read_only``: it takes no writes."""

    def __init__(self, bucket: BoardBucket, now_ms: Callable[[], int], shared_state: SharedBoardState | None = None) -> None:
        self.bucket = bucket
        self.shared_state = SharedBoardState() if shared_state is None else shared_state
        self.broken = self.read_only = False
        self.owner = ""
        self.marked: list[tuple[Award, Receipt]] = []
        self._now_ms = now_ms

    @override
    async def set(self, standings: Sequence[Standing], *, overwrite: bool = False) -> Projection:
        shared_state, cursor = self.shared_state, self._cursor()
        self._writable()
        before, there, applied, overtaken = shared_state.ranks, dict(shared_state.standings), [], []
        for one in standings:
            plain = msgspec.structs.replace(one, awards=(), unlocked=())
            found, first = shared_state.standings.get(one.user_id), there.get(one.user_id)
            applied.append(found is None or one.version > found.version or (overwrite and one.version == found.version))
            same_version = first is not None and first.version == one.version
            overtaken.append(first is not None and (first.version > one.version or (same_version and first != plain)))
            if applied[-1]:
                shared_state.standings[one.user_id] = plain
        shared_state.rank()
        if any(applied):
            cursor = shared_state.cursor = Cursor(epoch=cursor.epoch, seq=cursor.seq + 1)
        placements = tuple(
            Placement(
                rank=shared_state.ranks.get(one.user_id), previous_rank=before.get(one.user_id), applied=news, overtaken=late
            )
            for one, news, late in zip(standings, applied, overtaken, strict=True)
        )
        if any(applied):
            changes = [
                one.score_changed(cursor, placement.rank, placement.previous_rank)
                for one, placement in zip(standings, placements, strict=True)
                if placement.applied
            ]
            shared_state.steps = [*shared_state.steps, changes][-STEPS_KEPT_MAX:]
            self._publish(cursor, changes)
        return Projection(cursor=cursor, total=len(shared_state.order), placements=placements)

    @override
    async def state(self) -> BoardState | None:
        self._answering()
        shared_state = self.shared_state
        if shared_state.cursor is None:
            return None
        return BoardState(
            cursor=shared_state.cursor,
            position=shared_state.position,
            epoch_run=shared_state.epoch_run,
            run=shared_state.run,
            owner=shared_state.owner,
            ranked=len(shared_state.order),
            players=len(shared_state.standings),
            damage=shared_state.damage,
            followed_s_ago=shared_state.followed_s_ago,
        )

    @override
    def run(self) -> str:
        self._answering()
        return self.shared_state.run

    @override
    async def begin(self, epoch: int) -> None:
        self._writable()
        there = self.shared_state
        if there.cursor is not None and (there.cursor.epoch > epoch or there.owner != self.owner):
            raise StaleBoard("a newer epoch has begun")
        there.owner = self.owner
        self._publish(there.begin(epoch), ())

    @override
    async def advance(self, epoch: int, position: str) -> None:
        self._writable()
        if self._cursor().epoch != epoch:
            raise StaleBoard("another epoch has begun")
        self.shared_state.position, self.shared_state.followed_s_ago = position, 0

    @override
    async def rebuild(self, epoch: int, standings: AsyncIterator[Sequence[Standing]], position: str) -> int:
        self._writable()
        shared_state = self.shared_state
        seen, seen_owner = shared_state.cursor, shared_state.owner
        by_user = {one.user_id: one async for page in standings for one in page}
        self._answering()
        there = shared_state.cursor
        if there is not None and (
            ((seen is None or seen.epoch != there.epoch) and there.epoch > epoch)
            or shared_state.owner not in (self.owner, seen_owner)
        ):
            raise StaleBoard("another board was put in its place meanwhile")
        shared_state.replace_all(by_user)
        shared_state.position, shared_state.owner, shared_state.damage, shared_state.followed_s_ago = position, self.owner, "", 0
        self._publish(shared_state.begin(epoch), ())
        return len(shared_state.order)

    @override
    async def read_views(self, views: Sequence[View]) -> list[Page]:
        self._cursor()
        return [self._page(view) for view in views]

    def _page(self, view: View) -> Page:
        cursor, shared_state = self._cursor(), self.shared_state
        match view:
            case RankRange(offset=first, limit=limit):
                last = first + limit
            case Around(user_id=user_id, rows=rows):
                rank = shared_state.ranks.get(user_id)
                first, last = (0, 0) if rank is None else (max(0, rank - 1 - rows), rank + rows)
        shown = shared_state.order[first:last]
        page_rows = tuple(shared_state.standings[user_id].row(rank) for rank, user_id in enumerate(shown, first + 1))
        return Page(cursor=cursor, total=len(shared_state.order), rows=page_rows, read_at_ms=self._now_ms())

    @override
    async def since(self, cursor: Cursor, limit: int) -> History:
        page, steps = self._page(RankRange(offset=0, limit=limit)), self.shared_state.steps
        missed = page.cursor.seq - cursor.seq if page.cursor.epoch == cursor.epoch else -1
        if not 0 <= missed <= len(steps):
            return History(page=page, changes=None)
        missed_steps = steps[len(steps) - missed :]
        return History(page=page, changes=coalesce_all(change for step in missed_steps for change in step))

    @override
    async def rank_of(self, user_id: str) -> PlayerRank:
        cursor, shared_state = self._cursor(), self.shared_state
        total, rank = len(shared_state.order), shared_state.ranks.get(user_id)
        if rank is None:
            return PlayerRank(cursor=cursor, total=total, points=0, rank=None, updated_at_ms=None)
        one = shared_state.standings[user_id]
        return PlayerRank(cursor=cursor, total=total, points=one.points, rank=rank, updated_at_ms=one.updated_at_ms)

    @override
    async def totals_of(self, user_ids: Sequence[str]) -> list[tuple[int, int] | None]:
        self._cursor()
        found = [self.shared_state.standings[user_id] if user_id in self.shared_state.ranks else None for user_id in user_ids]
        return [None if one is None else (one.points, one.version) for one in found]

    @override
    async def differing(self, standings: Sequence[Standing]) -> list[tuple[Standing, int]]:
        self._cursor()
        there = self.shared_state.standings
        pairs = [(one, there.get(one.user_id)) for one in standings]
        return [
            (one, -1 if found is None else found.version) for one, found in pairs if found is None or _key(found) != _key(one)
        ]

    @override
    async def lock(self, what: str, life_ms: int) -> bool:
        self._writable()
        if not life_ms and self.shared_state.locks.get(what) is self:
            del self.shared_state.locks[what]
        return bool(life_ms) and self.shared_state.locks.setdefault(what, self) is self

    @override
    async def write_caches(self, receipts: Sequence[tuple[Award, Receipt]]) -> None:
        self.marked += receipts

    @override
    def listen(self, on_changes: OnChanges, missed: Callable[[], None] = lambda: None) -> None:
        self.shared_state.listeners.append((self, on_changes))

    @override
    def ignore(self) -> None:
        self.shared_state.listeners = [one for one in self.shared_state.listeners if one[0] is not self]

    @override
    async def expire(self, life_ms: int) -> None:
        self._writable()
        self.shared_state.life_ms = life_ms

    @override
    async def ping(self) -> None:
        self._answering()

    def _answering(self) -> None:
        if self.broken:
            raise StoreUnavailable("the test made this store fail")

    def _writable(self) -> None:
        self._answering()
        if self.read_only:
            raise StoreUnavailable("the test made this store take no writes")

    def _cursor(self) -> Cursor:
        self._answering()
        if self.shared_state.cursor is None or self.shared_state.owner != self.owner or self.shared_state.damage:
            raise StaleBoard("there is no board, or it is another ledger's, or a part of it was lost")
        return self.shared_state.cursor

    def _publish(self, cursor: Cursor, changes: Sequence[ScoreChanged]) -> None:
        for board, on_changes in self.shared_state.listeners:
            if board is not self:
                on_changes(cursor, changes)


def _key(one: Standing) -> tuple[int, float | None]:
    return one.version, None if one.reached_at_ms is None else sort_score(one.points, one.reached_at_ms)
