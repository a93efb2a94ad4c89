"""Lifecycle: what was started is stopped in the reverse order, each within a bounded time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred
from twisted.logger import Logger

from config.settings import Settings
from scoreboard.domain.boards import BoardDefinition
from scoreboard.domain.rules import Catalogue
from scoreboard.failpoints import Failpoint
from scoreboard.metrics import Metrics
from scoreboard.service.descriptors import Capacity

#: The seconds that open requests have to end after SIGTERM, and the seconds over which the live connections are closed.
DRAIN_S: Final = 10.0
CLOSE_LIVE_S: Final = 1.0
#: The longest time of each other stop, and the shortest one that is left to it after DRAIN_S and CLOSE_LIVE_S.
STOP_S_MAX: Final = 6.0
STOP_S_MIN: Final = 0.5

Stop = Callable[[], Coroutine[Any, Any, object] | Deferred[Any]]


class Component(Protocol):
    """Something with a start and a stop: an actor with a loop, or a store."""

    async def start(self) -> None:
        """Begin to work."""

    async def stop(self) -> None:
        """Work no more."""


class Lifecycle:
    """List of what was started. A stop that fails or takes too long does not keep the others from stopping."""

    _log = Logger(namespace="scoreboard")

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        #: The name of each, its stop, and the longest time of the stop.
        self._started: list[tuple[str, Stop, float]] = []

    async def start(self, component: Component) -> None:
        """Start a component, and stop it at the end. One whose start raises is not stopped."""
        await component.start()
        self.add(type(component).__name__, component.stop)

    def add(self, name: str, stop: Stop, stop_s_max: float = STOP_S_MAX) -> None:
        """Call ``stop`` at the end, before the stops that were added earlier."""
        self._started.append((name, stop, stop_s_max))

    async def stop(self) -> None:
        """Stop everything, the newest first."""
        ends_s = self._clock.seconds() + DRAIN_S + CLOSE_LIVE_S
        while self._started:
            name, stop, stop_s_max = self._started.pop()
            left_s = max(STOP_S_MIN, ends_s - self._clock.seconds())
            try:
                await ensureDeferred(stop()).addTimeout(min(left_s, stop_s_max), self._clock)
            except TimeoutError:
                self._log.warn("{name} was not closed in time and was abandoned", name=name)
            except Exception:
                self._log.failure("{name} could not be closed", name=name)


@dataclass(frozen=True, kw_only=True)
class ServerContext:
    """The settings and what was made from them before the start, the reactor, the metrics and the lifecycle."""

    settings: Settings
    catalogue: Catalogue
    boards: Sequence[BoardDefinition]
    capacity: Capacity
    failpoint: Failpoint
    reactor: Any
    metrics: Metrics
    lifecycle: Lifecycle
