"""Each loop outside the actors goes on when its body fails, and each failure is logged with its traceback and counted."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from scoreboard.background import FAILURES_METRIC
from scoreboard.domain.close_reasons import RESTARTING
from scoreboard.metrics import LagWatch, Metrics
from scoreboard.net.connections import SWEEP_S, ConnectionRegistry
from scoreboard.net.limits import HttpLimits, LiveLimits
from scoreboard.systemd import Notifier


class FailingMetrics(Metrics):
    """Metrics of which the gauges fail while ``failing``."""

    failing = False

    def gauge(self, name: str, value: float) -> None:
        if self.failing:
            raise RuntimeError("a gauge")
        super().gauge(name, value)


@pytest.fixture
def tracebacks() -> Iterator[Callable[[str], list[str]]]:
    """The tracebacks that were logged during the test for a task."""
    events: list[dict[str, Any]] = []
    observer: Any = events.append
    globalLogPublisher.addObserver(observer)
    yield lambda task: [event["log_failure"].getTraceback() for event in events if event.get("task") == task]
    globalLogPublisher.removeObserver(observer)


def failures(metrics: Metrics, task: str) -> int:
    """How many failures of a task the metrics show."""
    shown = [text for text in metrics.render()[0].decode().splitlines() if text.startswith(f'{FAILURES_METRIC}{{task="{task}"}}')]
    return int(float(shown[0].split()[1])) if shown else 0


def test_the_monitor_of_the_reactors_lag_goes_on(tracebacks: Callable[[str], list[str]]) -> None:
    clock, metrics = Clock(), FailingMetrics()
    watch = LagWatch(clock, metrics)
    watch.startService()
    metrics.failing = True
    clock.pump([0.25, 0.25])
    metrics.failing = False
    assert failures(metrics, "reactor_lag") == 2
    assert [text.count("RuntimeError: a gauge") for text in tracebacks("reactor_lag")] == [1, 1]
    clock.advance(1.25)  # a second late
    assert "reactor_lag_seconds 1.0" in metrics.render()[0].decode()
    watch.stopService()


def test_the_heartbeat_of_systemd_goes_on(
    tmp_path: Path, tracebacks: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, metrics, address = Clock(), Metrics(), str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind(address)
        notifier = Notifier(clock, {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"}, metrics)
        notifier.ready()
        with monkeypatch.context() as patched:
            patched.setattr("socket.socket", None)
            clock.pump([1.0, 1.0])
        assert failures(metrics, "systemd") == 2
        assert [text.count("TypeError") for text in tracebacks("systemd")] == [1, 1]
        clock.advance(1.0)
        assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]


class FailingConnection:
    """A connection in its handshake whose checks and whose close fail."""

    def __init__(self) -> None:
        self.checks = 0

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        self.checks += 1
        raise RuntimeError("a check")

    def close(self, close_reason: object) -> None:
        raise RuntimeError("a close")


def registry_of(clock: Clock, metrics: Metrics) -> ConnectionRegistry:
    limits = LiveLimits(origins=(), sockets_max=10, sockets_per_address_max=10)
    return ConnectionRegistry(http_limits=HttpLimits(), limits=limits, clock=clock, wall_ms=lambda: 0, meter=metrics)


def test_the_sweep_of_the_connections_goes_on(tracebacks: Callable[[str], list[str]]) -> None:
    clock, metrics = Clock(), Metrics()
    registry = registry_of(clock, metrics)

    def fails() -> None:
        raise RuntimeError("a listener")

    connections = [FailingConnection(), FailingConnection()]
    registry.every_second.append(fails)
    registry.add_listener()
    for connection in connections:
        assert registry.add(connection)
    clock.pump([SWEEP_S, SWEEP_S])
    assert [connection.checks for connection in connections] == [2, 2], "one failure keeps no other connection from its check"
    assert failures(metrics, "connections") == 6
    assert sum("a listener" in text for text in tracebacks("connections")) == 2
    assert sum("a check" in text for text in tracebacks("connections")) == 4


def test_a_connection_that_cannot_be_closed_does_not_stop_the_drain(tracebacks: Callable[[str], list[str]]) -> None:
    clock, metrics = Clock(), Metrics()
    registry = registry_of(clock, metrics)
    for connection in (FailingConnection(), FailingConnection()):
        assert registry.add(connection)
    drained = ensureDeferred(registry.drain(RESTARTING, 0.1))
    clock.pump([0.1] * 100)
    assert drained.called
    assert sum("a close" in text for text in tracebacks("connections")) == 2
