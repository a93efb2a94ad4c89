"""Rate limiter of routes that need no token: token buckets by address in this process's memory, so that judging costs no I/O.

Loopback and our own proxies are never refused. But each request beyond the limit waits a moment.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime

from scoreboard.boundaries.health import Meter
from scoreboard.caches import BoundedCache
from scoreboard.domain.limits import Limit, TokenBucket
from scoreboard.domain.refusals import Refused, too_many_requests
from scoreboard.net.http.addresses import Proxies, is_loopback
from scoreboard.net.http.request import Request
from scoreboard.net.http.slow_down import SlowDown

#: Addresses whose token buckets are kept, for each limit. A displaced address starts again with a full bucket.
ADDRESSES_MAX: Final = 8_192


class OpenRouteLimiter:
    """Rate limiter of requests without a token."""

    def __init__(self, *, proxies: Proxies, clock: IReactorTime, meter: Meter) -> None:
        self._proxies = proxies
        self._clock = clock
        self._meter = meter
        self._slow_down = SlowDown(clock)
        self._buckets: dict[str, BoundedCache[str, TokenBucket]] = {}

    async def check(self, request: Request, limit: Limit) -> None:
        """Count a request of this address. Raises Refused when there were too many, unless it is loopback or our proxy."""
        address = request.counted_as
        admitted, _, wait_ms = self._bucket(address, limit).hit(limit, 1, int(self._clock.seconds() * 1000))
        if admitted:
            return
        ours = is_loopback(request.client_address) or self._proxies.trusts(request.client_address)
        self._meter.count("open_requests_limited_total", limit=limit.name, answer="late" if ours else "refused")
        await self._slow_down.wait()
        if not ours:
            raise Refused(too_many_requests(wait_ms, limit))

    def _bucket(self, address: str, limit: Limit) -> TokenBucket:
        buckets = self._buckets.get(limit.name)
        if buckets is None:
            buckets = self._buckets[limit.name] = BoundedCache(ADDRESSES_MAX)
        bucket = buckets.get(address)
        if bucket is None:
            bucket = TokenBucket()
            buckets.put(address, bucket)
        return bucket
