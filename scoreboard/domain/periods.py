"""Periods: how the time of a board is cut into buckets. The buckets of a period touch and never overlap.

A day of a zone begins at the first instant whose local date is that day or later. So a day whose midnight is skipped begins at
the change of the clocks, a day that is skipped as a whole (Apia, 2011-12-30) has no bucket, and a day does not end a second time
where the clocks go back over midnight (St. John's, until 2011).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, Literal, Protocol

from scoreboard.domain.value import Value

#: A period of the calendar.
Unit = Literal["daily", "weekly", "monthly"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_DAY: Final = timedelta(days=1)
#: No zone was ever further from UTC, and no change of a zone's time was longer.
_CHANGE_MS_MAX: Final = 26 * 3_600_000
_DAY_NAME: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WEEK_NAME: Final = re.compile(r"(\d{4})-W(\d\d)", re.ASCII)
_MONTH_NAME: Final = re.compile(r"\d{4}-\d\d", re.ASCII)
_SLOT_FORMAT: Final = "%Y-%m-%dT%H:%MZ"
_YEARS: Final = range(1970, 2200)


class Bucket(Value, frozen=True, kw_only=True):
    """A part of a board's time: ``begins_ms`` belongs to it, ``ends_ms`` does not. None: it has no end."""

    name: str
    begins_ms: int
    ends_ms: int | None

    def __contains__(self, at_ms: int) -> bool:
        return self.begins_ms <= at_ms and (self.ends_ms is None or at_ms < self.ends_ms)


class Period(Hashable, Protocol):
    """A way to cut time into buckets."""

    def bucket_at(self, at_ms: int) -> Bucket | None:
        """The bucket of a moment, None between two seasons."""

    def bucket_named(self, name: str) -> Bucket | None:
        """The bucket of a name, None if there is none. ``name`` may be any text."""

    def closed_before(self, at_ms: int, count: int) -> Sequence[Bucket]:
        """The last ``count`` buckets that were over at a moment, the newest first."""


