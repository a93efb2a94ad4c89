"""Registry of HTTP connections, of all ports together: how many there are, from where, and who makes room for whom.

Every connection holds a file descriptor of the process, so their number is bounded, and so is the number of those that are only
being told that there is no room. Loopback and our own proxies, where operators and probes come from, have places in reserve; and
when these are used up, too, the connection that came first of those that are idle is closed to make room for them.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Protocol

from scoreboard.domain.refusals import Refusal, unavailable

#: Connections that are being told that there is no room. Beyond it they are closed without a word.
LEAVING_MAX: Final = 32
#: Places that strangers do not get: so many, or an eighth of all when there are few.
RESERVED_MAX: Final = 64

FULL: Final = unavailable("The server has no connection left")
FULL_ADDRESS: Final = unavailable("Your address holds too many connections")


class Connection(Protocol):
    """A connection, as the registry sees it."""

    @property
    def counted_as(self) -> str:
        """The name under which its peer's address is limited."""

    @property
    def trusted(self) -> bool:
        """Whether the peer is a proxy of ours, which speaks for many."""

    @property
    def ours(self) -> bool:
        """Whether it comes from a proxy of ours or from loopback."""

    @property
    def asking(self) -> bool:
        """Whether a request of it is being read or answered."""

    def close_now(self) -> None:
        """Close without a word: when it returns, the descriptor is free."""


class Connections:
    """Counts connections in and out."""

    def __init__(self, connections_max: int, per_address_max: int) -> None:
        self._max = connections_max
        self._unreserved_max = connections_max - min(RESERVED_MAX, connections_max // 8)
        self._per_address_max = per_address_max
        self._all: dict[Connection, None] = {}
        self._leaving: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
        #: Connections that found no room, or were closed to make some, since somebody last took the number.
        self.refused = 0

    @property
    def crowded(self) -> bool:
        """Whether so many are leaving that the next one must be closed without a word, by `close_now`."""
        return len(self._leaving) >= LEAVING_MAX

    def admit(self, connection: Connection) -> Refusal | None:
        """A place for this connection, or why there is none. Our proxies have no limit each."""
        refusal = self._refusal(connection)
        if refusal is not None and not (connection.ours and self._make_room(connection, refusal)):
            self.refused += 1
            return refusal
        self._all[connection] = None
        self._by_address[connection.counted_as] += 1
        return None

    def tell(self, connection: Connection) -> None:
        """A connection that found no room is being told so; it must `leave`."""
        self._leaving.add(connection)

    def leave(self, connection: Connection) -> None:
        """The connection is gone, or is no longer HTTP. Doing it twice changes nothing."""
        self._leaving.discard(connection)
        self._give_up_place(connection)

    def _refusal(self, connection: Connection) -> Refusal | None:
        if len(self._all) >= (self._max if connection.ours else self._unreserved_max):
            return FULL
        if not connection.trusted and self._by_address[connection.counted_as] >= self._per_address_max:
            return FULL_ADDRESS
        return None

    def _make_room(self, newcomer: Connection, refusal: Refusal) -> bool:
        """Close the connection that came first of those that are idle, if there is one."""
        address = newcomer.counted_as if refusal is FULL_ADDRESS else None
        for connection in self._all:
            if not connection.asking and address in (None, connection.counted_as):
                self.refused += 1
                connection.close_now()
                self._give_up_place(connection)
                return True
        return False

    def _give_up_place(self, connection: Connection) -> None:
        if connection not in self._all:
            return
        del self._all[connection]
        address = connection.counted_as
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
