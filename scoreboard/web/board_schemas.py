"""Schemas of the boards: their definitions and present buckets."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from scoreboard.domain.boards import BoardDefinition, ScoreKind
from scoreboard.domain.periods import Bucket, CalendarPeriod, Period, Seasons, Slots
from scoreboard.web.schemas import Shape, Time, iso


class BoardInfo(Shape, frozen=True, kw_only=True):
    """A board and its present bucket.

    ``period`` is absent for a board without one, and ``counts`` where all action types count. ``players`` is null while the
    board is filled in, or cannot be read. Between two seasons there is no bucket.
    """

    board: str
    title: str
    score: ScoreKind
    counts: list[str] | UnsetType = UNSET
    period: str | UnsetType = UNSET
    zone: str | UnsetType = UNSET
    bucket: str | UnsetType = UNSET
    begins_at: Time | UnsetType = UNSET
    ends_at: Time | UnsetType = UNSET
    keep_closed: int
    players: int | None


class BoardsData(Shape, frozen=True, kw_only=True):
    """All boards, the global one first."""

    boards: list[BoardInfo]


def board_info(definition: BoardDefinition, present: Bucket | None, players: int | None) -> BoardInfo:
    """The data of a board."""
    period, zone = _described(definition.period)
    dated = present if present is not None and present.ends_ms is not None else None
    return BoardInfo(
        board=definition.board_id,
        title=definition.title,
        score=definition.score,
        counts=UNSET if definition.counts is None else sorted(definition.counts),
        period=period,
        zone=zone,
        bucket=UNSET if dated is None else dated.name,
        begins_at=UNSET if dated is None else iso(dated.begins_ms),
        ends_at=UNSET if dated is None or dated.ends_ms is None else iso(dated.ends_ms),
        keep_closed=definition.keep_closed,
        players=players,
    )


def _described(period: Period) -> tuple[str | UnsetType, str | UnsetType]:
    """The words of a period as boards.toml has them, and its zone."""
    match period:
        case CalendarPeriod(unit=unit, zone=zone):
            return unit, str(zone)
        case Slots(length_ms=length_ms):
            return f"every {_length(length_ms // 60_000)}", UNSET
        case Seasons():
            return "seasons", UNSET
        case _:
            return UNSET, UNSET


def _length(minutes: int) -> str:
    for name, size in (("d", 1_440), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{name}"
    return f"{minutes}m"
