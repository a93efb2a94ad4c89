"""Slow down: a request beyond a limit waits a moment for its refusal, so that floods of one client cost the others little."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

#: Requests wait for different times, from half of this to all of it, so that clients do not all repeat at once.
SLOW_DOWN_S_MAX: Final = 0.2
_STEPS: Final = 16


class SlowDown:
    """A client that repeats its request at once makes at most ten requests a second on each connection.

    At most ``waiting_max`` requests wait at a time, if it is not None: what waits holds a room that others need.
    """

    def __init__(self, clock: IReactorTime, waiting_max: int | None = None) -> None:
        self._clock = clock
        self._waiting_max = waiting_max
        self._waiting = self._waits = 0

    async def wait(self) -> None:
        """Wait for 0.1 to 0.2 seconds, or not at all where no further request may wait."""
        if self._waiting_max is not None and self._waiting >= self._waiting_max:
            return
        self._waits += 1
        self._waiting += 1
        try:
            await deferLater(self._clock, SLOW_DOWN_S_MAX * (1 - self._waits % _STEPS / _STEPS / 2))
        finally:
            self._waiting -= 1
