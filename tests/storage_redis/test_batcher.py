from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from scoreboard.storage.redis.batcher import Batcher
from tests.storage_redis.harness import CountingMeter


class Rides:
    """A batcher with the flushes that it started, and the Deferred that ends each of them."""

    def __init__(self, batch_max: int = 3) -> None:
        self.clock = Clock()
        self.departed: list[list[str]] = []
        self.under_way: list[Deferred[None]] = []
        self.batcher: Batcher[str] = Batcher(self.clock, CountingMeter(), self._flush, batch_max)

    def _flush(self, items: list[str]) -> Deferred[Any]:
        self.departed.append(items)
        self.under_way.append(Deferred())
        return self.under_way[-1]

    def come(self, *items: str) -> None:
        for one in items:
            self.batcher.add(one)


def test_items_of_one_turn_are_flushed_together_when_the_turn_ends() -> None:
    rides = Rides()
    rides.come("ann", "bob")
    assert rides.departed == []
    rides.clock.advance(0)
    assert rides.departed == [["ann", "bob"]]
    assert rides.clock.getDelayedCalls() == []


def test_items_added_during_a_flush_are_flushed_after_it() -> None:
    rides = Rides()
    rides.come("ann")
    rides.clock.advance(0)
    rides.come("bob")
    rides.clock.advance(0)
    rides.come("cid")
    assert rides.departed == [["ann"]]
    rides.under_way[0].callback(None)
    rides.clock.advance(0)
    assert rides.departed == [["ann"], ["bob", "cid"]]


def test_a_full_batch_is_flushed_at_once_even_during_a_flush() -> None:
    rides = Rides()
    rides.come("a", "b", "c", "d", "e", "f", "g")
    assert rides.departed == [["a", "b", "c"], ["d", "e", "f"]]
    for one in rides.under_way[:2]:
        rides.clock.advance(0)
        assert rides.departed[2:] == []
        one.callback(None)
    rides.clock.advance(0)
    assert rides.departed[2:] == [["g"]]


def test_a_flush_that_failed_has_ended_too() -> None:
    rides = Rides()
    rides.come("ann")
    rides.clock.advance(0)
    rides.come("bob")
    rides.under_way[0].errback(ValueError())
    rides.clock.advance(0)
    assert rides.departed == [["ann"], ["bob"]]
