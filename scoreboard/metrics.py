"""Prometheus metrics: the table of everything that is measured, and the meter that the other packages get. A leaf."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from scoreboard.background import Loop

#: Counters by their public names: help text and labels.
_COUNTERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "score_updates_total": ("Total number of score updates", ()),
    "http_requests_total": ("Requests answered", ("route", "status")),
    "token_refusals_total": ("Tokens and tickets that were refused, by the check that failed", ("reason",)),
    "submissions_refused_total": ("Submissions refused before they were judged", ("reason",)),
    "ledger_unavailable_total": ("Batches that the ledger could not commit", ()),
    "sql_threads_replaced_total": ("Threads of the SQL stores that hung and were replaced", ("thread",)),
    "ledger_clock_unavailable_total": ("Reads of the ledger's clock that failed", ()),
    "player_store_unavailable_total": ("Reads of new suspensions and settings that failed", ()),
    "rate_limiter_degraded_total": ("Requests that the in-process limiter judged because Redis did not answer", ()),
    "redis_failures_total": ("Calls of Redis that failed", ("kind",)),
    "redis_subscription_restarts_total": ("Times that the subscription to Redis was lost and made again", ()),
    "redis_messages_unreadable_total": ("Messages of the subscription to Redis that could not be read", ()),
    "degraded_reads_total": ("Reads of the board that the ledger answered because Redis did not", ()),
    "board_rebuilds_total": ("Times that a board was rebuilt from the ledger, not counting the first build", ()),
    "board_gaps_total": ("Players whose total the sweep found missing or wrong on the board, and set right", ()),
    "board_refused_total": (
        "Times that Redis held another ledger's board, or that another server of this ledger used another Redis",
        (),
    ),
    "ledger_went_back_total": ("Times that the ledger lacked entries which the board had shown", ()),
    "announcements_dropped_total": ("Score updates that were not sent because the tick had its maximum", ()),
    "sockets_closed_slow_total": ("Sockets closed because their clients did not read", ()),
    "live_connections_refused_total": ("Sockets, event streams and polling sessions that were refused", ("reason",)),
    "http_connections_refused_total": ("Connections that were refused because all were in use, or closed to admit another", ()),
    "background_failures_total": ("Failures of background loops and tasks, which go on or are started anew", ("task",)),
    "ledger_probes_failed_total": ("Readiness probes that the ledger did not commit", ()),
    "open_requests_limited_total": ("Requests without a token beyond their address's limit, by the answer", ("limit", "answer")),
    "saved_sessions_dropped_total": ("Lost Socket.IO clients whose session could not be saved", ()),
}
_GAUGES: Final[Mapping[str, str]] = {
    "websocket_connections_active": "Number of active WebSocket connections",
    "http_connections_active": "Open HTTP connections",
    "board_in_sync": "1 while the board shows the newest award of the ledger, 0 while it lags",
    "board_sweep_round_seconds": "Duration of the last whole comparison of ledger and board",
    "ledger_clock_offset_seconds": "The ledger's clock, by which actions are issued and judged, less this server's",
    "servers_with_other_keys": "Live servers that lack this server's signing key, or whose signing key this server lacks",
    "redis_up": "1 while Redis can be asked",
    "redis_subscription_up": "1 while the messages of other processes arrive through Redis",
    "reactor_lag_seconds": "The longest delay of the reactor in the last ten seconds",
    "reactor_delayed_calls": "Timers that are pending",
    "websocket_connections_handshaking": "Live connections in the handshake, or refused and not closed yet",
    "engine_sessions_active": "Engine.IO sessions, over polling and over WebSocket",
    "listeners_active": "Live clients that have authenticated",
    "room_members": "Live clients in the leaderboard room",
    "views_followed": "Different views of the board that are followed",
    "room_members_stalled": "Room members that have not taken what the server last offered",
}
_HISTOGRAMS: Final[Mapping[str, str]] = {"score_update_duration_seconds": "Duration of score update operations"}
_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SERIES_MAX: Final = 2_000


class Metrics:
    """Meter with a Prometheus registry of its own.

    A name or labels that are not declared above are a mistake in the code: they are logged once and measure nothing.
    """

    _log = Logger()

    def __init__(self) -> None:
        disable_created_metrics()  # they are a second time series beside every counter
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._counters = {
            name: Counter(name, said, labels, registry=self._registry) for name, (said, labels) in _COUNTERS.items()
        }
        self._gauges = {name: Gauge(name, said, registry=self._registry) for name, said in _GAUGES.items()}
        self._histograms = {
            name: Histogram(name, said, buckets=_BUCKETS_S, registry=self._registry) for name, said in _HISTOGRAMS.items()
        }
        #: Counters by name and labels, so that the hot path is one look-up.
        self._series: dict[tuple[object, ...], Counter] = {}
        self._undeclared: set[str] = set()
        #: Takes the counts that are not declared; no client sees it.
        self._dropped = Counter("dropped", "Counts that are not declared", registry=None)

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Add to a counter."""
        series = self._series.get((name, *labels.items()))
        if series is None:
            series = self._open(name, labels)
        series.inc(by)

    def observe(self, name: str, seconds: float) -> None:
        """Put a duration into a histogram."""
        if name in self._histograms:
            self._histograms[name].observe(seconds)
        else:
            self._report_undeclared(name)

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
        if name in self._gauges:
            self._gauges[name].set(value)
        else:
            self._report_undeclared(name)

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Read a gauge only when the metrics are rendered, from now on. A name that is not declared is a KeyError."""
        self._gauges[name].set_function(read)

    def watch_conditions(self, read: Callable[[], Iterable[tuple[str, bool, bool]]]) -> None:
        """Show conditions as gauges, from now on: the name of each, whether all is well with it, and whether it lets us serve."""
        self._registry.register(_Conditions(read))

    def render(self) -> tuple[bytes, str]:
        """The metrics in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def _open(self, name: str, labels: Mapping[str, str]) -> Counter:
        if name not in _COUNTERS or set(_COUNTERS[name][1]) != set(labels):
            self._report_undeclared(name)
            return self._dropped
        counter = self._counters[name]
        if not labels:
            self._series[(name,)] = counter
            return counter
        if len(self._series) >= _SERIES_MAX:  # clients choose a label's values: one series for the rest
            return counter.labels(**dict.fromkeys(labels, "other"))
        series = self._series[(name, *labels.items())] = counter.labels(**labels)
        return series

    def _report_undeclared(self, name: str) -> None:
        if name not in self._undeclared:
            self._undeclared.add(name)
            self._log.error("the metric {metric}, or a label of it, is not declared; it measures nothing", metric=name)


