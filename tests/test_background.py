"""Background work: whatever fails in it is logged with its traceback and counted, and a loop goes on."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from scoreboard.background import FAILURES_METRIC, Loop, run_in_background


class CountingMeter:
    """A meter that keeps what was counted."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, str]] = []

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        self.counted.append((name, labels["task"]))


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    """What was logged during the test."""
    events: list[dict[str, Any]] = []
    observer: Any = events.append
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


def fails_at_once() -> None:
    raise RuntimeError("at once")


async def fails_as_coroutine() -> None:
    raise RuntimeError("in a coroutine")


async def is_cancelled() -> None:
    raise CancelledError


@pytest.mark.parametrize("body", [fails_at_once, fails_as_coroutine, is_cancelled])
def test_a_loop_whose_body_fails_is_logged_and_counted_each_time_and_goes_on(
    body: Callable[[], Any], logged: list[dict[str, Any]]
) -> None:
    clock, meter, failed_at_s = Clock(), CountingMeter(), []
    loop = Loop("test", body, 1.0, clock=clock, meter=meter, on_failure=lambda: failed_at_s.append(clock.seconds()))
    loop.start(now=True)
    clock.pump([1.0, 1.0])
    assert loop.running
    assert meter.counted == [(FAILURES_METRIC, "test")] * 3
    assert failed_at_s == [0.0, 1.0, 2.0]
    tracebacks = [event["log_failure"].getTraceback() for event in logged if event.get("task") == "test"]
    assert len(tracebacks) == 3
    assert all(body.__name__ in one for one in tracebacks)


def test_calls_of_a_loop_do_not_overlap() -> None:
    clock, under_way = Clock(), list[Deferred[None]]()

    def body() -> Deferred[None]:
        under_way.append(Deferred())
        return under_way[-1]

    loop = Loop("test", body, 1.0, clock=clock, meter=CountingMeter())
    loop.start()
    assert under_way == []  # not before the first interval has passed
    clock.pump([1.0, 1.0, 1.0])
    assert len(under_way) == 1
    under_way[0].callback(None)
    clock.advance(1.0)
    assert len(under_way) == 2


def test_a_loop_that_was_stopped_makes_no_more_calls_and_may_be_stopped_twice() -> None:
    clock, calls = Clock(), list[float]()
    loop = Loop("test", lambda: calls.append(clock.seconds()), 1.0, clock=clock, meter=CountingMeter())
    loop.stop()
    loop.start(now=True)
    loop.stop()
    loop.stop()
    clock.advance(5.0)
    assert calls == [0.0]
    assert not loop.running


def test_a_failing_on_failure_ends_the_loop_but_is_logged_and_counted(logged: list[dict[str, Any]]) -> None:
    clock, meter = Clock(), CountingMeter()
    loop = Loop("test", fails_at_once, 1.0, clock=clock, meter=meter, on_failure=fails_at_once)
    loop.start(now=True)
    assert not loop.running
    assert len(meter.counted) == 2
    assert sum(event.get("task") == "test" for event in logged) == 2


@pytest.mark.parametrize("work", [fails_as_coroutine, is_cancelled])
def test_a_task_that_fails_is_logged_and_counted_and_its_deferred_fires_with_none(
    work: Callable[[], Coroutine[Any, Any, None]], logged: list[dict[str, Any]]
) -> None:
    meter, ended = CountingMeter(), list[object]()
    run_in_background("test", work(), meter).addBoth(ended.append)
    assert ended == [None]
    assert meter.counted == [(FAILURES_METRIC, "test")]
    [event] = [event for event in logged if event.get("task") == "test"]
    assert work.__name__ in event["log_failure"].getTraceback()
