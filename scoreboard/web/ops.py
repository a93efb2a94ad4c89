"""For operators: whether we live, whether we are ready, what was measured, and what the interface is."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.internet.interfaces import IReactorTime

from scoreboard.boundaries import StoreUnavailable
from scoreboard.domain.refusals import Refusal, unavailable
from scoreboard.web.answer import JSON, NO_STORE, Answer
from scoreboard.web.request import Request
from scoreboard.web.shapes import AliveAnswer, ReadyAnswer, ReadyData, encode

#: How long a store may take to answer before it counts as away.
PING_S_MAX: Final = 1.0
_LINES: Final = JSON + NO_STORE
_ALIVE: Final = Answer(200, encode(AliveAnswer()), _LINES)

Ping = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, eq=False)
class Ops:
    """Handlers that need no token. ``pings`` by the name of the store; ``metrics`` gives a body and its content type."""

    pings: Mapping[str, Ping]
    metrics: Callable[[], tuple[bytes, str]]
    document: Callable[[], bytes]
    clock: IReactorTime

    def healthz(self, _: Request) -> Answer:
        """We live; of the stores nothing is asked, for restarting us would not mend them."""
        return _ALIVE

    async def readyz(self, _: Request) -> Answer | Refusal:
        """Whether every store answers, and if not, which one does not."""
        waits = {name: ensureDeferred(self._answers(ping)) for name, ping in self.pings.items()}
        stores = ReadyData(stores={name: await wait for name, wait in waits.items()})
        away = [name for name, answers in stores.stores.items() if not answers]
        if not away:
            return Answer(200, encode(ReadyAnswer(data=stores)), _LINES)
        return unavailable(f"No answer from: {', '.join(away)}")

    def metrics_page(self, _: Request) -> Answer:
        """What Prometheus scrapes."""
        body, content_type = self.metrics()
        return Answer(200, body, b"Content-Type: %b\r\n" % content_type.encode("latin-1") + NO_STORE)

    def openapi(self, _: Request) -> Answer:
        """What this interface is, for machines."""
        return self._openapi

    @cached_property
    def _openapi(self) -> Answer:
        return Answer(200, self.document(), JSON + b"Cache-Control: public, max-age=300\r\n")

    async def _answers(self, ping: Ping) -> bool:
        try:
            await ensureDeferred(ping()).addTimeout(PING_S_MAX, self.clock)
        except (StoreUnavailable, TimeoutError):
            return False
        return True
