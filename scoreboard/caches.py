"""Caches in memory: a bounded one of the newest values, and one whose callers share the reads that are under way.

A leaf.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

Key = TypeVar("Key")
Cached = TypeVar("Cached")


class BoundedCache(Generic[Key, Cached]):
    """Cache of at most ``entries_max`` values; a new one displaces the oldest."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._values: dict[Key, Cached] = {}
        self.get = self._values.get

    def put(self, key: Key, value: Cached) -> None:
        """Keep a value as the newest."""
        self._values.pop(key, None)
        if len(self._values) >= self._entries_max:
            del self._values[next(iter(self._values))]
        self._values[key] = value

    def forget(self, key: Key) -> None:
        """Drop a value."""
        self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)


class SingleFlightCache(Generic[Key, Cached]):
    """Cache of what was read since the last `clear`. Callers that miss the same key at the same time share one read.

    ``life_s`` says for how long a value may be returned; 0.0 means until the next `clear`. A value above ``entries_max``
    displaces all others.
    """

    def __init__(self, clock: IReactorTime, entries_max: int, life_s: Callable[[Cached], float]) -> None:
        self._clock = clock
        self._entries_max = entries_max
        self._life_s = life_s
        #: Each value and the time until which it may be returned; 0.0 means until the next `clear`.
        self._values: dict[Key, tuple[Cached, float]] = {}
        self._reading: dict[Key, list[Deferred[Cached]]] = {}

    def clear(self) -> None:
        """Drop all values. Reads under way still answer their callers, but are neither kept nor shared with later callers."""
        self._values.clear()
        self._reading = {}

    async def fetch(self, key: Key, read: Callable[[], Awaitable[Cached]]) -> Cached:
        """The kept value; else the result of ``read``, or of the same read if one is under way. All callers get its exception."""
        kept = self._values.get(key)
        if kept is not None:
            value, until_s = kept
            if not until_s or self._clock.seconds() < until_s:
                return value
        waiting = self._reading.get(key)
        if waiting is not None:
            mine: Deferred[Cached] = Deferred()
            waiting.append(mine)
            return await mine
        waiting = self._reading[key] = []
        reading = self._reading
        try:
            value = await read()
        except Exception:
            reading.pop(key, None)
            failure = Failure()
            for other in waiting:
                other.errback(failure)
            raise
        reading.pop(key, None)
        if reading is self._reading:
            self.put(key, value)
        for other in waiting:
            other.callback(value)
        return value

    def put(self, key: Key, value: Cached) -> None:
        """Keep a value that was read otherwise."""
        if len(self._values) >= self._entries_max:
            self._values.clear()
        life_s = self._life_s(value)
        self._values[key] = (value, self._clock.seconds() + life_s if life_s else 0.0)
