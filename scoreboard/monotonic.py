"""Monotonic time, for deadlines, pauses and windows: an operator or NTP may set the wall clock.

Twisted's reactor takes ``time.time`` for its timers. The wall clock (`service.wiring.now_ms`) is for what is signed, stored or
shown, and for the ends of tokens and actions; every duration is measured by the reactor's clock or by `monotonic_ms`.
"""

from __future__ import annotations

import time
from typing import Any


def use_monotonic_time(reactor: Any) -> None:
    """Make the reactor's timers follow the monotonic clock. Raises RuntimeError if a timer was set already, by the wall clock."""
    if reactor.getDelayedCalls():
        raise RuntimeError("the reactor has timers already: their times are the wall clock's")
    # ReactorBase and each DelayedCall that it makes ask the reactor's own `seconds`; nothing else in it reads a clock.
    reactor.seconds = time.monotonic


def monotonic_ms() -> int:
    """Milliseconds since an unknown moment: only differences have a meaning."""
    return time.monotonic_ns() // 1_000_000
