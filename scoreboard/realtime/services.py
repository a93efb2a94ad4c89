"""Services that all live protocols share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IReactorTime

from scoreboard.background import run_in_background
from scoreboard.boundaries.announcer import Announcer
from scoreboard.boundaries.authentication import Authenticator
from scoreboard.boundaries.health import Meter
from scoreboard.domain.limits import RateVerdict
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.limits import LiveLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveServices:
    """``address_of`` and ``check_rate`` are those of WebSocketFactory."""

    authenticator: Authenticator
    announcer: Announcer
    registry: ConnectionRegistry
    limits: LiveLimits
    clock: IReactorTime
    meter: Meter
    address_of: Callable[[str, str | None], str]
    check_rate: Callable[[str], Awaitable[RateVerdict]] | None = None

    def run(self, task: str, work: Coroutine[Any, Any, None], on_fault: Callable[[], None]) -> None:
        """Start ``work``. If it fails, that is logged and counted as a fault of ``task``, and ``on_fault`` is called."""

        async def guarded() -> None:
            try:
                await work
            except Exception:
                on_fault()
                raise

        run_in_background(task, guarded(), self.meter)
