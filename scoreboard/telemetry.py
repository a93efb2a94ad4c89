"""What is measured and what is written down: Prometheus metrics and a log of one JSON object a line. A leaf."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import FilteringLogObserver, ILogObserver, LogEvent, LogLevel, LogLevelFilterPredicate, formatEvent
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr
from zope.interface import implementer

from scoreboard.log_rate import RateLimitedLog

#: What is counted, by its public name: help, and the labels that it has.
_COUNTERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "score_updates_total": ("Total number of score updates", ()),
    "http_requests_total": ("Requests answered", ("route", "status")),
    "submissions_refused_total": ("Submissions refused before they were judged", ("reason",)),
    "ledger_unavailable_total": ("Batches that the ledger could not commit", ()),
    "sql_threads_replaced_total": ("Threads of the SQL stores that hung and were replaced", ("sql_thread",)),
    "ledger_clock_unavailable_total": ("Looks at the ledger's clock that failed", ()),
    "register_unavailable_total": ("Looks at the register for new suspensions and settings that failed", ()),
    "rate_limiter_degraded_total": ("Requests that the in-process limiter judged because Redis did not answer", ()),
    "redis_failures_total": ("Calls of Redis that failed", ("kind",)),
    "redis_subscription_restarts_total": ("Times that the subscription to Redis was lost and made again", ()),
    "redis_messages_unreadable_total": ("Messages of the subscription to Redis that could not be read", ()),
    "degraded_reads_total": ("Reads of the board that the ledger answered because Redis did not", ()),
    "board_rebuilds_total": ("Times that the board was rebuilt from the ledger", ()),
    "board_gaps_total": ("Players whose total the sweep found missing or wrong on the board, and mended", ()),
    "board_refused_total": ("Times that the board was found to be another ledger's, or drawn elsewhere", ()),
    "board_sweep_failures_total": ("Steps of the sweep that failed for no known reason", ()),
    "ledger_went_back_total": ("Times that the ledger was found behind what was seen of it", ()),
    "announcements_dropped_total": ("Score updates that a full tick left to the next snapshot", ()),
    "sockets_closed_slow_total": ("Sockets closed because they did not drain", ()),
    "http_connections_refused_total": ("Connections that found no room, or were closed to make some", ()),
    "ledger_probes_failed_total": ("Readiness probes that the ledger did not commit", ()),
    "open_requests_limited_total": (
        "Requests without a token beyond their address's limit, by what became of them",
        ("limit", "answer"),
    ),
    "absences_dropped_total": ("Lost Socket.IO clients of whom nothing could be kept", ()),
}
_GAUGES: Final[Mapping[str, str]] = {
    "websocket_connections_active": "Number of active WebSocket connections",
    "http_connections_active": "Open HTTP connections",
    "board_abreast": "1 while the board shows the ledger's newest, 0 while it catches up",
    "board_sweep_round_seconds": "How long the last whole comparison of ledger and board took",
    "ledger_clock_offset_seconds": "The ledger's clock, by which actions are issued and judged, less this server's",
    "servers_with_other_keys": "Live servers that do not know a key that this server is set to sign with, or the other way round",
    "redis_up": "1 while Redis can be asked",
    "redis_subscription_up": "1 while what other processes publish through Redis is heard",
    "reactor_lag_seconds": "The longest that the reactor was late in the last ten seconds",
    "reactor_delayed_calls": "Timers that are pending",
    "websocket_connections_passing": "Live connections without a seat: they shake hands, or were refused",
    "engine_sessions_active": "Engine.IO sessions, over polling and over WebSocket",
    "listeners_active": "Live clients of whom it is known which player they are",
    "room_members": "Live clients in the leaderboard room",
    "views_followed": "Different views of the board that are followed",
    "room_members_stalled": "Those of them who have not taken what they were last offered",
}
_HISTOGRAMS: Final[Mapping[str, str]] = {"score_update_duration_seconds": "Duration of score update operations"}
_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SERIES_MAX: Final = 2_000


class Telemetry:
    """A Meter with a registry of its own. A name that is not declared above is declared by its first use."""

    def __init__(self) -> None:
        disable_created_metrics()  # a time series beside every counter, which nobody reads
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._counters = {
            name: Counter(name, said, labels, registry=self._registry) for name, (said, labels) in _COUNTERS.items()
        }
        self._gauges = {name: Gauge(name, said, registry=self._registry) for name, said in _GAUGES.items()}
        self._histograms = {name: self._histogram(name, said) for name, said in _HISTOGRAMS.items()}
        #: Counters ready to be added to, so that the hot path is one look-up.
        self._series: dict[tuple[object, ...], Counter] = {}

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Add to a counter."""
        series = self._series.get((name, *labels.items()))
        if series is None:
            series = self._open(name, labels)
        series.inc(by)

    def observe(self, name: str, seconds: float) -> None:
        """Put a duration into a histogram."""
        histogram = self._histograms.get(name)
        if histogram is None:
            histogram = self._histograms[name] = self._histogram(name, name)
        histogram.observe(seconds)

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
        gauge = self._gauges.get(name)
        if gauge is None:
            gauge = self._gauges[name] = Gauge(name, name, registry=self._registry)
        gauge.set(value)

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """From now on a gauge that is declared above is read when somebody asks for it, and costs nothing otherwise."""
        self._gauges[name].set_function(read)

    def watch_conditions(self, read: Callable[[], Iterable[Condition]]) -> None:
        """From now on these conditions are shown as gauges by their names."""
        self._registry.register(_Conditions(read))

    def render(self) -> tuple[bytes, str]:
        """Everything measured, as Prometheus reads it, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def _open(self, name: str, labels: Mapping[str, str]) -> Counter:
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = Counter(name, name, tuple(labels), registry=self._registry)
        if not labels:
            self._series[(name,)] = counter
            return counter
        if len(self._series) >= _SERIES_MAX:  # somebody counts by what clients choose: one series for the rest
            return counter.labels(**dict.fromkeys(labels, "other"))
        series = self._series[(name, *labels.items())] = counter.labels(**labels)
        return series

    def _histogram(self, name: str, said: str) -> Histogram:
        return Histogram(name, said, buckets=_BUCKETS_S, registry=self._registry)


class Condition(Protocol):
    """What is shown of a condition, as boundaries.Condition says it."""

    @property
    def name(self) -> str:
        """What it is of."""

    @property
    def ok(self) -> bool:
        """Whether all is well."""

    @property
    def serving(self) -> bool:
        """Whether this process can do its share."""


class _Conditions(Collector):
    """Reads the conditions when the metrics are asked for."""

    def __init__(self, read: Callable[[], Iterable[Condition]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing yet: there may be no condition when this is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """A gauge of each kind, labelled by the condition's name."""
        ok = GaugeMetricFamily("condition_ok", "1 while all is well with it, as /readyz?strict asks", labels=["condition"])
        serving = GaugeMetricFamily(
            "condition_serving", "1 while this process can do its share, as /readyz asks", labels=["condition"]
        )
        for condition in self._read():
            ok.add_metric([condition.name], condition.ok)
            serving.add_metric([condition.name], condition.serving)
        return ok, serving


