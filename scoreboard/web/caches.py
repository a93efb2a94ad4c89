"""Bounded cache: for tokens that were verified and bodies that were encoded, so that neither is done twice."""

from __future__ import annotations

from typing import Generic, TypeVar

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
