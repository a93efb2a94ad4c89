"""Handlers for operators: health checks, metrics and the OpenAPI document. They read memory alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from twisted.internet.interfaces import IReactorTime

from scoreboard.boundaries.health import Health
from scoreboard.domain.limits import Limit
from scoreboard.domain.refusals import Refusal, unavailable
from scoreboard.net.http.refusals import NOT_FOUND, refused
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import JSON, NO_STORE, Response
from scoreboard.web.metrics_access import MetricsAccess
from scoreboard.web.open_route_limiter import OpenRouteLimiter
from scoreboard.web.schemas import AliveAnswer, Success, encode, not_ready, ready_data

#: How long a rendering of the metrics is served again.
METRICS_S_MAX: Final = 1.0
_HEADER_LINES: Final = JSON + NO_STORE
_ALIVE: Final = Response(200, encode(AliveAnswer()), _HEADER_LINES)


@dataclass(eq=False)
class HealthHandlers:
    """Handlers of /healthz, /readyz, /metrics and /openapi.json. ``metrics`` gives a body and its content type."""

    open_route_limiter: OpenRouteLimiter
    limit: Limit
    health: Health
    metrics: Callable[[], tuple[bytes, str]]
    metrics_access: MetricsAccess
    document: Callable[[], bytes] | None  # OpenAPI, in JSON; None if it is not public
    clock: IReactorTime
    _measured: Response = field(init=False)
    _measured_s: float = field(default=float("-inf"), init=False)

    async def healthz(self, request: Request) -> Response:
        """Answer that the process lives. The stores do not matter here: a restart would not repair them."""
        await self.open_route_limiter.check(request, self.limit)
        return _ALIVE

    async def readyz(self, request: Request) -> Response:
        """Answer whether this process can serve, also degraded; with ``?strict``, whether all is well. Lists all conditions."""
        await self.open_route_limiter.check(request, self.limit)
        strict = any(parameter.partition(b"=")[0] == b"strict" for parameter in request.query.split(b"&"))
        conditions = self.health.conditions()
        wrong = [one for one in conditions if not (one.ok if strict else one.serving)]
        data = ready_data(conditions)
        if wrong:
            refusal = unavailable("Not ready: " + "; ".join(f"{one.name}: {one.detail}" for one in wrong))
            return refused(refusal, request, body=not_ready(refusal, data))
        return Response(200, encode(Success(data=data)), _HEADER_LINES)

    async def metrics_page(self, request: Request) -> Response:
        """Show the metrics to Prometheus, rendered at most once a second."""
        await self.open_route_limiter.check(request, self.limit)
        self.metrics_access.check(request)
        now_s = self.clock.seconds()
        if now_s - self._measured_s >= METRICS_S_MAX:
            body, content_type = self.metrics()
            self._measured = Response(200, body, b"Content-Type: %b\r\n" % content_type.encode("latin-1") + NO_STORE)
            self._measured_s = now_s
        return self._measured

    async def openapi(self, request: Request) -> Response | Refusal:
        """Show the OpenAPI document."""
        await self.open_route_limiter.check(request, self.limit)
        return self._openapi

    @cached_property
    def _openapi(self) -> Response | Refusal:
        if self.document is None:
            return NOT_FOUND
        return Response(200, self.document(), JSON + b"Cache-Control: public, max-age=300\r\n")