class _Gauges(Protocol):
    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""


class LagWatch(Service):
    """Looks at the clock at a steady pace and tells how late it was: the worst of the last ten seconds."""

    _INTERVAL_S: Final = 0.25
    _WINDOW: Final = 40

    def __init__(self, clock: IReactorTime, meter: _Gauges) -> None:
        self._clock, self._meter = clock, meter
        self._late_s: deque[float] = deque(maxlen=self._WINDOW)
        self._due_s = 0.0
        self._pace = LoopingCall(self._poll)
        self._pace.clock = clock

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._due_s = self._clock.seconds()
        self._pace.start(self._INTERVAL_S)

    def stopService(self) -> None:
        """Look no more."""
        self._pace.stop()
        super().stopService()

    def _poll(self) -> None:
        now_s = self._clock.seconds()
        self._late_s.append(max(0.0, now_s - self._due_s))
        self._due_s = now_s + self._INTERVAL_S
        self._meter.gauge("reactor_lag_seconds", max(self._late_s))


_LINE_BYTES_MAX: Final = 8_192
_TEXT_LENGTH_MAX: Final = 2_048
_FIELD_LENGTH_MAX: Final = 256
_FIELDS_MAX: Final = 24
_DEPTH_MAX: Final = 4
_READ_LENGTH_MAX: Final = 16_384
#: Shorter ones would redact half of the language.
_SECRET_LENGTH_MIN: Final = 4
_REDACTED: Final = "[redacted]"
_SENSITIVE: Final = "token|authorization|signature|secret|password|passwd|auth|cookie"
_SENSITIVE_KEY: Final = re.compile(_SENSITIVE, re.IGNORECASE)
#: What gives itself away in a text: the value of a sensitive key, a bearer's token, a JWT, a signed action, a URL's password.
_SENSITIVE_TEXT: Final = re.compile(
    rf"""(?P<kept>\b[\w-]{{0,32}}(?:{_SENSITIVE})[\w-]{{0,32}}["']?\s{{0,4}}[=:]\s{{0,4}}(?:b?["'])?)(?:(?:bearer|basic)\s+)?[^\s"',;&}}]+"""
    r"|\bbearer\s+\S+|eyJ[\w-]{8,}(?:\.[\w-]*){0,2}|\bv1\.[0-9a-f]{8}\.[\w-]+\.[\w-]+|(?<=://)[^\s/@]{0,256}:[^\s/@]{0,256}(?=@)",
    re.IGNORECASE,
)
#: What twisted.logger and its forerunner put beside an event's own fields.
_NOT_FIELDS: Final = frozenset({"time", "message", "isError", "system", "format", "failure", "why"})


