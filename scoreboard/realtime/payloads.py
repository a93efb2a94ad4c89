"""Events as the specification spells them, in JSON, the same for every transport. In this wing camelCase lives here alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from scoreboard.domain.moves import Enter, Leave, Move, Operation, Score, diff
from scoreboard.domain.refusals import Refusal
from scoreboard.domain.values import BoardChanged, Event, Page, RankAchieved, Row, ScoreChanged

encode = msgspec.json.Encoder().encode


class _Shape(msgspec.Struct, frozen=True, rename="camel"):
    pass


class _Row(_Shape, frozen=True):
    rank: int
    user_id: str
    username: str
    score: int
    last_updated: str
    avatar: str | None


class _Board(_Shape, frozen=True, omit_defaults=True):
    leaderboard: list[_Row]
    total: int
    timestamp: str
    epoch: int
    seq: int
    reset: bool = False


class _Enter(_Row, frozen=True, tag_field="op", tag="enter"):
    pass


class _Leave(_Shape, frozen=True, tag_field="op", tag="leave"):
    user_id: str


class _Move(_Shape, frozen=True, tag_field="op", tag="move"):
    user_id: str
    rank: int


class _Points(_Shape, frozen=True, tag_field="op", tag="score"):
    user_id: str
    score: int
    last_updated: str


class _Rows(_Shape, frozen=True):
    ops: list[_Enter | _Leave | _Move | _Points]
    total: int
    timestamp: str
    epoch: int
    seq: int


class _Score(_Shape, frozen=True):
    user_id: str
    username: str
    new_score: int
    new_rank: int | None
    previous_rank: int | None
    timestamp: str
    epoch: int
    seq: int


class _Rank(_Shape, frozen=True):
    user_id: str
    milestone: int
    new_rank: int
    previous_rank: int | None
    timestamp: str
    epoch: int
    seq: int


class _Typed(_Shape, frozen=True):
    type: Literal["LEADERBOARD_REFRESH", "LEADERBOARD_ROWS", "SCORE_CHANGED", "RANK_ACHIEVED"]
    data: _Board | _Rows | _Score | _Rank


class _Error(_Shape, frozen=True, omit_defaults=True):
    code: int
    error: str
    message: str
    retry_after: int | None = None


def event_name(event: Event) -> str:
    """What clients call an event."""
    match event:
        case ScoreChanged():
            return "score:update"
        case BoardChanged():
            return "leaderboard:update"
        case RankAchieved():
            return "rank:achieved"


def event_payload(event: Event) -> bytes:
    """An event's data as JSON: ``{"type": …, "data": {…}}``."""
    match event:
        case ScoreChanged():
            return encode(_Typed("SCORE_CHANGED", _score(event)))
        case BoardChanged():
            return encode(_Typed("LEADERBOARD_REFRESH", _board(event.page, event.reset)))
        case RankAchieved():
            return encode(_Typed("RANK_ACHIEVED", _rank(event)))


ROWS_EVENT: Final = "leaderboard:rows"


def rows_payload(page: Page, before: Sequence[Row]) -> bytes:
    """How a top differs from the one before it, as row operations (docs/protocol-live.md)."""
    cursor = page.cursor
    operations = [_operation(one) for one in diff(before, page.rows)]
    return encode(_Typed("LEADERBOARD_ROWS", _Rows(operations, page.total, moment(page.read_at_ms), cursor.epoch, cursor.seq)))


def refusal_payload(refusal: Refusal) -> bytes:
    """A refusal as JSON: ``{"code": …, "error": …, "message": …}``, and when to come back if that is known."""
    named = f"{refusal.field}: {refusal.message}" if refusal.field else refusal.message
    return encode(_Error(refusal.reason.value, refusal.reason.name, named, refusal.retry_after_s))


def moment(at_ms: int) -> str:
    """A time as ISO 8601 in UTC, to the millisecond, as JavaScript writes it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _row(row: Row) -> _Row:
    return _Row(row.rank, row.user_id, row.username, row.points, moment(row.updated_at_ms), row.avatar)


def _board(page: Page, reset: bool) -> _Board:
    cursor = page.cursor
    return _Board([_row(row) for row in page.rows], page.total, moment(page.read_at_ms), cursor.epoch, cursor.seq, reset)


def _operation(operation: Operation) -> _Enter | _Leave | _Move | _Points:
    match operation:
        case Enter(row=row):
            return _Enter(row.rank, row.user_id, row.username, row.points, moment(row.updated_at_ms), row.avatar)
        case Leave(user_id=user_id):
            return _Leave(user_id)
        case Move(user_id=user_id, rank=rank):
            return _Move(user_id, rank)
        case Score(user_id=user_id, points=points, updated_at_ms=updated_at_ms):
            return _Points(user_id, points, moment(updated_at_ms))


def _score(event: ScoreChanged) -> _Score:
    cursor = event.cursor
    return _Score(
        event.user_id,
        event.username,
        event.points,
        event.rank,
        event.previous_rank,
        moment(event.at_ms),
        cursor.epoch,
        cursor.seq,
    )


def _rank(event: RankAchieved) -> _Rank:
    cursor = event.cursor
    return _Rank(event.user_id, event.milestone, event.rank, event.previous_rank, moment(event.at_ms), cursor.epoch, cursor.seq)
