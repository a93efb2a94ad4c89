from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from scoreboard.storage.redis.batcher import Batcher
from tests.storage_redis.harness import CountingMeter


class FlushRecorder:
    """A batcher with the flushes that it started, and the Deferred that ends each of them."""

    def __init__(self, batch_max: int = 3) -> None:
        self.clock = Clock()
        self.flushed: list[list[str]] = []
        self.under_way: list[Deferred[None]] = []
        self.batcher: Batcher[str] = Batcher(self.clock, CountingMeter(), self._flush, batch_max)

    def _flush(self, items: list[str]) -> Deferred[Any]:
        self.flushed.append(items)
        self.under_way.append(Deferred())
        return self.under_way[-1]

    def add(self, *items: str) -> None:
        for one in items:
            self.batcher.add(one)


def test_items_of_one_turn_are_flushed_together_when_the_turn_ends() -> None:
    recorder = FlushRecorder()
    recorder.add("ann", "bob")
    assert recorder.flushed == []
    recorder.clock.advance(0)
    assert recorder.flushed == [["ann", "bob"]]
    assert recorder.clock.getDelayedCalls() == []


def test_items_added_during_a_flush_are_flushed_after_it() -> None:
    recorder = FlushRecorder()
    recorder.add("ann")
    recorder.clock.advance(0)
    recorder.add("bob")
    recorder.clock.advance(0)
    recorder.add("cid")
    assert recorder.flushed == [["ann"]]
    recorder.under_way[0].callback(None)
    recorder.clock.advance(0)
    assert recorder.flushed == [["ann"], ["bob", "cid"]]


def test_a_full_batch_is_flushed_at_once_even_during_a_flush() -> None:
    recorder = FlushRecorder()
    recorder.add("a", "b", "c", "d", "e", "f", "g")
    assert recorder.flushed == [["a", "b", "c"], ["d", "e", "f"]]
    for one in recorder.under_way[:2]:
        recorder.clock.advance(0)
        assert recorder.flushed[2:] == []
        one.callback(None)
    recorder.clock.advance(0)
    assert recorder.flushed[2:] == [["g"]]


def test_a_flush_that_failed_has_ended_too() -> None:
    recorder = FlushRecorder()
    recorder.add("ann")
    recorder.clock.advance(0)
    recorder.add("bob")
    recorder.under_way[0].errback(ValueError())
    recorder.clock.advance(0)
    assert recorder.flushed == [["ann"], ["bob"]]
