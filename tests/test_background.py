"""Background work: each failure is logged with its traceback and counted, and a loop goes on."""

from __future__ import annotations

import ast
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from scoreboard.background import FAILURES_METRIC, Loop, run_in_background
from scoreboard.metrics import Metrics

ROOT: Final = Path(__file__).parents[1]
BACKGROUND: Final = ROOT / "scoreboard" / "background.py"


class CountingMeter:
    """A meter that records its calls."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, str]] = []

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        self.counted += [(name, labels["task"])] * by


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    """The events that were logged during the test."""
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


def test_a_loop_has_a_series_in_the_metrics_before_its_first_failure() -> None:
    metrics = Metrics()
    Loop("test", fails_at_once, 1.0, clock=Clock(), meter=metrics)
    assert b'background_failures_total{task="test"} 0.0' in metrics.render()[0]


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


def name_of_call(node: ast.AST) -> str:
    """The name of what is called, "" for no call."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def chain(node: ast.expr) -> Iterator[ast.expr]:
    """An expression and what it is called on: b.c(), b and a for ``a.b.c()``."""
    yield node
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
        yield node


def unreported(tree: ast.AST) -> Iterator[int]:
    """The lines that make a LoopingCall, or start a coroutine and drop its Deferred, with callbacks or without."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of_call(node) == "LoopingCall":
            yield node.lineno
        if isinstance(node, ast.Expr) and {"ensureDeferred", "fromCoroutine"} & set(map(name_of_call, chain(node.value))):
            yield node.lineno


def test_no_other_module_makes_a_looping_call_or_drops_the_deferred_of_a_coroutine() -> None:
    sources = sorted(path for package in ("scoreboard", "cli", "config") for path in (ROOT / package).rglob("*.py"))
    offenders = [
        f"{path.relative_to(ROOT)}:{lineno}"
        for path in sources
        if path != BACKGROUND
        for lineno in sorted(unreported(ast.parse(path.read_text("utf-8"))))
    ]
    assert offenders == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("ensureDeferred(work())", 1),
        ("defer.ensureDeferred(work()).addErrback(log).addBoth(ended)", 1),
        ("Deferred.fromCoroutine(work())", 1),
        ("loop = task.LoopingCall(work)", 1),
        ("deferred = ensureDeferred(work())", 0),
        ("run_in_background('task', work(), meter)", 0),
    ],
)
def test_the_search_for_unreported_work_finds_each_form(source: str, count: int) -> None:
    assert len(list(unreported(ast.parse(source)))) == count
