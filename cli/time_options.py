"""Times and spans as admins type them: ``2h``, ``7d``, ``2026-11-23``, ``2026-11-23T10:30``. Without an offset they mean UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import typer

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN: Final = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)


def span_s(text: str, option: str) -> int:
    """The seconds in a span like 90s, 15m, 24h, 7d or 2w."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no span of time; write 90s, 15m, 24h, 7d or 2w", param_hint=option)
    return int(match[1]) * _SECONDS[match[2]]


def moment_ms(text: str, option: str, now_ms: int) -> int:
    """The time meant by an ISO 8601 date, date and time, or a span before now."""
    if _SPAN.fullmatch(text):
        return now_ms - span_s(text, option) * 1000
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        hint = "write 2h or 7d (ago), 2026-11-23, or 2026-11-23T10:30 (UTC)"
        raise typer.BadParameter(f"{text!r} is no time; {hint}", param_hint=option) from None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return int(then.timestamp() * 1000)
