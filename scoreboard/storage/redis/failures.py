"""Failures of Redis: counted by kind; logged once each where an operator must act; remembered for `/readyz`."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from scoreboard.boundaries.health import Meter
from scoreboard.storage.redis.errors import WRITES_REFUSED, RedisUnavailable, forbidden_calls

#: How long a refused write counts. The server repeats within this time what it must write.
WRITES_REFUSED_S: Final = 2.0
#: How many different texts are logged, each once.
_TEXTS_MAX: Final = 64


class RedisFailures:
    """The failures of one RedisClient."""

    _log = Logger()

    def __init__(self, meter: Meter, clock: IReactorTime) -> None:
        self._meter = meter
        self._clock = clock
        self._logged: set[str] = set()
        self._refused = ""
        self._refused_s = 0.0

    def note(self, trouble: RedisUnavailable, script: str = "") -> None:
        """Count a failure. ``script`` is the text of the script that failed, if a script failed."""
        self._meter.count("redis_failures_total", kind=trouble.kind)
        if trouble.kind == "NOPERM":
            calls = forbidden_calls(trouble.detail, script)
            self.once(f"Redis forbids what the server needs: {trouble.detail}" + (f" (it calls {calls})" if calls else ""))
        elif trouble.kind in WRITES_REFUSED:
            self._refused, self._refused_s = f"{trouble.kind}: {trouble.detail}", self._clock.seconds()

    def once(self, text: str, level: LogLevel = LogLevel.error) -> None:
        """Log a text, unless it was logged before."""
        if text not in self._logged and len(self._logged) < _TEXTS_MAX:
            self._logged.add(text)
            self._log.emit(level, "{text}", text=text)

    @property
    def refused_write(self) -> str:
        """Why a write was refused within the last two seconds, or ""."""
        return self._refused if self._clock.seconds() - self._refused_s < WRITES_REFUSED_S else ""
