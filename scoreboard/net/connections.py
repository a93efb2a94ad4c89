"""The lobby: everyone who is connected, how many from where, and the one clock that looks after them all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from scoreboard.boundaries import Meter
from scoreboard.domain.close_reasons import CloseReason
from scoreboard.domain.refusals import Reason, Refusal, unavailable
from scoreboard.net.live_limits import LiveLimits

SWEEP_S: Final = 1.0
_STEP_S: Final = 0.05
#: Guests looked after before the reactor gets a turn: a millisecond of it or two.
CONNECTIONS_PER_TURN: Final = 250

_FULL: Final = unavailable("Too many sockets are open", retry_after_s=10)
_LATE: Final = unavailable("The server is overloaded", retry_after_s=5)
_CLOSING: Final = unavailable("The server is stopping", retry_after_s=5)
_CROWDED: Final = Refusal(
    reason=Reason.RATE_LIMIT_EXCEEDED, message="Too many sockets are open from this address", retry_after_s=60
)


class LiveConnection(Protocol):
    """A connection, as the lobby sees it."""

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """See whether anything is due, at a monotonic and a Unix time."""

    def close(self, close_reason: CloseReason) -> None:
        """Say goodbye and close."""


class LiveConnections:
    """Counts sockets against their limits, and sweeps them once a second in place of several timers for each."""

    _log = Logger()

    def __init__(self, *, settings: LiveLimits, clock: IReactorTime, wall_ms: Callable[[], int], meter: Meter) -> None:
        self._settings = settings
        self._clock = clock
        self._wall_ms = wall_ms
        self._meter = meter
        self._connections: dict[LiveConnection, str | None] = {}  # and the address that each is seated under
        self._held_by: dict[str, int] = {}
        self._open = 0
        self._closing = False
        self._lags_s = (0.0, 0.0)
        self._due_s = 0.0
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to sweep."""
        self._sweep_later()

    def add(self, connection: LiveConnection) -> bool:
        """A connection was made; False if there is not even room to tell it so."""
        if self.handshaking >= self._settings.handshaking_max:
            return False
        self._connections[connection] = None
        return True

    def admit(self, connection: LiveConnection, address: str) -> Refusal | None:
        """Count a guest as an open socket of an address, or say why not."""
        if self._closing:
            return _CLOSING
        if self._open >= self._settings.sockets_max:
            return _FULL
        if min(self._lags_s) > self._settings.lag_s_max:
            return _LATE
        held = self._held_by.get(address, 0)
        if held >= self._settings.sockets_per_address_max:
            return _CROWDED
        self._connections[connection] = address
        self._held_by[address] = held + 1
        self._count(+1)
        return None

    def remove(self, connection: LiveConnection) -> None:
        """The connection is gone."""
        address = self._connections.pop(connection, None)
        if address is None:
            return
        self._held_by[address] -= 1
        if not self._held_by[address]:
            del self._held_by[address]
        self._count(-1)

    def replace(self, connection: LiveConnection, successor: LiveConnection) -> None:
        """The successor, who has entered, takes the guest's seat: the same client on another connection."""
        self._connections[successor] = self._connections.pop(connection)

    def note_slow(self) -> None:
        """A guest is closed because it reads too slowly."""
        self._meter.count("sockets_closed_slow_total")

    async def drain(self, close_reason: CloseReason, over_s: float) -> None:
        """Let nobody in any more, part from everyone evenly over a time, and return when all have gone or been cut off."""
        self._closing = True
        connections = list(self._connections)
        batch = math.ceil(len(connections) * _STEP_S / max(over_s, _STEP_S)) or 1
        for start in range(0, len(connections), batch):
            for connection in connections[start : start + batch]:
                if connection in self._connections:
                    connection.close(close_reason)
            await deferLater(self._clock, _STEP_S)
        cut_off_s = self._clock.seconds() + self._settings.close_timeout_s + 2 * SWEEP_S
        while self._connections and self._clock.seconds() < cut_off_s:  # the sweep sees to those who do not answer
            await deferLater(self._clock, _STEP_S)
        if self._next is not None:
            self._next.cancel()
            self._next = None

    @property
    def crowd(self) -> int:
        """How many are connected, in whatever state."""
        return len(self._connections)

    @property
    def handshaking(self) -> int:
        """How many of them have no seat: they shake hands, or were refused."""
        return len(self._connections) - self._open

    def _count(self, by: int) -> None:
        self._open += by
        self._meter.gauge("websocket_connections_active", self._open)

    def _sweep(self) -> None:
        now_s, wall_s = self._clock.seconds(), self._wall_ms() / 1000
        self._lags_s = (self._lags_s[1], now_s - self._due_s)
        self._check_some(list(self._connections), now_s, wall_s)

    def _check_some(self, connections: list[LiveConnection], now_s: float, wall_s: float) -> None:
        """The first of these now, and the others in the reactor's next turns."""
        for connection in connections[:CONNECTIONS_PER_TURN]:
            try:
                if connection in self._connections:
                    connection.check_deadlines(now_s, wall_s)
            except Exception:  # one guest's fault is not the others'
                self._log.failure("a guest could not be looked after")
        if len(connections) > CONNECTIONS_PER_TURN:
            self._next = self._clock.callLater(0, self._check_some, connections[CONNECTIONS_PER_TURN:], now_s, wall_s)
        else:
            self._sweep_later()

    def _sweep_later(self) -> None:
        self._due_s = self._clock.seconds() + SWEEP_S
        self._next = self._clock.callLater(SWEEP_S, self._sweep)
