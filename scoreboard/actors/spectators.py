"""The spectators: who follows whose actions. Seats are few for each client and are kept by ids that were checked."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeVar

from scoreboard.boundaries import Listener, Register
from scoreboard.domain.refusals import NO_SPECTATORS, TOO_MANY_SPECTATED, Refusal

SPECTATED_PER_LISTENER_MAX: Final = 32

One = TypeVar("One")
Other = TypeVar("Other")


class _Question:
    """One question to the register, whether a player wants spectators. It shows nothing of the player."""

    __slots__ = ("user_id",)

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id


class Spectators:
    """Seats, by player and by listener. The register knows who wants none."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._watching: dict[str, dict[Listener, None]] = {}
        self._watched: dict[Listener, dict[str, None]] = {}
        #: Questions under way. Whoever takes one out keeps its answer from giving a seat.
        self._asked: dict[Listener, dict[_Question, None]] = {}

    async def admit(self, listener: Listener, user_id: str) -> Refusal | None:
        """A seat, or why there is none. Admins may watch anyone, and everyone themselves. Raises StoreUnavailable.

        A seat that is there already stays until the register says no.
        """
        watched, asked = self._watched.get(listener, {}), self._asked.get(listener, {})
        if len({*watched, *(one.user_id for one in asked), user_id}) > SPECTATED_PER_LISTENER_MAX:
            return TOO_MANY_SPECTATED
        if _may_always(listener, user_id):
            self._seat(listener, user_id)
            return None
        question = _Question(user_id)
        self._asked.setdefault(listener, {})[question] = None
        try:
            allowed = (await self._register.settings(user_id)).spectators
        finally:
            stands = question in self._asked.get(listener, ())
            _take_out(self._asked, listener, question)
        if not allowed:
            self._vacate(listener, user_id)
        elif stands:
            self._seat(listener, user_id)
            return None
        return NO_SPECTATORS

    def shut_out(self, user_id: str) -> list[Listener]:
        """The player wants none any more: those who had to give up their seats. Questions under way bring none either."""
        for listener in tuple(self._asked):
            self._withdraw(listener, user_id)
        out = [listener for listener in self.of(user_id) if not _may_always(listener, user_id)]
        for listener in out:
            self._vacate(listener, user_id)
        return out

    def _seat(self, listener: Listener, user_id: str) -> None:
        """Taking it twice changes nothing."""
        self._watched.setdefault(listener, {})[user_id] = None
        self._watching.setdefault(user_id, {})[listener] = None

    def _vacate(self, listener: Listener, user_id: str) -> None:
        _take_out(self._watched, listener, user_id)
        _take_out(self._watching, user_id, listener)

    def _withdraw(self, listener: Listener, user_id: str) -> None:
        for question in tuple(self._asked.get(listener, ())):
            if question.user_id == user_id:
                _take_out(self._asked, listener, question)

    def unseat(self, listener: Listener, user_id: str) -> None:
        """The seat is given up, and questions under way bring none."""
        self._withdraw(listener, user_id)
        self._vacate(listener, user_id)

    def leave(self, listener: Listener) -> None:
        """All seats of a listener are given up."""
        self._asked.pop(listener, None)
        for user_id in tuple(self._watched.get(listener, ())):
            self._vacate(listener, user_id)

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
