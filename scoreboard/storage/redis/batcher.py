"""Batcher: items that are added in the same turn of the reactor are flushed together and share a round trip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from scoreboard.background import Counter, report_failure

T = TypeVar("T")


class Batcher(Generic[T]):
    """Collects items and hands them to ``flush``, whose failures are logged and counted here.

    Items of one turn of the reactor are flushed when the turn ends. Items that are added during a flush are flushed after it.
    As soon as ``batch_max`` items wait, they are flushed at once.
    """

    def __init__(self, reactor: IReactorTime, meter: Counter, flush: Callable[[list[T]], Deferred[Any]], batch_max: int) -> None:
        self._reactor = reactor
        self._meter = meter
        self._flush_items = flush
        self._batch_max = batch_max
        self._waiting: list[T] = []
        self._flushes = 0
        self._called = False

    def add(self, item: T) -> None:
        """Flush this item soon."""
        self._waiting.append(item)
        if len(self._waiting) >= self._batch_max:
            self._flush()
        else:
            self._flush_later()

    def _flush_later(self) -> None:
        if not self._called and not self._flushes:
            self._called = True
            self._reactor.callLater(0, self._end_of_turn)

    def _end_of_turn(self) -> None:
        self._called = False
        if self._waiting and not self._flushes:
            self._flush()

    def _flush(self) -> None:
        items, self._waiting = self._waiting, []
        self._flushes += 1
        try:
            flushed = self._flush_items(items)
        except Exception:
            flushed = fail()
        flushed.addCallbacks(self._flushed, self._failed)

    def _failed(self, failure: Failure) -> None:
        report_failure("redis_batch", self._meter, failure)
        self._flushed(None)

    def _flushed(self, _: Any) -> None:
        self._flushes -= 1
        if self._waiting:
            self._flush_later()
