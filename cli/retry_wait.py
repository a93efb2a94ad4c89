"""Wait before a retry: exponential backoff with jitter, or the longer time that the server asked for with `Retry-After`.

Every retry of our clients takes its wait from here; `scoreboard/pages/static/retry_wait.js` is the same function for the page.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

_WAIT_S_MIN: Final = 0.5
_WAIT_S_MAX: Final = 30.0
#: The first backoff is about 1 s, each further one about twice as long; the jitter is half of it more or less.
_BACKOFF_S: Final = 1.0
_BACKOFF_S_MAX: Final = 20.0
_DOUBLINGS_MAX: Final = 5
#: The jitter after the time that the server asked for is up to a quarter of it, so this much ends within `_WAIT_S_MAX`.
_REQUESTED_S_MAX: Final = 24.0


def retry_wait_s(retry_after: str | int | float | None, failures: int, *, now_s: float, random: float) -> float:
    """The wait in seconds, 0.5 to 30.

    ``retry_after`` is as the server sent it, ``failures`` are those in a row before this one, ``random`` is from 0 to 1.
    """
    backoff_s = min(_BACKOFF_S_MAX, _BACKOFF_S * 2.0 ** min(failures, _DOUBLINGS_MAX)) * (0.5 + random)
    requested_s = min(_REQUESTED_S_MAX, _requested_s(str(retry_after or "").strip(), now_s)) * (1 + random / 4)
    return min(_WAIT_S_MAX, max(_WAIT_S_MIN, backoff_s, requested_s))


def _requested_s(text: str, now_s: float) -> float:
    """The wait that a `Retry-After` names (RFC 9110, 10.2.3); 0 for nonsense.

    That is a number of seconds, a date, or the longest of several numbers where a proxy joined two headers.
    """
    seconds = [number for number in map(_number, text.split(",")) if number >= 0]
    if seconds:
        return max(seconds)
    try:
        date = parsedate_to_datetime(text)
        # The form of a date without a zone (asctime) is in UTC too.
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_s)
    except (ValueError, OverflowError, TypeError, IndexError):
        return 0.0


def _number(text: str) -> float:
    """The number, -1 if the text is none."""
    try:
        number = float(text)
    except ValueError:
        return -1.0
    return number if number >= 0 else -1.0  # NaN is not
