"""Parsers of the options that take a time or a duration, like ``2h``, ``7d``, ``2026-11-23`` and ``2026-11-23T10:30`` (UTC)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import typer

_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)


def parse_duration_s(text: str, option: str) -> int:
    """The seconds of a duration like 90s, 15m, 24h, 7d or 2w."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no span of time; write 90s, 15m, 24h, 7d or 2w", param_hint=option)
    return int(match[1]) * _UNIT_S[match[2]]


def parse_time_ms(text: str, option: str, now_ms: int) -> int:
    """The time of an ISO 8601 date or date and time, in UTC unless it has an offset, or of a duration before now."""
    if _DURATION.fullmatch(text):
        return now_ms - parse_duration_s(text, option) * 1000
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        hint = "write 2h or 7d (ago), 2026-11-23, or 2026-11-23T10:30 (UTC)"
        raise typer.BadParameter(f"{text!r} is no time; {hint}", param_hint=option) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return int(time.timestamp() * 1000)
