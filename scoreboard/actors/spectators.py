"""The spectators: who follows whose actions. Seats are few for each client, and none is given to whom the player forbids it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, TypeVar

from scoreboard.boundaries.announcer import Listener
from scoreboard.domain.refusals import NO_SPECTATORS, TOO_MANY_SPECTATED, Refusal

SPECTATED_PER_LISTENER_MAX: Final = 32

One = TypeVar("One")
Other = TypeVar("Other")


class Spectators:
    """Seats, by player and by listener. ``forbids`` says whether a player wants none; it may raise StoreUnavailable."""

    def __init__(self, forbids: Callable[[str], bool]) -> None:
        self._forbids = forbids
        self._watching: dict[str, dict[Listener, None]] = {}
        self._watched: dict[Listener, dict[str, None]] = {}

    def admit(self, listener: Listener, user_id: str) -> Refusal | None:
        """A seat, or why there is none. Admins may watch anyone, and everyone themselves. Raises StoreUnavailable.

        A seat that is there already stays until the player forbids it.
        """
        if len({*self._watched.get(listener, ()), user_id}) > SPECTATED_PER_LISTENER_MAX:
            return TOO_MANY_SPECTATED
        if not _may_always(listener, user_id) and self._forbids(user_id):
            self.unseat(listener, user_id)
            return NO_SPECTATORS
        self._watched.setdefault(listener, {})[user_id] = None
        self._watching.setdefault(user_id, {})[listener] = None
        return None

    def shut_out(self, user_id: str) -> list[Listener]:
        """The player wants none any more: those who had to give up their seats."""
        out = [listener for listener in self.of(user_id) if not _may_always(listener, user_id)]
        for listener in out:
            self.unseat(listener, user_id)
        return out

    def unseat(self, listener: Listener, user_id: str) -> None:
        """The seat is given up."""
        _take_out(self._watched, listener, user_id)
        _take_out(self._watching, user_id, listener)

    def leave(self, listener: Listener) -> None:
        """All seats of a listener are given up."""
        for user_id in tuple(self._watched.get(listener, ())):
            self.unseat(listener, user_id)

    def of(self, user_id: str) -> Collection[Listener]:
        """Who follows a player."""
        return self._watching.get(user_id, ())

    def watched_by(self, listener: Listener) -> tuple[str, ...]:
        """Whom a listener follows."""
        return tuple(self._watched.get(listener, ()))


def _may_always(listener: Listener, user_id: str) -> bool:
    return listener.player.role == "admin" or listener.player.user_id == user_id


def _take_out(held: dict[One, dict[Other, None]], one: One, other: Other) -> None:
    """Leave no empty dict behind."""
    others = held.get(one)
    if others is not None:
        others.pop(other, None)
        if not others:
            del held[one]