def bucket_at(period: Period, at_ms: int) -> Bucket | None:
    """The bucket of a moment, remembered: to ask the calendar takes some microseconds."""
    bucket = _bucket_at_second(period, at_ms // 1000)
    return bucket if bucket is not None and at_ms in bucket else period.bucket_at(at_ms)


@lru_cache(maxsize=4_096)
def _bucket_at_second(period: Period, second: int) -> Bucket | None:
    return period.bucket_at(second * 1000)


#: The only bucket of a board without a period.
ALL_TIME: Final = Bucket(name="", begins_ms=0, ends_ms=None)


class AllTime(Value, frozen=True, kw_only=True):
    """No period: one bucket, which has no name."""

    def bucket_at(self, at_ms: int) -> Bucket | None:
        """Always the same."""
        return ALL_TIME

    def bucket_named(self, name: str) -> Bucket | None:
        """The bucket without a name."""
        return ALL_TIME if name == "" else None

    def closed_before(self, at_ms: int, count: int) -> Sequence[Bucket]:
        """None ever."""
        return ()


class CalendarPeriod(Value, frozen=True, kw_only=True):
    """Days, weeks (from Monday, ISO 8601) or months of a zone, named ``2026-11-25``, ``2026-W48``, ``2026-11``."""

    unit: Unit
    zone: tzinfo

    def bucket_at(self, at_ms: int) -> Bucket:
        """The day, week or month of a moment."""
        day = _first_day(self.unit, _local(at_ms, self.zone).date())
        bucket = self._bucket(day)
        while at_ms not in bucket:  # the clocks went back over midnight: the next one has begun
            day = _day_after(self.unit, day)
            bucket = self._bucket(day)
        return bucket

    def bucket_named(self, name: str) -> Bucket | None:
        """The day, week or month of a name; None for a day that the zone skipped."""
        day = _named_day(self.unit, name)
        if day is None or day.year not in _YEARS:
            return None
        bucket = self._bucket(day)
        return bucket if bucket.begins_ms in bucket else None

    def closed_before(self, at_ms: int, count: int) -> Sequence[Bucket]:
        """The days, weeks or months before."""
        return _before(self, self.bucket_at(at_ms), count)

    def _bucket(self, day: date) -> Bucket:
        return Bucket(
            name=_day_name(self.unit, day),
            begins_ms=_first_instant(day, self.zone),
            ends_ms=_first_instant(_day_after(self.unit, day), self.zone),
        )


class Slots(Value, frozen=True, kw_only=True):
    """Slots of one length, counted from 1970-01-01T00:00Z and named by their begin: ``2026-11-25T06:00Z``. Whole minutes."""

    length_ms: int

    def bucket_at(self, at_ms: int) -> Bucket:
        """The slot of a moment."""
        begins_ms = at_ms - at_ms % self.length_ms
        name = (_EPOCH + begins_ms * _MS).strftime(_SLOT_FORMAT)
        return Bucket(name=name, begins_ms=begins_ms, ends_ms=begins_ms + self.length_ms)

    def bucket_named(self, name: str) -> Bucket | None:
        """The slot of a name."""
        with suppress(ValueError):
            begins_ms = (datetime.strptime(name, _SLOT_FORMAT).replace(tzinfo=UTC) - _EPOCH) // _MS
            bucket = self.bucket_at(begins_ms) if begins_ms >= 0 else None
            return bucket if bucket is not None and bucket.name == name else None
        return None

    def closed_before(self, at_ms: int, count: int) -> Sequence[Bucket]:
        """The slots before."""
        return _before(self, self.bucket_at(at_ms), count)


class Seasons(Value, frozen=True, kw_only=True):
    """Seasons in order. Between two of them the board has no bucket."""

    seasons: Sequence[Bucket]

    def bucket_at(self, at_ms: int) -> Bucket | None:
        """The season of a moment."""
        return next((season for season in self.seasons if at_ms in season), None)

    def bucket_named(self, name: str) -> Bucket | None:
        """The season of a name."""
        return next((season for season in self.seasons if season.name == name), None)

    def closed_before(self, at_ms: int, count: int) -> Sequence[Bucket]:
        """The seasons that are over."""
        over = [season for season in self.seasons if season.ends_ms is not None and season.ends_ms <= at_ms]
        return over[::-1][:count]


@lru_cache(maxsize=256)
def _before(period: CalendarPeriod | Slots, bucket: Bucket, count: int) -> Sequence[Bucket]:
    """The buckets before this one, until 1970. Remembered: to ask the calendar for a thousand takes some ten milliseconds."""
    found: list[Bucket] = []
    while bucket.begins_ms > 0 and len(found) < count:
        bucket = period.bucket_at(bucket.begins_ms - 1)
        found.append(bucket)
    return tuple(found)


def _local(at_ms: int, zone: tzinfo) -> datetime:
    return (_EPOCH + at_ms * _MS).astimezone(zone)


def _first_day(unit: Unit, day: date) -> date:
    """The day with which the day's week or month begins."""
    if unit == "weekly":
        return day - day.weekday() * _DAY
    return day.replace(day=1) if unit == "monthly" else day


def _day_after(unit: Unit, first: date) -> date:
    """The first day of the next one."""
    if unit == "monthly":
        return (first + 31 * _DAY).replace(day=1)
    return first + (7 if unit == "weekly" else 1) * _DAY


def _day_name(unit: Unit, first: date) -> str:
    if unit == "weekly":
        year, week, _ = first.isocalendar()
        return f"{year:04}-W{week:02}"
    return first.isoformat()[:7] if unit == "monthly" else first.isoformat()


def _named_day(unit: Unit, name: str) -> date | None:
    """The first day of what is named; None if the name is none of this unit."""
    with suppress(ValueError):
        if unit == "daily" and _DAY_NAME.fullmatch(name):
            return date.fromisoformat(name)
        if unit == "monthly" and _MONTH_NAME.fullmatch(name):
            return date.fromisoformat(name + "-01")
        week = _WEEK_NAME.fullmatch(name) if unit == "weekly" else None
        if week is not None:
            return date.fromisocalendar(int(week[1]), int(week[2]), 1)
    return None


def _first_instant(day: date, zone: tzinfo) -> int:
    """The first millisecond whose local date is this day or a later one."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)  # the first one, where the day has two
    instant = (midnight - _EPOCH) // _MS
    if _local(instant, zone).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return instant
    before, reached = instant - _CHANGE_MS_MAX, instant  # the zone skipped midnight, so a change of its time lies between
    while reached - before > 1:
        middle = (before + reached) // 2
        if _local(middle, zone).date() >= day:
            reached = middle
        else:
            before = middle
    return reached
