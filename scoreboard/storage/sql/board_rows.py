"""Rows of boards: definitions as the ledger keeps them, and the standings of players on boards beside the global one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from scoreboard.domain.board_scores import BoardScore
from scoreboard.domain.boards import BoardBucket, BoardDefinition, FedBoard, ScoreKind
from scoreboard.domain.judgement import Award, ScoreKey
from scoreboard.domain.periods import AllTime, Bucket, CalendarPeriod, Period, Seasons, Slots, Unit, bucket_at
from scoreboard.domain.players import ledger_shard, player_key
from scoreboard.storage.sql.award_rows import encode
from scoreboard.zones import zone_named


class _AllTime(msgspec.Struct, frozen=True, tag="all"):
    pass


class _Calendar(msgspec.Struct, frozen=True, tag="calendar"):
    unit: Unit
    zone: str


class _Slots(msgspec.Struct, frozen=True, tag="slots"):
    length_ms: int


class _Seasons(msgspec.Struct, frozen=True, tag="seasons"):
    seasons: tuple[Bucket, ...]


class _Definition(msgspec.Struct, frozen=True):
    board_id: str
    title: str
    score: ScoreKind
    counts: tuple[str, ...] | None
    period: _AllTime | _Calendar | _Slots | _Seasons
    keep_closed: int


class _Fed(msgspec.Struct, frozen=True):
    number: int
    definition: _Definition
    filled_through: str | None


class _ScoreRow(msgspec.Struct, frozen=True):
    ledger_shard: int
    user_id: str
    board: int
    bucket: str
    score: int
    reached_at_ms: int | None
    version: int
    actions: int


_decode_definition: Final = msgspec.json.Decoder(_Definition).decode
_decode_fed: Final = msgspec.json.Decoder(tuple[int, list[_Fed]]).decode
_Score = tuple[str, int, str, int, int | None, int, int]
_decode_scores: Final = msgspec.json.Decoder(list[_Score]).decode


def written_definition(board: BoardDefinition) -> bytes:
    """A definition as JSON. Equal definitions are equal texts."""
    return encode(
        _Definition(
            board_id=board.board_id,
            title=board.title,
            score=board.score,
            counts=None if board.counts is None else tuple(sorted(board.counts)),
            period=_written_period(board.period),
            keep_closed=board.keep_closed,
        )
    )


def _written_period(period: Period) -> _AllTime | _Calendar | _Slots | _Seasons:
    match period:
        case AllTime():
            return _AllTime()
        case CalendarPeriod(unit=unit, zone=ZoneInfo(key=str(zone))):
            return _Calendar(unit=unit, zone=zone)
        case Slots(length_ms=length_ms):
            return _Slots(length_ms=length_ms)
        case Seasons(seasons=seasons):
            return _Seasons(seasons=tuple(seasons))
        case _:
            raise TypeError(f"no row for {period!r}")


def read_fed_boards(answer: bytes) -> tuple[int, tuple[FedBoard, ...]]:
    """(the generation, the boards that the ledger feeds)."""
    generation, found = _decode_fed(answer)
    return generation, tuple(
        FedBoard(
            number=one.number,
            definition=_read_definition(one.definition),
            filled_through=None if one.filled_through is None else player_key(one.filled_through),
        )
        for one in found
    )


def decode_definition(text: str) -> BoardDefinition:
    """A definition from its JSON."""
    return _read_definition(_decode_definition(text))


def _read_definition(row: _Definition) -> BoardDefinition:
    return BoardDefinition(
        board_id=row.board_id,
        title=row.title,
        score=row.score,
        counts=None if row.counts is None else frozenset(row.counts),
        period=_read_period(row.period),
        keep_closed=row.keep_closed,
    )


def _read_period(row: _AllTime | _Calendar | _Slots | _Seasons) -> Period:
    match row:
        case _AllTime():
            return AllTime()
        case _Calendar(unit=unit, zone=zone):
            return CalendarPeriod(unit=unit, zone=zone_named(zone))
        case _Slots(length_ms=length_ms):
            return Slots(length_ms=length_ms)
        case _Seasons(seasons=seasons):
            return Seasons(seasons=seasons)


def open_buckets(boards: Iterable[FedBoard], at_ms: int) -> str:
    """The buckets of a moment, a JSON array."""
    found = ((board.number, bucket_at(board.definition.period, at_ms)) for board in boards)
    return bucket_rows((number, bucket.name) for number, bucket in found if bucket is not None).decode()


def bucket_rows(buckets: Iterable[tuple[int, str]]) -> bytes:
    """Buckets, each with the number of its board, a JSON array."""
    return encode([{"board": board, "bucket": bucket} for board, bucket in buckets])


def read_scores(answer: bytes, boards: Sequence[FedBoard]) -> dict[ScoreKey, BoardScore]:
    """Standings by their keys."""
    names = {board.number: board.definition.board_id for board in boards}
    return {
        (user, board, bucket): BoardScore(
            bucket=BoardBucket(board_id=names[board], bucket=bucket),
            score=score,
            reached_at_ms=reached_at_ms,
            version=version,
            actions=actions,
        )
        for user, board, bucket, score, reached_at_ms, version, actions in _decode_scores(answer)
    }


def newest_scores(awards: Iterable[Award]) -> bytes | None:
    """The newest score of each player in each bucket that the awards changed, as `score_rows`; None if they changed none."""
    newest = {(award.user_id, number, score.bucket.bucket): score for award in awards for number, score in award.scores}
    return score_rows((user, number, one) for (user, number, _), one in newest.items()) if newest else None


def score_rows(scores: Iterable[tuple[str, int, BoardScore]]) -> bytes:
    """Rows of ``board_standings``, a JSON array, from (user id, number of the board, score)."""
    return encode(
        [
            _ScoreRow(
                ledger_shard(user_id), user_id, number, one.bucket.bucket, one.score, one.reached_at_ms, one.version, one.actions
            )
            for user_id, number, one in scores
        ]
    )
