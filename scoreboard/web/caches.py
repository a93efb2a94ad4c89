"""What was worked out once and may be used again, with a limit: tokens that were verified, bodies that were encoded."""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")
Thing = TypeVar("Thing")


class BoundedCache(Generic[Key, Thing]):
    """At most ``entries_max`` things by their keys; the one that was put in first makes room."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._things: dict[Key, Thing] = {}
        self.get = self._things.get

    def put(self, key: Key, thing: Thing) -> None:
        """Remember it, as the newest."""
        self._things.pop(key, None)
        if len(self._things) >= self._entries_max:
            del self._things[next(iter(self._things))]
        self._things[key] = thing

    def forget(self, key: Key) -> None:
        """It is of no more use."""
        self._things.pop(key, None)

    def __len__(self) -> int:
        return len(self._things)
