"""Carries whoever waits, together: questions that come one by one share a round trip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

T = TypeVar("T")


class Shuttle(Generic[T]):
    """Gathers passengers and takes them with ``ride``, which must not fail.

    Who comes in one turn of the reactor rides together when the turn ends; who comes while a ride is under way rides when it is
    over. One alone waits for nobody. A full load of ``seats_max`` leaves at once.
    """

    def __init__(self, reactor: IReactorTime, ride: Callable[[list[T]], Deferred[Any]], seats_max: int) -> None:
        self._reactor = reactor
        self._ride = ride
        self._seats_max = seats_max
        self._waiting: list[T] = []
        self._rides = 0
        self._called = False

    def take(self, passenger: T) -> None:
        """Let one more ride."""
        self._waiting.append(passenger)
        if len(self._waiting) >= self._seats_max:
            self._depart()
        else:
            self._call()

    def _call(self) -> None:
        if not self._called and not self._rides:
            self._called = True
            self._reactor.callLater(0, self._end_of_turn)

    def _end_of_turn(self) -> None:
        self._called = False
        if self._waiting and not self._rides:
            self._depart()

    def _depart(self) -> None:
        passengers, self._waiting = self._waiting, []
        self._rides += 1
        self._ride(passengers).addBoth(self._arrived)

    def _arrived(self, _: Any) -> None:
        self._rides -= 1
        if self._waiting:
            self._call()
