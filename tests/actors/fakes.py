"""Doubles for the actors' tests: implementations of the boundaries, not patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scoreboard.boundaries.announcer import EventEncoder
from scoreboard.domain.actions import AwardSummary
from scoreboard.domain.board_pages import Around, Page, PlayerRank, RankRange, Row, View
from scoreboard.domain.board_state import History
from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.close_reasons import CloseReason
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import (
    AchievementUnlocked,
    BoardChanged,
    Event,
    PlayerActed,
    PlayerSuspended,
    RankAchieved,
    ScoreChanged,
    SpectatingEnded,
    TokenExpiring,
    ViewChanged,
)
from scoreboard.domain.players import Player

NOW = 1_800_000_000_000


class FakeMeter:
    """Remembers counts by name."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        if by:  # 0 only makes the series
            self.counts[name] = self.counts.get(name, 0) + by

    def observe(self, name: str, seconds: float) -> None: ...

    def gauge(self, name: str, value: float) -> None: ...


class FakeRanking:
    """A Ranking whose pages the test writes."""

    def __init__(self) -> None:
        self.bucket = GLOBAL_BOARD
        self.cursor = Cursor(epoch=1, seq=0)
        self.ledger_ahead_count = 0
        self.rows: tuple[Row, ...] = ()
        self.degraded = False
        self.missed: tuple[ScoreChanged, ...] | None = None
        self.read: list[View] = []

    def write(self, seq: int, *standings: tuple[str, int]) -> None:
        self.cursor = Cursor(epoch=1, seq=seq)
        self.rows = tuple(
            Row(rank=rank, user_id=user, username=user, avatar=None, points=points, updated_at_ms=NOW)
            for rank, (user, points) in enumerate(standings, 1)
        )

    async def page(self, offset: int, limit: int) -> Page:
        rows = self.rows[offset : offset + limit]
        return Page(cursor=self.cursor, total=len(self.rows), rows=rows, read_at_ms=NOW, degraded=self.degraded)

    async def read_views(self, views: Sequence[View]) -> list[Page]:
        if self.degraded:
            raise StoreUnavailable("as the test decides")
        self.read += views
        return [self._shown(view) for view in views]

    def _shown(self, view: View) -> Page:
        match view:
            case RankRange(offset=first, limit=limit):
                last = first + limit
            case Around(user_id=user_id, rows=reach):
                rank = next((row.rank for row in self.rows if row.user_id == user_id), None)
                first, last = (0, 0) if rank is None else (max(0, rank - 1 - reach), rank + reach)
        return Page(cursor=self.cursor, total=len(self.rows), rows=self.rows[first:last], read_at_ms=NOW)

    async def since(self, cursor: Cursor, limit: int) -> History:
        return History(page=await self.page(0, limit), changes=self.missed)

    async def rank_of(self, user_id: str) -> PlayerRank:
        return PlayerRank(cursor=self.cursor, total=len(self.rows), points=0, rank=None, updated_at_ms=None)


class PlainEncoder:
    """Frames that a test can read: `S:user@seq`, `B@seq`, `V:before>after@seq`, `R:user:milestone`, each ended by a space."""

    def __init__(self) -> None:
        self.framed = 0

    def encode(self, events: Sequence[Event], *, more: bool = False) -> bytes:
        self.framed += len(events)
        return b"".join(map(_text, events))


def _text(event: Event) -> bytes:
    match event:
        case ScoreChanged():
            return f"S:{event.user_id}:{event.previous_rank}>{event.rank}@{event.cursor.seq} ".encode()
        case BoardChanged():
            return f"B@{event.page.cursor.seq} ".encode()
        case ViewChanged():
            before = "" if event.before is None else _written(event.before) + ">"
            return f"V:{before}{_written(event.page.rows)}@{event.page.cursor.seq} ".encode()
        case RankAchieved():
            return f"R:{event.user_id}:{event.milestone} ".encode()
        case PlayerActed():
            return f"A:{event.user_id}:{event.award.action_type}+{event.award.points}@{event.cursor.seq} ".encode()
        case AchievementUnlocked():
            return f"U:{event.user_id}:{event.milestone} ".encode()
        case SpectatingEnded():
            return f"E:{event.user_id} ".encode()
        case PlayerSuspended():
            return f"X:{event.user_id} ".encode()
        case TokenExpiring():
            return b"T "


def _written(rows: Sequence[Row]) -> str:
    return ",".join(f"{row.rank}{row.user_id}" for row in rows) or "-"


class FakeListener:
    """A listener that keeps what it is offered, and can stop reading."""

    def __init__(self, encoder: PlainEncoder, user_id: str) -> None:
        self.encoder: EventEncoder = encoder
        self.player = Player(user_id=user_id, username=user_id, role="user", expires_at_s=2**33)
        self.offers: list[bytes] = []
        self.drained = True
        self.close_reason: CloseReason | None = None
        self.on_offer: Callable[[], None] = lambda: None

    def offer(self, frames: bytes) -> None:
        assert self.drained, "offered while stalled"
        self.offers.append(frames)
        self.on_offer()

    def close(self, close_reason: CloseReason) -> None:
        self.close_reason = close_reason

    @property
    def seen(self) -> str:
        return b"".join(self.offers).decode().strip()


def moved(
    user_id: str,
    rank: int | None,
    previous_rank: int | None,
    seq: int = 1,
    *,
    awards: Sequence[str] = (),
    unlocked: tuple[int, ...] = (),
) -> ScoreChanged:
    return ScoreChanged(
        cursor=Cursor(epoch=1, seq=seq),
        user_id=user_id,
        username=user_id,
        points=100,
        rank=rank,
        previous_rank=previous_rank,
        at_ms=NOW,
        awards=tuple(AwardSummary(action_type=award, points=10, total=100, at_ms=NOW) for award in awards),
        unlocked=unlocked,
    )


def many(first: int, last: int) -> Sequence[tuple[str, int]]:
    return [(f"p{n}", 1_000 - n) for n in range(first, last)]
