"""Tests of the parsers for times and durations."""

from __future__ import annotations

import pytest
import typer

from cli.time_options import parse_duration_s, parse_time_ms

NOW_MS = 1_795_429_800_000


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)])
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: int) -> None:
    assert parse_duration_s(text, "--life") == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "1y", "１２h", "1_0s", "1h30m", "9999999999s"])
def test_an_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_duration_s(text, "--life")


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("2h", NOW_MS - 7_200_000),
        ("2026-11-23", 1_795_392_000_000),
        ("2026-11-23T10:30", NOW_MS),
        ("2026-11-23 10:30:00", NOW_MS),
        ("2026-11-23T10:30:00Z", NOW_MS),
        ("2026-11-23T11:30:00+01:00", NOW_MS),
        ("2026-11-23T10:30:00.250", NOW_MS + 250),
    ],
)
def test_a_time_without_an_offset_is_utc(text: str, expected_ms: int) -> None:
    assert parse_time_ms(text, "--since", NOW_MS) == expected_ms


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "23.11.2026", "1795429800"])
def test_an_invalid_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_time_ms(text, "--since", NOW_MS)
