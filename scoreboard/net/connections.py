"""Connection registry: all connections of the process, the limits of each kind, and the sweep that checks their deadlines.

Each connection holds a file descriptor, so the number of connections is limited, and so is the number of those that are being
refused. The sweep replaces a timer for each connection: it checks all of them once a second, a few hundred in each turn of the
reactor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from scoreboard.background import report_failure
from scoreboard.boundaries.health import Meter
from scoreboard.domain.close_reasons import CloseReason
from scoreboard.domain.limits import Limit
from scoreboard.domain.refusals import Reason, Refusal, too_many_requests, unavailable
from scoreboard.net.limits import HttpLimits, LiveLimits
from scoreboard.net.quota import Quota

SWEEP_S: Final = 1.0
_STEP_S: Final = 0.05
#: Connections that are checked in one turn of the reactor, which takes a millisecond or two.
CONNECTIONS_PER_TURN: Final = 250
#: HTTP connections that are being refused because there is no room. Further ones are closed without a response.
REFUSING_MAX: Final = 32
#: HTTP connections that are reserved for loopback and our own proxies: this many, but at most an eighth of all.
RESERVED_MAX: Final = 64

FULL: Final = unavailable("The server has no connection left")
FULL_ADDRESS: Final = unavailable("Your address holds too many connections")
_FULL: Final = unavailable("Too many sockets are open", retry_after_s=10)
_LATE: Final = unavailable("The server is overloaded", retry_after_s=5)
_CLOSING: Final = unavailable("The server is stopping", retry_after_s=5)


class Connection(Protocol):
    """The part of a connection that the sweep uses."""

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """Do what is due at a monotonic time and a Unix time, in seconds."""


class HttpConnection(Connection, Protocol):
    """A connection that speaks HTTP."""

    @property
    def counted_as(self) -> str:
        """The name under which its peer's address is limited."""

    @property
    def trusted(self) -> bool:
        """Whether the peer is a proxy of ours, which brings the requests of many clients."""

    @property
    def ours(self) -> bool:
        """Whether it comes from a proxy of ours or from loopback."""

    @property
    def asking(self) -> bool:
        """Whether one of its requests is being read or answered."""

    def finish(self) -> None:
        """Close if no request waits for its response; otherwise its response is the last one of the connection."""

    def close_now(self) -> None:
        """Close without a response. The descriptor is free when this returns."""


class LiveConnection(Connection, Protocol):
    """A WebSocket, an event stream or a polling session."""

    def close(self, close_reason: CloseReason) -> None:
        """Send the reason, and close."""


class UpgradingConnection(LiveConnection, Protocol):
    """A WebSocket that shall replace an open connection of its client."""

    def cut_off(self) -> None:
        """Close without waiting for the client."""


