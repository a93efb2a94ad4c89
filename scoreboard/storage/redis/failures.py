"""Failures of Redis: counted by kind; logged where an operator must act; remembered for `/readyz`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from scoreboard.boundaries.health import Meter
from scoreboard.storage.redis.errors import CALLS_REFUSED, WRITES_REFUSED, RedisUnavailable, forbidden_calls

#: How long a refused write counts. The server repeats within this time what it must write.
WRITES_REFUSED_S: Final = 2.0
#: How long a refused call counts, and when a text that did not return in this time is logged again.
CALLS_REFUSED_S: Final = 60.0
#: How many different texts are remembered.
_TEXTS_MAX: Final = 64


class RedisFailures:
    """The failures of one RedisClient."""

    _log = Logger()

    def __init__(self, meter: Meter, clock: IReactorTime) -> None:
        self._meter = meter
        self._clock = clock
        #: When each logged text was last noted.
        self._noted_s: dict[str, float] = {}
        self._refused = ""
        self._refused_s = 0.0
        self._refused_call_s = float("-inf")

    def note(self, trouble: RedisUnavailable, keys: Sequence[str] = (), script: str = "") -> None:
        """Count a failure of a command on these keys. ``script`` is the text of the script that failed, if a script failed."""
        self._meter.count("redis_failures_total", kind=trouble.kind)
        if trouble.kind in CALLS_REFUSED:
            calls = forbidden_calls(trouble.detail, script)
            patterns = ", ".join(sorted({f"{key.partition(':')[0]}:*" for key in keys}))
            found = [f" ({words} {named})" for words, named in (("it calls", calls), ("keys", patterns)) if named]
            self._refused_call_s = self._clock.seconds()
            self.once(f"{CALLS_REFUSED[trouble.kind]}: {trouble.detail}{''.join(found)}")
        elif trouble.kind in WRITES_REFUSED:
            self._refused, self._refused_s = f"{trouble.kind}: {trouble.detail}", self._clock.seconds()

    def once(self, text: str, level: LogLevel = LogLevel.error) -> None:
        """Log a text, unless it was noted within the last minute."""
        now_s = self._clock.seconds()
        noted_s = self._noted_s.get(text, float("-inf"))
        if now_s - noted_s > CALLS_REFUSED_S:
            if text not in self._noted_s and len(self._noted_s) >= _TEXTS_MAX:
                return
            self._log.emit(level, "{text}", text=text)
        self._noted_s[text] = now_s

    @property
    def refuses_calls(self) -> bool:
        """Whether Redis refused a call within the last minute that only an operator can mend."""
        return self._clock.seconds() - self._refused_call_s < CALLS_REFUSED_S

    @property
    def refused_write(self) -> str:
        """Why a write was refused within the last two seconds, or ""."""
        return self._refused if self._clock.seconds() - self._refused_s < WRITES_REFUSED_S else ""
