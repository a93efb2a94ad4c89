"""Services that all live protocols share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from scoreboard.background import run_in_background
from scoreboard.boundaries.announcer import Announcer
from scoreboard.boundaries.authentication import Authenticator
from scoreboard.boundaries.health import Meter
from scoreboard.net.websocket.connection import SocketServices


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveServices(SocketServices):
    """Services of a client session, and those of its socket."""

    authenticator: Authenticator
    announcer: Announcer
    meter: Meter

    def run(self, task: str, work: Coroutine[Any, Any, None], on_fault: Callable[[], None]) -> None:
        """Start ``work``. If it fails, that is logged and counted as a fault of ``task``, and ``on_fault`` is called."""

        async def guarded() -> None:
            try:
                await work
            except Exception:
                on_fault()
                raise

        run_in_background(task, guarded(), self.meter)