class _Conditions(Collector):
    """Collector that reads the conditions when the metrics are rendered."""

    def __init__(self, read: Callable[[], Iterable[tuple[str, bool, bool]]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing: there may be no condition when this is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """A gauge of each kind, labelled by the condition's name."""
        ok = GaugeMetricFamily("condition_ok", "1 while all is well with it, as /readyz?strict asks", labels=["condition"])
        serving = GaugeMetricFamily(
            "condition_serving", "1 while this process can do its share, as /readyz asks", labels=["condition"]
        )
        for name, is_ok, is_serving in self._read():
            ok.add_metric([name], is_ok)
            serving.add_metric([name], is_serving)
        return ok, serving


class LagWatch(Service):
    """Monitor of the reactor's lag: it measures how late a steady timer fires, and shows the worst of the last ten seconds."""

    _INTERVAL_S: Final = 0.25
    _WINDOW: Final = 40

    def __init__(self, clock: IReactorTime, meter: Metrics) -> None:
        self._clock, self._meter = clock, meter
        self._late_s: deque[float] = deque(maxlen=self._WINDOW)
        self._due_s = 0.0
        self._loop = Loop("reactor_lag", self._poll, self._INTERVAL_S, clock=clock, meter=meter)

    def startService(self) -> None:
        """Start the timer."""
        super().startService()
        self._due_s = self._clock.seconds()
        self._loop.start(now=True)

    def stopService(self) -> None:
        """Stop the timer."""
        self._loop.stop()
        super().stopService()

    def _poll(self) -> None:
        now_s = self._clock.seconds()
        self._late_s.append(max(0.0, now_s - self._due_s))
        self._due_s = now_s + self._INTERVAL_S
        self._meter.gauge("reactor_lag_seconds", max(self._late_s))