@implementer(ILogObserver)
class JsonLog:
    """Writes each event as one line of ASCII JSON: time, level, namespace, message, fields. Bounded, escaped, without secrets."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: LogEvent) -> None:
        """Write an event down."""
        with suppress(OSError):  # whoever read us is gone, and there is nobody else to tell
            self._stream.write(json_line(event) + "\n")
            self._stream.flush()


def json_log(stream: TextIO, level: str) -> ILogObserver:
    """A log of what is at least as grave as ``level`` (debug, info, warn, error, critical), its rate bounded."""
    written = RateLimitedLog(JsonLog(stream))
    return FilteringLogObserver(written, [LogLevelFilterPredicate(LogLevel.lookupByName(level))])


def json_line(event: LogEvent) -> str:
    """One event as JSON of at most 8 KiB, without the line's end."""
    failed = event.get("log_failure")
    failure = failed if isinstance(failed, Failure) else None  # the name is Twisted's, but anybody may use it
    own = {key: value for key, value in event.items() if not key.startswith("log_") and key not in _NOT_FIELDS}
    hidden = sorted(set(_secrets_in(own)), key=len, reverse=True)
    level = event.get("log_level")
    written: dict[str, Any] = {
        "time": datetime.fromtimestamp(event.get("log_time", 0.0), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level.name if level is not None else "info",
        "namespace": _text(event.get("log_namespace", ""), (), _FIELD_LENGTH_MAX),
        "message": _text(formatEvent(event) or (failure.getErrorMessage() if failure else ""), hidden, _TEXT_LENGTH_MAX),
    }
    if failure is not None:
        written["traceback"] = _text(failure.getTraceback()[-_READ_LENGTH_MAX:], hidden, -_TEXT_LENGTH_MAX)
    whole = _json({**written, "fields": _plain(own, hidden)} if own else written)
    if len(whole) <= _LINE_BYTES_MAX:
        return whole
    return _json({**{key: value[:_FIELD_LENGTH_MAX] for key, value in written.items()}, "cut": True})


def _json(value: Mapping[str, Any]) -> str:
    """ASCII alone, so that no terminal obeys what a client wrote."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def _plain(value: object, hidden: Iterable[str], depth: int = 0) -> object:
    """A field as JSON can hold it: shallow, short, and without secrets."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, Mapping | list | tuple) and depth == _DEPTH_MAX:
        return "…"
    if isinstance(value, Mapping):
        return {
            _text(str(key), hidden, 64): _REDACTED if _SENSITIVE_KEY.search(str(key)) else _plain(held, hidden, depth + 1)
            for key, held in list(value.items())[:_FIELDS_MAX]
        }
    if isinstance(value, list | tuple):
        return [_plain(held, hidden, depth + 1) for held in value[:_FIELDS_MAX]]
    return _text(value if isinstance(value, str) else safe_repr(value), hidden, _FIELD_LENGTH_MAX)


def _secrets_in(value: object, sensitive: bool = False, depth: int = 0) -> Iterator[str]:
    """Texts that stand under a sensitive key: the message may repeat them."""
    if isinstance(value, Mapping) and depth <= _DEPTH_MAX:
        for key, held in value.items():
            yield from _secrets_in(held, sensitive or _SENSITIVE_KEY.search(str(key)) is not None, depth + 1)
    elif isinstance(value, list | tuple) and depth <= _DEPTH_MAX:
        for held in value:
            yield from _secrets_in(held, sensitive, depth + 1)
    elif sensitive and isinstance(value, str | bytes) and len(value) >= _SECRET_LENGTH_MIN:
        yield value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def _text(text: str, hidden: Iterable[str], length_max: int) -> str:
    """A text without secrets, cut to its first (or, if negative, last) characters. Cut last: half a secret is one, too."""
    text = text[:_READ_LENGTH_MAX]
    for secret in hidden:
        text = text.replace(secret, _REDACTED)
    text = _SENSITIVE_TEXT.sub(lambda found: (found["kept"] or "") + _REDACTED, text)
    return text[:length_max] if length_max > 0 else text[length_max:]