class ConnectionRegistry:
    """Registry that admits connections, checks their deadlines, and drains them when the server stops.

    It calls each of ``every_second`` at the beginning of a sweep, and each of ``on_drain`` when HTTP begins to drain.
    """

    _log = Logger()

    def __init__(
        self, *, http_limits: HttpLimits, limits: LiveLimits, clock: IReactorTime, wall_ms: Callable[[], int], meter: Meter
    ) -> None:
        self.http: Quota[HttpConnection] = Quota()
        self.live: Quota[LiveConnection] = Quota()
        self.every_second: list[Callable[[], None]] = []
        self.on_drain: list[Callable[[], None]] = []
        self.draining_http = False
        self._handshaking: Quota[LiveConnection] = Quota()
        self._upgrading: dict[LiveConnection, str] = {}
        self._refusing: set[HttpConnection] = set()
        self._refused = 0
        self._http_limits = http_limits
        self._unreserved_max = http_limits.connections_max - min(RESERVED_MAX, http_limits.connections_max // 8)
        self._limits = limits
        sockets = Limit(name="sockets", quota=limits.sockets_per_address_max, window_ms=0)
        self._full_address = too_many_requests(60_000, sockets, "Too many sockets are open from this address")
        upgrades = Limit(name="upgrades", quota=limits.upgrades_per_address_max, window_ms=0)
        self._upgrading_address = too_many_requests(1_000, upgrades, "Too many upgrades are under way from this address")
        self._clock = clock
        self._wall_ms = wall_ms
        self._meter = meter
        self._draining = False
        self._drained: list[Deferred[None]] = []
        self._listeners = 0
        self._lags_s = (0.0, 0.0)
        self._due_s = 0.0
        self._next: IDelayedCall | None = None

    def add_listener(self) -> None:
        """A port listens. The first one begins the sweep."""
        self._listeners += 1
        if self._next is None:
            self._sweep_later()

    def remove_listener(self) -> None:
        """A port is closed. The sweep goes on while there are connections."""
        self._listeners = max(0, self._listeners - 1)
        self._rest()

    # HTTP

    def admit_http(self, connection: HttpConnection) -> Refusal | None:
        """Admit a connection, or return the refusal. Without room, one of loopback or our proxies displaces an idle one.

        A refused connection waits for its request, which gets the refusal, and must call `remove_http` at its end. It is closed
        already if too many are being refused.
        """
        refusal = self._http_refusal(connection)
        if refusal is None or (connection.ours and self._make_room(connection, refusal)):
            self.http.add(connection, connection.counted_as)
            return None
        self._refused += 1
        if len(self._refusing) >= REFUSING_MAX:
            connection.close_now()
        else:
            self._refusing.add(connection)
        return refusal

    def remove_http(self, connection: HttpConnection) -> None:
        """Remove a connection that is closed or no longer HTTP. A second call changes nothing."""
        self._refusing.discard(connection)
        if self.http.remove(connection):
            self._check_drained()

    def _http_refusal(self, connection: HttpConnection) -> Refusal | None:
        limits = self._http_limits
        if len(self.http) >= (limits.connections_max if connection.ours else self._unreserved_max):
            return FULL
        if not connection.trusted and self.http.held_by(connection.counted_as) >= limits.connections_per_address_max:
            return FULL_ADDRESS
        return None

    def _make_room(self, newcomer: HttpConnection, refusal: Refusal) -> bool:
        """Close the oldest idle connection; False if there is none."""
        address = newcomer.counted_as if refusal is FULL_ADDRESS else None
        for connection in self.http:
            if not connection.asking and address in (None, connection.counted_as):
                self._refused += 1
                connection.close_now()
                self.http.remove(connection)
                return True
        return False

    # Live connections

    def add(self, connection: LiveConnection) -> bool:
        """Add a connection that begins its handshake; False if there is no room, not even to refuse it."""
        if len(self._handshaking) >= self._limits.handshaking_max:
            self._refused += 1
            return False
        self._handshaking.add(connection, "")
        return True

    def admit(self, connection: LiveConnection, address: str) -> Refusal | None:
        """Admit a connection of an address as an open one, or return the refusal."""
        if self._draining:
            return _CLOSING
        refusal = self._live_refusal(address)
        if refusal is not None:
            self.note_refusal(refusal, address)
            return refusal
        self._handshaking.remove(connection)
        self.live.add(connection, address)
        self._show_live()
        return None

    def admit_upgrade(self, connection: LiveConnection, address: str) -> Refusal | None:
        """Admit a connection that shall replace an open one of its client, or return the refusal.

        No limit of open connections counts it, so an address may have few of them: it could take the room of all handshakes.
        """
        if self._handshaking.held_by(address) >= self._limits.upgrades_per_address_max:
            self.note_refusal(self._upgrading_address, address)
            return self._upgrading_address
        self._handshaking.remove(connection)
        self._handshaking.add(connection, address)
        return None

    def note_upgrade(self, connection: UpgradingConnection) -> None:
        """Note that an open connection has taken this one. It takes one at a time, so the limits of open ones count both."""
        self._upgrading[connection] = self._handshaking.address_of(connection)
        self._handshaking.remove(connection)

    def note_upgrade_given_up(self, connection: UpgradingConnection) -> None:
        """Note that a connection, which an open one had taken, is being closed: it counts in the room of handshakes again.

        Where its address has no room left, it is cut off: all sessions of an address may give up their upgrades at once.
        """
        address = self._upgrading.pop(connection, None)
        if address is None:
            return
        if self._handshaking.held_by(address) < self._limits.upgrades_per_address_max:
            self._handshaking.add(connection, address)
        else:
            connection.cut_off()

    def note_refusal(self, refusal: Refusal, address: str) -> None:
        """Count and log that a live connection was refused. What is wrong with a token is logged where it is checked."""
        self._meter.count("live_connections_refused_total", reason=refusal.reason.name.lower())
        if refusal.reason not in (Reason.INVALID_TOKEN, Reason.UNAUTHORIZED):
            self._log.info("a live connection was refused: {said}", said=refusal.message, address=address)

    def _live_refusal(self, address: str) -> Refusal | None:
        if len(self.live) >= self._limits.sockets_max:
            return _FULL
        if min(self._lags_s) > self._limits.lag_s_max:
            return _LATE
        return self._full_address if self.live.held_by(address) >= self._limits.sockets_per_address_max else None

    def remove(self, connection: LiveConnection) -> None:
        """Remove a connection that is closed."""
        self._handshaking.remove(connection)
        self._upgrading.pop(connection, None)
        if self.live.remove(connection):
            self._show_live()

    def replace(self, connection: LiveConnection, successor: LiveConnection) -> None:
        """Replace a connection by one that waits for its upgrade: the same client over another transport."""
        self._upgrading.pop(successor, None)
        self.live.replace(connection, successor)

    def note_slow(self) -> None:
        """Count a connection that is closed because its client reads too slowly."""
        self._meter.count("sockets_closed_slow_total")

    @property
    def handshaking(self) -> int:
        """The number of live connections that are not open: in their handshake, in an upgrade, or refused."""
        return len(self._handshaking) + len(self._upgrading)

    def _show_live(self) -> None:
        self._meter.gauge("websocket_connections_active", len(self.live))

    # Drain

    async def drain(self, close_reason: CloseReason, over_s: float) -> None:
        """Close the live connections evenly over ``over_s`` seconds, then finish the HTTP requests; return when all are closed.

        Live connections come first, because their close answers the GETs that wait for events. The sweep aborts a connection that
        does not close in time.
        """
        self._draining = True
        await self._close_live(close_reason, over_s)
        self.draining_http = True
        for connection in tuple(self.http):
            self._attempt(connection.finish)
        for release in self.on_drain:
            self._attempt(release)
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._check_drained()
        await drained
        self._listeners = 0
        self._rest()

    async def _close_live(self, close_reason: CloseReason, over_s: float) -> None:
        connections = [*self._handshaking, *self._upgrading, *self.live]
        batch = math.ceil(len(connections) * _STEP_S / max(over_s, _STEP_S)) or 1
        for start in range(0, len(connections), batch):
            for connection in connections[start : start + batch]:
                if self._is_live(connection):
                    self._attempt(connection.close, close_reason)
            await deferLater(self._clock, _STEP_S)
        cut_off_s = self._clock.seconds() + self._limits.close_timeout_s + 2 * SWEEP_S
        while (self.handshaking or len(self.live)) and self._clock.seconds() < cut_off_s:  # the sweep aborts those that stay
            await deferLater(self._clock, _STEP_S)

    def _is_live(self, connection: Connection) -> bool:
        """Whether a live connection is still registered: open, in its handshake, or in an upgrade."""
        return connection in self.live or connection in self._handshaking or connection in self._upgrading

    def _check_drained(self) -> None:
        while self._drained and not len(self.http):
            self._drained.pop().callback(None)

    # Sweep

    def _sweep(self) -> None:
        self._next = None
        now_s, wall_s = self._clock.seconds(), self._wall_ms() / 1000
        self._lags_s = (self._lags_s[1], now_s - self._due_s)
        for call in self.every_second:
            self._attempt(call)
        self._count_refused()
        connections = [*self._handshaking, *self._upgrading, *self.live, *self.http, *self._refusing]
        self._check_some(connections, now_s, wall_s)

    def _check_some(self, connections: list[Connection], now_s: float, wall_s: float) -> None:
        """Check the first of these connections now, and the others in the next turns of the reactor."""
        for connection in connections[:CONNECTIONS_PER_TURN]:
            if self._is_live(connection) or connection in self.http or connection in self._refusing:
                self._attempt(connection.check_deadlines, now_s, wall_s)
        if len(connections) > CONNECTIONS_PER_TURN:
            self._next = self._clock.callLater(0, self._check_some, connections[CONNECTIONS_PER_TURN:], now_s, wall_s)
        else:
            self._sweep_later()
            self._rest()

    def _attempt(self, work: Callable[..., None], *arguments: object) -> None:
        """Call ``work`` for one connection or listener. Its failure is reported and does not keep the others from their calls."""
        try:
            work(*arguments)
        except Exception:
            report_failure("connections", self._meter)

    def _sweep_later(self) -> None:
        self._due_s = self._clock.seconds() + SWEEP_S
        self._next = self._clock.callLater(SWEEP_S, self._sweep)

    def _rest(self) -> None:
        """End the sweep if there is nothing to check and no port listens."""
        busy = self._listeners or len(self.http) or len(self.live) or self.handshaking or self._refusing
        if self._next is not None and not busy:
            self._next.cancel()
            self._next = None

    def _count_refused(self) -> None:
        """Log one line a second for all connections that were refused or closed by the limit: any client can cause them."""
        refused, self._refused = self._refused, 0
        if refused:
            self._meter.count("http_connections_refused_total", refused)
            self._log.warn("too many connections: {refused} were refused or closed within a second", refused=refused)
