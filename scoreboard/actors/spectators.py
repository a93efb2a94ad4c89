"""The spectators: who follows whose actions. Seats are few for each client and are kept by ids that were checked."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeVar

from scoreboard.boundaries import Listener, Register, StoreUnavailable
from scoreboard.domain.refusals import NO_SPECTATORS, TOO_MANY_SPECTATED, Refusal

SPECTATED_PER_LISTENER_MAX: Final = 32

One = TypeVar("One")
Other = TypeVar("Other")


class Spectators:
    """Seats, by player and by listener. The register knows who wants none."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._watching: dict[str, dict[Listener, None]] = {}
        self._watched: dict[Listener, dict[str, None]] = {}
        #: What the register is being asked about: a place among the seats that shows nothing yet.
        self._asked: dict[Listener, dict[str, None]] = {}

    async def admit(self, listener: Listener, user_id: str) -> Refusal | None:
        """A seat, or why there is none. Admins may watch anyone, and everyone themselves. Raises StoreUnavailable."""
        watched, asked = self._watched.get(listener, {}), self._asked.get(listener, {})
        if user_id not in watched and len({*watched, *asked, user_id}) > SPECTATED_PER_LISTENER_MAX:
            return TOO_MANY_SPECTATED
        self._asked.setdefault(listener, {})[user_id] = None
        try:
            allowed = _may_always(listener, user_id) or (await self._register.settings(user_id)).spectators
        except StoreUnavailable:
            self.unseat(listener, user_id)
            raise
        # If the player forbade it, or the listener left, while we asked, neither a question nor a seat is there any more.
        if allowed and (user_id in self._asked.get(listener, ()) or listener in self.of(user_id)):
            self._seat(listener, user_id)
            return None
        self.unseat(listener, user_id)
        return NO_SPECTATORS

    def shut_out(self, user_id: str) -> list[Listener]:
        """The player wants none any more: those who had to give up their seats."""
        out = [listener for listener in self.of(user_id) if not _may_always(listener, user_id)]
        asking = [listener for listener, asked in self._asked.items() if user_id in asked and not _may_always(listener, user_id)]
        for listener in (*out, *asking):
            self.unseat(listener, user_id)
        return out

    def _seat(self, listener: Listener, user_id: str) -> None:
        """Taking it twice changes nothing."""
        _take_out(self._asked, listener, user_id)
        self._watched.setdefault(listener, {})[user_id] = None
        self._watching.setdefault(user_id, {})[listener] = None

    def unseat(self, listener: Listener, user_id: str) -> None:
        """The seat is given up, or the question whether there is one."""
        _take_out(self._asked, listener, user_id)
        _take_out(self._watched, listener, user_id)
        _take_out(self._watching, user_id, listener)

    def leave(self, listener: Listener) -> None:
        """All seats of a listener are given up."""
        for user_id in (*self._watched.get(listener, ()), *self._asked.get(listener, ())):
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
