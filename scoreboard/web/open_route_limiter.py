"""Rate limiter of routes that need no token: token buckets by address in this process's memory, so that judging costs no I/O.

Loopback and our own proxies are never refused. But each request beyond the limit waits a moment, so that a client that repeats
its request at once makes at most ten requests a second on each connection.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from scoreboard.boundaries.health import Meter
from scoreboard.caches import BoundedCache
from scoreboard.domain.limits import Limit, TokenBucket
from scoreboard.domain.refusals import Refused, too_many_requests
from scoreboard.net.http.addresses import Proxies, is_loopback
from scoreboard.net.http.request import Request
from scoreboard.web.request_guard import policy_of, rate_lines

#: Addresses whose token buckets are kept, for each limit. A displaced address starts again with a full bucket.
ADDRESSES_MAX: Final = 8_192
#: Requests beyond the limit wait for different times, from half of this to all of it, so that clients do not all repeat at once.
WAIT_S_MAX: Final = 0.2
_STEPS: Final = 16


class OpenRouteLimiter:
    """Rate limiter of requests without a token."""

    def __init__(self, *, proxies: Proxies, clock: IReactorTime, meter: Meter) -> None:
        self._proxies = proxies
        self._clock = clock
        self._meter = meter
        self._waits = 0
        self._buckets: dict[str, BoundedCache[str, TokenBucket]] = {}

    async def check(self, request: Request, limit: Limit) -> None:
        """Count a request of this address. Raises Refused when there were too many, unless it is loopback or our proxy."""
        address = request.counted_as
        admitted, _, wait_ms = self._bucket(address, limit).hit(limit, 1, int(self._clock.seconds() * 1000))
        if admitted:
            return
        ours = is_loopback(request.client_address) or self._proxies.trusts(request.client_address)
        self._meter.count("open_requests_limited_total", limit=limit.name, answer="late" if ours else "refused")
        self._waits += 1
        await deferLater(self._clock, WAIT_S_MAX * (1 - self._waits % _STEPS / _STEPS / 2))
        if not ours:
            request.header_lines += rate_lines(policy_of(limit), limit.name, 0, wait_ms)
            raise Refused(too_many_requests(wait_ms))

    def _bucket(self, address: str, limit: Limit) -> TokenBucket:
        buckets = self._buckets.get(limit.name)
        if buckets is None:
            buckets = self._buckets[limit.name] = BoundedCache(ADDRESSES_MAX)
        bucket = buckets.get(address)
        if bucket is None:
            bucket = TokenBucket()
            buckets.put(address, bucket)
        return bucket
