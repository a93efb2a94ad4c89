"""Values of `Retry-After` that servers and proxies send, and the seconds that each requests, at NOW_S."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

NOW_S: Final = datetime(2026, 11, 27, 12, 0, tzinfo=UTC).timestamp()

#: (the header, the requested seconds; 0 where the backoff alone decides)
RETRY_AFTER: Final = (
    ("7", 7),
    (" 7 ", 7),
    ("1.5", 1.5),
    ("0", 0),
    ("30", 30),
    ("3000000", 3_000_000),
    ("99999999999999999999999999", 1e26),
    ("1" + "0" * 400, 1e400),
    ("1e9999", 1e400),
    ("1, 30", 30),
    ("12,3", 12),
    ("soon, 9", 9),
    ("-5", 0),
    ("-5, -6", 0),
    ("", 0),
    (" ", 0),
    (",", 0),
    ("soon", 0),
    ("NaN", 0),
    ("-Infinity", 0),
    ("7 seconds", 0),
    ("Fri, 27 Nov 2026 12:00:20 GMT", 20),
    ("Fri, 27 Nov 2026 13:00:00 GMT", 3_600),
    ("Fri, 27 Nov 2026 11:00:00 GMT", 0),
    ("Friday, 27-Nov-26 12:00:20 GMT", 20),
    ("Fri Nov 27 12:00:20 2026", 20),
    ("Fri, 99 Nov 2026 99:99:99 GMT", 0),
    ("Mon, 01 Jan 0001 00:00:00 GMT", 0),
)


def wait_at(requested_s: float, random: float) -> float:
    """The wait after the first failure, with this jitter (0 to 1)."""
    return min(30.0, max(0.5, 0.5 + random, min(24.0, requested_s) * (1 + random / 4)))
