"""JSON of the events, with the specification's names, the same for every transport."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from scoreboard.domain.board_pages import Around, Page, RankRange, Row, View
from scoreboard.domain.cursor import Cursor
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
    cursor_of,
)
from scoreboard.domain.refusals import Refusal
from scoreboard.domain.row_operations import Enter, Leave, Move, Operation, Score, diff, offset_of

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


class _Around(_Shape, frozen=True):
    around: int


class _RankRange(_Shape, frozen=True):
    offset: int
    limit: int


class _Board(_Shape, frozen=True, omit_defaults=True):
    leaderboard: list[_Row]
    total: int
    timestamp: str
    epoch: int
    seq: int
    reset: bool = False
    view: _Around | _RankRange | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    degraded: bool = False


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
    view: _Around | _RankRange | UnsetType = UNSET
    offset: int | UnsetType = UNSET


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


class _AwardSummary(_Shape, frozen=True):
    user_id: str
    username: str
    action_type: str
    score_awarded: int
    new_total_score: int
    new_rank: int | None
    previous_rank: int | None
    timestamp: str
    epoch: int
    seq: int


class _Milestone(_Shape, frozen=True):
    user_id: str
    milestone: int
    score: int
    timestamp: str
    epoch: int
    seq: int


class _Typed(_Shape, frozen=True):
    type: Literal["LEADERBOARD_REFRESH", "LEADERBOARD_ROWS", "SCORE_CHANGED", "RANK_ACHIEVED", "PLAYER_ACTION"]
    data: _Board | _Rows | _Score | _Rank | _AwardSummary


class _Unlocked(_Shape, frozen=True):
    """The specification puts ``milestone``, and nothing else, beside ``type``."""

    type: Literal["SCORE_MILESTONE"]
    milestone: int
    data: _Milestone


class _Error(_Shape, frozen=True, omit_defaults=True):
    code: int
    error: str
    message: str
    retry_after: int | None = None


_ROWS_EVENT: Final = b"leaderboard:rows"
_NAMES: Final[dict[type[Event], bytes]] = {
    ScoreChanged: b"score:update",
    BoardChanged: b"leaderboard:update",
    ViewChanged: b"leaderboard:update",
    RankAchieved: b"rank:achieved",
    PlayerActed: b"player:action",
    AchievementUnlocked: b"achievement:unlocked",
    SpectatingEnded: b"spectate:ended",
    TokenExpiring: b"auth:expiring",
    PlayerSuspended: b"account:suspended",
}


def name_and_payload(event: Event, *, rows: bool = False) -> tuple[bytes, bytes]:
    """Return an event's name and its data (JSON). With ``rows``, a top is row operations if the top before is known."""
    if rows and isinstance(event, BoardChanged) and event.before is not None:
        return _ROWS_EVENT, _rows_payload(event.page, event.before)
    if isinstance(event, ViewChanged) and event.before is not None:
        return _ROWS_EVENT, _rows_payload(event.page, event.before, event.view)
    return _NAMES[type(event)], _payload(event)


def last_cursor(events: Sequence[Event]) -> tuple[int, bytes]:
    """Return the index of the last event that has a cursor, and the cursor's text; (-1, b"") if none has one."""
    for at in range(len(events) - 1, -1, -1):
        cursor = cursor_of(events[at])
        if cursor is not None:
            return at, cursor.text.encode()
    return -1, b""


def _payload(event: Event) -> bytes:
    match event:
        case ScoreChanged(username=username, rank=rank, previous_rank=previous):
            at = _at(event.at_ms, event.cursor)
            return encode(_Typed("SCORE_CHANGED", _Score(event.user_id, username, event.points, rank, previous, *at)))
        case BoardChanged():
            return encode(_Typed("LEADERBOARD_REFRESH", _board(event.page, event.reset)))
        case ViewChanged(page=page, view=view):
            return encode(_Typed("LEADERBOARD_REFRESH", _board(page, False, view)))
        case RankAchieved(milestone=milestone, rank=rank, previous_rank=previous):
            at = _at(event.at_ms, event.cursor)
            return encode(_Typed("RANK_ACHIEVED", _Rank(event.user_id, milestone, rank, previous, *at)))
        case PlayerActed(award=award, rank=rank, previous_rank=previous):
            made, at = (award.action_type, award.points, award.total), _at(award.at_ms, event.cursor)
            return encode(_Typed("PLAYER_ACTION", _AwardSummary(event.user_id, event.username, *made, rank, previous, *at)))
        case AchievementUnlocked(milestone=milestone):
            reached = _Milestone(event.user_id, milestone, event.points, *_at(event.at_ms, event.cursor))
            return encode(_Unlocked("SCORE_MILESTONE", milestone, reached))
        case SpectatingEnded() | PlayerSuspended():
            return encode({"userId": event.user_id})
        case TokenExpiring():
            return encode({"expiresAt": event.expires_at_s * 1000})


def view_payload(view: View) -> bytes:
    """Encode a view as a client asks for it."""
    return encode(_view(view))


def refusal_payload(refusal: Refusal) -> bytes:
    """Encode a refusal: ``{"code": …, "error": …, "message": …}``, and ``retryAfter`` in seconds if that is known."""
    named = f"{refusal.field}: {refusal.message}" if refusal.field else refusal.message
    return encode(_Error(refusal.reason.value, refusal.reason.name, named, refusal.retry_after_s))


def time_text(at_ms: int) -> str:
    """Write a time as ISO 8601 in UTC with milliseconds, as JavaScript does."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _rows_payload(page: Page, before: Sequence[Row], view: View | None = None) -> bytes:
    """Encode the difference between a top, or a view, and its rows before, as row operations (docs/protocol-live.md)."""
    cursor = page.cursor
    operations = [_operation(one) for one in diff(before, page.rows)]
    rows = _Rows(operations, page.total, time_text(page.read_at_ms), cursor.epoch, cursor.seq, *_viewed(page, view))
    return encode(_Typed("LEADERBOARD_ROWS", rows))


def _row_fields(row: Row) -> tuple[int, str, str, int, str, str | None]:
    return row.rank, row.user_id, row.username, row.points, time_text(row.updated_at_ms), row.avatar


def _board(page: Page, reset: bool, view: View | None = None) -> _Board:
    cursor = page.cursor
    rows = [_Row(*_row_fields(row)) for row in page.rows]
    shown, offset = _viewed(page, view)
    at = time_text(page.read_at_ms)
    return _Board(rows, page.total, at, cursor.epoch, cursor.seq, reset, shown, offset, page.degraded)


def _viewed(page: Page, view: View | None) -> tuple[_Around | _RankRange | UnsetType, int | UnsetType]:
    """Return the view, and the number of players above it; UNSET for the top."""
    return (UNSET, UNSET) if view is None else (_view(view), offset_of(page.rows))


def _view(view: View) -> _Around | _RankRange:
    match view:
        case Around(rows=rows):
            return _Around(rows)
        case RankRange(offset=offset, limit=limit):
            return _RankRange(offset, limit)


def _operation(operation: Operation) -> _Enter | _Leave | _Move | _Points:
    match operation:
        case Enter(row=row):
            return _Enter(*_row_fields(row))
        case Leave(user_id=user_id):
            return _Leave(user_id)
        case Move(user_id=user_id, rank=rank):
            return _Move(user_id, rank)
        case Score(user_id=user_id, points=points, updated_at_ms=updated_at_ms):
            return _Points(user_id, points, time_text(updated_at_ms))


def _at(at_ms: int, cursor: Cursor) -> tuple[str, int, int]:
    return time_text(at_ms), cursor.epoch, cursor.seq
