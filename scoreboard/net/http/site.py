"""The HTTP edge: how many may come, how much they may send, how long they may take; and once a second a look at each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.web import server
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource

from scoreboard.boundaries import Meter
from scoreboard.domain.refusals import Refusal
from scoreboard.domain.value import Value
from scoreboard.net.http.addresses import Proxies, is_loopback, plain
from scoreboard.net.http.channel import Channel
from scoreboard.net.http.connections import Connections
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import Response


class HttpLimits(Value, frozen=True, kw_only=True):
    """How much a client may send, how many may, and how long they may take."""

    head_bytes_max: int = 16_384
    head_fields_max: int = 100
    body_bytes_max: int = 16_384
    connections_max: int = 8_000
    connections_per_address_max: int = 512
    head_s_max: float = 10.0
    body_s_max: float = 20.0
    body_bytes_per_s_min: int = 1_024
    idle_s_max: float = 60.0
    linger_s_max: float = 2.0


class Site(server.Site):
    """The connections of a port. ``lines`` are the header lines of every answer; ``refused`` makes the answer of a refusal;
    ``release`` is called when we drain, so that nobody waits for what may happen; ``connections`` counts other ports', too.
    """

    _log = Logger()
    protocol = Channel  # type: ignore[assignment]  # Twisted types it as the proxy that chooses between HTTP/1 and 2

    def __init__(
        self,
        resource: IResource,
        *,
        http_limits: HttpLimits,
        proxies: Proxies,
        refused: Callable[[Refusal], Response],
        header_lines: bytes,
        clock: IReactorTime,
        now_ms: Callable[[], int],
        meter: Meter,
        release: Callable[[], None] = lambda: None,
        connections: Connections | None = None,
    ) -> None:
        super().__init__(resource, timeout=None, reactor=clock)
        self.http_limits, self.proxies, self.refused, self.meter = http_limits, proxies, refused, meter
        self.draining = False
        self._release = release
        self._now_ms = now_ms
        self._constant_lines = header_lines
        self._channels: set[Channel] = set()
        self._registry = connections or Connections(http_limits.connections_max, http_limits.connections_per_address_max)
        self._tallies: Counter[tuple[str, int]] = Counter()
        self._listened = False
        self._next_sweep: IDelayedCall | None = None
        self._drained: list[Deferred[None]] = []
        self._set_time()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A channel that knows its peer."""
        channel = cast(Channel, super().buildProtocol(addr))
        channel.peer = plain(getattr(addr, "host", ""))
        channel.trusted = self.proxies.trusts(channel.peer)
        channel.ours = channel.trusted or is_loopback(channel.peer)
        return channel

    def count_in(self, channel: Channel) -> Refusal | None:
        """A place for this connection, or why there is none; it is closed already if there are too many to be told."""
        refusal = self._registry.admit(channel)
        if refusal is None:
            self._channels.add(channel)
        elif self._registry.crowded:
            channel.close_now()
        else:
            self._registry.tell(channel)
        return refusal

    def count_out(self, channel: Channel) -> None:
        """The connection is gone, or is no longer HTTP. Doing it twice changes nothing."""
        self._registry.leave(channel)
        if channel in self._channels:
            self._channels.remove(channel)
            self._tell_drained()

    @property
    def connections(self) -> int:
        """How many there are, whatever they are doing, and without those that are HTTP no longer."""
        return len(self._channels)

    def drain(self) -> Deferred[None]:
        """Answer what has been asked, each answer being its connection's last; fires when every connection is closed."""
        self.draining = True
        for channel in tuple(self._channels):
            if channel.idle:
                channel.loseConnection()
        self._release()
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._tell_drained()
        return drained

    def _tell_drained(self) -> None:
        while self._drained and not self._channels:
            self._drained.pop().callback(None)

    def log(self, request: Request) -> None:  # type: ignore[override]  # every request of this site is of this class
        """No access log: a tally by endpoint and status, told to the meter once a second."""
        self._tallies[request.endpoint, request.code] += 1

    def startFactory(self) -> None:
        """Somebody listens: begin to look."""
        self._listened = True
        if self._next_sweep is None:
            self._poll()

    def stopFactory(self) -> None:
        """Nobody listens any more; those who are still connected keep their deadlines."""
        self._listened = False
        if self._next_sweep is not None and not self._channels:
            self._next_sweep.cancel()
            self._next_sweep = None

    def _poll(self) -> None:
        self._set_time()
        for channel in [channel for channel in self._channels if channel.deadline_s <= self.now_s]:
            channel.expire()
        for (endpoint, status), count in self._tallies.items():
            self.meter.count("http_requests_total", count, route=endpoint, status=str(status))
        self._tallies.clear()
        self._tell_refused()
        needed = self._listened or self._channels
        self._next_sweep = self.reactor.callLater(1, self._poll) if needed else None

    def _tell_refused(self) -> None:
        """One line for all connections of a second that found no room or had to make some: strangers cause them."""
        refused, self._registry.refused = self._registry.refused, 0
        if refused:
            self.meter.count("http_connections_refused_total", refused)
            self._log.warn("too many connections: {refused} were refused or closed within a second", refused=refused)

    def _set_time(self) -> None:
        """The time, to the second: for deadlines, and for Date."""
        self.now_s = self.reactor.seconds()
        self.header_lines = b"Date: " + datetimeToString(self._now_ms() / 1000) + b"\r\n" + self._constant_lines
