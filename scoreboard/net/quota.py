"""Quota: connections of one kind, and how many of them each address holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Generic, TypeVar

One = TypeVar("One")


class Quota(Generic[One]):
    """Connections of one kind in the order of their arrival, and the number of each address."""

    def __init__(self) -> None:
        self._address_of: dict[One, str] = {}
        self._held_by: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._address_of)

    def __iter__(self) -> Iterator[One]:
        return iter(self._address_of)

    def __contains__(self, connection: object) -> bool:
        return connection in self._address_of

    def held_by(self, address: str) -> int:
        """The number of connections of an address."""
        return self._held_by[address]

    def address_of(self, connection: One) -> str:
        """The address of a connection, "" for an unknown one."""
        return self._address_of.get(connection, "")

    def add(self, connection: One, address: str) -> None:
        """Add a connection of an address."""
        self._address_of[connection] = address
        self._held_by[address] += 1

    def remove(self, connection: One) -> bool:
        """Remove a connection; False if it was not there."""
        address = self._address_of.pop(connection, None)
        if address is None:
            return False
        self._held_by[address] -= 1
        if not self._held_by[address]:
            del self._held_by[address]
        return True

    def replace(self, connection: One, successor: One) -> None:
        """Put another connection of the same client in its position."""
        self._address_of[successor] = self._address_of.pop(connection)
