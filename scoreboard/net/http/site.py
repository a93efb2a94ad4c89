"""HTTP site: it makes the connections of a port, and keeps the header lines and the time that they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, cast

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web import server
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource, Resource

from scoreboard.boundaries.health import Meter
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.http.addresses import Proxies, is_loopback, plain
from scoreboard.net.http.channel import Channel
from scoreboard.net.http.cors import Cors
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import NOSNIFF
from scoreboard.net.limits import HttpLimits


class Site(server.Site):
    """Site of a port. Every response has ``header_lines`` and the Date."""

    noisy = False
    protocol = Channel  # type: ignore[assignment]  # Twisted types it as the proxy that chooses between HTTP/1 and 2

    def __init__(
        self,
        resource: IResource,
        *,
        registry: ConnectionRegistry,
        http_limits: HttpLimits,
        proxies: Proxies,
        cors: Cors,
        clock: IReactorTime,
        now_ms: Callable[[], int],
        meter: Meter,
    ) -> None:
        super().__init__(resource, timeout=None, reactor=clock)
        self.registry, self.http_limits, self.proxies, self.cors = registry, http_limits, proxies, cors
        self._now_ms = now_ms
        self._meter = meter
        self._constant_lines = NOSNIFF + cors.constant_lines
        self._tallies: Counter[tuple[str, int]] = Counter()
        self._tick()
        registry.every_second.append(self._tick)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A channel with the address of its peer."""
        channel = cast(Channel, super().buildProtocol(addr))
        channel.peer = plain(getattr(addr, "host", ""))
        channel.trusted = self.proxies.trusts(channel.peer)
        channel.ours = channel.trusted or is_loopback(channel.peer)
        return channel

    def log(self, request: Request) -> None:  # type: ignore[override]  # every request of this site is of this class
        """Count the request by endpoint and status; the meter gets the counts once a second. There is no access log."""
        self._tallies[request.endpoint, request.code] += 1

    def startFactory(self) -> None:
        """Twisted: the port listens."""
        self.registry.add_listener()

    def stopFactory(self) -> None:
        """Twisted: the port is closed. Open connections keep their deadlines."""
        self.registry.remove_listener()

    def _tick(self) -> None:
        """Set the time of deadlines and of the Date, to the second, and report the counts."""
        self.now_s = self.reactor.seconds()
        self.header_lines = b"Date: " + datetimeToString(self._now_ms() / 1000) + b"\r\n" + self._constant_lines
        for (endpoint, status), count in self._tallies.items():
            self._meter.count("http_requests_total", count, route=endpoint, status=str(status))
        self._tallies.clear()


class ResourceByPath(Resource):
    """Root resource of the WebSocket port: it hands each request over to the resource of its path, or to ``otherwise``."""

    isLeaf = True  # noqa: N815 -- twisted.web's name

    def __init__(self, by_path: Mapping[bytes, IResource], otherwise: IResource) -> None:
        super().__init__()
        self._by_path = by_path
        self._otherwise = otherwise

    def render(self, request: Request) -> int:
        """Hand the request over."""
        request.hand_over(self._by_path.get(request.path, self._otherwise))
        return server.NOT_DONE_YET
