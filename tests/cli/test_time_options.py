"""Times and spans as admins type them."""

from __future__ import annotations

import pytest
import typer

from cli.time_options import moment_ms, span_s

NOW_MS = 1_795_429_800_000


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)])
def test_a_span_has_a_unit(text: str, seconds: int) -> None:
    assert span_s(text, "--life") == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "1y", "１２h", "1_0s", "1h30m", "9999999999s"])
def test_anything_else_is_no_span(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        span_s(text, "--life")


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
def test_a_moment_is_utc_unless_it_says_otherwise(text: str, expected_ms: int) -> None:
    assert moment_ms(text, "--since", NOW_MS) == expected_ms


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "23.11.2026", "1795429800"])
def test_anything_else_is_no_moment(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        moment_ms(text, "--since", NOW_MS)
