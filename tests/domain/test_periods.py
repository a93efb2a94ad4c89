"""Buckets of periods: they touch, never overlap, and follow the calendar of every zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import get_args
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scoreboard.domain.periods import ALL_TIME, AllTime, Bucket, CalendarPeriod, Period, Seasons, Slots, Unit

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNITS = get_args(Unit)
ZONES = sorted(available_timezones())


def ms(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)


def local(at_ms: int, zone: str) -> datetime:
    return (EPOCH + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(zone))


def bucket(period: Period, at_ms: int) -> Bucket:
    found = period.bucket_at(at_ms)
    assert found is not None
    return found


def daily(zone: str) -> CalendarPeriod:
    return CalendarPeriod(unit="daily", zone=ZoneInfo(zone))


TIMES = st.integers(ms("2000-01-01T00:00Z"), ms("2100-01-01T00:00Z"))


@given(st.sampled_from(UNITS), st.sampled_from(ZONES), TIMES)
@example("daily", "Pacific/Apia", ms("2011-12-30T10:00Z"))
@example("daily", "America/St_Johns", ms("2010-11-07T02:31Z"))
@example("daily", "America/Sao_Paulo", ms("2018-11-04T03:00Z"))
@example("daily", "Asia/Kathmandu", ms("2026-11-27T18:15Z"))
@example("monthly", "Antarctica/Troll", ms("2026-03-29T01:00Z"))
def test_a_moment_is_in_one_bucket_whose_neighbours_touch_it(unit: Unit, zone: str, at_ms: int) -> None:
    period = CalendarPeriod(unit=unit, zone=ZoneInfo(zone))
    here = bucket(period, at_ms)
    assert here.ends_ms is not None
    assert at_ms in here
    before, after = bucket(period, here.begins_ms - 1), bucket(period, here.ends_ms)
    assert (before.ends_ms, after.begins_ms) == (here.begins_ms, here.ends_ms)
    assert before.name < here.name < after.name
    for one in (before, here, after):
        assert period.bucket_named(one.name) == one
        assert bucket(period, one.begins_ms) == one


@given(st.sampled_from(UNITS), st.sampled_from(ZONES), TIMES)
def test_a_bucket_has_the_name_of_its_local_date(unit: Unit, zone: str, at_ms: int) -> None:
    here, at = bucket(CalendarPeriod(unit=unit, zone=ZoneInfo(zone)), at_ms), local(at_ms, zone)
    expected = {"daily": f"{at:%Y-%m-%d}", "weekly": f"{at:%G-W%V}", "monthly": f"{at:%Y-%m}"}[unit]
    if here.name != expected:  # only where the clocks went back over midnight
        before, now = local(at_ms - 3 * 3_600_000, zone).utcoffset(), at.utcoffset()
        assert before is not None
        assert now is not None
        assert before > now


@pytest.mark.parametrize("zone", ZONES)
def test_each_month_of_a_century_begins_on_its_first_day_in_every_zone(zone: str) -> None:
    period = CalendarPeriod(unit="monthly", zone=ZoneInfo(zone))
    found = [bucket(period, ms(f"{year}-{month:02}-15T00:00Z")) for year in range(2000, 2101, 4) for month in range(1, 13)]
    for one in found:
        assert one.ends_ms is not None
        assert [local(at_ms, zone).strftime("%Y-%m-%d") for at_ms in (one.begins_ms, one.ends_ms - 1)] == [
            one.name + "-01",
            str(local(one.ends_ms, zone).date() - timedelta(days=1)),
        ]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/Sao_Paulo", "2018-11-04", 23),
        ("America/Havana", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Asia/Kathmandu", "2026-11-25", 24),
        ("America/St_Johns", "2010-11-06", 24),
        ("America/St_Johns", "2010-11-07", 25),
        ("UTC", "2028-02-29", 24),
    ],
)
def test_a_day_has_the_hours_of_its_zone(zone: str, day: str, hours: float) -> None:
    found = daily(zone).bucket_named(day)
    assert found is not None
    assert found.ends_ms is not None
    assert (found.ends_ms - found.begins_ms) / 3_600_000 == hours


def test_a_day_whose_midnight_is_skipped_begins_when_the_clocks_change() -> None:
    found = daily("America/Sao_Paulo").bucket_named("2018-11-04")
    assert found is not None
    assert found.begins_ms == ms("2018-11-04T03:00Z")


def test_a_day_that_a_zone_skipped_has_no_bucket() -> None:
    apia = daily("Pacific/Apia")
    assert apia.bucket_named("2011-12-30") is None
    names = [bucket(apia, ms(text)).name for text in ("2011-12-30T09:59:59.999Z", "2011-12-30T10:00Z")]
    assert names == ["2011-12-29", "2011-12-31"]


@pytest.mark.parametrize(
    ("unit", "at", "name", "begins", "ends"),
    [
        ("daily", "2028-02-29T23:59:59.999Z", "2028-02-29", "2028-02-29T00:00Z", "2028-03-01T00:00Z"),
        ("weekly", "2026-11-29T23:59:59.999Z", "2026-W48", "2026-11-23T00:00Z", "2026-11-30T00:00Z"),
        ("weekly", "2027-01-01T12:00Z", "2026-W53", "2026-12-28T00:00Z", "2027-01-04T00:00Z"),
        ("monthly", "2026-12-31T23:59:59.999Z", "2026-12", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("monthly", "2028-02-29T12:00Z", "2028-02", "2028-02-01T00:00Z", "2028-03-01T00:00Z"),
    ],
)
def test_weeks_begin_on_monday_and_months_on_the_first(unit: Unit, at: str, name: str, begins: str, ends: str) -> None:
    found = bucket(CalendarPeriod(unit=unit, zone=UTC), ms(at))
    assert found == Bucket(name=name, begins_ms=ms(begins), ends_ms=ms(ends))


@given(st.integers(1, 527_040), TIMES)
def test_slots_touch_and_have_one_length(minutes: int, at_ms: int) -> None:
    period = Slots(length_ms=minutes * 60_000)
    here = bucket(period, at_ms)
    assert here.ends_ms is not None
    assert at_ms in here
    assert here.ends_ms - here.begins_ms == period.length_ms
    assert bucket(period, here.ends_ms).begins_ms == here.ends_ms
    assert period.bucket_named(here.name) == here


def test_seasons_have_their_own_names_and_nothing_between_them() -> None:
    first = Bucket(name="autumn", begins_ms=100, ends_ms=200)
    second = Bucket(name="winter", begins_ms=300, ends_ms=400)
    period = Seasons(seasons=(first, second))
    assert [period.bucket_at(at_ms) for at_ms in (99, 100, 199, 200, 300, 400)] == [None, first, first, None, second, None]
    assert [period.bucket_named(name) for name in ("winter", "spring", "")] == [second, None, None]


def test_a_board_without_a_period_has_one_bucket() -> None:
    assert AllTime().bucket_at(5) == ALL_TIME == AllTime().bucket_named("")
    assert AllTime().bucket_named("2026") is None


WRONG_NAMES = [
    "",
    "2026-11-31",
    "2026-11-2",
    "2026-W54",
    "2025-W53",
    "2026-13",
    "0000-01-01",
    "9999-12-31",
    "2026-11-25 ",
    "٢٠٢٦-11-25",
]


@pytest.mark.parametrize("name", [*WRONG_NAMES, "2026-11-25T06:01Z", "2026-11-25T6:00Z", "1969-12-31T18:00Z", "x" * 10_000])
def test_a_name_of_no_bucket_finds_none(name: str) -> None:
    assert [CalendarPeriod(unit=unit, zone=UTC).bucket_named(name) for unit in UNITS] == [None] * 3
    assert Slots(length_ms=6 * 3_600_000).bucket_named(name) is None


@given(st.text(), st.sampled_from(UNITS))
def test_any_text_is_at_most_an_unknown_name(name: str, unit: Unit) -> None:
    for period in (CalendarPeriod(unit=unit, zone=UTC), Slots(length_ms=60_000)):
        found = period.bucket_named(name)
        assert found is None or found.name == name


def test_the_days_of_a_year_follow_each_other() -> None:
    period = daily("Europe/Paris")
    days = [bucket(period, ms(f"{date(2026, 1, 1) + timedelta(days=number)}T12:00Z")) for number in range(365)]
    assert all(one.ends_ms == other.begins_ms for one, other in pairwise(days))


NUMBERS = st.integers(0, 9_999)
NAMES = st.one_of(
    st.text(max_size=20),
    st.builds("{:04}-{:02}-{:02}".format, NUMBERS, st.integers(0, 99), st.integers(0, 99)),
    st.builds("{:04}-W{:02}".format, NUMBERS, st.integers(0, 99)),
    st.builds("{:04}-{:02}".format, NUMBERS, st.integers(0, 99)),
    st.builds("{:04}-{:02}-{:02}T{:02}:{:02}Z".format, NUMBERS, *[st.integers(0, 99)] * 4),
)


@given(
    st.one_of(
        st.builds(CalendarPeriod, unit=st.sampled_from(UNITS), zone=st.sampled_from(ZONES).map(ZoneInfo)),
        st.builds(Slots, length_ms=st.integers(1, 527_040).map(lambda minutes: minutes * 60_000)),
    ),
    NAMES,
)
@example(Slots(length_ms=7 * 86_400_000), "0001-01-01T00:00Z")
@example(Slots(length_ms=60_000), "9999-12-31T23:59Z")
@example(CalendarPeriod(unit="weekly", zone=ZoneInfo("UTC")), "9999-W53")
@example(CalendarPeriod(unit="daily", zone=ZoneInfo("Asia/Tokyo")), "0001-01-01")
def test_any_text_names_one_bucket_or_none(period: Period, name: str) -> None:
    found = period.bucket_named(name)
    if found is not None:
        assert found.name == name
        assert period.bucket_at(found.begins_ms) == found
