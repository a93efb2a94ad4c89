"""Metrics by their public names, as Prometheus reads them."""

from __future__ import annotations

import ast
import time
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from scoreboard.background import FAILURES_METRIC
from scoreboard.boundaries.health import Meter
from scoreboard.metrics import _COUNTERS, LagWatch, Metrics

PACKAGE: Final = Path(__file__).parents[1] / "scoreboard"
_conforms: type[Meter] = Metrics


def rendered(metrics: Metrics) -> str:
    return metrics.render()[0].decode()


def test_the_metrics_of_the_specification_exist_from_the_start() -> None:
    text = rendered(Metrics())
    assert "score_updates_total 0.0" in text
    assert "websocket_connections_active 0.0" in text
    assert "score_update_duration_seconds_count 0.0" in text
    assert "_created" not in text


def test_counts_durations_and_gauges_are_rendered() -> None:
    metrics = Metrics()
    metrics.count("score_updates_total", 3)
    metrics.count("http_requests_total", route="/healthz", status="200")
    metrics.count("http_requests_total", status="200", route="/healthz")
    metrics.observe("score_update_duration_seconds", 0.004)
    metrics.gauge("websocket_connections_active", 7)
    text = rendered(metrics)
    assert "score_updates_total 3.0" in text
    assert 'http_requests_total{route="/healthz",status="200"} 2.0' in text
    assert 'score_update_duration_seconds_bucket{le="0.005"} 1.0' in text
    assert "websocket_connections_active 7.0" in text


def calls(tree: ast.AST) -> Iterator[tuple[str, str, frozenset[str | None]]]:
    """The calls in a module that count, set, observe or watch a metric: the method, the metric's name and its labels."""
    methods = {"count", "gauge", "observe", "watch"}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=called) | ast.Name(id=called), args=[ast.Constant(value=str(name)), *_]):
                if called in methods and name.isidentifier():
                    yield called, name, frozenset(keyword.arg for keyword in node.keywords) - {"by"}


def test_every_metric_in_the_code_is_declared_with_its_labels() -> None:
    declared = {text.split()[2] for text in rendered(Metrics()).splitlines() if text.startswith("# HELP ")}
    used = {call for path in PACKAGE.rglob("*.py") for call in calls(ast.parse(path.read_text("utf-8")))}
    assert len({name for _, name, _ in used}) > 30
    assert {name for _, name, _ in used} - declared == set()
    assert {call for call in used if call[0] == "count" and call[2] != set(_COUNTERS[call[1]][1])} == set()
    assert _COUNTERS[FAILURES_METRIC][1] == ("task",)


def test_a_metric_that_is_not_declared_is_logged_once_and_raises_nothing() -> None:
    metrics = Metrics()
    before = rendered(metrics).count("\n")
    with capturedLogs() as logged:
        for _ in range(2):
            metrics.count("no_such_total", label="a")
            metrics.count("http_requests_total")
            metrics.count("score_updates_total", label="a")
            metrics.observe("no_such_seconds", 1.0)
            metrics.gauge("no_such_gauge", 1.0)
    names = ["no_such_total", "http_requests_total", "score_updates_total", "no_such_seconds", "no_such_gauge"]
    assert [event["metric"] for event in logged] == names
    assert rendered(metrics).count("\n") == before


def test_a_watched_gauge_is_read_when_the_metrics_are_rendered() -> None:
    metrics, room = Metrics(), ["amy"]
    assert "room_members 0.0" in rendered(metrics)
    metrics.watch("room_members", lambda: len(room))
    assert "room_members 1.0" in rendered(metrics)
    room.clear()
    assert "room_members 0.0" in rendered(metrics)


def test_the_number_of_series_is_bounded_when_clients_choose_labels() -> None:
    metrics = Metrics()
    for number in range(3_000):
        metrics.count("http_requests_total", route=f"/{number}", status="404")
    text = rendered(metrics)
    assert 'http_requests_total{route="other",status="other"} 1000.0' in text
    assert text.count("http_requests_total{") == 2_001


def test_two_servers_in_one_process_count_separately() -> None:
    first, second = Metrics(), Metrics()
    first.count("score_updates_total")
    assert "score_updates_total 0.0" in rendered(second)


def test_a_count_takes_less_than_ten_microseconds() -> None:
    metrics = Metrics()

    def count() -> None:
        metrics.count("http_requests_total", route="/api/v1/scores/submit", status="200")

    took_s = timeit.repeat(count, timer=time.process_time, number=2_000, repeat=5)
    assert min(took_s) / 2_000 < 10e-6  # 0.8 µs on the machine where this was written


def test_the_lag_of_the_reactor_is_the_worst_of_the_last_ten_seconds() -> None:
    clock, metrics = Clock(), Metrics()
    watch = LagWatch(clock, metrics)
    watch.startService()
    clock.advance(0.25)
    assert "reactor_lag_seconds 0.0" in rendered(metrics)
    clock.advance(0.75)  # half a second late
    clock.pump([0.25] * 3)
    assert "reactor_lag_seconds 0.5" in rendered(metrics)
    clock.pump([0.25] * 40)
    assert "reactor_lag_seconds 0.0" in rendered(metrics)
    watch.stopService()
    assert not clock.getDelayedCalls()
