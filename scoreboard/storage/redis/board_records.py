"""Records of the board in Redis: how players and changes are written and read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from scoreboard.domain.actions import AwardSummary
from scoreboard.domain.board_pages import PlayerRank, Row
from scoreboard.domain.coalesce import coalesce_all
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import DamagedBoard, StaleBoard
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.standings import POINTS_MAX, Standing, points_of, sort_score


class _Record(msgspec.Struct, frozen=True, array_like=True):
    """What the board holds of a player beside the score."""

    username: str
    avatar: str | None
    points: int
    updated_at_ms: int


class _Change(msgspec.Struct, frozen=True, array_like=True):
    """A published change of a player. Rank 0: none. ``news``: awards as (type, points, total, time), and milestones."""

    user_id: str
    rank: int
    previous_rank: int
    record: _Record
    news: tuple[tuple[tuple[str, int, int, int], ...], tuple[int, ...]] = ((), ())


_encode = msgspec.json.Encoder().encode
_decode_record = msgspec.json.Decoder(_Record).decode
#: Epoch, seq, and the changes.
_decode_changes = msgspec.json.Decoder(tuple[int, int, list[_Change]]).decode


def sort_score_of(one: Standing) -> float | None:
    """The score in the sorted set; None for a player who is not on the board."""
    return None if one.reached_at_ms is None else sort_score(one.points, one.reached_at_ms)


def written_score_of(one: Standing) -> str:
    """The score in the sorted set as exact text; "" for a player who is not on the board."""
    score = sort_score_of(one)
    return "" if score is None else repr(score)


def digest_of(standings: Sequence[Standing]) -> str:
    """The reply of `scripts/digest.lua` if the board has these standings."""
    scores = [(one.version, sort_score_of(one)) for one in standings]
    written = "".join([f"{version}:;" if score is None else f"{version}:{score:.17g};" for version, score in scores])
    return hashlib.sha1(written.encode(), usedforsecurity=False).hexdigest()


def read_version(value: bytes | None) -> int:
    """The version of a player on the board; -1 for an unknown player."""
    if value is None:
        return -1
    version = value.partition(b"|")[0]
    return int(version) if version.isdigit() else -1


def written_record(one: Standing) -> bytes:
    """The record of a player, which is stored after the version."""
    return _encode((one.username, one.avatar, one.points, one.updated_at_ms))


def written_news(one: Standing) -> bytes:
    """The awards and milestones that are published with the record and not stored; b"" for none."""
    if not (one.awards or one.unlocked):
        return b""
    return _encode(([(award.action_type, award.points, award.total, award.at_ms) for award in one.awards], one.unlocked))


def written_time(at_ms: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return f"{_written_second(at_ms // 1000)}.{at_ms % 1000:03}Z"


@lru_cache(maxsize=16)
def _written_second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _read_record(value: bytes) -> _Record:
    """The record after a version. Raises DamagedBoard for what this code does not write."""
    version, _, record = value.partition(b"|")
    if not version.isdigit():
        raise DamagedBoard("a player's version cannot be read")
    try:
        return _decode_record(record)
    except msgspec.DecodeError as error:
        raise DamagedBoard("a player's record cannot be read") from error


def _read_points(written_score: bytes) -> int:
    score = float(written_score)
    if not abs(score) <= POINTS_MAX + 1:  # also true for infinity and NaN
        raise DamagedBoard("a player's score is none")
    return points_of(score)


def read_row(rank: int, user_id: bytes, written_score: bytes, value: bytes | None) -> Row:
    """A row of a page. Raises StaleBoard if the record of the player was lost."""
    if value is None:
        raise StaleBoard("a ranked player without a record")
    record = _read_record(value)
    return Row(
        rank=rank,
        user_id=user_id.decode(errors="replace"),
        username=record.username,
        avatar=record.avatar,
        points=_read_points(written_score),
        updated_at_ms=record.updated_at_ms,
    )


def read_rank(cursor: Cursor, total: int, rank: int, written_score: bytes | None, value: bytes | None) -> PlayerRank:
    """A player's rank and points; no rank for one who is not on the board."""
    if written_score is None or value is None:
        return PlayerRank(cursor=cursor, total=total, points=0, rank=None, updated_at_ms=None)
    return PlayerRank(
        cursor=cursor, total=total, points=_read_points(written_score), rank=rank, updated_at_ms=_read_record(value).updated_at_ms
    )


def read_total(_rank: int, written_score: bytes | None, value: bytes | None) -> tuple[int, int] | None:
    """(points, version), or None for a player who is not on the board."""
    if written_score is None or value is None:
        return None
    return _read_points(written_score), read_version(value)


def read_changes(message: bytes) -> tuple[Cursor, list[ScoreChanged]]:
    """A published step of the board: its cursor and its changes."""
    epoch, seq, changes = _decode_changes(message)
    cursor = Cursor(epoch=epoch, seq=seq)
    return cursor, [
        ScoreChanged(
            cursor=cursor,
            user_id=change.user_id,
            username=change.record.username,
            points=change.record.points,
            rank=change.rank or None,
            previous_rank=change.previous_rank or None,
            at_ms=change.record.updated_at_ms,
            awards=tuple(
                [AwardSummary(action_type=kind, points=points, total=total, at_ms=at) for kind, points, total, at in awards]
            ),
            unlocked=unlocked,
        )
        for change in changes
        for awards, unlocked in (change.news,)
    ]


def read_steps(steps: Sequence[bytes]) -> tuple[ScoreChanged, ...] | None:
    """The latest change of each player in the steps, oldest first; None if a step was too large or cannot be read."""
    try:
        steps_changes = [read_changes(step)[1] for step in steps]
    except msgspec.DecodeError:
        return None
    return coalesce_all(change for changes in steps_changes for change in changes) if all(steps_changes) else None
