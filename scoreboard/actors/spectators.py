"""The spectators: who follows whose actions. Seats are few for each client and are kept by ids that were checked."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeVar

from scoreboard.boundaries import Listener

SPECTATED_PER_LISTENER_MAX: Final = 32

One = TypeVar("One")
Other = TypeVar("Other")


def may_always(listener: Listener, user_id: str) -> bool:
    """Admins may watch anyone, and everyone themselves."""
    return listener.player.role == "admin" or listener.player.user_id == user_id


class Spectators:
    """Seats, by player and by listener."""

    def __init__(self) -> None:
        self._watching: dict[str, dict[Listener, None]] = {}
        self._watched: dict[Listener, dict[str, None]] = {}

    def seat(self, listener: Listener, user_id: str) -> bool:
        """A seat, if the listener has not too many; taking it twice changes nothing."""
        watched = self._watched.get(listener, {})
        if user_id not in watched and len(watched) >= SPECTATED_PER_LISTENER_MAX:
            return False
        self._watched.setdefault(listener, watched)[user_id] = None
        self._watching.setdefault(user_id, {})[listener] = None
        return True

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


def _take_out(held: dict[One, dict[Other, None]], one: One, other: Other) -> None:
    """Leave no empty dict behind."""
    others = held.get(one)
    if others is not None:
        others.pop(other, None)
        if not others:
            del held[one]
